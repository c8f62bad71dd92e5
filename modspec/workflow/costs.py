"""What a study will cost, before it starts: operations from its shapes; from these time, disk and memory.

    seconds = operations / rate that the work reaches, and JOB_SECONDS a job

The rates rest on few measurements, with e5-small on XNLI and one core of the processor in
``figures/benchmark/machine.json``: scoring in the benchmark, and a bfloat16 forward and backward pass, which
stands for training. Whole stages took this much of the estimate: of preset ``intents``, on another processor,
search 1.0, fine-tuning 1.0 (sparse: 1.3), scoring 0.6; of ``reviews`` and ``xnli``, on an AMD EPYC with
bfloat16 instructions, 0.5, 0.5 and 0.2. A GPU is taken to be GPU_SPEED such cores, an assumption:
nothing was measured on one. Needs no torch, so that a dry run stays quick.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modspec.benchmark.operation_counts import layers, need
from modspec.workflow.parameters import (
    DataParameters,
    FinetuningParameters,
    InfluenceParameters,
    SearchParameters,
)
from modspec.workflow.paths import path
from modspec.workflow.presets import StudyPlan as Study

# Operations a second on one core: of training, in bfloat16, and of scoring.
TRAINING_RATE = 1e11
INFLUENCE_RATE = {"float32": 5e10, "bfloat16": 8e10, "auto": 5e10}  # auto, which torch resolves: the slower
JOB_SECONDS = 20  # a kernel that starts, data that load, artefacts that are written
# 4e14 bfloat16 operations a second in large products, as on an H100, over 2.08e11 on the core.
GPU_SPEED = 1900
GIB = 2**30
PROCESS = 1.0  # GiB of a process that has loaded its libraries and data

# Mean pieces of a training example and pieces in use, of five languages with XLM-R's vocabulary; measured,
# but for marc, which could not be had. Texts of other tasks are taken to be as long as allowed.
TEXTS = {"intents": (10, 1_100), "xnli": (47, 30_000), "pawsx": (65, 21_500), "multiemo": (29, 24_000)}
OTHER_TEXTS = 30_000
# Pruning steps of a search of 10 % each: masks keep about half of the heads, and one step fails.
PRUNED = 0.5


@dataclass(frozen=True)
class Encoder:
    """An encoder's shape; see :class:`modspec.benchmark.operation_counts.Shape`."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_labels: int = 3


ENCODERS = {
    "tiny": Encoder(3, 16, 32),
    "tiny-bert": Encoder(3, 16, 32),
    "e5-small": Encoder(12, 384, 1536),
    "intfloat/multilingual-e5-small": Encoder(12, 384, 1536),
    "FacebookAI/xlm-roberta-base": Encoder(12, 768, 3072),
    "FacebookAI/xlm-roberta-large": Encoder(24, 1024, 4096),
    "google-bert/bert-base-multilingual-cased": Encoder(12, 768, 3072),
}


def encoder_shape(name: str) -> Encoder | None:
    """Of a known encoder or of a local directory's ``config.json``; None where neither tells."""
    if name in ENCODERS:
        return ENCODERS[name]
    try:
        config = json.loads((path(name) / "config.json").read_text(encoding="utf-8"))
        return Encoder(*(config[f] for f in ("num_hidden_layers", "hidden_size", "intermediate_size")))
    except (OSError, ValueError, KeyError):
        return None


def estimate(study: Study) -> pd.DataFrame | None:
    """Of each stage of a whole study: jobs, operations, hours on a core and on a GPU, disk and memory.

    Columns: stage, jobs, ``operations``, ``core_hours``, ``gpu_hours``, ``disk_gib`` (what is kept),
    ``memory_gib`` (of the largest job, at most). None where the encoder's shape is not known.
    """
    shape = encoder_shape(study.parameters("search", seed=study.seeds[0]).encoder)
    if shape is None:
        return None
    rows = []
    for stage, cost in COSTS.items():
        conditions = ("full",) if stage == "search" else study.conditions
        jobs = [
            cost(study, shape, study.parameters(stage, seed=seed, condition=condition))
            for condition in conditions
            for seed in study.seeds
        ]
        starting, seconds = JOB_SECONDS * len(jobs), sum(job.seconds for job in jobs)
        rows.append(
            {
                "stage": stage,
                "jobs": len(jobs),
                "operations": sum(job.operations for job in jobs),
                "core_hours": (seconds + starting) / 3600,
                "gpu_hours": (seconds / GPU_SPEED + starting) / 3600,
                "disk_gib": sum(job.kept for job in jobs) / GIB,
                "memory_gib": max(job.memory for job in jobs) / GIB,
            }
        )
    return pd.DataFrame(rows)


def summary(study: Study) -> str:
    """:func:`estimate` as a table, for who is about to start the study.

    Memory is what evaluation gradients ask for; where there is less, they are scored in blocks.
    """
    found = estimate(study)
    if found is None:
        return f"Study {study.name}: no estimate of its cost, the encoder's shape is not known here."
    total = {name: found[name].sum() for name in ("jobs", "core_hours", "gpu_hours", "disk_gib")}
    total |= {"stage": "together", "memory_gib": found["memory_gib"].max()}
    found = pd.concat([found, pd.DataFrame([total])], ignore_index=True)
    table = pd.DataFrame(
        {
            "stage": found["stage"],
            "jobs": found["jobs"].map("{:.0f}".format),
            "core hours": found["core_hours"].map("{:.1f}".format),
            "or GPU hours": found["gpu_hours"].map("{:.2f}".format),
            "disk, GiB": found["disk_gib"].map("{:.1f}".format),
            "a job's memory up to, GiB": found["memory_gib"].map("{:.0f}".format),
        }
    )
    title = f"Study {study.name}, all of it, by estimate (nothing was measured on a GPU):"
    return f"{title}\n{table.to_string(index=False)}"


def pass_columns(p: InfluenceParameters) -> list[int]:
    """Evaluation examples of each pass of :func:`modspec.stages.scoring_plan.plan_passes`, which needs the data."""
    languages, each = len(p.languages), p.evaluation_per_language
    found = [languages * each]
    if p.train_items:
        found.append(languages * p.train_items)
    own = each * ("own" in p.mask_kinds)
    sets = {"random": p.random_draws, "other_seed": 1, "inherited": 1}
    with_others = [own + _turns(p, place) for place in range(languages)]
    if "test_example" in p.train_gradient_masks:
        found += with_others if any(with_others) else []
        found += [each] * languages * sum(sets[kind] for kind in p.mask_kinds if kind in sets)
    if "own_language" in p.train_gradient_masks and any(with_others):
        found.append(sum(with_others))
    return found


def _turns(p: InfluenceParameters, place: int) -> int:
    """Examples of other languages that are scored under the mask of the language at ``place``."""
    others = len(p.languages) - 1
    if "other_language" not in p.mask_kinds or not others:
        return 0
    turns = [place - (place > other) for other in range(others + 1) if other != place]
    return sum(len(range(turn, p.evaluation_per_language, others)) for turn in turns)


@dataclass(frozen=True)
class Cost:
    """Of one job. seconds: on a core; kept, memory: bytes."""

    operations: float
    seconds: float
    kept: float
    memory: float


def _search(study: Study, shape: Encoder, p: SearchParameters) -> Cost:
    languages, forward = len(p.languages), _forward(shape, p)
    steps = (1 + p.inherited_importance) * (round(PRUNED / p.step) + 1)
    training = 3 * forward * p.epochs * p.train_per_language
    pruning = steps * forward * (2 * p.importance_examples + p.dev_per_language)
    operations = _start(shape, p) + languages * (training + pruning)
    kept = 4 * _parameters(shape, p) if p.start_languages else 0
    return Cost(operations, operations / TRAINING_RATE, kept, _training_memory(shape, p))


def _finetuning(study: Study, shape: Encoder, p: FinetuningParameters) -> Cost:
    languages, forward = len(p.languages), _forward(shape, p)
    training = 3 * forward * p.epochs * p.train_per_language
    masks = 1 + 2 * languages  # that accuracy is measured under
    predictions = masks * forward * (p.dev_per_language + p.test_per_language)
    operations = languages * (training + predictions)
    checkpoints = p.epochs if p.keep_checkpoints == "all" else 1
    # The first condition makes the start of all, if the search has not.
    searched = study.parameters("search", seed=p.seed).start_identity() == p.start_identity()
    if p.start_languages and p.condition == study.conditions[0] and not searched:
        operations += _start(shape, p)
        checkpoints += 1
    kept = 4 * checkpoints * _parameters(shape, p)
    return Cost(operations, operations / TRAINING_RATE, kept, _training_memory(shape, p))


def _influence(study: Study, shape: Encoder, p: InfluenceParameters) -> Cost:
    train = len(p.languages) * (p.scored_per_language or p.train_per_language)
    epochs = study.parameters("finetuning", seed=p.seed, condition=p.condition).epochs
    checkpoints = {"last": 1, "all": epochs}.get(p.checkpoints) or len(p.checkpoints)
    size = 2 if p.score_precision == "bfloat16" else 4
    columns = pass_columns(p)
    pieces = _texts(p)[0]
    needed = [need(shape, np.full(train, pieces), np.full(n, pieces), size).operations for n in columns]
    operations = checkpoints * sum(needed)
    kept = 8 * checkpoints * train * sum(columns)  # cosine and dot product
    gradients = 2 * size * max(columns) * sum(layer.inputs * layer.outputs for layer in layers(shape))
    if p.memory_gib is not None:
        gradients = min(gradients, 2 * p.memory_gib * GIB)
    by_part = 4 * train * columns[0] * 14 * shape.num_hidden_layers if p.by_part else 0
    memory = PROCESS * GIB + 4 * _parameters(shape, p) + gradients + by_part
    return Cost(operations, operations / INFLUENCE_RATE[p.score_precision], kept, memory)


COSTS = {"search": _search, "finetuning": _finetuning, "influence": _influence}


def _start(shape: Encoder, p: SearchParameters | FinetuningParameters) -> float:
    """Operations before training proper, once for all languages and conditions."""
    return 3 * _forward(shape, p) * p.start_epochs * p.train_per_language * len(p.start_languages)


def _texts(p: DataParameters) -> tuple[int, int]:
    """Mean pieces of an example, and different pieces in use."""
    return TEXTS.get(p.task, (p.max_length, OTHER_TEXTS))


def _forward(shape: Encoder, p: DataParameters) -> float:
    """Operations of the forward pass of one example, without padding."""
    pieces = _texts(p)[0]
    return need(shape, np.array([pieces]), np.array([], dtype=int)).operations / 2


def _parameters(shape: Encoder, p: DataParameters) -> float:
    """Weights of encoder, embedding of the pieces in use, and classifier; norms and biases are few."""
    encoder = sum(layer.inputs * layer.outputs for layer in layers(shape))
    return encoder + shape.hidden_size * (_texts(p)[1] + p.max_length)


def _training_memory(shape: Encoder, p: SearchParameters | FinetuningParameters) -> float:
    """Weights, gradients, AdamW's moments; 34 hidden values a piece and layer (Korthikanti et al. 2022)."""
    activations = 34 * 4 * p.batch_size * p.max_length * shape.hidden_size * shape.num_hidden_layers
    return PROCESS * GIB + 16 * _parameters(shape, p) + activations
