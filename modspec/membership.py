"""In-language shares as sums over training examples, in every variant of the instrument.

Every cell holds :func:`modspec.measures.weights` of its evaluation examples, so differences of measures are
sums of differences of weights, and shuffling language labels gives each measure's distribution where
language does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modspec.attributions import Attributions
from modspec.measures import Measure, weights

ONE_MASK = ("sft_intersection", "sft_union")  # conditions with the same mask for every language


@dataclass(frozen=True)
class Choice:
    """One way of reading the instrument. own: the mask kind that counts as a language's own. top_k: None for
    the study's. train_gradient: of sparse conditions under their own masks."""

    measure: Measure = "proponents"
    score: str = "cosine"
    top_k: int | None = None
    checkpoints: str = "all"
    eta: str = "learning_rate"
    own: str = "own"
    train_gradient: str = "evaluation"


@dataclass(frozen=True)
class Cell:
    """Weights of one language's evaluation examples under one condition and kind of mask.

    weights: float32 (seeds, examples, train), averaged over masks of the kind. ids: of the examples, sorted.
    own: bool (train,), the training examples of the language.
    """

    weights: np.ndarray
    ids: tuple[str, ...]
    own: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The measure minus chance: (seeds, examples)."""
        return self.weights[:, :, self.own].sum(axis=2, dtype=np.float64)

    def minus(self, other: Cell) -> Cell:
        """The difference of two cells on the same examples and seeds."""
        assert self.ids == other.ids
        return Cell(self.weights - other.weights, self.ids, self.own)


class Membership:
    """Cells of a study's runs under one :class:`Choice`; computed where they are asked for.

    ``runs``: stage 3's, of all conditions and seeds, on the same examples.
    """

    def __init__(self, runs: Sequence[Attributions], choice: Choice) -> None:
        self.choice = choice
        self.runs: Mapping[str, list[Attributions]] = {}
        for run in runs:
            self.runs.setdefault(run.condition, []).append(run)
        self.train = runs[0].train
        self.languages = list(dict.fromkeys(runs[0].columns["language"]))
        self._weights: dict[tuple[str, int, str], np.ndarray] = {}
        self._cells: dict[tuple[str, str, str], Cell] = {}

    def has(self, condition: str, kind: str) -> bool:
        """Was this condition scored under this kind of mask (``own``: the choice's)?"""
        return condition in self.runs and not self._rows(self.runs[condition][0], kind).empty

    def cell(self, condition: str, kind: str, language: str) -> Cell:
        """Weights of one language, by seed and example; several masks of one kind are averaged."""
        key = condition, kind, language
        if key not in self._cells:
            self._cells[key] = self._cell(*key)
        return self._cells[key]

    def _cell(self, condition: str, kind: str, language: str) -> Cell:
        own, by_seed = (self.train["language"] == language).to_numpy(), []
        for run in self.runs[condition]:
            rows = self._rows(run, kind)
            rows = rows[rows["language"] == language]
            ids = sorted(set(rows["id"]))  # passes have them in different orders
            total = np.zeros((len(ids), len(self.train)), dtype=np.float32)
            for (unit, number), part in rows.groupby(["unit", "id"], sort=False):
                columns = self._of(run, unit)[:, part["column"]]
                total[ids.index(number)] += columns.sum(axis=1)
            total /= len(rows) / len(ids)
            if self.choice.measure in ("auc", "label_auc"):
                labels = rows.drop_duplicates("id").set_index("id")["label"]
                total /= self._pairs(own, labels[ids].to_numpy())[:, None]
            by_seed.append(total)
        return Cell(np.stack(by_seed), tuple(ids), own)

    def _pairs(self, own: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Pairs of in-language and cross-language training examples that an AUC compares: (examples,)."""
        counted = np.ones((len(labels), len(own)), dtype=bool)
        if self.choice.measure == "label_auc":
            counted = labels[:, None] == self.train["label"].to_numpy()
        # At least 1: without pairs, all weights are zero.
        return np.maximum((counted & own).sum(axis=1) * (counted & ~own).sum(axis=1), 1).astype(np.float32)

    def mean_cross_score(self, condition: str, kind: str, language: str) -> np.ndarray:
        """Mean score of other languages' training examples: (seeds, examples)."""
        other = (self.train["language"] != language).to_numpy()
        by_seed = []
        for run in self.runs[condition]:
            rows = self._rows(run, kind)
            rows = rows[rows["language"] == language]
            means = pd.Series(0.0, rows.index)
            for unit, part in rows.groupby("unit", sort=False):
                scores = self._scores(run, unit)[:, part["column"]]
                means[part.index] = scores[other].mean(axis=0, dtype=np.float64)
            by_seed.append(means.groupby(rows["id"]).mean().to_numpy())
        return np.stack(by_seed)

    def _rows(self, run: Attributions, kind: str) -> pd.DataFrame:
        """The columns of a kind of mask, with their place in their pass."""
        columns = run.columns[run.columns["unit"] != "train-items"]
        columns = columns.assign(column=columns.groupby("unit").cumcount())
        kind = self.choice.own if kind == "own" else kind
        chosen = columns["mask_kind"] == kind
        own_sparse = kind == "own" and run.condition != "full"
        if kind != "none" and run.condition not in ONE_MASK:
            wanted = self.choice.train_gradient if own_sparse else "evaluation"
            chosen &= columns["train_gradient"] == wanted
        return columns[chosen]

    def _scores(self, run: Attributions, unit: str) -> np.ndarray:
        choice = self.choice
        return run.scores(unit, choice.score, checkpoints=choice.checkpoints, eta=choice.eta)

    def _of(self, run: Attributions, unit: str) -> np.ndarray:
        key = (run.condition, run.seed, unit)
        if key not in self._weights:
            top_k = self.choice.top_k or run.parameters["top_k"]
            labels = run.of(unit)["label"].to_numpy()
            same = self.train["label"].to_numpy()[:, None] == labels
            self._weights[key] = weights(self._scores(run, unit), self.choice.measure, top_k, same)
        return self._weights[key]
