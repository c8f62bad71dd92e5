"""What stage 4 needs of the scores of stage 3: statistics of every test example, and training examples' weights.

``statistics.parquet`` holds one row per test example, mask and training language (see
:func:`modspec.analysis.shares.example_statistics`), under the run's own settings, and, for the example's own
language alone, under every other top k, checkpoint and checkpoint weight. Every in-language share of the study
is read from it. ``weights.parquet`` holds the mean weight of every training example in a measure; shuffling
the training examples' languages of these weights gives the distribution of the measure where language does not
matter. Differences of measures are sums of differences of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modspec.analysis.scores import KeptScores
from modspec.analysis.shares import (
    AUCS,
    Measure,
    by_seed_and_example,
    example_statistics,
    training_weights,
)
from modspec.terms import SHARED_MASK_CONDITIONS
from modspec.workflow import artifacts

# How scores are made from checkpoints and read; the first columns that tell rows of a table apart.
READING = ["score", "top_k", "checkpoints", "checkpoint_weights"]
MASK = ["mask_kind", "train_gradient_mask", "language"]
TRAIN_ITEMS = "train-items"  # the scoring pass whose evaluation examples are training examples


@dataclass(frozen=True)
class Setting:
    """One way of measuring; a value of None is the run's own parameter."""

    measure: Measure = "proponents"
    score: str = "cosine"
    top_k: int | None = None
    checkpoints: str = "all"
    checkpoint_weights: str | None = None
    own_mask: str = "own"  # the kind of mask that counts as a language's own: "own" or "inherited"
    # Mask of training gradients, of sparse conditions under their own masks.
    train_gradient_mask: str | None = None


DEFAULT = Setting()


@dataclass(frozen=True)
class Cell:
    """One language's test examples under one condition and kind of mask; masks of one kind are averaged."""

    values: np.ndarray  # (seeds, examples): the measure minus chance
    weights: np.ndarray | None  # float32 (seeds, train): mean over test examples; None where none are kept
    ids: tuple[str, ...]  # of the examples, sorted

    def minus(self, other: Cell) -> Cell:
        """Return the difference of two cells on the same examples and seeds."""
        assert self.ids == other.ids
        has_weights = self.weights is not None and other.weights is not None
        weights = self.weights - other.weights if has_weights else None
        return Cell(self.values - other.values, weights, self.ids)


@dataclass(frozen=True)
class MeasuredRun:
    """One run of stage 3 without its scores: one condition and seed."""

    condition: str
    seed: int
    parameters: Mapping[str, Any]
    train: pd.DataFrame  # one row per scored training example
    statistics: pd.DataFrame
    weights: pd.DataFrame


def measure(run: KeptScores, top_ks: Sequence[int] = ()) -> MeasuredRun:
    """Return the statistics and weights of a run, at its own k and at each of ``top_ks`` that there are.

    Raises:
        InputError: the run's own k is out of range.
    """
    statistics = pd.concat(_statistics(run, top_ks), ignore_index=True)
    statistics = statistics.assign(condition=run.condition, seed=run.seed)
    weights = pd.DataFrame(_weights(run, top_ks))
    return MeasuredRun(run.condition, run.seed, run.parameters, run.train, statistics, weights)


def write_measured(measured: MeasuredRun, directory: Path) -> None:
    """Write ``statistics.parquet``, ``weights.parquet`` and ``train.parquet``."""
    measured.statistics.to_parquet(directory / "statistics.parquet", index=False)
    measured.weights.to_parquet(directory / "weights.parquet", index=False, compression="zstd")
    measured.train.to_parquet(directory / "train.parquet", index=False)


def read_measured(directory: Path) -> MeasuredRun:
    """Return what :func:`write_measured` wrote into an artefact of stage 3; checks its files."""
    parameters = artifacts.read_manifest(directory)["made_by"]["parameters"]
    train, statistics, weights = (
        pd.read_parquet(directory / f"{name}.parquet") for name in ("train", "statistics", "weights")
    )
    return MeasuredRun(parameters["condition"], parameters["seed"], parameters, train, statistics, weights)


class StudyRuns:
    """The runs of a study, all conditions and seeds on the same examples, as cells with seeds stacked."""

    def __init__(self, runs: Sequence[MeasuredRun]) -> None:
        self.train = runs[0].train
        self.parameters = runs[0].parameters
        self.statistics = pd.concat([run.statistics for run in runs], ignore_index=True)
        self.languages = list(dict.fromkeys(runs[0].statistics["language"]))
        self.conditions = list(dict.fromkeys(run.condition for run in runs))
        self._gradient_masks = {run.condition: run.parameters["train_gradient_masks"] for run in runs}
        weights = pd.concat([run.weights.assign(condition=run.condition) for run in runs])
        self._weights = dict(tuple(weights.groupby(["condition", "measure", *READING, *MASK], sort=False)))
        own = self.statistics[self.statistics["language"] == self.statistics["train_language"]]
        self._statistics = dict(tuple(own.groupby(["condition", *READING, *MASK], sort=False)))
        self._cells: dict[tuple, Cell] = {}

    @property
    def own_statistics(self) -> pd.DataFrame:
        """The rows of ``statistics`` under the study's own settings, cosine and dot product."""
        return self.statistics[own_settings(self.statistics, self.parameters)]

    def settings(self) -> list[Setting]:
        """Return the study's own setting and every single departure from it that its runs allow."""
        own, table = self._complete(DEFAULT), self.statistics
        departures = [{"top_k": k} for k in dict.fromkeys(table["top_k"]) if k != own.top_k]
        departures += [
            {"measure": "auc"},
            {"measure": "label_auc"},
            {"measure": "opponents"},
            {"score": "dot"},
        ]
        if (table["checkpoints"] == "last").any():
            departures.append({"checkpoints": "last"})
        weights = [w for w in dict.fromkeys(table["checkpoint_weights"]) if w != own.checkpoint_weights]
        departures += [{"checkpoint_weights": w} for w in weights]
        if (table["mask_kind"] == "inherited").any():
            departures.append({"own_mask": "inherited"})
        sparse = [c for c in self.conditions if c != "full"]
        masks = dict.fromkeys(mask for condition in sparse for mask in self._gradient_masks[condition][1:])
        departures += [{"train_gradient_mask": mask} for mask in masks]
        return [
            DEFAULT,
            *(
                replace(DEFAULT, **{k: int(v) if k == "top_k" else v for k, v in d.items()})
                for d in departures
            ),
        ]

    def has(self, condition: str, kind: str, setting: Setting = DEFAULT) -> bool:
        """Return whether a condition was scored under a kind of mask (``own``: the setting's)."""
        return condition in self.conditions and any(
            self._key(condition, kind, t, setting) in self._statistics for t in self.languages
        )

    def cell(
        self,
        condition: str,
        kind: str,
        language: str,
        setting: Setting = DEFAULT,
        train_gradient_mask: str | None = None,
    ) -> Cell:
        """Return one language's cell; ``train_gradient_mask``: other than the setting's."""
        key = self._key(condition, kind, language, setting, train_gradient_mask)
        if (setting.measure, key) not in self._cells:
            self._cells[setting.measure, key] = self._stacked(key, setting.measure)
        return self._cells[setting.measure, key]

    def _stacked(self, key: tuple, measure: Measure) -> Cell:
        rows = self._statistics[key]
        chance = 0.5 if measure in AUCS else rows["chance"].iloc[0]
        # An AUC without pairs to compare is at chance.
        rows = rows.assign(value=rows[measure].fillna(chance) if measure in AUCS else rows[measure])
        values = by_seed_and_example(rows, "value") - chance
        weights = self._weights.get((key[0], measure, *key[1:]))
        if weights is not None:
            weights = np.stack(weights["weights"].to_numpy())
        return Cell(values, weights, tuple(sorted(set(rows["id"]))))

    def specialization(
        self,
        condition: str,
        language: str,
        setting: Setting = DEFAULT,
        kind: str = "own",
        train_gradient_mask: str | None = None,
    ) -> Cell:
        """Return Delta_t: a mask's share minus the share without mask, paired by seed and example."""
        masked = self.cell(condition, kind, language, setting, train_gradient_mask)
        return masked.minus(self.cell(condition, "none", language, setting))

    def change(
        self,
        condition: str,
        language: str,
        setting: Setting = DEFAULT,
        baseline: str = "none",
        train_gradient_mask: str | None = None,
    ) -> Cell:
        """Return what a sparse condition changes: its share under own masks, minus full fine-tuning's under
        the ``baseline`` kind of mask."""
        sparse = self.cell(condition, "own", language, setting, train_gradient_mask)
        return sparse.minus(self.cell("full", baseline, language, setting))

    def cross_score(self, condition: str, kind: str, language: str) -> np.ndarray:
        """Return the mean score of other languages' training examples under the study's own settings:
        (seeds, examples)."""
        names = ["condition", *READING, *MASK]
        cell = dict(zip(names, self._key(condition, kind, language, DEFAULT), strict=True))
        rows = self.statistics[self.statistics["train_language"] != language]
        for name, value in cell.items():
            rows = rows[rows[name] == value]
        sums = rows.groupby(["seed", "id", "mask_language", "draw"], as_index=False)["influence"].sum()
        number = (self.train["language"] != language).sum()
        return by_seed_and_example(sums, "influence") / number

    def _complete(self, setting: Setting) -> Setting:
        own = {"top_k": self.parameters["top_k"], "checkpoint_weights": self.parameters["eta"]}
        return replace(setting, **{k: v for k, v in own.items() if getattr(setting, k) is None})

    def _key(
        self, condition: str, kind: str, language: str, setting: Setting, gradient_mask: str | None = None
    ) -> tuple:
        """Where a cell stands in the tables."""
        setting = self._complete(setting)
        reading = tuple(getattr(setting, name) for name in READING)
        masks = self._gradient_masks[condition]
        if gradient_mask is None:
            gradient_mask = "test_example"
            if kind == "own" and condition != "full":
                gradient_mask = setting.train_gradient_mask or masks[0]
            if kind != "none" and condition in SHARED_MASK_CONDITIONS:
                gradient_mask = masks[0]  # one mask for all languages: both are the same
        kind = setting.own_mask if kind == "own" else kind
        return condition, *reading, kind, gradient_mask, language


def own_settings(statistics: pd.DataFrame, parameters: Mapping[str, Any]) -> pd.Series:
    """Return which rows of ``statistics`` are under the run's own k, checkpoints and checkpoint weights: bool."""
    return (
        (statistics["top_k"] == parameters["top_k"])
        & (statistics["checkpoints"] == "all")
        & (statistics["checkpoint_weights"] == parameters["eta"])
    )


def _readings(run: KeptScores, top_ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Every reading of a run's cosine: its own first, then each departure."""
    own = dict(zip(READING, ("cosine", run.parameters["top_k"], "all", run.parameters["eta"]), strict=True))
    yield own
    yield from (own | {"top_k": k} for k in top_ks if k <= len(run.train) and k != own["top_k"])
    if len(run.checkpoints) > 1:
        yield own | {"checkpoints": "last"}
        other = "one" if own["checkpoint_weights"] == "learning_rate" else "learning_rate"
        yield own | {"checkpoint_weights": other}


def _scores(run: KeptScores, scoring_pass: str, reading: Mapping[str, Any]) -> np.ndarray:
    names = ("checkpoints", "checkpoint_weights")
    return run.scores(scoring_pass, reading["score"], **{name: reading[name] for name in names})


def _passes(run: KeptScores) -> Iterable[str]:
    return (name for name in dict.fromkeys(run.columns["scoring_pass"]) if name != TRAIN_ITEMS)


def _same_label(run: KeptScores, columns: pd.DataFrame) -> np.ndarray:
    return run.train["label"].to_numpy()[:, None] == columns["label"].to_numpy()


def _statistics(run: KeptScores, top_ks: Sequence[int]) -> Iterator[pd.DataFrame]:
    own, *others = _readings(run, top_ks)
    train_languages = run.train["language"].to_numpy()
    for number, reading in enumerate([own, own | {"score": "dot"}, *others]):
        for scoring_pass in _passes(run):
            columns = run.of(scoring_pass)
            table = example_statistics(
                _scores(run, scoring_pass, reading),
                train_languages,
                columns["language"].to_numpy(),
                columns["id"].to_numpy(),
                reading["top_k"],
                _same_label(run, columns),
            )
            repeats = len(table) // max(len(columns), 1)
            for name in ("mask_kind", "mask_language", "train_gradient_mask", "draw"):
                table[name] = np.tile(columns[name].to_numpy(), repeats)
            if number > 1:  # the influence matrix needs other languages, and it is of the own settings alone
                table = table[table["language"] == table["train_language"]]
            yield table.assign(**reading)


def _weights(run: KeptScores, top_ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    own, *others = _readings(run, top_ks)
    first_gradient_mask = run.parameters["train_gradient_masks"][0]
    settings: list[tuple[Measure, dict[str, Any]]] = [("proponents", reading) for reading in (own, *others)]
    settings += [("auc", own), ("label_auc", own), ("opponents", own), ("proponents", own | {"score": "dot"})]
    columns = run.columns[run.columns["scoring_pass"] != TRAIN_ITEMS]
    columns = columns.assign(column=columns.groupby("scoring_pass").cumcount())
    for measure, reading in settings:
        weights = {}
        for scoring_pass in _passes(run):
            scores, same = _scores(run, scoring_pass, reading), _same_label(run, run.of(scoring_pass))
            weights[scoring_pass] = training_weights(scores, measure, reading["top_k"], same)
        for keys, rows in columns.groupby(MASK, sort=False):
            mask = dict(zip(MASK, keys, strict=True))
            departs = mask["mask_kind"] == "inherited" or (
                mask["mask_kind"] == "own" and mask["train_gradient_mask"] != first_gradient_mask
            )
            if departs and (measure, reading) != settings[0]:
                continue  # settings depart from the study's own in one thing at a time
            yield {
                "measure": measure,
                **reading,
                **mask,
                "weights": _mean_weights(run, measure, rows, weights),
            }


def _mean_weights(
    run: KeptScores, measure: Measure, rows: pd.DataFrame, weights: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The mean weight of each training example over one language's columns, in whichever passes: (train,)."""
    language = rows["language"].iloc[0]
    in_language = (run.train["language"] == language).to_numpy()
    ids = sorted(set(rows["id"]))  # passes have them in different orders
    positions = {number: i for i, number in enumerate(ids)}
    total = np.zeros((len(ids), len(in_language)), dtype=np.float64)
    for scoring_pass, part in rows.groupby("scoring_pass", sort=False):
        np.add.at(total, part["id"].map(positions).to_numpy(), weights[scoring_pass][:, part["column"]].T)
    total /= len(rows) / len(ids)
    if measure in AUCS:
        labels = rows.drop_duplicates("id").set_index("id")["label"]
        total /= _pairs(run, measure, in_language, labels[ids].to_numpy())[:, None]
    return total.mean(axis=0).astype(np.float32)


def _pairs(run: KeptScores, measure: Measure, in_language: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pairs of in-language and cross-language training examples that an AUC compares: (examples,)."""
    counted = np.ones((len(labels), len(in_language)), dtype=bool)
    if measure == "label_auc":
        counted = labels[:, None] == run.train["label"].to_numpy()
    # At least 1: without pairs, all weights are zero.
    return np.maximum((counted & in_language).sum(axis=1) * (counted & ~in_language).sum(axis=1), 1)
