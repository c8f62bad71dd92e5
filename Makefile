# On a fresh machine with Python >= 3.11 (venv, pip), make and git, `make study` is all there is to type.

PYTHON ?= python3
PRESET ?= embedded
CORES ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
VENV ?= .venv

SHELL := /bin/sh
.SHELLFLAGS := -euc
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help study calibration test lint benchmark lab figures results publish restore environment constraints

INSTALLED := $(VENV)/installed
RUN := $(VENV)/bin/python -m
# Workflow rules and notebook kernels start programs by name: they must be this environment's.
export PATH := $(abspath $(VENV))/bin:$(PATH)

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-13s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	echo
	echo "Variables: PRESET=$(PRESET) CORES=$(CORES) PYTHON=$(PYTHON) VENV=$(VENV)"

study: $(INSTALLED)  ## run the whole study of preset PRESET
	@$(RUN) modspec.models.encoders fetch e5-small
	$(RUN) snakemake --cores $(CORES) --config preset=$(PRESET)
	echo
	echo "Study $(PRESET) is complete."
	echo "Executed notebooks: runs/$(PRESET)/notebooks/"
	echo "Figures:            figures/$(PRESET)/"

calibration: $(INSTALLED)  ## ask whether the instrument reads right where the answer is known (half an hour)
	@$(RUN) modspec.models.encoders fetch e5-small
	$(RUN) snakemake calibration --cores $(CORES) --config preset=$(PRESET)
	echo
	echo "Executed notebook: runs/$(PRESET)/notebooks/00_calibration.ipynb"

test: $(INSTALLED)  ## run all tests
	@$(RUN) modspec.models.encoders fetch e5-small
	$(RUN) pytest

lint: $(INSTALLED)  ## check style and formatting
	@$(RUN) ruff check
	$(RUN) ruff format --check

benchmark: $(INSTALLED)  ## compare influence with other packages (hours; ARGUMENTS="--budget 60 --rounds 1": less)
	@$(RUN) modspec.models.encoders fetch e5-small
	$(RUN) pip install --disable-pip-version-check -c constraints.txt -e '.[benchmark]'
	# kronfluence asks for torchvision and never imports it, but transformers does: it must fit torch's build.
	$(RUN) pip uninstall --yes torchvision
	$(RUN) modspec.benchmark $(ARGUMENTS)

lab: $(INSTALLED)  ## open the notebooks in JupyterLab
	@$(RUN) jupyterlab --notebook-dir=notebooks

figures: $(INSTALLED)  ## redraw every figure from its CSV
	@$(RUN) modspec.figures.save figures

results: $(INSTALLED)  ## gather the published studies (ARGUMENTS="-y 'studies: [mine, xnli]'": others)
	@mkdir -p runs/results notebooks/executed/results
	$(RUN) papermill --kernel python3 --no-progress-bar --log-level WARNING $(ARGUMENTS) \
		notebooks/05_results.ipynb runs/results/05_results.ipynb
	$(RUN) modspec.workflow.executed_notebooks runs/results/05_results.ipynb notebooks/executed/results/05_results.ipynb

publish:  ## keep the executed notebooks and the tables of preset PRESET in the repository
	@mkdir -p notebooks/executed/$(PRESET) figures/$(PRESET)/artefacts
	cp runs/$(PRESET)/notebooks/*.ipynb notebooks/executed/$(PRESET)/
	# Of an unfinished study, what is finished: whole artefacts, and stages that there are.
	for stage in search finetuning influence; do
		rm -rf figures/$(PRESET)/artefacts/$$stage
		for artefact in runs/$(PRESET)/$$stage/*/manifest.json; do
			test -e "$$artefact" || continue
			mkdir -p figures/$(PRESET)/artefacts/$$stage
			cp -R "$${artefact%/manifest.json}" figures/$(PRESET)/artefacts/$$stage/
		done
	done

# In the order of the stages: what a notebook depends on must not be newer than it.
restore:  ## go on from what was published of preset PRESET, without its weights and scores
	@if ! test -d figures/$(PRESET)/artefacts; then
		echo "PRESET=$(PRESET): figures/$(PRESET)/artefacts is not there, nothing of it was kept to go on from" >&2
		exit 1
	fi
	mkdir -p runs/$(PRESET)/notebooks
	cp -R figures/$(PRESET)/artefacts/. runs/$(PRESET)/
	for notebook in notebooks/executed/$(PRESET)/0[123]_*.ipynb; do
		cp "$$notebook" runs/$(PRESET)/notebooks/
	done

environment: $(INSTALLED)  ## generate environment.yml from pyproject.toml
	@$(RUN) pyproject2conda project --overwrite force

# The stamp is there only after a complete installation. Where a killed one left none, the
# environment is built from nothing; otherwise it is brought up to date in place.
$(INSTALLED): pyproject.toml constraints.txt
	@if ! $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		echo "PYTHON=$(PYTHON) is not a Python >= 3.11 with venv and pip: name one, as in make PYTHON=python3.12" >&2
		exit 1
	fi
	test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	rm -f $@
	$(RUN) pip install --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

# Resolves everything but torch, whose pin is changed by hand: another version of it costs gigabytes.
# Left out is what differs by machine: torch's local version tag and its CUDA packages.
constraints:  ## resolve pyproject.toml anew into constraints.txt
	@scratch=$$(mktemp -d)
	trap 'rm -rf "$$scratch"' EXIT
	grep '^torch==' constraints.txt >"$$scratch/torch.txt"
	$(PYTHON) -m venv "$$scratch/venv"
	"$$scratch/venv/bin/python" -m pip install -c "$$scratch/torch.txt" -e '.[test]'
	"$$scratch/venv/bin/python" -m pip list --format=freeze --exclude-editable --exclude pip >"$$scratch/all.txt"
	{
		echo "# One exact resolution of pyproject.toml with its test extra. Generated by: make constraints"
		sed -E '/^(nvidia-|cuda-|triton==)/d; s/\+.*//' "$$scratch/all.txt"
	} >"$$scratch/constraints.txt"
	cp "$$scratch/constraints.txt" constraints.txt
