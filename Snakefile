# The whole study: each of its notebooks run by papermill in its own process; and, on request, the calibration and
# trainings without one language.
#
#   snakemake [calibration | leave_one_out] --cores 2 --config preset=embedded [study=NAME] [parameter=value ...]
#
# Presets and overrides: modspec/workflow/presets.py. A run writes under runs/<study>/ only, figures too;
# `make publish` copies results to figures/ and notebooks/executed/.
#
# A stage is done when its executed notebook is in place, which happens after its artefact is in place. Artefacts
# are not outputs of the rules, because Snakemake deletes the outputs of failed jobs. Instead,
# modspec.workflow.artifacts knows which artefacts are current, and a killed stage resumes from its finished parts.

import json
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from modspec.data.tasks import check_languages
from modspec.errors import InputError
from modspec.terms import LEFT_OUT_CONDITIONS
from modspec.workflow.fingerprints import code_fingerprint
from modspec.workflow.live_log import show_live
from modspec.workflow.paths import path
from modspec.workflow.piece_records import lost_pieces
from modspec.workflow.presets import resolve
from modspec.workflow.process_environment import process_environment
from modspec.workflow.recorded_costs import recorded_costs
from modspec.workflow.resources import check_writable
from modspec.workflow.run_lock import lock_study

if workflow.is_main_process:
    show_live(workflow.logger_manager)

try:
    check_writable("checkout", path(".snakemake"))
    study = resolve(config)
    first = study.parameters("search", seed=study.seeds[0])
    check_languages(first.task, first.languages, first.data_dir and path(first.data_dir))
except InputError as error:
    raise WorkflowError(str(error)) from None

if workflow.is_main_process:
    published = Path("figures", Path(str(config.get("preset", "embedded"))).stem)
    runs = len(study.seeds) * len(study.conditions)
    jobs = {"search": len(study.seeds), "finetuning": runs, "influence": runs}
    print(recorded_costs(published, jobs), end="", file=sys.stderr)

RUN = f"runs/{study.name}"
FIGURES = study.parameters("figures").figures_dir


def job_parameters(stage):
    """Return a function that gives a job's parameters as YAML, on one line.

    papermill gets them, and Snakemake runs the job again when they change. YAML rather than JSON, because YAML
    reads JSON's 5e-05 as a text.
    """

    def of_job(wildcards):
        job = {name: value for name, value in wildcards.items() if name in ("seed", "condition")}
        if "seed" in job:
            job["seed"] = int(job["seed"])
        try:
            parameters = study.parameters(stage, **job).model_dump(mode="json")
        except InputError as error:  # the calibration's parameters are checked only when it is asked for
            raise WorkflowError(str(error)) from None
        return yaml.safe_dump(parameters, default_flow_style=True, sort_keys=False, width=math.inf).strip()

    return of_job


# Replaces the shell, so that the job is a child of the run, and ends when the run is killed.
RUN_NOTEBOOK = (
    f"exec {shlex.quote(sys.executable)} -m modspec.workflow.run_notebook "
    "{input.notebook:q} {output.notebook:q} {log:q} --threads {threads} --parameters {params.job:q} 2>> {log:q}"
)
# On request, jobs that may run on different machines make pieces of a stage before its notebook, which then
# finds them. Their outputs are records of the pieces that they left, and go when the notebook is done.
MAKE_PIECES = (
    f"exec {shlex.quote(sys.executable)} -m modspec.workflow.process_environment modspec.stages.piece_job "
    "{rule} {output.record:q} {params.part:q} --parameters {params.job:q} >> {log:q} 2>&1"
)

# Where an artefact was deleted, delete its notebook too, so that both are made again. Checkpoints are large;
# they may be missing once they have been scored. Jobs, which may run on other machines, leave this to the run.
notebooks = Path(f"{RUN}/notebooks").glob("0[1236]_*-*.ipynb") if workflow.is_main_process else ()
for notebook in notebooks:
    number, _, job = notebook.stem.partition("-")
    exists = {
        stage: Path(f"{RUN}/{stage}/{job}/manifest.json").exists()
        for stage in ("search", "finetuning", "checkpoints", "influence", "leave_one_out")
    }
    done = {
        "01": exists["search"],
        "02": exists["finetuning"] and (exists["checkpoints"] or exists["influence"]),
        "03": exists["influence"],
        "06": exists["leave_one_out"],
    }
    if not done[number[:2]]:
        notebook.unlink()
for record in Path(RUN).glob("*/*.pieces/records/*.json") if workflow.is_main_process else ():
    if lost_pieces(record):
        record.unlink()


def left_out(seeds):
    """Return the notebooks of trainings without one language at a time."""
    conditions = [condition for condition in study.conditions if condition in LEFT_OUT_CONDITIONS]
    notebook = f"{RUN}/notebooks/06_leave_one_out-{{condition}}-seed{{seed}}.ipynb"
    return expand(notebook, condition=conditions, seed=seeds)


# Jobs are about to run. Dry runs never come here.
onstart:
    print("Checking data, encoder, disk and memory", file=sys.stderr)
    # What needs torch is checked in a process of its own, since this one lives as long as the study.
    settings = [f"{name}={json.dumps(value)}" for name, value in config.items()]
    # On a cluster this machine is not the one that computes: it is asked for one job's memory at least.
    cores = str(workflow.resource_settings.cores or study.threads)
    command = [sys.executable, "-m", "modspec", "study", "check", "--cores", cores, *settings]
    checked = subprocess.run(command, env={**os.environ, **process_environment()}, capture_output=True, text=True)
    print(checked.stdout, end="", file=sys.stderr)
    if checked.returncode:
        said = checked.stderr.strip().splitlines() or [f"the check ended with status {checked.returncode}"]
        raise WorkflowError(said[-1].removeprefix("error: "))
    try:
        lock_study(Path(RUN))
    except InputError as error:
        raise WorkflowError(str(error)) from None


rule all:
    input:
        expand(f"{RUN}/notebooks/01_subnetwork_search-seed{{seed}}.ipynb", seed=study.seeds),
        expand(
            f"{RUN}/notebooks/{{notebook}}-{{condition}}-seed{{seed}}.ipynb",
            notebook=["02_finetuning", "03_influence_scoring"],
            condition=study.conditions,
            seed=study.seeds,
        ),
        left_out(study.left_out_seeds),
        [] if study.blind else [f"{RUN}/notebooks/04_figures.ipynb", f"{FIGURES}/provenance.json"],
        [] if study.blind else [f"{RUN}/notebooks/07_exploration.ipynb", f"{FIGURES}/exploration/provenance.json"],


SEARCHED = f"{RUN}/search/seed{{seed}}.pieces/records"


# Made once, before the languages that start from it. If two jobs made it, the weights could differ.
rule warm_start:
    output:
        record=temp(f"{SEARCHED}/warm_start.json"),
    log:
        f"{RUN}/logs/01_warm_start-seed{{seed}}.log",
    message:
        "warm start, seed {wildcards.seed}"
    params:
        job=job_parameters("search"),
        code=code_fingerprint("search"),
        part=[],
    threads: study.threads
    shell:
        MAKE_PIECES


use rule warm_start as language_search with:
    input:
        start=rules.warm_start.output.record if first.start_languages else [],
    output:
        record=temp(f"{SEARCHED}/language_search-{{language}}.json"),
    log:
        f"{RUN}/logs/01_language_search-seed{{seed}}-{{language}}.log",
    message:
        "search, {wildcards.language}, seed {wildcards.seed}"
    params:
        job=job_parameters("search"),
        code=code_fingerprint("search"),
        part=lambda wildcards: ["--language", wildcards.language],


LANGUAGE_SEARCHES = expand(rules.language_search.output.record, language=first.languages, allow_missing=True)


# Reads the weights of all languages.
use rule language_search as pooled_others with:
    input:
        searches=LANGUAGE_SEARCHES,
    output:
        record=temp(f"{SEARCHED}/pooled_others-{{language}}.json"),
    log:
        f"{RUN}/logs/01_pooled_others-seed{{seed}}-{{language}}.log",
    message:
        "pooled-others mask, {wildcards.language}, seed {wildcards.seed}"


POOLED_OTHERS = expand(rules.pooled_others.output.record, language=first.languages, allow_missing=True)


rule search:
    input:
        notebook="notebooks/01_subnetwork_search.ipynb",
        searches=LANGUAGE_SEARCHES if study.search_by_language else [],
        pooled_others=POOLED_OTHERS if study.search_by_language and first.searches_pooled_others else [],
    output:
        notebook=f"{RUN}/notebooks/01_subnetwork_search-seed{{seed}}.ipynb",
    log:
        f"{RUN}/logs/01_subnetwork_search-seed{{seed}}.log",
    message:
        "search, seed {wildcards.seed}"
    params:
        job=job_parameters("search"),
        code=code_fingerprint("search"),
    threads: study.threads
    shell:
        RUN_NOTEBOOK


rule finetuning:
    input:
        notebook="notebooks/02_finetuning.ipynb",
        search=rules.search.output.notebook,
    output:
        notebook=f"{RUN}/notebooks/02_finetuning-{{condition}}-seed{{seed}}.ipynb",
    log:
        f"{RUN}/logs/02_finetuning-{{condition}}-seed{{seed}}.log",
    message:
        "finetuning, {wildcards.condition}, seed {wildcards.seed}"
    params:
        job=job_parameters("finetuning"),
        code=code_fingerprint("finetuning"),
    threads: study.threads
    shell:
        RUN_NOTEBOOK


def searches(wildcards):
    """Return the notebooks of the seed's own search and of the search whose masks are its control."""
    p = study.parameters("influence", seed=int(wildcards.seed), condition=wildcards.condition)
    seeds = {p.seed, p.other_seed if "other_seed" in p.mask_kinds else p.seed}
    return expand(rules.search.output.notebook, seed=sorted(seeds))


SHARDS = f"{RUN}/scores/{{condition}}-seed{{seed}}.pieces/records"


rule control_masks:
    input:
        searches=searches,
        classifier=rules.finetuning.output.notebook,
    output:
        record=temp(f"{SHARDS}/control_masks.json"),
    log:
        f"{RUN}/logs/03_control_masks-{{condition}}-seed{{seed}}.log",
    message:
        "control masks, {wildcards.condition}, seed {wildcards.seed}"
    params:
        job=job_parameters("influence"),
        code=code_fingerprint("scores"),
        part=[],
    threads: study.threads
    shell:
        MAKE_PIECES


def control_masks(wildcards):
    """Return the record of masks that are matched in accuracy. If two shards made them, they could differ."""
    p = study.parameters("influence", seed=int(wildcards.seed), condition=wildcards.condition)
    needed = "accuracy_matched" in p.mask_kinds
    return expand(rules.control_masks.output.record, **wildcards) if needed else []


use rule control_masks as scoring_shard with:
    input:
        searches=searches,
        classifier=rules.finetuning.output.notebook,
        masks=control_masks,
    output:
        record=temp(f"{SHARDS}/{{shard}}of{study.scoring_shards}.json"),
    log:
        f"{RUN}/logs/03_scoring_shard-{{condition}}-seed{{seed}}-{{shard}}of{study.scoring_shards}.log",
    message:
        f"scoring shard {{wildcards.shard}} of {study.scoring_shards}, "
        "{wildcards.condition}, seed {wildcards.seed}"
    params:
        job=job_parameters("influence"),
        code=code_fingerprint("scores"),
        part=lambda wildcards: ["--shard", wildcards.shard, study.scoring_shards],
    priority: 1


def scoring_shards(wildcards):
    """Return the records of all shards; a scoring that is not divided has none."""
    count = study.scoring_shards
    return expand(rules.scoring_shard.output.record, shard=range(count), **wildcards) if count > 1 else []


rule influence:
    input:
        notebook="notebooks/03_influence_scoring.ipynb",
        searches=searches,
        classifier=rules.finetuning.output.notebook,
        shards=scoring_shards,
    output:
        notebook=f"{RUN}/notebooks/03_influence_scoring-{{condition}}-seed{{seed}}.ipynb",
    log:
        f"{RUN}/logs/03_influence_scoring-{{condition}}-seed{{seed}}.log",
    message:
        "influence, {wildcards.condition}, seed {wildcards.seed}"
    params:
        job=job_parameters("influence"),
        code=code_fingerprint("scores") + code_fingerprint("influence"),
    threads: study.threads
    # The longest jobs start first, so that no core waits for one of them at the end.
    priority: 1
    shell:
        RUN_NOTEBOOK


rule figures:
    input:
        notebook="notebooks/04_figures.ipynb",
        searches=expand(rules.search.output.notebook, seed=study.seeds),
        classifiers=expand(rules.finetuning.output.notebook, condition=study.conditions, seed=study.seeds),
        scores=expand(rules.influence.output.notebook, condition=study.conditions, seed=study.seeds),
        left_out=left_out(study.left_out_seeds),
    output:
        provenance=f"{FIGURES}/provenance.json",
        notebook=f"{RUN}/notebooks/04_figures.ipynb",
    log:
        f"{RUN}/logs/04_figures.log",
    message:
        "figures"
    params:
        job=job_parameters("figures"),
        code=code_fingerprint("figures"),
    threads: study.threads
    shell:
        RUN_NOTEBOOK


use rule figures as exploration with:
    input:
        notebook="notebooks/07_exploration.ipynb",
        searches=rules.figures.input.searches,
        classifiers=rules.figures.input.classifiers,
        scores=rules.figures.input.scores,
    output:
        provenance=f"{FIGURES}/exploration/provenance.json",
        notebook=f"{RUN}/notebooks/07_exploration.ipynb",
    log:
        f"{RUN}/logs/07_exploration.log",
    message:
        "exploration"
    params:
        job=job_parameters("exploration"),
        code=code_fingerprint("exploration"),


rule calibration:
    input:
        notebook="notebooks/00_calibration.ipynb",
    output:
        notebook=f"{RUN}/notebooks/00_calibration.ipynb",
    log:
        f"{RUN}/logs/00_calibration.log",
    message:
        "calibration"
    params:
        job=job_parameters("calibration"),
        code=code_fingerprint("calibration"),
    threads: 2
    shell:
        RUN_NOTEBOOK


rule without_a_language:
    input:
        notebook="notebooks/06_leave_one_out.ipynb",
        classifier=rules.finetuning.output.notebook,
        # Where it is part of the study, it comes after the influence that it is compared with.
        scores=lambda job: [*rules.influence.output] if int(job.seed) in study.left_out_seeds else [],
    output:
        notebook=f"{RUN}/notebooks/06_leave_one_out-{{condition}}-seed{{seed}}.ipynb",
    log:
        f"{RUN}/logs/06_leave_one_out-{{condition}}-seed{{seed}}.log",
    message:
        "leave one out, {wildcards.condition}, seed {wildcards.seed}"
    params:
        job=job_parameters("leave_one_out"),
        code=code_fingerprint("leave_one_out"),
    threads: study.threads
    shell:
        RUN_NOTEBOOK


rule leave_one_out:
    input:
        left_out(study.left_out_seeds or study.seeds),
