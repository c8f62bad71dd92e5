"""Planting: sparse fine-tuning under disjoint random masks, until the planting took.

An encoder that knows many languages transfers between them: trained under disjoint masks alone, German can
be classified nearly as well with the heads that only English was trained with, however long the training. So
every language is also trained under every other language's mask, towards *wrong* labels (the next label):
only its own heads then give the right answer.

A model planted like this tells the languages apart under *every* mask, and its masks differ in accuracy.
Question Q3 needs another truth: a language whose own mask alone tells it from the others, and which is read
equally well under all masks (:func:`separated_by_one_mask`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from modspec.calibration.models import trained
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.models.prediction import predict
from modspec.stages.material import Material
from modspec.subnetworks.masks import Masks
from modspec.workflow.parameters import CalibrationParameters

# How much more accurate, as a share of the dev examples, the own mask must make every language.
TAKEN = 0.3


def disjoint_masks(languages: tuple[str, ...], grid: tuple[int, int], rng: np.random.Generator) -> Masks:
    """Draw random masks without common heads, each with as many heads in each layer as the others.

    Heads that are left over belong to no mask.

    Args:
        languages: each gets a mask.
        grid: numbers of layers, and of heads in each.
        rng: source of the draw.

    Returns:
        Bool (layers, heads) by language.

    Raises:
        InputError: there are more languages than heads in a layer.
    """
    share = grid[1] // len(languages)
    if share == 0:
        raise InputError(
            f"planted_languages: {len(languages)}; allowed: at most {grid[1]}, the heads of a layer"
        )
    places = rng.permuted(np.tile(np.arange(grid[1]), (grid[0], 1)), axis=1)
    return {language: places // share == number for number, language in enumerate(languages)}


def plant(
    material: Material, p: CalibrationParameters, train: Examples, dev: Examples, masks: Masks, seed: int
) -> tuple[PreTrainedModel, pd.DataFrame]:
    """Train a model until every language needs its own mask, or ``planted_attempts`` times.

    Each attempt starts anew and has twice the epochs of the one before it.

    Args:
        material: where the encoder comes from.
        p: ``planted_epochs`` of the first attempt, ``planted_learning_rate``, ``planted_attempts``.
        train: training examples of the languages in ``masks``.
        dev: of the same languages; they decide whether the planting took.
        masks: disjoint, by language.
        seed: of the model.

    Returns:
        The model of the last attempt, and one row per attempt and language: ``attempt`` (from 1), ``epochs``,
        ``language``, dev accuracy under the ``own`` mask and under the ``others`` (mean), and whether the
        attempt ``took`` (in every language).
    """
    count = len(material.task.labels)
    examples, trained_under = with_wrong_labels(train, masks, count)
    tables = []
    for attempt in range(1, p.planted_attempts + 1):
        epochs = p.planted_epochs * 2 ** (attempt - 1)
        longer = p.model_copy(update={"epochs": epochs, "learning_rate": p.planted_learning_rate})
        model = trained(material, longer, examples, seed, trained_under)
        table = pd.DataFrame(mask_accuracy(model, dev, masks, material))
        took = bool((table["own"] - table["others"] >= TAKEN).all())
        tables.append(table.assign(attempt=attempt, epochs=epochs, took=took))
        if took:
            break
    return model, pd.concat(tables, ignore_index=True)


def with_wrong_labels(train: Examples, masks: Masks, labels: int) -> tuple[Examples, Masks]:
    """Return every language under its own mask, and under all others with the next label, which is wrong.

    Fine-tuning takes masks by language, so these examples are of "languages" of their own.

    Args:
        train: right examples.
        masks: by language.
        labels: how many there are.

    Returns:
        The examples, and the mask of each of their languages.
    """
    wrong = {(language, owner): language != owner for language, owner in product(masks, masks)}
    return _under_masks(train, masks, labels, wrong)


def separated_by_one_mask(train: Examples, masks: Masks, labels: int) -> tuple[Examples, Masks]:
    """Return training examples after which only the first language's mask tells it from the others.

    Every language has right labels under every mask, but the other languages have wrong labels under the
    first one's. So the first language is read equally well under all masks.

    Args:
        train: right examples.
        masks: by language.
        labels: how many there are.

    Returns:
        As :func:`with_wrong_labels`.
    """
    first = next(iter(masks))
    wrong = {(language, owner): owner == first != language for language, owner in product(masks, masks)}
    return _under_masks(train, masks, labels, wrong)


def _under_masks(
    train: Examples, masks: Masks, labels: int, wrong: Mapping[tuple[str, str], bool]
) -> tuple[Examples, Masks]:
    """Return the examples of each language under the mask of each owner, with right or wrong labels.

    Args:
        wrong: by (language, owner of the mask).
    """
    positions, names, steps = [], [], []
    for (language, owner), is_wrong in wrong.items():
        own = np.flatnonzero(train.languages == language)
        positions.append(own)
        names.append(np.full(len(own), f"{language} under the mask of {owner}"))
        steps.append(np.full(len(own), int(is_wrong)))
    examples = train.take(np.concatenate(positions))
    shifted = (examples.labels + np.concatenate(steps)) % labels
    under = {f"{language} under the mask of {owner}": masks[owner] for language, owner in wrong}
    return replace(examples, labels=shifted, languages=np.concatenate(names)), under


def mask_accuracy(
    model: PreTrainedModel, examples: Examples, masks: Masks, material: Material
) -> Iterator[dict[str, str | float]]:
    """Yield each ``language`` with its accuracy under its ``own`` mask and under the ``others`` (mean)."""
    right = {
        owner: predict(model, examples, mask, precision=material.precision) == examples.labels
        for owner, mask in masks.items()
    }
    for language in masks:
        tested = examples.languages == language
        others = [right[owner][tested].mean() for owner in masks if owner != language]
        own = right[language][tested].mean()
        yield {"language": language, "own": float(own), "others": float(np.mean(others))}


def planting_took(planting: pd.DataFrame) -> set[int]:
    """Return the numbers of languages for which the planting took in every seed.

    Args:
        planting: rows of :func:`plant`, with ``languages`` (their number) and ``seed``.
    """
    last = planting.groupby(["languages", "seed"], as_index=False)["took"].any()
    by_number = last.groupby("languages")["took"].all()
    return set(by_number[by_number].index.tolist())


def planting_sentence(planting: pd.DataFrame) -> str:
    """Return one sentence per number of languages: whether the planting took, by the weakest language.

    Args:
        planting: as for :func:`planting_took`.
    """
    took, sentences = planting_took(planting), []
    for number, rows in planting.groupby("languages"):
        last = rows[rows["attempt"] == rows.groupby("seed")["attempt"].transform("max")]
        margins = 100 * (last["own"] - last["others"])
        weakest = last.loc[margins.idxmin()]
        margin = f"{margins.min():.0f} points more accurate under its own mask than under another language's"
        where = f"the weakest is {weakest['language']} in seed {weakest['seed']}"
        if number in took:
            sentences.append(f"Planting for {number} languages took: every language is at least {margin}.")
        else:
            sentences.append(
                f"Planting for {number} languages failed ({where}: {margin}, and {100 * TAKEN:.0f} are "
                "needed), so we conclude nothing from it."
            )
    return "\n".join(sentences)
