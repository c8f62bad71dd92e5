"""What stage 4 needs of a run's scores: each measure under each choice, with scores left behind.

A cell is one language's evaluation examples under one kind of mask. Its measure is a sum over training
examples (:mod:`modspec.analysis.measures`), so differences of measures are sums of differences of weights, and
shuffling language labels of the mean weights gives a measure's distribution where language does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modspec.analysis.measures import Measure, weights
from modspec.analysis.scores import Attributions
from modspec.workflow import artifacts

ONE_MASK = ("sft_intersection", "sft_union")  # conditions with the same mask for every language
STUDY = "study's own"  # choice
GRADIENTS = "SFT: "  # choices that concern sparse conditions alone
OTHER_K = "k = "  # and the number
SEPARATOR = "|"


@dataclass(frozen=True)
class Choice:
    """One way of reading the instrument. None: the study's own. own: the mask kind that counts as a
    language's own. train_gradient_mask: of sparse conditions under their own masks."""

    measure: Measure = "proponents"
    score: str = "cosine"
    top_k: int | None = None
    checkpoints: str = "all"
    eta: str | None = None
    own: str = "own"
    train_gradient_mask: str | None = None


def choices(run: Attributions, top_ks: Sequence[int] = ()) -> dict[str, Choice]:
    """The study's own choice and every single departure from it that the run allows, by name."""
    found = {STUDY: Choice()}
    others = [k for k in top_ks if k <= len(run.train) and k != run.parameters["top_k"]]
    found |= {f"{OTHER_K}{k}": Choice(top_k=k) for k in others}
    found["AUC instead of top k"] = Choice(measure="auc")
    found["AUC within label"] = Choice(measure="label_auc")
    found["opponents"] = Choice(measure="opponents")
    found["dot product"] = Choice(score="dot")
    if len(run.checkpoints) > 1:
        found["last checkpoint"] = Choice(checkpoints="last")
        other = "one" if run.parameters["eta"] == "learning_rate" else "learning_rate"
        found[f"eta = {other.replace('_', ' ')}"] = Choice(eta=other)
    if run.condition != "full":
        for gradient in _train_gradients(run)[1:]:
            found[f"{GRADIENTS}{gradient}-mask gradients"] = Choice(train_gradient_mask=gradient)
    if (run.columns["mask_kind"] == "inherited").any():
        found["masks by inherited importance"] = Choice(own="inherited")
    return found


@dataclass(frozen=True)
class Cell:
    """One language's evaluation examples under one condition and kind of mask; masks of a kind averaged.

    values: the measure minus chance, (seeds, examples). weights: of training examples, mean over evaluation
    examples, float32 (seeds, train). cross: mean score of other languages' training examples, (seeds,
    examples). ids: of the examples, sorted.
    """

    values: np.ndarray
    weights: np.ndarray
    cross: np.ndarray
    ids: tuple[str, ...]

    def minus(self, other: Cell) -> Cell:
        """The difference of two cells on the same examples and seeds."""
        assert self.ids == other.ids
        return Cell(
            self.values - other.values, self.weights - other.weights, self.cross - other.cross, self.ids
        )


Cells = Mapping[tuple[str, str], Cell]  # by kind of mask ("own": the choice's) and language


@dataclass(frozen=True)
class Measured:
    """One run of stage 3 without its scores. train: a row a training example. languages: of evaluation
    examples. cells: by choice."""

    condition: str
    seed: int
    parameters: Mapping[str, Any]
    train: pd.DataFrame
    languages: tuple[str, ...]
    cells: Mapping[str, Cells]


def measure(run: Attributions, top_ks: Sequence[int] = ()) -> Measured:
    """All cells of a run, under all :func:`choices`. Raises InputError for a k that is out of range."""
    languages = tuple(dict.fromkeys(run.columns["language"]))
    cells = {name: _cells(run, choice, languages) for name, choice in choices(run, top_ks).items()}
    return Measured(run.condition, run.seed, run.parameters, run.train, languages, cells)


def write_measured(measured: Measured, directory: Path) -> None:
    """``cells.parquet``: values and cross by choice, kind, language and example; ``weights.parquet``: a
    column for each choice, kind and language, a row for each training example; ``train.parquet``."""
    rows, columns = [], {}
    for choice, cells in measured.cells.items():
        for (kind, language), cell in cells.items():
            part = {"id": cell.ids, "value": cell.values[0], "cross": cell.cross[0]}
            rows.append(pd.DataFrame(part).assign(choice=choice, mask_kind=kind, language=language))
            columns[SEPARATOR.join((choice, kind, language))] = cell.weights[0]
    pd.concat(rows, ignore_index=True).to_parquet(directory / "cells.parquet", index=False)
    pd.DataFrame(columns).to_parquet(directory / "weights.parquet", index=False, compression="zstd")
    measured.train.to_parquet(directory / "train.parquet", index=False)


def read_measured(directory: Path) -> Measured:
    """What :func:`write_measured` wrote into an artefact of stage 3; checks its files."""
    parameters = artifacts.read_manifest(directory)["made_by"]["parameters"]
    rows, columns, train = (
        pd.read_parquet(directory / f"{name}.parquet") for name in ("cells", "weights", "train")
    )
    cells: dict[str, dict[tuple[str, str], Cell]] = {}
    for (choice, kind, language), part in rows.groupby(["choice", "mask_kind", "language"], sort=False):
        mean = columns[SEPARATOR.join((choice, kind, language))].to_numpy()
        cells.setdefault(choice, {})[kind, language] = Cell(
            part["value"].to_numpy()[None], mean[None], part["cross"].to_numpy()[None], tuple(part["id"])
        )
    languages = tuple(dict.fromkeys(rows["language"]))
    return Measured(parameters["condition"], parameters["seed"], parameters, train, languages, cells)


def _cells(run: Attributions, choice: Choice, languages: Sequence[str]) -> dict[tuple[str, str], Cell]:
    """Every kind of mask and language that the run has under one choice."""
    columns = run.columns[run.columns["unit"] != "train-items"]
    columns = columns.assign(column=columns.groupby("unit").cumcount())
    present = dict.fromkeys(columns["mask_kind"])
    kinds = [kind for kind in present if kind not in ("own", "inherited")]
    kinds += ["own"] if choice.own in present else []
    weighed: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    found = {}
    for kind in kinds:
        chosen = _rows(run, choice, columns, kind)
        for unit in set(chosen["unit"]) - set(weighed):
            weighed[unit] = _weighed(run, choice, unit)
        for language in languages:
            rows = chosen[chosen["language"] == language]
            if len(rows):
                found[kind, language] = _cell(run, choice, rows, language, weighed)
    return found


def _rows(run: Attributions, choice: Choice, columns: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The columns of a kind of mask."""
    own_sparse = kind == "own" and run.condition != "full"
    chosen = columns["mask_kind"] == (choice.own if kind == "own" else kind)
    if kind != "none" and run.condition not in ONE_MASK:
        gradient = choice.train_gradient_mask or _train_gradients(run)[0]
        chosen &= columns["train_gradient_mask"] == (gradient if own_sparse else "test_example")
    return columns[chosen]


def _train_gradients(run: Attributions) -> Sequence[str]:
    """Of sparse conditions under their own masks; the first is the study's own."""
    return run.parameters["train_gradient_masks"]


def _weighed(run: Attributions, choice: Choice, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """A pass's scores under a choice and the weights that they give: both (train, columns)."""
    eta = choice.eta or run.parameters["eta"]
    scores = run.scores(unit, choice.score, checkpoints=choice.checkpoints, eta=eta)
    same_label = run.train["label"].to_numpy()[:, None] == run.of(unit)["label"].to_numpy()
    return scores, weights(scores, choice.measure, choice.top_k or run.parameters["top_k"], same_label)


def _cell(
    run: Attributions,
    choice: Choice,
    rows: pd.DataFrame,
    language: str,
    weighed: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Cell:
    """Of a language's columns, in whichever passes they are."""
    own = (run.train["language"] == language).to_numpy()
    ids = sorted(set(rows["id"]))  # passes have them in different orders
    place = {number: i for i, number in enumerate(ids)}
    total = np.zeros((len(ids), len(own)), dtype=np.float64)
    cross = np.zeros(len(ids))
    for unit, part in rows.groupby("unit", sort=False):
        scores, found = (values[:, part["column"]] for values in weighed[unit])
        at = part["id"].map(place).to_numpy()
        np.add.at(total, at, found.T)
        np.add.at(cross, at, scores[~own].mean(axis=0, dtype=np.float64))
    several = len(rows) / len(ids)
    total /= several
    if choice.measure in ("auc", "label_auc"):
        labels = rows.drop_duplicates("id").set_index("id")["label"]
        total /= _pairs(run, choice, own, labels[ids].to_numpy())[:, None]
    values = total[:, own].sum(axis=1)
    mean = total.mean(axis=0).astype(np.float32)
    return Cell(values[None], mean[None], cross[None] / several, tuple(ids))


def _pairs(run: Attributions, choice: Choice, own: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pairs of in-language and cross-language training examples that an AUC compares: (examples,)."""
    counted = np.ones((len(labels), len(own)), dtype=bool)
    if choice.measure == "label_auc":
        counted = labels[:, None] == run.train["label"].to_numpy()
    # At least 1: without pairs, all weights are zero.
    return np.maximum((counted & own).sum(axis=1) * (counted & ~own).sum(axis=1), 1)
