"""Before anything is computed: what all jobs of a study share, checked once, and what it will take.

Each job would find the same faults itself, but some of them only after hours of other jobs.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, product

import numpy as np
import torch
from torch import nn

from modspec.errors import InputError, quoted, quoted_path
from modspec.models.device_and_precision import choose_device, hardware
from modspec.models.encoders import is_here, unloaded_classifier
from modspec.stages.material import Material, load_material, load_sample
from modspec.stages.scoring_plan import count_columns, scored_train, translated_items
from modspec.workflow.artifacts import MANIFEST, finished
from modspec.workflow.parameters import FinetuningParameters, InfluenceParameters, TrainingParameters
from modspec.workflow.paths import (
    checkpoints_dir,
    influence_dir,
    path,
    pieces_dir,
    scores_dir,
    search_dir,
)
from modspec.workflow.presets import StudyPlan
from modspec.workflow.provenance import computed_on
from modspec.workflow.resources import GIB, check_writable, free_disk, memory_limit, used_disk

FLOAT = 4  # bytes of a float32 number
TRAINED = 4  # numbers per weight in training: the weight, its gradient and two moments of AdamW
PROCESS = GIB // 2  # bytes of Python with torch and a tokenizer, before it has weights
Job = FinetuningParameters | InfluenceParameters


def check_study(plan: StudyPlan, cores: int = 1) -> list[str]:
    """Check what the jobs of a study share; return lines that say what the study is and takes.

    Data are read, drawn and tokenised, and the encoder's weights are loaded, as every job does it. If every
    seed has its own training sample, those of further seeds are only drawn. Of a model that is yet to be
    downloaded from the hub, only config and tokenizer are read. Disk and memory are lower bounds: with less,
    the study cannot end. Nothing is written but the caches of downloads.

    Args:
        plan: of the study.
        cores: that its jobs share.

    Raises:
        InputError: the study cannot run as asked for.
    """
    runs = list(product(plan.seeds, plan.conditions))
    searches = [plan.parameters("search", seed=seed) for seed in plan.seeds]
    finetuning = [plan.parameters("finetuning", seed=seed, condition=condition) for seed, condition in runs]
    scoring = [plan.parameters("influence", seed=seed, condition=condition) for seed, condition in runs]
    for device in sorted({job.device for job in (*searches, *finetuning, *scoring)}):
        choose_device(device)
    check_writable("study", path(searches[0].study_dir))
    material = load_material(searches[0])
    if plan.train_samples == "per_seed":
        for search in searches[1:]:
            load_sample(search)
    for job in scoring:
        translated_items(scored_train(material, job), job.train_items)
    # Loading checks the weights. Where they are to be downloaded, the architecture says how many there are.
    here = is_here(material.encoder)
    model = (
        material.new_classifier(0)
        if here
        else unloaded_classifier(material.encoder, len(material.task.labels))
    )
    loaded = sum(weight.numel() for weight in model.parameters())
    left_out = (model.config.vocab_size - len(material.kept_pieces)) * model.config.hidden_size
    kept = loaded - left_out
    weights = FLOAT * kept
    # A job loads all rows of the embedding before it leaves some out; later it trains, or scores.
    of_a_job = [FLOAT * loaded, TRAINED * weights, *(weights + _gradients(model, job) for job in scoring)]
    at_once = min(max(cores // plan.threads, 1), len(runs))
    drawn = ", a training sample per seed" if plan.train_samples == "per_seed" else ""
    return [
        f"study: {quoted(plan.name)}, {len(searches)} x search, {len(runs)} x fine-tuning and scoring{drawn}",
        _data_line(material, searches[0].max_length),
        f"encoder: {quoted(searches[0].encoder)} ({model.config.model_type}), "
        f"{model.config.num_hidden_layers} layers x {model.config.num_attention_heads} heads, "
        f"{kept / 1e6:.1f} million weights "
        f"with the {len(material.kept_pieces):,} pieces of the data{'' if here else ', to be downloaded'}",
        f"device: {material.device}, precision {str(material.precision).removeprefix('torch.')}",
        _disk_line(weights, searches, finetuning, scoring),
        _memory_line(max(of_a_job), at_once, material.device),
        *_other_processors(plan),
    ]


def _data_line(material: Material, max_length: int) -> str:
    """Return what data there are, and what share of them may be cut off."""
    task, splits = material.task, material.examples
    sizes = ", ".join(f"{len(examples) // len(task.languages)} {split}" for split, examples in splits.items())
    full = np.concatenate([examples.lengths for examples in splits.values()]) >= max_length
    return (
        f"data: {task.source}; languages {', '.join(task.languages)}; {sizes} examples per language; "
        f"{len(task.labels)} labels; {full.mean():.0%} of the texts fill or exceed max_length = {max_length}"
    )


def _gradients(model: nn.Module, job: InfluenceParameters) -> float:
    """Return the bytes that a scoring job fills with the gradients of test examples, as far as it is told to.

    Without ``memory_gib`` it makes do with half of what is free.
    """
    if job.memory_gib is None:
        return 0
    layers = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    examples = len(job.languages) * job.evaluation_per_language
    return min(job.memory_gib * GIB, (2 if job.score_precision != "float32" else FLOAT) * layers * examples)


def _disk_line(
    weights: int,
    searches: Sequence[TrainingParameters],
    finetuning: Sequence[FinetuningParameters],
    scoring: Sequence[InfluenceParameters],
) -> str:
    """Return how much disk checkpoints and scores will take; raise InputError if there is less.

    Runs that have been scored take no more, and what the others have already written is counted. A search
    whose pooled-others masks need the weights of all languages must find room for these.

    Args:
        weights: bytes of a checkpoint.
        searches: the jobs of stage 1.
        finetuning: the jobs of stage 2, in the order of ``scoring``.
        scoring: the jobs of stage 3.
    """
    needed, written = 0, []
    for trained, scored in zip(finetuning, scoring, strict=True):
        run = scored, scored.condition, scored.seed
        if (influence_dir(*run) / "manifest.json").exists():
            continue
        kept = trained.epochs if trained.keep_checkpoints == "all" else 1
        needed += weights * (kept + trained.training_checkpoints)
        summed = {"last": 1, "all": trained.epochs}.get(scored.checkpoints) or len(scored.checkpoints)
        rows = len(scored.languages) * (scored.scored_per_language or scored.train_per_language)
        needed += 2 * FLOAT * rows * count_columns(scored) * summed  # cosine and dot product
        written += [checkpoints_dir(*run), scores_dir(*run)]
    if needed:
        needed += weights * len(
            {str(job.start_identity()) for job in (*searches, *finetuning) if job.start_languages}
        )
    needed = max(needed - used_disk(*written), 0)
    for search in searches:
        directory = search_dir(search, search.seed)
        if search.searches_pooled_others and not (directory / "manifest.json").exists():
            # All languages' weights are kept until the search is done; checkpoints come later.
            searching = weights * len(search.languages) - used_disk(pieces_dir(directory))
            needed = max(needed, searching)
    folder = path(searches[0].study_dir)
    free = free_disk(folder)
    if needed > free:
        raise InputError(
            f"study: {quoted_path(folder)} will take at least {needed / GIB:.1f} GiB more of disk, and "
            f"{free / GIB:.1f} are free; allowed: free more, keep_checkpoints=last, fewer seeds or conditions"
        )
    return f"disk: at least {needed / GIB:.1f} GiB more for checkpoints and scores; {free / GIB:.1f} are free"


def _other_processors(plan: StudyPlan) -> list[str]:
    """Return a line for every other kind of processor on which jobs of the study's seeds ran, or parts of
    jobs; raise InputError if the study is blind, since a confirmatory study must not mix them."""
    here, began = computed_on(hardware()), defaultdict(set)
    study = path(plan.parameters("search", seed=plan.seeds[0]).study_dir)
    stages = (*study.glob("*"), *study.glob("*/*.pieces"))
    for directory in chain.from_iterable(map(finished, stages)):
        with suppress(ValueError, KeyError):  # damaged, so it will be made here; older ones name no processor
            record = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            seed, provenance = record["made_by"]["parameters"]["seed"], record["provenance"]
            if seed in plan.seeds and provenance["processor"]:
                began[computed_on(provenance)].add(seed)
    others = {name: ", ".join(map(str, sorted(seeds))) for name, seeds in began.items() if name != here}
    if others and plan.blind:
        name, seeds = sorted(others.items())[0]
        raise InputError(
            f"seeds: {seeds} began on {name}, and this is {here}; allowed in a blind study: to go on with "
            "them on their kind of processor, or to delete their results"
        )
    return [
        f"processor: {here}; but jobs ran on {name} (seeds: {seeds}). "
        "All jobs of a seed should run on one kind of processor"
        for name, seeds in sorted(others.items())
    ]


def _memory_line(of_a_job: float, at_once: int, device: torch.device) -> str:
    """Return how much memory the jobs take; raise InputError if there is less.

    Args:
        of_a_job: bytes of weights and gradients, at least.
        at_once: number of jobs that run at the same time.
        device: that holds weights and gradients.
    """
    if device.type == "cuda":
        where, limit = f"on {device}", torch.cuda.get_device_properties(device).total_memory
        needed = at_once * of_a_job
    else:
        where, limit = "", memory_limit()
        needed = at_once * (of_a_job + PROCESS)
    jobs = f"{at_once} job{'s' * (at_once > 1)} at once"
    if needed > limit:
        raise InputError(
            f"study: {jobs} take at least {needed / GIB:.1f} GiB of memory{where}, and there are "
            f"{limit / GIB:.1f}; allowed: fewer cores or more threads (fewer jobs at once), a smaller "
            "memory_gib, or a smaller encoder"
        )
    return f"memory: at least {needed / GIB:.1f} GiB{where} for {jobs}; {limit / GIB:.1f} are there"
