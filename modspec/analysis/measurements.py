"""Statistics of every test example and weights of every training example, which stage 4 needs of stage 3.

``statistics.parquet`` holds one row per test example, mask and training language (see
:func:`modspec.analysis.shares.example_statistics`), under the run's own settings, and, for the example's own
language alone, under every other top k, checkpoint and checkpoint weight. Every in-language share of the
study is read from it. ``weights.parquet`` holds the mean weight of every training example in a measure
(where each seed drew its own training sample, in the share by cosine and by dot product alone);
shuffling the training examples' languages of these weights gives the distribution of the measure where
language does not matter. Differences of measures are sums of differences of weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from modspec.analysis.scores import KeptScores
from modspec.analysis.shares import (
    AUCS,
    Measure,
    example_statistics,
    share_statistics,
    training_weights,
)
from modspec.errors import InputError
from modspec.terms import SHARED_MASK_CONDITIONS, SPARSE_CONDITIONS
from modspec.workflow import artifacts

# How scores are made from checkpoints and read; the first columns that tell rows of a table apart.
READING = ["score", "top_k", "checkpoints", "checkpoint_weights"]
MASK = ["mask_kind", "train_gradient_mask", "language"]
CELL = ["condition", *READING, *MASK]
TRAIN_ITEMS = "train-items"  # the scoring pass whose evaluation examples are training examples


@dataclass(frozen=True)
class Setting:
    """One way of measuring; a value of None is the run's own parameter."""

    measure: Measure = "proponents"
    score: str = "cosine"
    top_k: int | None = None
    checkpoints: str = "all"  # those that are summed: "all" or "last"
    checkpoint_weights: str | None = None  # "learning_rate" or "one"
    own_mask: str = "own"  # the kind of mask that counts as a language's own: "own" or "inherited"
    # Mask of training gradients under a mask, of the conditions that were scored with it.
    train_gradient_mask: str | None = None


DEFAULT = Setting()


@dataclass(frozen=True)
class Cell:
    """One language's test examples under one condition and kind of mask; masks of one kind are averaged."""

    values: np.ndarray  # (seeds, examples): the measure minus chance
    # float32 (seeds, train), with StudyRuns' ``train``: mean over test examples; NaN where none are kept.
    weights: np.ndarray | float
    ids: tuple[str, ...]  # of the examples, sorted

    def minus(self, other: Cell) -> Cell:
        """Return the difference of two cells on the same examples and seeds."""
        assert self.ids == other.ids
        return Cell(self.values - other.values, self.weights - other.weights, self.ids)


@dataclass(frozen=True)
class MeasuredRun:
    """One run of stage 3 without its scores: one condition and seed."""

    parameters: Mapping[str, Any]
    train: pd.DataFrame  # one row per scored training example
    statistics: pd.DataFrame
    weights: pd.DataFrame


def measure(run: KeptScores, top_ks: Sequence[int] = ()) -> MeasuredRun:
    """Return the statistics and weights of a run.

    Args:
        run: kept scores.
        top_ks: further numbers of proponents to measure at; those above the number of training examples are
            left out.

    Raises:
        InputError: the run's own k is out of range.
    """
    statistics = pd.concat(_statistics(run, top_ks), ignore_index=True)
    statistics = statistics.assign(**{name: run.parameters[name] for name in ("condition", "seed")})
    return MeasuredRun(run.parameters, run.train, statistics, _weights(run, top_ks))


def write_measured(measured: MeasuredRun, directory: Path) -> None:
    """Write ``statistics.parquet``, ``weights.parquet`` and ``train.parquet``."""
    for name in ("statistics", "weights", "train"):
        getattr(measured, name).to_parquet(directory / f"{name}.parquet", index=False, compression="zstd")


def read_measured(directory: Path) -> MeasuredRun:
    """Return what :func:`write_measured` wrote into an artefact of stage 3; checks its files."""
    parameters = artifacts.read_manifest(directory)["made_by"]["parameters"]
    tables = (pd.read_parquet(directory / f"{name}.parquet") for name in ("train", "statistics", "weights"))
    return MeasuredRun(parameters, *tables)


class StudyRuns:
    """The runs of a study as cells with seeds stacked, in ascending order.

    Seeds share one training sample (``one_sample``), or each drew its own. ``train`` has every training
    example of any seed once, and ``samples``, bool (seeds, train), says which seeds drew it. In the others it
    weighs nothing, so that weights may be summed over seeds. ``sizes`` holds the number of training examples
    of each language, which is the same in all runs.

    Args:
        runs: of all conditions and seeds, on the same test examples.

    Raises:
        InputError: runs of one seed have other training examples, or those of two seeds other numbers of
            them.
    """

    def __init__(self, runs: Sequence[MeasuredRun]) -> None:
        by_seed = sorted(runs, key=lambda run: run.parameters["seed"])
        samples = _samples(by_seed)
        self.train = pd.concat(samples.values()).drop_duplicates(ignore_index=True)
        rows = {seed: _positions(sample, self.train) for seed, sample in samples.items()}
        self.samples = np.array([np.isin(np.arange(len(self.train)), places) for places in rows.values()])
        self.sizes = runs[0].train["language"].value_counts()
        self.parameters = runs[0].parameters
        # A single seed that drew its own is no sample that seeds share.
        self.one_sample = bool(self.samples.all()) and self.parameters.get("train_sample_seed") is None
        self.statistics = pd.concat([run.statistics for run in runs], ignore_index=True)
        self.languages = list(dict.fromkeys(runs[0].statistics["language"]))
        parameters = [run.parameters for run in runs]
        self._gradient_masks = {p["condition"]: p["train_gradient_masks"] for p in parameters}
        weights = pd.concat(
            run.weights.assign(
                condition=run.parameters["condition"],
                weights=run.weights["weights"].map(
                    partial(_placed, rows[run.parameters["seed"]], len(self.train))
                ),
            )
            for run in by_seed
        )
        self._weights = dict(tuple(weights.groupby(["measure", *CELL], sort=False)["weights"]))
        in_language = self.statistics[self.statistics["language"] == self.statistics["train_language"]]
        columns = [*get_args(Measure), "chance"]
        # Masks of one kind are averaged.
        means = in_language.groupby([*CELL, "seed", "id"])[columns].mean().reset_index()
        self._means = {name: means[name].to_numpy() for name in ("id", "seed", *columns)}
        self._rows = means.groupby(CELL).indices  # of each cell, sorted by seed and id

    @property
    def own_statistics(self) -> pd.DataFrame:
        """Return the rows of ``statistics`` under the study's own settings, cosine and dot product."""
        table, own = self.statistics, self._complete(DEFAULT)
        own_reading = (table["top_k"] == own.top_k) & (table["checkpoints"] == own.checkpoints)
        return table[own_reading & (table["checkpoint_weights"] == own.checkpoint_weights)]

    def settings(self) -> list[Setting]:
        """Return the study's own setting and every single departure from it that its runs allow."""
        own, table = self._complete(DEFAULT), self.statistics
        values = {
            "top_k": table["top_k"],
            "measure": ("auc", "label_auc", "opponents"),
            "score": ("dot",),
            "checkpoints": table["checkpoints"],
            "checkpoint_weights": table["checkpoint_weights"],
            "own_mask": {"inherited"} & set(table["mask_kind"]),
            "train_gradient_mask": [mask for masks in self._gradient_masks.values() for mask in masks[1:]],
        }
        departures = [(name, v) for name in values for v in dict.fromkeys(values[name])]
        return [DEFAULT, *(replace(DEFAULT, **{n: v}) for n, v in departures if v != getattr(own, n))]

    def has(self, condition: str, kind: str, setting: Setting = DEFAULT) -> bool:
        """Return whether a condition was scored under a kind of mask (``own``: the setting's)."""
        return any(self._key(condition, kind, t, setting) in self._rows for t in self.languages)

    def cell(
        self,
        condition: str,
        kind: str,
        language: str,
        setting: Setting = DEFAULT,
        train_gradient_mask: str | None = None,
    ) -> Cell:
        """Return one language's cell.

        Args:
            condition: one of the study's.
            kind: of mask; ``own``: the setting's.
            language: of the test examples.
            setting: how shares are measured.
            train_gradient_mask: None, the setting's.
        """
        key, measure = self._key(condition, kind, language, setting, train_gradient_mask), setting.measure
        means = {name: column[self._rows[key]] for name, column in self._means.items()}
        chance = 0.5 if measure in AUCS else means["chance"][0]
        shape = len(set(means["seed"])), -1
        ids, values = means["id"].reshape(shape), means[measure].reshape(shape)
        assert (ids == ids[0]).all()
        if measure in AUCS:
            values = np.nan_to_num(values, nan=chance)  # without pairs to compare, an AUC is at chance
        weights = self._weights.get((measure, *key))
        return Cell(values - chance, np.nan if weights is None else np.stack(weights), tuple(ids[0]))

    def difference(
        self, scored: Sequence[tuple[str, str]], language: str, setting: Setting = DEFAULT
    ) -> Cell:
        """Return one language's difference of cells, paired by seed and example.

        Args:
            scored: condition and kind of mask of one cell, of two (a - b), or of four ((a - b) - (c - d)).
            language: of the test examples.
            setting: how shares are measured.
        """
        cells = [self.cell(*scored_under, language, setting) for scored_under in scored]
        while len(cells) > 1:
            cells = [a.minus(b) for a, b in zip(cells[::2], cells[1::2], strict=True)]
        return cells[0]

    def shares(self, condition: str, kind: str, language: str) -> np.ndarray:
        """Return the share of every language among the proponents of test examples of one.

        Under the study's own setting; masks of one kind are averaged.

        Args:
            condition: one of the study's.
            kind: of mask.
            language: of the test examples.

        Returns:
            (training languages in the order of ``languages``, seeds, examples).
        """
        rows = self._shares.loc[self._key(condition, kind, language, DEFAULT)].unstack("id")
        by_name = rows.to_numpy().reshape(len(self.languages), -1, rows.shape[1])
        return by_name[np.argsort(np.argsort(self.languages))]

    @cached_property
    def _shares(self) -> pd.Series:
        """Shares by cell, training language, seed and test example, under the study's own settings."""
        return self.own_statistics.groupby([*CELL, "train_language", "seed", "id"])["proponents"].mean()

    def _complete(self, setting: Setting) -> Setting:
        """Return a setting with the runs' parameters where it says None."""
        own = {"top_k": self.parameters["top_k"], "checkpoint_weights": self.parameters["eta"]}
        return replace(setting, **{k: v for k, v in own.items() if getattr(setting, k) is None})

    def _key(
        self, condition: str, kind: str, language: str, setting: Setting, gradient_mask: str | None = None
    ) -> tuple:
        """Return where a cell stands in the tables; ``gradient_mask``: None, the setting's."""
        setting = self._complete(setting)
        reading = tuple(getattr(setting, name) for name in READING)
        masks = self._gradient_masks.get(condition, ["test_example"])
        if gradient_mask:
            masks = [gradient_mask]
        elif kind == "none":
            masks = ["test_example"]
        elif condition not in SHARED_MASK_CONDITIONS:
            main = masks[0] if kind == "own" and condition in SPARSE_CONDITIONS else "test_example"
            masks = [setting.train_gradient_mask if setting.train_gradient_mask in masks else main]
        # A mask that all languages share gives the same scores under either mask of training gradients.
        kind = setting.own_mask if kind == "own" else kind
        keys = [(condition, *reading, kind, mask, language) for mask in masks]
        return next((key for key in keys if key in self._rows), keys[0])


def _samples(runs: Sequence[MeasuredRun]) -> dict[int, pd.DataFrame]:
    """Return the training examples of each seed; raise InputError where runs contradict each other."""
    samples: dict[int, pd.DataFrame] = {}
    sizes = runs[0].train["language"].value_counts().to_dict()
    for run in runs:
        name = "{condition}-seed{seed}".format_map(run.parameters)
        if not run.train.equals(samples.setdefault(run.parameters["seed"], run.train)):
            raise InputError(f"{name}: has other training examples than its seed's other conditions")
        if (found := run.train["language"].value_counts().to_dict()) != sizes:
            raise InputError(f"{name}: has {found} training examples; allowed: {sizes}, as in other seeds")
    return samples


def _positions(sample: pd.DataFrame, train: pd.DataFrame) -> np.ndarray:
    """Return where the rows of a seed's sample stand in the table of all seeds' training examples."""
    return pd.MultiIndex.from_frame(train).get_indexer(pd.MultiIndex.from_frame(sample))


def _placed(rows: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """Return a seed's weights in the table of all seeds' training examples, zero where it lacks one."""
    placed = np.zeros(count, weights.dtype)
    placed[rows] = weights
    return placed


def _readings(run: KeptScores, top_ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield every reading of a run's cosine: its own first, then each departure."""
    own = dict(zip(READING, ("cosine", run.parameters["top_k"], "all", run.parameters["eta"]), strict=True))
    yield own
    yield from (own | {"top_k": k} for k in top_ks if k <= len(run.train) and k != own["top_k"])
    if len(run.checkpoints) > 1:
        yield own | {"checkpoints": "last"}
        other = "one" if own["checkpoint_weights"] == "learning_rate" else "learning_rate"
        yield own | {"checkpoint_weights": other}


def _scores(run: KeptScores, scoring_pass: str, reading: Mapping[str, Any]) -> np.ndarray:
    """Return a pass's scores under a reading: (train, columns)."""
    names = ("score", "checkpoints", "checkpoint_weights")
    return run.scores(scoring_pass, **{name: reading[name] for name in names})


def _passes(run: KeptScores) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Yield the passes whose evaluation examples are test examples: name, columns, and whether both examples
    have the same label, bool (train, columns)."""
    for name, columns in run.columns.groupby("scoring_pass", sort=False):
        if name != TRAIN_ITEMS:
            yield name, columns, run.train["label"].to_numpy()[:, None] == columns["label"].to_numpy()


def _statistics(run: KeptScores, top_ks: Sequence[int]) -> Iterator[pd.DataFrame]:
    """Yield ``statistics.parquet``, one table per scoring pass and reading."""
    own, *others = _readings(run, top_ks)
    train_languages = run.train["language"].to_numpy()
    for scoring_pass, columns, same_label in _passes(run):
        evaluation = columns["language"].to_numpy(), columns["id"].to_numpy()
        masks = columns[["mask_kind", "mask_language", "train_gradient_mask", "draw"]]
        for number, reading in enumerate([own, own | {"score": "dot"}, *others]):
            scores, top_k = _scores(run, scoring_pass, reading), reading["top_k"]
            if number < 2:
                table = example_statistics(scores, train_languages, *evaluation, top_k, same_label)
            else:
                table = share_statistics(scores, train_languages, *evaluation, top_k)
            repeated = {name: np.resize(values.to_numpy(), len(table)) for name, values in masks.items()}
            table = table.assign(**repeated, **reading)
            # Only the influence matrix, which is of the study's own settings, needs other languages.
            yield table if number < 2 else table[table["language"] == table["train_language"]]


def _weights(run: KeptScores, top_ks: Sequence[int]) -> pd.DataFrame:
    """Return ``weights.parquet``: the mean weight of every training example over a cell's columns, in
    whichever passes they are. A sum over the language's examples is the mean of the cell's values."""
    own, *others = _readings(run, top_ks)
    settings: list[tuple[Measure, dict[str, Any]]] = [("proponents", reading) for reading in (own, *others)]
    settings += [("auc", own), ("label_auc", own), ("opponents", own), ("proponents", own | {"score": "dot"})]
    if run.parameters.get("train_sample_seed") is not None:
        # Training examples are no third source of chance then. Hub examples are counted in these two.
        settings = [settings[0], settings[-1]]
    sums: dict[tuple, np.ndarray] = {}
    counts: Counter[tuple] = Counter()
    for scoring_pass, columns, same_label in _passes(run):
        same_language = run.train["language"].to_numpy()[:, None] == columns["language"].to_numpy()
        positions = columns.groupby(MASK, sort=False).indices
        for measure, reading in settings:
            # Settings depart from the study's own in one thing at a time.
            is_own = (measure, reading) == settings[0]
            chosen = {m: places for m, places in positions.items() if is_own or not _departs(run, *m)}
            if not chosen:
                continue
            weights = training_weights(
                _scores(run, scoring_pass, reading), measure, reading["top_k"], same_label
            ).astype(np.float64)
            if measure in AUCS:
                counted = same_label if measure == "label_auc" else np.ones_like(same_label)
                pairs = (counted & same_language).sum(axis=0) * (counted & ~same_language).sum(axis=0)
                weights /= np.maximum(pairs, 1)  # without pairs, all weights are zero
            for mask, places in chosen.items():
                cell = (measure, *reading.values(), *mask)
                sums[cell] = sums.get(cell, 0) + weights[:, places].sum(axis=1)
                counts[cell] += len(places)
    rows = [(*cell, (total / counts[cell]).astype(np.float32)) for cell, total in sums.items()]
    return pd.DataFrame(rows, columns=["measure", *READING, *MASK, "weights"])


def _departs(run: KeptScores, mask_kind: str, train_gradient_mask: str, language: str) -> bool:
    """Return whether only a departure from the study's own setting reads these scores."""
    other_gradients = train_gradient_mask != run.parameters["train_gradient_masks"][0]
    return mask_kind == "inherited" or (mask_kind == "own" and other_gradients)
