# The whole study: four notebooks, run by papermill, one process each; and on request the calibration.
#
#   snakemake [calibration] --cores 2 --config preset=embedded [study=NAME] [parameter=value ...]
#
# Presets and overrides: modspec/workflow/presets.py. A stage is done when its executed notebook is in place, which
# is after its artefact. Artefacts are no outputs here, because Snakemake deletes the outputs of failed jobs:
# modspec.workflow.artifacts itself knows which are current, and a killed stage resumes from its finished parts.

import math
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from modspec.workflow.allocator import ALLOCATOR
from modspec.workflow.costs import summary
from modspec.errors import InputError
from modspec.workflow.fingerprints import CODE
from modspec.workflow.presets import resolve
from modspec.data.tasks import check_languages

try:
    study = resolve(config)
    first = study.parameters("search", seed=study.seeds[0])
    check_languages(first.task, first.languages, first.data_dir)
except InputError as error:
    raise WorkflowError(str(error)) from None

if workflow.is_main_process:
    print(summary(study), file=sys.stderr)

RUN, FIGURES = f"runs/{study.name}", f"figures/{study.name}"


def papermill(stage):
    """The parameters of a job as YAML: what papermill is given, and what makes Snakemake run it again.

    On one line, and no JSON, whose 5e-05 is a text in YAML.
    """

    def of_job(wildcards):
        job = {name: int(value) if name == "seed" else value for name, value in wildcards.items()}
        try:
            parameters = study.parameters(stage, **job).model_dump(mode="json")
        except InputError as error:  # of the calibration, which only who asks for it has to satisfy
            raise WorkflowError(str(error)) from None
        return yaml.safe_dump(parameters, default_flow_style=True, sort_keys=False, width=math.inf).strip()

    return of_job


def code(stage):
    """The modules that a stage's results depend on."""
    return [f"modspec/{module}.py" for module in CODE[stage]]


# A notebook that fails is left under unfinished/, with the error in it.
RUN_NOTEBOOK = (
    "mkdir -p {RUN}/notebooks/unfinished && part={RUN}/notebooks/unfinished/$(basename {output.notebook}) && "
    f"{' '.join(f'{name}={value}' for name, value in ALLOCATOR.items())} "
    "OMP_NUM_THREADS={threads} TOKENIZERS_PARALLELISM=false "
    f"{sys.executable} -m papermill --kernel python3 --no-progress-bar --log-level WARNING "
    "{input.notebook} $part --parameters_yaml {params.job:q} && "
    f"{sys.executable} -m modspec.workflow.executed_notebooks $part {{output.notebook}}"
)

# An artefact that was deleted takes its notebook with it, so that it is made again; checkpoints, which are
# large, may be missing where they have been scored.
for notebook in Path(f"{RUN}/notebooks").glob("0[123]_*-*.ipynb"):
    number, _, job = notebook.stem.partition("-")
    there = {
        stage: Path(f"{RUN}/{stage}/{job}/manifest.json").exists()
        for stage in ("search", "finetuning", "checkpoints", "influence")
    }
    done = {
        "01": there["search"],
        "02": there["finetuning"] and (there["checkpoints"] or there["influence"]),
        "03": there["influence"],
    }
    if not done[number[:2]]:
        notebook.unlink()


rule all:
    input:
        expand(f"{RUN}/notebooks/01_subnetwork_search-seed{{seed}}.ipynb", seed=study.seeds),
        expand(
            f"{RUN}/notebooks/{{notebook}}-{{condition}}-seed{{seed}}.ipynb",
            notebook=["02_finetuning", "03_influence_scoring"],
            condition=study.conditions,
            seed=study.seeds,
        ),
        f"{RUN}/notebooks/04_figures.ipynb",
        f"{FIGURES}/provenance.json",


rule search:
    input:
        notebook="notebooks/01_subnetwork_search.ipynb",
        code=code("search"),
    output:
        notebook=f"{RUN}/notebooks/01_subnetwork_search-seed{{seed}}.ipynb",
    params:
        job=papermill("search"),
    threads: study.threads
    shell:
        RUN_NOTEBOOK


rule finetuning:
    input:
        notebook="notebooks/02_finetuning.ipynb",
        code=code("finetuning"),
        search=rules.search.output.notebook,
    output:
        notebook=f"{RUN}/notebooks/02_finetuning-{{condition}}-seed{{seed}}.ipynb",
    params:
        job=papermill("finetuning"),
    threads: study.threads
    shell:
        RUN_NOTEBOOK


def searches(wildcards):
    """Of the seed itself, and of the one whose masks are its control."""
    p = study.parameters("influence", seed=int(wildcards.seed), condition=wildcards.condition)
    seeds = {p.seed, p.other_seed if "other_seed" in p.mask_kinds else p.seed}
    return expand(rules.search.output.notebook, seed=sorted(seeds))


rule influence:
    input:
        notebook="notebooks/03_influence_scoring.ipynb",
        code=sorted({*code("scores"), *code("influence")}),
        searches=searches,
        classifier=rules.finetuning.output.notebook,
    output:
        notebook=f"{RUN}/notebooks/03_influence_scoring-{{condition}}-seed{{seed}}.ipynb",
    params:
        job=papermill("influence"),
    threads: study.threads
    # The longest jobs first, so that no core waits for one of them at the end.
    priority: 1
    shell:
        RUN_NOTEBOOK


rule figures:
    input:
        notebook="notebooks/04_figures.ipynb",
        code=code("figures"),
        searches=expand(rules.search.output.notebook, seed=study.seeds),
        classifiers=expand(rules.finetuning.output.notebook, condition=study.conditions, seed=study.seeds),
        scores=expand(rules.influence.output.notebook, condition=study.conditions, seed=study.seeds),
    output:
        provenance=f"{FIGURES}/provenance.json",
        notebook=f"{RUN}/notebooks/04_figures.ipynb",
    params:
        job=papermill("figures"),
    threads: study.threads
    shell:
        RUN_NOTEBOOK


rule calibration:
    input:
        notebook="notebooks/00_calibration.ipynb",
        code=code("calibration"),
    output:
        notebook=f"{RUN}/notebooks/00_calibration.ipynb",
    params:
        job=papermill("calibration"),
    threads: 2
    shell:
        RUN_NOTEBOOK
