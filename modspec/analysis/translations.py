"""Does cross-lingual influence flow between translations of one example? For parallel tasks.

A translation has the same group as the example, in another language. Because influence depends on language
and label anyhow, which translations share more often than chance, every observation stands beside a control
that keeps both, and the effect is the difference from that control.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, rankdata

from modspec.analysis.intervals import estimate
from modspec.analysis.scores import KeptScores
from modspec.analysis.shares import by_seed_and_example
from modspec.errors import InputError
from modspec.terms import ALL_LANGUAGES

COLUMNS = ["condition", "measure", "language_a", "language_b", "seeds", "examples", "observed", "chance"]
COLUMNS += ["control", "value", "low", "high", "p", "minimum_detectable"]
PER_EXAMPLE = ["measure", "language_a", "language_b", "id", "observed", "chance", "control"]


def translations(examples: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """One row a condition, measure and language or pair of languages; no rows for tasks without translations.

    ``examples``: :func:`by_example` of all runs.
    ``observed``, ``chance``, ``control``: means over seeds and examples. ``value``, ``low``, ``high``, ``p``,
    ``minimum_detectable``: :func:`modspec.analysis.intervals.estimate` of observed - control; an example is a
    group, whose translations are averaged. Measures:

    - ``translated_proponents``: share of the top-k proponents of a test example of ``language_a`` that have a
      translation among them; ``distinct_groups``: number of groups among them. Chance: random training
      examples. Control: random ones with as many of each language and label. Both exact.
    - ``shared_groups``: Jaccard overlap of the groups of the top-k proponents of a test example and of its
      translation, ``language_a`` < ``language_b``. Control: either of them, and unrelated test examples of
      the other's language and label. Chance has no closed form: NaN.
    - ``translations_found``, of training examples scored as evaluation examples (pass "train-items"), each
      left out of its own proponents: share found, of an example's m translations, among its top m;
      ``translation_percentile``: share of training examples that score lower than a translation.
      ``language_a``: the example's, ``language_b``: the translation's. Control: other training examples of
      the translation's language and label.

    ``language_b`` is ``"all languages"`` where a row is over all of them, and so is ``language_a``.
    """
    rows = []
    controlled = examples.dropna(subset="control")
    for keys, group in controlled.groupby(["condition", "measure"], sort=False):
        for pair, some in _views(group):
            observed, control = (by_seed_and_example(some, name) for name in ("observed", "control"))
            found = estimate(observed - control, confidence=confidence)
            means = observed.mean(), some["chance"].mean(), control.mean()
            result = found.value, found.low, found.high, found.p, found.minimum_detectable
            rows.append((*keys, *pair, *observed.shape, *means, *result))
    return pd.DataFrame(rows, columns=COLUMNS)


def by_example(run: KeptScores, *, top_k: int, score: str = "cosine") -> pd.DataFrame:
    """What :func:`translations` averages: a row a condition, seed, measure, pair of languages and example,
    with its group as ``id``; control is NaN where no other example has the language and label.

    Raises InputError where k is below 1 or above the number of training examples.
    """
    if not 1 <= top_k <= len(run.train):
        raise InputError(f"top_k: {top_k}; allowed: 1 to {len(run.train)}, the training examples")
    if not parallel(run.train):
        return pd.DataFrame(columns=[*PER_EXAMPLE, "condition", "seed"])
    found = pd.concat(_measured(run, top_k, score), ignore_index=True)
    return found.assign(condition=run.condition, seed=run.seed)


def parallel(train: pd.DataFrame) -> bool:
    """Whether groups are translations: they hold several examples, but one of each language."""
    return bool(train["group"].duplicated().any() and not train.duplicated(["group", "language"]).any())


@dataclass(frozen=True)
class _Training:
    """rows: (groups, languages), the position of a group's example in a language, -1 where there is none.
    groups, strata: of each training example. sizes: of strata, which are languages x labels."""

    rows: np.ndarray
    languages: pd.Index
    groups: np.ndarray
    strata: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, train: pd.DataFrame) -> _Training:
        groups, names = pd.factorize(train["group"])
        codes, languages = pd.factorize(train["language"])
        rows = np.full((len(names), len(languages)), -1)
        rows[groups, codes] = np.arange(len(train))
        strata = train.groupby(["language", "label"]).ngroup().to_numpy()
        return cls(rows, languages, groups, strata, np.bincount(strata))

    def by_language(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """(train, columns) -> for each language (groups, columns), zero where it lacks the group."""
        for rows in self.rows.T:
            yield np.where(rows[:, None] >= 0, values[rows], 0)

    def by_stratum(self, values: np.ndarray) -> np.ndarray:
        """(train, columns) -> sums, (strata, columns)."""
        return np.stack([values[self.strata == stratum].sum(axis=0) for stratum in range(len(self.sizes))])


def _measured(run: KeptScores, top_k: int, score: str) -> Iterator[pd.DataFrame]:
    training, columns, scores = _Training.of(run.train), run.of("none"), run.scores("none", score)
    chosen = np.zeros(scores.shape, dtype=bool)
    order = np.argsort(-scores, axis=0, kind="stable")  # ties as in specialization.example_statistics
    np.put_along_axis(chosen, order[:top_k], True, axis=0)
    counts = sum(training.by_language(chosen.astype(np.int64)))
    yield from _proponents(training, columns, chosen, counts, top_k)
    yield from _shared_groups(columns, counts > 0)
    if (run.columns["scoring_pass"] == "train-items").any():
        items = run.of("train-items")
        yield from _train_items(training, run.train, items, run.scores("train-items", score))


def _proponents(
    training: _Training, columns: pd.DataFrame, chosen: np.ndarray, counts: np.ndarray, top_k: int
) -> Iterator[pd.DataFrame]:
    """``counts``: proponents by group, (groups, columns). Of so many random ones of each stratum, one of a
    group is there independently of its translations, which are of other strata."""
    none, one = np.ones(counts.shape), np.zeros(counts.shape)
    for p in training.by_language((training.by_stratum(chosen) / training.sizes[:, None])[training.strata]):
        none, one = none * (1 - p), one * (1 - p) + none * p
    members = (training.rows >= 0).sum(axis=1)
    by_chance = [hypergeom.pmf(number, len(chosen), members, top_k) for number in range(2)]
    keys = (columns["language"], ALL_LANGUAGES, columns["group"])
    translated = [1 - single.sum(axis=0) / top_k for single in (counts == 1, by_chance[1], one)]
    yield _rows("translated_proponents", *keys, *translated)
    distinct = [len(counts) - absent.sum(axis=0) for absent in (counts == 0, by_chance[0], none)]
    yield _rows("distinct_groups", *keys, *distinct)


def _shared_groups(columns: pd.DataFrame, held: np.ndarray) -> Iterator[pd.DataFrame]:
    """``held``: groups that have a proponent, (groups, columns) bool."""
    inside = held.astype(np.float32)
    both, sizes = inside.T @ inside, held.sum(axis=0)
    overlap = both / (sizes[:, None] + sizes - both)
    language, group, label = (columns[name].to_numpy() for name in ("language", "group", "label"))
    for a, b in combinations(sorted(set(language)), 2):
        of_a, of_b = np.flatnonzero(language == a), np.flatnonzero(language == b)
        values = overlap[np.ix_(of_a, of_b)]
        same = group[of_a, None] == group[of_b]
        unrelated = (label[of_a, None] == label[of_b]) & ~same
        i, j = np.nonzero(same)
        total, number = (
            of.sum(axis=1)[i] + of.sum(axis=0)[j] for of in (np.where(unrelated, values, 0), unrelated)
        )
        control = np.divide(total, number, out=np.full(len(i), np.nan), where=number > 0)
        yield _rows("shared_groups", a, b, group[of_a[i]], values[i, j], np.nan, control)


def _train_items(
    training: _Training, train: pd.DataFrame, columns: pd.DataFrame, scores: np.ndarray
) -> Iterator[pd.DataFrame]:
    count, every = len(train), np.arange(len(columns))
    itself = pd.Index(train["id"]).get_indexer(columns["id"])
    others = scores.astype(np.float64)
    others[itself, every] = -np.inf
    places = np.empty(others.shape, dtype=np.int64)
    order = np.argsort(-others, axis=0, kind="stable")
    np.put_along_axis(places, order, np.arange(count)[:, None], axis=0)
    group = training.groups[itself]
    translated = (training.rows[group] >= 0).sum(axis=1) - 1
    lower = (rankdata(others, axis=0) - 2) / max(1, count - 2)  # the item itself has rank 1
    measures = {
        "translations_found": (places < translated, translated / (count - 1)),
        "translation_percentile": (lower, np.full(len(columns), 0.5)),
    }
    language = columns["language"].to_numpy()
    for measure, (values, chance) in measures.items():
        sums = training.by_stratum(values)
        for code, other in enumerate(training.languages):
            position = training.rows[group, code]
            of = every[(language != other) & (position >= 0)]
            row = position[of]
            stratum, observed = training.strata[row], values[row, of]
            rest = training.sizes[stratum] - 1
            total = sums[stratum, of] - observed
            control = np.divide(total, rest, out=np.full(len(of), np.nan), where=rest > 0)
            keys = (language[of], other, columns["group"].to_numpy()[of])
            yield _rows(measure, *keys, observed, chance[of], control)


def _rows(*values: object) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(PER_EXAMPLE, values, strict=True))).astype({"observed": float})


def _views(examples: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Every pair of languages, every language with all, and all with all."""
    a, b = examples["language_a"], examples["language_b"]
    yield from examples[b != ALL_LANGUAGES].groupby(["language_a", "language_b"], sort=False)
    symmetric = examples["measure"].iloc[0] == "shared_groups"
    for language in dict.fromkeys([*a, *b] if symmetric else a):
        yield (language, ALL_LANGUAGES), examples[(a == language) | ((b == language) & symmetric)]
    yield (ALL_LANGUAGES, ALL_LANGUAGES), examples
