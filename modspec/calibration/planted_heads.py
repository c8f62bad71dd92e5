"""Planted subnetworks: does the instrument find heads that were made to matter for one language alone?

A model is sparsely fine-tuned from the start under disjoint random masks: every head is trained and used for
one language at most (``sft_random``). Its control is fine-tuned in full (``full``), so that the same masks
mean nothing in it. Each head is then rated for each language, with no mask in force:

search                the mask that the search keeps (with no further fine-tuning), 1 or 0
importance            head importance for the language's training examples
influence, cosine     contribution of the language's training examples to the scores of its evaluation
influence, dot        examples, above that of other languages' (``parttables.own_above_others``)

Found are the search's mask, or as many heads as were planted of those rated highest.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from transformers import PreTrainedModel

from modspec.analysis.by_part import HEAD, own_above_others
from modspec.calibration.models import origin_of, trained
from modspec.calibration.templates import TRAINING
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.figures.frames import ALL_LANGUAGES
from modspec.influence import influence
from modspec.models.finetuning import predict
from modspec.models.head_masking import head_grid
from modspec.stages.material import Material
from modspec.stages.resuming import resumable
from modspec.subnetworks.head_importance import head_gradients
from modspec.subnetworks.head_importance import importance as exact_importance
from modspec.subnetworks.masks import Masks
from modspec.subnetworks.search import search
from modspec.workflow.paths import parts_dir

SEARCH = "search"
CONDITIONS = ("sft_random", "full")
LONGER = {"epochs": "planted_epochs", "learning_rate": "planted_learning_rate"}


def planted_heads(material: Material, directory: Path) -> pd.DataFrame:
    """Precision, recall and AUC of the planted heads' recovery: see :func:`recovery`.

    For the first ``planted_languages`` languages, each of its numbers in turn. Artefact
    ``directory/planted``, each trained model a resumable part.
    """
    return pd.read_parquet(_planted(material, directory) / "planted_heads.parquet")


def planted_accuracy(material: Material, directory: Path) -> pd.DataFrame:
    """Test accuracy by language under no mask, its own planted mask and the others' (mean).

    Columns: languages (their number), condition, mask_kind, language, accuracy (mean over seeds), chance
    (1 / labels), seeds. Of the same artefact as :func:`planted_heads`.
    """
    return pd.read_parquet(_planted(material, directory) / "accuracy.parquet")


def _planted(material: Material, directory: Path) -> Path:
    p, target = material.parameters, directory / "planted"
    if bad := [n for n in p.planted_languages if not 2 <= n <= len(p.languages)]:
        raise InputError(f"planted_languages: {bad[0]}; allowed: 2 to {len(p.languages)}, the languages")
    decide = (*TRAINING, *LONGER.values(), "threshold", "step", "judged_per_language")

    def make(building: Path) -> None:
        heads, accuracies = [], []
        for count, condition, seed in product(p.planted_languages, CONDITIONS, p.seeds):
            name = f"{condition}-{count}languages-seed{seed}"
            write = partial(_write_model, material, p.languages[:count], condition, seed)
            part = resumable(
                parts_dir(target) / name,
                origin_of(material, decide, {}, experiment="planted", model=name),
                write,
            )
            heads.append(pd.read_parquet(part / "heads.parquet"))
            accuracies.append(pd.read_parquet(part / "accuracy.parquet"))
        rated = pd.concat(heads, ignore_index=True)
        rated.to_parquet(building / "heads.parquet", index=False)
        recovery(rated, p.resamples).to_parquet(building / "planted_heads.parquet", index=False)
        keys = ["languages", "condition", "mask_kind", "language"]
        accuracy = pd.concat(accuracies).groupby(keys, sort=False, as_index=False)
        accuracy = accuracy.agg(accuracy=("accuracy", "mean"), seeds=("seed", "nunique"))
        accuracy = accuracy.assign(chance=1 / len(material.task.labels))
        accuracy.to_parquet(building / "accuracy.parquet", index=False)

    names = (*decide, "seeds", "planted_languages", "resamples")
    return resumable(target, origin_of(material, names, {}, experiment="planted"), make)


def disjoint_masks(languages: tuple[str, ...], grid: tuple[int, int], rng: np.random.Generator) -> Masks:
    """Random masks without common heads, each with as many in each layer: bool (layers, heads).

    Where heads are left over they belong to none. Raises InputError for more languages than heads.
    """
    share = grid[1] // len(languages)
    if share == 0:
        raise InputError(
            f"planted_languages: {len(languages)}; allowed: at most {grid[1]}, the heads of a layer"
        )
    places = rng.permuted(np.tile(np.arange(grid[1]), (grid[0], 1)), axis=1)
    return {language: places // share == number for number, language in enumerate(languages)}


def _write_model(
    material: Material, languages: tuple[str, ...], condition: str, seed: int, building: Path
) -> None:
    """Train one model and rate its heads: ``heads.parquet``, ``accuracy.parquet``."""
    train, dev, test = (
        split.take(np.flatnonzero(np.isin(split.languages, languages)))
        for split in (material.examples[name] for name in ("train", "dev", "test"))
    )
    grid = head_grid(material.new_classifier())
    masks = disjoint_masks(languages, grid, np.random.default_rng([seed, len(languages)]))
    p = material.parameters
    longer = p.model_copy(update={name: getattr(p, own) for name, own in LONGER.items()})
    model, _ = trained(
        replace(material, parameters=longer), train, seed, masks if condition == "sft_random" else None
    )
    run = {"languages": len(languages), "condition": condition, "seed": seed}

    accuracies = []
    for kind, owner in (("none", None), *(("language", language) for language in languages)):
        mask = None if owner is None else masks[owner]
        right = predict(model, test, mask, precision=material.precision) == test.labels
        for language in languages:
            named = kind if owner is None else "own" if owner == language else "other_language"
            accuracies.append((named, language, right[test.languages == language].mean()))
    accuracy = pd.DataFrame(accuracies, columns=["mask_kind", "language", "accuracy"]).assign(**run)
    accuracy.to_parquet(building / "accuracy.parquet", index=False)

    size = p.judged_per_language
    first = np.concatenate([np.flatnonzero(test.languages == language)[:size] for language in languages])
    ratings = by_influence(model, train, test.take(first))
    for language in languages:
        found = by_search(model, train.of(language), dev.of(language), grid, material)
        ratings |= {(name, language): values for name, values in found.items()}
    layers, numbers = np.indices(grid) + 1
    owners = np.full(grid, "", dtype=object)
    for language, mask in masks.items():
        owners[mask] = language
    heads = {"layer": layers.ravel(), "head": numbers.ravel(), "owner": owners.ravel()}
    frames = [
        pd.DataFrame({**heads, "value": values.ravel(), "score": name, "language": language, **run})
        for (name, language), values in ratings.items()
    ]
    pd.concat(frames, ignore_index=True).to_parquet(building / "heads.parquet", index=False)


def by_search(
    model: PreTrainedModel, train: Examples, dev: Examples, grid: tuple[int, int], material: Material
) -> dict[str, np.ndarray]:
    """{search: the mask found, importance: that of the unpruned model}, both float (layers, heads)."""

    p = material.parameters

    def score(mask: np.ndarray) -> float:
        return float((predict(model, dev, mask, precision=material.precision) == dev.labels).mean())

    found = search(
        partial(head_gradients, model, train, precision=material.precision),
        score,
        grid,
        threshold=p.threshold,
        step=p.step,
    )
    weights = found.steps[0].importance
    if weights is None:
        weights = exact_importance(head_gradients(model, train, precision=material.precision))
    return {SEARCH: found.mask.astype(float), "importance": weights}


def by_influence(
    model: PreTrainedModel, train: Examples, evaluation: Examples
) -> dict[tuple[str, str], np.ndarray]:
    """{(influence by cosine or dot, language): mean contribution above other languages', (layers, heads)}."""
    scores = influence(model, train, evaluation, by_part=True)
    ratings = {}
    for name, parts in (("cosine", scores.cosine_by_part), ("dot", scores.dot_by_part)):
        rows: list[tuple[Any, ...]] = [
            (0, language, other, group.layer, group.head, part[np.ix_(trained, judged)].mean(dtype=float))
            for group, part in zip(scores.parts, parts, strict=True)
            if group.part == "head"
            for language, other in product(dict.fromkeys(train.languages.tolist()), repeat=2)
            for trained, judged in [(train.languages == other, evaluation.languages == language)]
        ]
        table = pd.DataFrame(rows, columns=["seed", "language", "train_language", *HEAD, "contribution"])
        maps = own_above_others(table)
        grid = tuple(len(level) for level in maps.columns.levels)
        ratings |= {
            (f"influence, {name}", language): row.to_numpy().reshape(grid)
            for (language, _), row in maps.iterrows()
        }
    return ratings


def recovery(heads: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """How far ratings find the planted heads, against chance and against other languages' planted heads.

    ``heads``: one row for each model (languages, condition, seed), ``score``, ``language``, ``layer`` and
    ``head``, with its ``value`` and ``owner`` (the language that it was planted for, or ""). Returned is one
    row for each number of languages, condition, score, measure and language, and all languages pooled:
    ``value``, mean over seeds; ``others``, the same against other languages' planted heads; ``chance``, and
    the middle 95 % (``chance_low``, ``chance_high``) of ``draws`` random plantings, which keep every layer's
    numbers; ``p``, the share of plantings that do as well (one-sided). Measures: precision, recall (of the
    search; of the highest rated it is the same) and AUC = P(planted head rated above another).
    """
    rows = []
    rng = np.random.default_rng(0)
    for (count, condition, score), some in heads.groupby(["languages", "condition", "score"], sort=False):
        languages = list(dict.fromkeys(some["language"]))
        owners, values = _arrays(some, languages)
        drawn = rng.permuted(np.broadcast_to(owners, (draws, *owners.shape)), axis=-1)
        found, seen = _overlaps(values, owners, len(languages), score == SEARCH)
        _, null = _overlaps(values, drawn, len(languages), score == SEARCH)
        chances = {"precision": np.full(found.shape[:2], (owners == 0).mean()), "recall": found.mean(axis=-1)}
        chances["auc"] = np.full(found.shape[:2], 0.5)
        for measure, matrix in seen.items():
            own = np.diagonal(matrix, axis1=-2, axis2=-1)
            others = (matrix.sum(axis=-1) - own) / (len(languages) - 1)
            by_chance = np.diagonal(null[measure], axis1=-2, axis2=-1)
            for language, of in ((ALL_LANGUAGES, slice(None)), *((t, [i]) for i, t in enumerate(languages))):
                value, level = own[:, of].mean(), by_chance[..., of].mean(axis=(-2, -1))
                low, high = np.quantile(level, [0.025, 0.975])
                p = (1 + np.count_nonzero(level >= value - 1e-12)) / (1 + draws)
                means = value, others[:, of].mean(), chances[measure][:, of].mean()
                rows.append((count, condition, score, measure, language, *means, low, high, p, len(own)))
    names = "languages condition score measure language value others chance chance_low chance_high p seeds"
    return pd.DataFrame(rows, columns=names.split())


def _arrays(some: pd.DataFrame, languages: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Owners, positions in ``languages`` or -1, (seeds, layers, heads); values (seeds, languages, heads)."""
    keys = ["seed", "language", *HEAD]
    some = some.assign(language=some["language"].map(languages.index)).sort_values(keys)
    shape = [some[key].nunique() for key in keys]
    numbers = {language: number for number, language in enumerate(languages)}
    owners = some["owner"].map(lambda owner: numbers.get(owner, -1)).to_numpy().reshape(shape)[:, 0]
    return owners, some["value"].to_numpy().reshape(*shape[:2], -1)


def _overlaps(
    values: np.ndarray, owners: np.ndarray, languages: int, is_mask: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Heads found, bool (seeds, languages, heads), and by measure their agreement with what was planted.

    ``owners``: (..., seeds, layers, heads). Agreement: (..., seeds, languages rated, languages planted).
    """
    flat = owners.reshape(*owners.shape[:-2], 1, -1)
    planted = (flat == np.arange(languages)[:, None]).astype(float)
    size, heads = planted[..., :1, :].sum(axis=-1, keepdims=True), planted.shape[-1]
    ranks = rankdata(values, axis=-1)
    if is_mask:
        found = values > 0
    else:
        highest = np.argsort(-values, axis=-1, kind="stable")[..., : int(size.flat[0])]
        found = np.zeros(values.shape, dtype=bool)
        np.put_along_axis(found, highest, True, axis=-1)
    both = found.astype(float) @ planted.mT
    agreement = {"precision": both / found.sum(axis=-1, keepdims=True)}
    if is_mask:
        agreement["recall"] = both / size
    else:
        agreement["auc"] = (ranks @ planted.mT - size * (size + 1) / 2) / (size * (heads - size))
    return found, agreement
