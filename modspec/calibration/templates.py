"""Ground truth by template: do the strongest proponents share the evaluation sentence's template and intent?

Here also are the examples and the scorers of training examples that this judges and, by retraining,
``modspec.calibration.retraining``. Evaluation examples are of two kinds: *held out* from training, of templates
(``group``) that training has too, and those of the *test* split, whose templates it never has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import bm25s
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from modspec.analysis.intervals import estimate
from modspec.calibration.models import origin_of, trained
from modspec.data.examples import Examples, collate, sorted_batches
from modspec.errors import InputError
from modspec.influence import Checkpoint, influence
from modspec.models.device_and_precision import autocast
from modspec.models.finetuning import Epoch
from modspec.stages.material import Material, load_checkpoint, save_checkpoint
from modspec.stages.resuming import resumable
from modspec.workflow.paths import checkpoint_file, parts_dir

HELD_OUT, TEST = "held out", "test"
ENCODER, BM25, RANDOM = "encoder cosine", "BM25", "random"
TRACIN = tuple(
    f"{score}, {which}"
    for score in ("cosine", "dot")
    for which in ("all checkpoints", "last checkpoint", "classifier alone")
)
SCORERS = (*TRACIN, ENCODER, BM25, RANDOM)
TOPS = (1, 2, 5, 10, 20, 50, 100)  # the k of top-k
# What decides models and scores, beside data, encoder and seeds.
TRAINING = ("epochs", "batch_size", "learning_rate", "weight_decay")
SCORING = (*TRAINING, "judged_train", "judged_per_language")


def templates(material: Material, directory: Path) -> pd.DataFrame:
    """How alike every scorer's (``score``) proponents are to held out sentences: see :func:`alike`.

    Artefact ``directory/templates``, from :func:`all_scores`.
    """
    examples, scores = judged(material), all_scores(material, directory)
    level = material.parameters.level
    origin = origin_of(material, ("level",), {"scores": directory / "scores"}, experiment="templates")

    def make(building: Path) -> None:
        held = np.flatnonzero(examples.kinds == HELD_OUT)
        evaluation = examples.evaluation.take(held)
        frames = [
            alike(scores[name][..., held], examples.train, evaluation, 1 - level).assign(score=name)
            for name in SCORERS
        ]
        pd.concat(frames, ignore_index=True).to_parquet(building / "templates.parquet", index=False)

    target = resumable(directory / "templates", origin, make)
    return pd.read_parquet(target / "templates.parquet")


def alike(
    scores: np.ndarray, train: Examples, evaluation: Examples, confidence: float = 0.95
) -> pd.DataFrame:
    """Share of the top-k proponents that have an evaluation example's template, intent or language.

    scores: (seeds, train, evaluation). One row for each ``measure`` and ``k`` (those of TOPS that there are):
    ``value`` and its interval (``low``, ``high``) over seeds and examples; ``chance``, the base
    rate; ``best``, the highest possible; ``examples``. Ties are broken at random.
    """
    label = train.labels[:, None] == evaluation.labels
    language = train.languages[:, None] == evaluation.languages
    measures = {
        "template": train.groups[:, None] == evaluation.groups,
        "intent": label,
        "intent, other language": label & ~language,
        "language": language,
    }
    count = len(train)
    shuffled = np.random.default_rng(0).permutation(count)
    order = shuffled[np.argsort(-scores[:, shuffled], axis=1, kind="stable")]
    ranks = np.arange(1, count + 1)[:, None]
    rows = []
    for measure, same in measures.items():
        shares = np.take_along_axis(same[None], order, axis=1).cumsum(axis=1) / ranks
        best = np.minimum(same.sum(axis=0), ranks) / ranks
        for k in TOPS:
            if k <= count:
                found = estimate(shares[:, k - 1], confidence=confidence)
                interval = found.value, found.low, found.high
                rows.append((measure, k, *interval, same.mean(), best[k - 1].mean(), len(evaluation)))
    return pd.DataFrame(rows, columns="measure k value low high chance best examples".split())


# Examples and models.


@dataclass(frozen=True)
class Judged:
    """Training examples, evaluation examples, and which of these are ``held out`` and which of ``test``."""

    train: Examples
    evaluation: Examples
    kinds: np.ndarray


def judged(material: Material) -> Judged:
    """``judged_train`` training examples a language, and up to ``judged_per_language`` of either kind.

    Those for training and holding out are taken from every label's largest templates in the training
    split, which therefore should be several times as large. Raises InputError where that leaves no template
    with two sentences.
    """
    p, train, test = material.parameters, material.examples["train"], material.examples["test"]
    kept, held, tested = [], [], []
    for number, language in enumerate(material.task.languages):
        rng = np.random.default_rng([p.data_seed, number])
        positions = np.flatnonzero(train.languages == language)
        size = p.judged_train + p.judged_per_language
        chosen = from_largest_groups(train, positions, size, rng)
        held.append(hold_out(train.groups, chosen, p.judged_per_language, rng))
        kept.append(np.setdiff1d(chosen, held[-1])[: p.judged_train])
        tested.append(np.flatnonzero(test.languages == language)[: p.judged_per_language])
    out, rest, new = (np.concatenate(parts) for parts in (held, kept, tested))
    if not len(out):
        raise InputError(
            f"sentences: among {len(train)} training examples no two share a template; "
            "allowed: enough that some do, so that one can be held out"
        )
    kinds = np.repeat([HELD_OUT, TEST], [len(out), len(new)])
    return Judged(train.take(rest), _joined(train.take(out), test.take(new)), kinds)


def from_largest_groups(
    examples: Examples, positions: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Up to ``size`` of ``positions``: as many of every label, from groups with most sentences."""
    order = rng.permutation(positions)
    names, labels = examples.groups[order].tolist(), examples.labels[order].tolist()
    sizes, place = Counter(names), {name: i for i, name in enumerate(dict.fromkeys(names))}
    largest = sorted(range(len(order)), key=lambda i: (-sizes[names[i]], place[names[i]]))
    seen: Counter[int] = Counter()
    rank = {}
    for i in largest:
        rank[i] = seen[labels[i]]
        seen[labels[i]] += 1
    return np.sort(order[sorted(largest, key=rank.__getitem__)[:size]])


def hold_out(groups: np.ndarray, positions: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Up to ``most`` random ones of ``positions``, at most half of each group's."""
    sizes = Counter(groups[positions].tolist())
    left = {group: size // 2 for group, size in sizes.items()}
    chosen: list[int] = []
    for position in rng.permutation(positions).tolist():
        if left[groups[position]] and len(chosen) < most:
            left[groups[position]] -= 1
            chosen.append(position)
    return np.array(chosen, dtype=np.int64)


def _joined(first: Examples, second: Examples) -> Examples:
    both = {
        field.name: (getattr(first, field.name), getattr(second, field.name)) for field in fields(Examples)
    }
    return Examples(
        **{
            name: np.concatenate([a, b]) if isinstance(a, np.ndarray) else None if a is None else a + b
            for name, (a, b) in both.items()
        }
    )


# Scorers.


def all_scores(material: Material, directory: Path) -> Mapping[str, np.ndarray]:
    """{scorer: float32 (seeds, train, evaluation)} for :func:`judged`; one "seed" where none plays a part.

    Artefact ``directory/scores``, each seed of it a resumable part.
    """
    p, target = material.parameters, directory / "scores"
    examples = judged(material)

    def make_seed(building: Path, seed: int) -> None:
        save_file(tracin(material, examples, seed), building / "scores.safetensors")

    def make(building: Path) -> None:
        parts = [
            resumable(
                parts_dir(target) / f"seed{s}",
                origin_of(material, SCORING, {}, experiment="scores", model_seed=str(s)),
                partial(make_seed, seed=s),
            )
            for s in p.seeds
        ]
        seeds = [load_file(part / "scores.safetensors") for part in parts]
        scores = {name: np.stack([found[name] for found in seeds]) for name in TRACIN}
        scores[ENCODER] = encoder_cosine(material, examples.train, examples.evaluation)[None]
        scores[BM25] = bm25(examples.train, examples.evaluation)[None]
        shape = (1, len(examples.train), len(examples.evaluation))
        scores[RANDOM] = np.random.default_rng(p.data_seed).standard_normal(shape, dtype=np.float32)
        save_file(scores, building / "scores.safetensors")

    resumable(target, origin_of(material, (*SCORING, "seeds"), {}, experiment="scores"), make)
    return load_file(target / "scores.safetensors")


def tracin(material: Material, examples: Judged, seed: int) -> dict[str, np.ndarray]:
    """Our scores of one fine-tuning: {one of TRACIN: float32 (train, evaluation)}."""
    with TemporaryDirectory() as folder:

        def file(epoch: Epoch) -> Path:
            return Path(folder) / checkpoint_file(epoch.epoch)

        def keep(model: PreTrainedModel, epoch: Epoch) -> None:
            save_checkpoint(model, file(epoch))

        model, history = trained(material, examples.train, seed, after_epoch=keep)
        every = [Checkpoint(partial(load_checkpoint, file=file(e)), e.learning_rate) for e in history]
        score = partial(influence, model, examples.train, examples.evaluation)
        found = {
            "all checkpoints": score(checkpoints=every),
            "last checkpoint": score(checkpoints=every[-1:]),
        }
        for below in (model.base_model.embeddings, model.base_model.encoder):
            below.requires_grad_(False)
        found["classifier alone"] = score(checkpoints=every)
    return {f"{kind}, {which}": getattr(s, kind) for which, s in found.items() for kind in ("cosine", "dot")}


@torch.no_grad()
def encoder_cosine(material: Material, train: Examples, evaluation: Examples) -> np.ndarray:
    """Cosine of mean-pooled last hidden states of the pretrained encoder: float32 (train, evaluation)."""
    model = material.new_classifier()

    def embed(examples: Examples) -> torch.Tensor:
        rows = torch.empty(len(examples), model.config.hidden_size)
        for indices in sorted_batches(examples.lengths, 64):
            batch = collate(examples, indices, model.config.pad_token_id, material.device)
            with autocast(material.device, material.precision):
                states = model.base_model(**batch).last_hidden_state.float()
            weights = batch["attention_mask"][:, :, None]
            rows[indices] = ((states * weights).sum(1) / weights.sum(1)).cpu()
        return F.normalize(rows)

    return (embed(train) @ embed(evaluation).T).numpy()


def bm25(train: Examples, evaluation: Examples) -> np.ndarray:
    """BM25 (Lucene's, k1 = 1.5, b = 0.75) over pieces but the first and last: float32 (train, evaluation)."""

    def pieces(examples: Examples) -> list[list[str]]:
        return [[str(piece) for piece in ids[1:-1]] for ids in examples.input_ids]

    index = bm25s.BM25()
    index.index(pieces(train), show_progress=False)
    columns = [index.get_scores(query) for query in pieces(evaluation)]
    return np.stack(columns, axis=1).astype(np.float32)
