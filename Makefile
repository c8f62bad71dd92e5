# On a fresh machine with Python >= 3.11 (venv, pip), make and git, `make study` is the only command to type.

PYTHON ?= python3
PRESET ?= embedded
CORES ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
VENV ?= .venv

SHELL := /bin/sh
.SHELLFLAGS := -euc
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help study calibration leave-one-out test lint benchmark gpu-bundle gpu-check lab figures reproduce pages results book publish restore docs environment constraints

INSTALLED := $(VENV)/installed
RUN := $(VENV)/bin/python -m
# For what computes: with the environment variables that notebooks run with.
COMPUTE := $(RUN) modspec.workflow.process_environment
# Workflow rules and notebook kernels start programs by name. Those must be the programs of this environment.
export PATH := $(abspath $(VENV))/bin:$(PATH)

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	echo
	echo "Variables: PRESET=$(PRESET) CORES=$(CORES) PYTHON=$(PYTHON) VENV=$(VENV)"

study: $(INSTALLED)  ## run the whole study of preset PRESET
	@$(COMPUTE) modspec.models.encoders fetch e5-small
	$(COMPUTE) snakemake --cores $(CORES) --config preset=$(PRESET)
	echo
	echo "Study $(PRESET) is complete."
	echo "Executed notebooks: runs/$(PRESET)/notebooks/"
	echo "Figures:            runs/$(PRESET)/figures/"
	echo "Read it as a book:  make book, then open runs/book/html/runs/$(PRESET).html"
	echo "Keep them in the repository with: make publish PRESET=$(PRESET)"

calibration: $(INSTALLED)  ## test the method where the answer is known (one to two hours)
	@$(COMPUTE) modspec.models.encoders fetch e5-small
	$(COMPUTE) snakemake calibration --cores $(CORES) --config preset=$(PRESET)
	echo
	echo "Executed notebook: runs/$(PRESET)/notebooks/00_calibration.ipynb"
	echo "Figures:           runs/$(PRESET)/figures/calibration/"

leave-one-out: $(INSTALLED)  ## repeat the study's training without one language at a time
	@$(COMPUTE) modspec.models.encoders fetch e5-small
	$(COMPUTE) snakemake leave_one_out --cores $(CORES) --config preset=$(PRESET)
	echo
	echo "Executed notebooks: runs/$(PRESET)/notebooks/06_leave_one_out-*.ipynb"

# One thread per process, as many processes as cores. Tests of one file share fixtures, so one process runs them.
PYTEST := OMP_NUM_THREADS=1 $(COMPUTE) pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

# In one run the slow tests share the others' fixtures, some of which are whole studies.
test: $(INSTALLED)  ## run the tests that do not take minutes each (ALL=1: all tests)
	@$(COMPUTE) modspec.models.encoders fetch e5-small
	$(PYTEST) $(if $(ALL),,-m "not slow")

lint: $(INSTALLED)  ## check style, formatting, and who imports whom
	@$(RUN) ruff check
	$(RUN) ruff format --check
	$(VENV)/bin/python -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-logo --no-cache

benchmark: $(INSTALLED)  ## compare influence with other packages (hours; ARGUMENTS="--budget 60 --rounds 1": less)
	@$(COMPUTE) modspec.models.encoders fetch e5-small
	$(RUN) pip install --disable-pip-version-check -c constraints.txt -e '.[benchmark]'
	# kronfluence asks for torchvision and never imports it, but transformers does: it must fit torch's build.
	$(RUN) pip uninstall --yes torchvision
	$(COMPUTE) modspec.benchmark $(ARGUMENTS)

gpu-bundle: $(INSTALLED)  ## pack what gpu-check needs where there is no network (ARGUMENTS="--data DIR": XNLI's files)
	@$(COMPUTE) modspec.models.encoders fetch e5-small
	$(COMPUTE) modspec.benchmark.gpu_bundle $(ARGUMENTS)

# On a machine without a network: no virtual environment, but PYTHON with torch and the wheels of the bundle.
gpu-check:  ## check and time scores on a GPU, with what gpu-bundle packed (15 minutes; docs/gpu.md)
	@$(PYTHON) -m tarfile -e gpu-check.tar.xz runs/gpu-check
	$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target runs/gpu-check/packages \
		runs/gpu-check/wheels/*.whl
	export MODSPEC_CACHE="$$PWD/runs/gpu-check/cache" PYTHONPATH="$$PWD:$$PWD/runs/gpu-check/packages"
	$(PYTHON) -m modspec.workflow.process_environment modspec.benchmark.gpu_check \
		--data runs/gpu-check/data $(ARGUMENTS)

lab: $(INSTALLED)  ## open the notebooks in JupyterLab (ARGUMENTS=--no-browser: only serve them)
	@$(COMPUTE) jupyterlab --notebook-dir=notebooks $(ARGUMENTS)

# With WIDTH (column, page, or inches) or STYLE (acl), figures for a paper go to runs/paper-figures/.
figures: $(INSTALLED)  ## draw every published figure again from its CSV (for a paper: WIDTH=column STYLE=acl)
	@$(COMPUTE) modspec.figures.save figures $(if $(WIDTH)$(STYLE),--to runs/paper-figures) \
		$(if $(WIDTH),--width $(WIDTH)) $(if $(STYLE),--style $(STYLE))

reproduce: $(INSTALLED)  ## say what made a published figure, and how to make it again (FIGURE=xnli-v1/questions)
	@$(RUN) modspec.workflow.figure_origin "$(FIGURE)"

# Keeps the texts that the explorer shows under runs/<study>/texts/: make publish copies them, make pages reads them.
pages: $(INSTALLED)  ## write explorer and head atlas of a finished study (ARGUMENTS="study=NAME data_dir=DIR")
	@$(COMPUTE) modspec.pages preset=$(PRESET) $(ARGUMENTS)

# Reads and writes published files only: figures/<study>/ in, figures/results/ and notebooks/executed/results/ out.
results: $(INSTALLED)  ## analyse published studies again, within a minute (ARGUMENTS="-y '{studies: [mine, xnli-v1], pooled: []}'": others)
	@mkdir -p runs/results/notebooks notebooks/executed/results
	$(RUN) modspec.workflow.run_notebook notebooks/05_results.ipynb \
		runs/results/notebooks/05_results.ipynb runs/results/05_results.log $(ARGUMENTS)
	cp runs/results/notebooks/05_results.ipynb notebooks/executed/results/

# README, docs and executed notebooks, of published studies and of those in runs/. Asks no network.
book: $(INSTALLED)  ## build an HTML book of all results, docs and executed notebooks (some minutes)
	@$(RUN) modspec.pages.book runs/book/source
	$(RUN) sphinx -q -b html -c docs -d runs/book/doctrees runs/book/source runs/book/html
	echo "Open runs/book/html/index.html"

publish: $(INSTALLED)  ## copy figures, executed notebooks and tables of preset PRESET from runs/ into the repository
	@$(RUN) modspec.workflow.publishing publish $(PRESET)

restore: $(INSTALLED)  ## continue from what was published of preset PRESET, without its weights and scores
	@$(RUN) modspec.workflow.publishing restore $(PRESET)

docs: $(INSTALLED)  ## regenerate the tables of docs/ from CSVs and parameter models
	@$(RUN) modspec.pages.generated_docs

environment: $(INSTALLED)  ## generate environment.yml from pyproject.toml
	@$(RUN) pyproject2conda project --overwrite force

# The stamp exists only after a complete installation. Without it, the environment is built from nothing;
# with it, the environment is brought up to date in place.
$(INSTALLED): pyproject.toml constraints.txt
	@if ! $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		echo "PYTHON=$(PYTHON) is not a Python >= 3.11 with venv and pip: name one, as in make PYTHON=python3.12" >&2
		exit 1
	fi
	test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	rm -f $@
	log=$(VENV)/install.log
	echo "Installing packages into $(VENV) (some minutes; log: $$log)"
	if ! $(RUN) pip install --disable-pip-version-check -c constraints.txt -e '.[test]' >"$$log" 2>&1; then
		tail -n 20 "$$log" >&2
		echo "The installation failed; all that pip said is in $$log" >&2
		exit 1
	fi
	touch $@

# Resolves everything but torch. Its pin is changed by hand, because another version costs gigabytes. The file
# leaves out what differs between machines: torch's local version tag and its CUDA packages.
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
