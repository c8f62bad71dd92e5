"""Planted subnetworks: does the method find heads that were made to matter for one language alone?

A model is sparsely fine-tuned from the start under disjoint random masks, until each language needs its own
(``sft_random``; :mod:`modspec.calibration.planting`). Its control is fine-tuned in full (``full``), so that
the same masks mean nothing in it. Each head is then rated for each language, with no mask in force:

search                the mask that the search keeps (with no further fine-tuning), 1 or 0
importance            head importance for the language's training examples
influence, cosine     contribution of the language's training examples to the scores of its evaluation
influence, dot        examples, above that of other languages' (``by_part.own_above_others``)

The search finds the heads of its mask. A rating finds its highest heads, as many as were planted.

The statistic of question Q3 (:mod:`modspec.calibration.own_subnetwork`) is read from both, and from a third
model (``matched``), whose first language has a subnetwork of its own at equal accuracy under all masks.
"""

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from transformers import PreTrainedModel

from modspec.analysis.by_part import HEAD, own_above_others
from modspec.calibration.models import SEARCH, TRAINING, Content, kept, searched_mask, trained
from modspec.calibration.own_subnetwork import own_minus_others, own_subnetwork, pooled_others
from modspec.calibration.planting import (
    disjoint_masks,
    mask_accuracy,
    plant,
    planting_took,
    separated_by_one_mask,
)
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.influence import influence
from modspec.models.head_masking import head_grid
from modspec.models.prediction import predict
from modspec.stages.material import Material
from modspec.subnetworks.head_importance import head_gradients, importance
from modspec.terms import ALL_LANGUAGES
from modspec.workflow.parameters import CalibrationParameters
from modspec.workflow.paths import pieces_dir

PLANTED, CONTROL = "sft_random", "full"  # the conditions that the models are trained in
MATCHED = "matched"  # a model of the first language's own subnetwork, whose masks are equally accurate
PLANTING = ("planted_epochs", "planted_learning_rate", "planted_attempts", "planted_top_k")


def planted_heads(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return precision, recall and AUC of the planted heads' recovery: see :func:`recovery`.

    Heads are planted for the first ``planted_languages`` languages, each of its numbers in turn. Numbers for
    which the planting failed have no rows.

    Args:
        material: the task.
        p: the parameters of notebook 00.
        directory: gets the artefact ``planted``. Each trained model is a resumable piece of it.

    Raises:
        InputError: there are fewer languages than ``planted_languages`` says.
    """
    return _where_it_took(_planted(material, p, directory), "planted_heads")


def planted_subnetworks(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return the statistic of Q3 under planted masks: see :func:`own_subnetwork`. Arguments and missing rows
    as for :func:`planted_heads`, whose artefact it is read from."""
    return _where_it_took(_planted(material, p, directory), "own_subnetwork")


def planting_attempts(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return every attempt at planting: the rows of :func:`modspec.calibration.planting.plant`, with
    ``languages`` (their number) and ``seed``. Arguments as for :func:`planted_heads`."""
    return _planted(material, p, directory)["attempts"]


def planted_accuracy(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return test accuracy by language under no mask, its own planted mask and the others' (mean).

    Columns: languages (their number), condition, mask_kind, language, accuracy (mean over seeds), chance
    (1 / labels), seeds. They are read from the same artefact as :func:`planted_heads`.
    """
    return _planted(material, p, directory)["accuracy"]


def _planted(material: Material, p: CalibrationParameters, directory: Path) -> Content:
    if bad := [n for n in p.planted_languages if not 2 <= n <= len(p.languages)]:
        raise InputError(f"planted_languages: {bad[0]}; allowed: 2 to {len(p.languages)}, the languages")
    target = directory / "planted"
    decisive = (*TRAINING, *SEARCH, *PLANTING, "judged_per_language", "evaluation_per_language")

    def make() -> Content:
        parts = []
        for count, condition, seed in product(p.planted_languages, (PLANTED, CONTROL), p.planted_seeds):
            part = pieces_dir(target) / f"{condition}-{count}languages-seed{seed}"
            make_part = partial(_rated_model, material, p, p.languages[:count], condition, seed)
            parts.append(kept(part, material, p, decisive, make_part, experiment="planted"))
        for count, seed in product(p.planted_languages, p.planted_seeds):
            part = pieces_dir(target) / f"{MATCHED}-{count}languages-seed{seed}"
            make_part = partial(_matched_model, material, p, p.languages[:count], seed)
            parts.append(kept(part, material, p, decisive, make_part, experiment="planted"))
        heads, accuracy, shares, attempts = (
            pd.concat([part[name] for part in parts if name in part], ignore_index=True)
            for name in ("heads", "accuracy", "shares", "attempts")
        )
        keys = ["languages", "condition", "mask_kind", "language"]
        accuracy = accuracy.groupby(keys, sort=False, as_index=False)
        accuracy = accuracy.agg(accuracy=("accuracy", "mean"), seeds=("seed", "nunique"))
        accuracy = accuracy.assign(chance=1 / len(material.task.labels))
        return {
            "heads": heads,
            "planted_heads": recovery(heads, p.resamples),
            "accuracy": accuracy,
            "attempts": attempts,
            "own_subnetwork": own_subnetwork(shares, p.level),
        }

    names = (*decisive, "planted_seeds", "planted_languages", "resamples", "level")
    return kept(target, material, p, names, make, experiment="planted")


def _where_it_took(content: Content, name: str) -> pd.DataFrame:
    """Return a table's rows of matched models, and of numbers of languages for which the planting took."""
    table = content[name]
    took = table["languages"].isin(planting_took(content["attempts"]))
    return table[took | (table["condition"] == MATCHED)].reset_index(drop=True)


def _matched_model(
    material: Material, p: CalibrationParameters, languages: tuple[str, ...], seed: int
) -> Content:
    """Train a model in which one language has an own subnetwork, and all masks are equally accurate for it.

    Returns:
        ``accuracy`` and ``shares`` of the first language, as of :func:`_rated_model`.
    """
    train, test = (
        split.take(np.flatnonzero(np.isin(split.languages, languages)))
        for split in (material.examples[name] for name in ("train", "test"))
    )
    grid = head_grid(material.new_classifier(seed))
    masks = disjoint_masks(languages, grid, np.random.default_rng([seed, len(languages)]))
    examples, under = separated_by_one_mask(train, masks, len(material.task.labels))
    longer = {"epochs": p.planted_epochs, "learning_rate": p.planted_learning_rate}
    model = trained(material, p.model_copy(update=longer), examples, seed, under)
    run = {"languages": len(languages), "condition": MATCHED, "seed": seed}
    first = languages[0]
    (accuracy,) = (row for row in mask_accuracy(model, test, masks, material) if row["language"] == first)
    kinds = {"own": "own", "others": "other_language"}
    rows = [{"mask_kind": kind, "language": first, "accuracy": accuracy[of]} for of, kind in kinds.items()]
    others = pooled_others(masks, {name: mask.astype(float) for name, mask in masks.items()})
    evaluation = _first(test, (first,), p.evaluation_per_language)
    own = {first: masks[first]}
    shares = own_minus_others(model, train, evaluation, own, others, p.planted_top_k)
    return {"accuracy": pd.DataFrame(rows).assign(**run), "shares": shares.assign(**run)}


def _rated_model(
    material: Material, p: CalibrationParameters, languages: tuple[str, ...], condition: str, seed: int
) -> Content:
    """Train one model and rate its heads.

    Returns:
        ``accuracy`` under every mask; ``heads``; ``shares`` under own and pooled-others masks; and the
        ``attempts`` of a planted model.
    """
    train, dev, test = (
        split.take(np.flatnonzero(np.isin(split.languages, languages)))
        for split in (material.examples[name] for name in ("train", "dev", "test"))
    )
    grid = head_grid(material.new_classifier(seed))
    masks = disjoint_masks(languages, grid, np.random.default_rng([seed, len(languages)]))
    run = {"languages": len(languages), "condition": condition, "seed": seed}
    content = {}
    if condition == PLANTED:
        model, attempts = plant(material, p, train, dev, masks, seed)
        content["attempts"] = attempts.assign(**run)
    else:
        longer = {"epochs": p.planted_epochs, "learning_rate": p.planted_learning_rate}
        model = trained(material, p.model_copy(update=longer), train, seed)

    rows = []
    for owner in (None, *languages):
        correct = predict(model, test, masks.get(owner), precision=material.precision) == test.labels
        for language in languages:
            kind = "none" if owner is None else "own" if owner == language else "other_language"
            rows.append((kind, language, correct[test.languages == language].mean()))
    accuracy = pd.DataFrame(rows, columns=["mask_kind", "language", "accuracy"]).assign(**run)

    ratings = by_influence(model, train, _first(test, languages, p.judged_per_language))
    for language in languages:
        own = train.of(language)
        ratings["search", language] = searched_mask(model, own, dev.of(language), p, material.precision)
        ratings["importance", language] = importance(head_gradients(model, own, precision=material.precision))
    of_own = {language: masks[language] * ratings["importance", language] for language in languages}
    evaluation = _first(test, languages, p.evaluation_per_language)
    shares = own_minus_others(model, train, evaluation, masks, pooled_others(masks, of_own), p.planted_top_k)
    layers, numbers = np.indices(grid) + 1
    owners = np.select(list(masks.values()), languages, "")
    heads = {"layer": layers.ravel(), "head": numbers.ravel(), "owner": owners.ravel()}
    frames = [
        pd.DataFrame({**heads, "value": np.ravel(values), "score": name, "language": language, **run})
        for (name, language), values in ratings.items()
    ]
    tables = {"heads": pd.concat(frames, ignore_index=True), "accuracy": accuracy}
    return content | tables | {"shares": shares.assign(**run)}


def _first(examples: Examples, languages: tuple[str, ...], count: int) -> Examples:
    """Return the first ``count`` examples of each language."""
    return examples.take(
        np.concatenate([np.flatnonzero(examples.languages == language)[:count] for language in languages])
    )


def by_influence(
    model: PreTrainedModel, train: Examples, evaluation: Examples
) -> dict[tuple[str, str], np.ndarray]:
    """Rate heads by the mean contribution of a language's training examples above other languages'.

    Returns:
        {(influence by cosine or dot, language): (layers x heads,)}, head by head.
    """
    scores = influence(model, train, evaluation, by_part=True)
    languages = dict.fromkeys(train.languages.tolist())
    ratings = {}
    for name, contributions in (("cosine", scores.cosine_by_part), ("dot", scores.dot_by_part)):
        parts = zip(scores.parts, contributions, strict=True)
        heads = [(group.layer, group.head, part) for group, part in parts if group.part == "head"]
        rows = []
        for (layer, head, part), language, other in product(heads, languages, languages):
            pairs = np.ix_(train.languages == other, evaluation.languages == language)
            rows.append((0, language, other, layer, head, part[pairs].mean(dtype=float)))
        table = pd.DataFrame(rows, columns=["seed", "language", "train_language", *HEAD, "contribution"])
        maps = own_above_others(table).droplevel("seed")
        ratings |= {(f"influence, {name}", t): row.to_numpy() for t, row in maps.iterrows()}
    return ratings


def recovery(heads: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Return how well ratings find the planted heads, against chance and other languages' planted heads.

    Args:
        heads: one row per model (languages, condition, seed), ``score``, ``language``, ``layer`` and
            ``head``, with its ``value`` and ``owner`` (the language that it was planted for, or "").
        draws: random plantings, which keep the numbers of every layer.

    Returns:
        One row per number of languages, condition, score, measure and language, and for all languages
        pooled. ``value``: mean over seeds. ``others``: the same against other languages' planted heads.
        ``chance``, and the middle 95 % (``chance_low``, ``chance_high``) of the random plantings. ``p``: the
        share of plantings that reach the value (one-sided). Measures: precision, recall (of the search; for
        the highest rated heads it equals precision) and AUC = P(planted head rated above another).
    """
    rows, rng = [], np.random.default_rng(0)
    for keys, ratings in heads.groupby(["languages", "condition", "score"], sort=False):
        languages, is_mask = list(dict.fromkeys(ratings["language"])), keys[-1] == "search"
        ratings = ratings.assign(language=pd.Categorical(ratings["language"], languages))
        axes = ["seed", "language", *HEAD]
        ratings, shape = ratings.sort_values(axes), [ratings[axis].nunique() for axis in axes]
        values = ratings["value"].to_numpy().reshape(*shape[:2], -1)
        # Position of each head's owner among the languages, or -1; the same whichever language is rated.
        owners = pd.Index(languages).get_indexer(ratings["owner"]).reshape(shape)[:, 0]
        drawn = rng.permuted(np.broadcast_to(owners, (draws, *owners.shape)), axis=-1)
        found, agreement = _agreement(values, np.concatenate([owners[None], drawn]), len(languages), is_mask)
        columns = {ALL_LANGUAGES: slice(None)} | {t: [i] for i, t in enumerate(languages)}
        chances = {"precision": (owners == 0).mean(), "recall": found.mean(axis=-1), "auc": 0.5}
        for measure, matrices in agreement.items():
            own = np.diagonal(matrices, axis1=-2, axis2=-1)
            others = (matrices[0].sum(axis=-1) - own[0]) / (len(languages) - 1)
            chance = np.broadcast_to(chances[measure], others.shape)
            for language, chosen in columns.items():
                value, by_chance = own[0][:, chosen].mean(), own[1:][..., chosen].mean(axis=(-2, -1))
                bounds = np.quantile(by_chance, [0.025, 0.975])
                p = (1 + np.count_nonzero(by_chance >= value - 1e-12)) / (1 + draws)
                means = value, others[:, chosen].mean(), chance[:, chosen].mean()
                rows.append((*keys, measure, language, *means, *bounds, p, len(others)))
    names = "languages condition score measure language value others chance chance_low chance_high p seeds"
    return pd.DataFrame(rows, columns=names.split())


def _agreement(
    values: np.ndarray, owners: np.ndarray, languages: int, is_mask: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Heads found, bool (seeds, languages, heads), and by measure their agreement with the planted heads.

    ``owners``: (..., seeds, layers, heads). Agreement: (..., seeds, languages rated, languages planted).
    """
    flat = owners.reshape(*owners.shape[:-2], 1, -1)
    planted = (flat == np.arange(languages)[:, None]).astype(float)
    size, heads = planted[..., :1, :].sum(axis=-1, keepdims=True), planted.shape[-1]
    found = values > 0 if is_mask else rankdata(-values, method="ordinal", axis=-1) <= size.flat[0]
    common = found.astype(float) @ planted.mT
    agreement = {"precision": common / found.sum(axis=-1, keepdims=True)}
    if is_mask:
        agreement["recall"] = common / size
    else:
        ranks = rankdata(values, axis=-1)
        agreement["auc"] = (ranks @ planted.mT - size * (size + 1) / 2) / (size * (heads - size))
    return found, agreement
