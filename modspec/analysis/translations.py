"""Does cross-lingual influence flow between translations of one example? For parallel tasks.

A translation has the same group as the example, in another language. Because influence depends on language
and label anyhow, which translations share more often than chance, a control that keeps both stands beside
every observation, and the effect is the difference from that control.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, rankdata

from modspec.analysis.intervals import estimate
from modspec.analysis.scores import KeptScores
from modspec.analysis.shares import by_seed_and_example, strongest
from modspec.terms import ALL_LANGUAGES

COLUMNS = ["condition", "measure", "language_a", "language_b", "seeds", "examples", "observed", "chance"]
COLUMNS += ["control", "value", "low", "high", "p", "minimum_detectable"]
PER_EXAMPLE = ["measure", "language_a", "language_b", "id", "observed", "chance", "control"]


def translations(examples: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Return how often translations influence the same examples, by condition, measure and languages.

    Args:
        examples: :func:`by_example` of all runs.
        confidence: of the intervals.

    Returns:
        One row per condition, measure and language or pair of languages; none for tasks without translations.
        ``observed``, ``chance``, ``control``: means over seeds and examples. ``value``, ``low``, ``high``,
        ``p``, ``minimum_detectable``: :func:`modspec.analysis.intervals.estimate` of observed - control; an
        example is a group, whose translations are averaged. Where every seed drew its own training sample,
        the training examples that are scored as test examples differ too, and the seeds' means alone are the
        sample. ``language_b`` is ``"all languages"`` where a row is over all of them, and so is
        ``language_a``. Measures:

        - ``translated_proponents``: share of the top-k proponents of a test example of ``language_a`` that
        have
          a translation among them; ``distinct_groups``: number of groups among them. Chance: random training
          examples. Control: random ones with as many of each language and label. Both exact.
        - ``shared_groups``: Jaccard overlap of the groups of the top-k proponents of a test example and of
        its
          translation, ``language_a`` < ``language_b``. Control: either of them, and unrelated test examples
          of the other's language and label. Chance has no closed form: NaN.
        - ``translations_found``, of training examples scored as test examples (pass "train-items"), each left
          out of its own proponents: share found, of an example's m translations, among its top m;
          ``translation_percentile``: share of training examples that score lower than a translation.
          ``language_a``: the example's, ``language_b``: the translation's. Control: other training examples
          of the translation's language and label.
    """
    rows = []
    controlled = examples.dropna(subset="control")
    for keys, group in controlled.groupby(["condition", "measure"], sort=False):
        for pair, rows_of_pair in _views(group):
            observed, control = (_by_seed_and_item(rows_of_pair, name) for name in ("observed", "control"))
            effect = estimate(observed - control, confidence=confidence)
            means = observed.mean(), rows_of_pair["chance"].mean(), control.mean()
            result = effect.value, effect.low, effect.high, effect.p, effect.minimum_detectable
            items = rows_of_pair.groupby("seed")["id"].nunique()
            rows.append((*keys, *pair, len(items), items.max(), *means, *result))
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_seed_and_item(rows: pd.DataFrame, measure: str) -> np.ndarray:
    """Return a measure as (seeds, items); where seeds have other items, the seeds' means as (1, seeds)."""
    means = rows.groupby(["seed", "id"])[measure].mean()
    of_seeds = means.groupby("seed")
    if means.index.unique("id").size > of_seeds.size().max():
        return of_seeds.mean().to_numpy()[None]
    return by_seed_and_example(rows, measure)


def by_example(run: KeptScores, *, top_k: int) -> pd.DataFrame:
    """Return what :func:`translations` averages.

    Args:
        run: kept scores, without mask and perhaps of training items.
        top_k: number of proponents.

    Returns:
        One row per condition, seed, measure, pair of languages and example, with its group as ``id``; control
        is NaN where no other example has the language and label. No rows for tasks without translations.

    Raises:
        InputError: k is below 1 or above the number of training examples.
    """
    scores = run.scores("none")
    proponents = strongest(scores, top_k)
    if not parallel(run.train):
        return pd.DataFrame(columns=[*PER_EXAMPLE, "condition", "seed"])
    tables = pd.concat(_measured(run, scores, proponents), ignore_index=True)
    return tables.assign(**{name: run.parameters[name] for name in ("condition", "seed")})


def parallel(train: pd.DataFrame) -> bool:
    """Return whether groups are translations: they hold several examples, but at most one per language."""
    return bool(train["group"].duplicated().any() and not train.duplicated(["group", "language"]).any())


class _Training:
    """Which training examples are translations of each other, and which are alike in language and label.

    groups: int (train,). languages: (languages,). rows: int (groups, languages), position of a group's
    example in a language; -1: there is none. strata: int (train,), language x label. sizes: int (strata,).
    """

    def __init__(self, train: pd.DataFrame) -> None:
        self.groups, names = pd.factorize(train["group"])
        codes, self.languages = pd.factorize(train["language"])
        self.rows = np.full((len(names), len(self.languages)), -1)
        self.rows[self.groups, codes] = np.arange(len(train))
        self.strata = train.groupby(["language", "label"]).ngroup().to_numpy()
        self.sizes = np.bincount(self.strata)

    def by_language(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Yield (train, columns) by language, as (groups, columns), zero where it lacks the group."""
        for rows in self.rows.T:
            yield np.where(rows[:, None] >= 0, values[rows], 0)

    def by_stratum(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of (train, columns) by stratum, (strata, columns)."""
        return np.stack([values[self.strata == stratum].sum(axis=0) for stratum in range(len(self.sizes))])


def _measured(run: KeptScores, scores: np.ndarray, proponents: np.ndarray) -> Iterator[pd.DataFrame]:
    """Yield every measure; ``scores``: (train, columns), ``proponents``: (k, columns)."""
    training, columns = _Training(run.train), run.columns_of("none")
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, proponents, True, axis=0)
    counts = sum(training.by_language(chosen.astype(np.int64)))
    yield from _proponents(training, columns, chosen, counts, len(proponents))
    yield from _shared_groups(columns, counts > 0)
    items = run.columns_of("train-items")
    if len(items):
        yield from _train_items(training, run.train, items, run.scores("train-items"))


def _proponents(
    training: _Training, columns: pd.DataFrame, chosen: np.ndarray, counts: np.ndarray, top_k: int
) -> Iterator[pd.DataFrame]:
    """Yield the measures of proponents that are translations of each other.

    ``counts``: proponents by group, int (groups, columns). Among random proponents, as many in each stratum,
    an example of a group is independent of its translations, which are in other strata.
    """
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
    """Yield the overlap of translations' groups; ``held``: bool (groups, columns), whether a group has a
    proponent."""
    inside = held.astype(np.float32)
    both, sizes = inside.T @ inside, held.sum(axis=0)
    overlap = both / (sizes[:, None] + sizes - both)
    language, group, label = (columns[name].to_numpy() for name in ("language", "group", "label"))
    for a, b in combinations(sorted(set(language)), 2):
        columns_a, columns_b = np.flatnonzero(language == a), np.flatnonzero(language == b)
        values = overlap[np.ix_(columns_a, columns_b)]
        same = group[columns_a, None] == group[columns_b]
        unrelated = (label[columns_a, None] == label[columns_b]) & ~same
        i, j = np.nonzero(same)
        total, number = (
            pairs.sum(axis=1)[i] + pairs.sum(axis=0)[j]
            for pairs in (np.where(unrelated, values, 0), unrelated)
        )
        control = np.divide(total, number, out=np.full(len(i), np.nan), where=number > 0)
        yield _rows("shared_groups", a, b, group[columns_a[i]], values[i, j], np.nan, control)


def _train_items(
    training: _Training, train: pd.DataFrame, columns: pd.DataFrame, scores: np.ndarray
) -> Iterator[pd.DataFrame]:
    """Yield the measures of training examples scored as test examples; ``scores``: (train, columns)."""
    count, items = len(train), np.arange(len(columns))
    itself = pd.Index(train["id"]).get_indexer(columns["id"])
    others = scores.astype(np.float64)
    others[itself, items] = -np.inf
    places = np.empty(others.shape, dtype=np.int64)
    np.put_along_axis(places, strongest(others, count), np.arange(count)[:, None], axis=0)
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
            translated_items = items[(language != other) & (position >= 0)]
            row = position[translated_items]
            stratum, observed = training.strata[row], values[row, translated_items]
            rest = training.sizes[stratum] - 1
            total = sums[stratum, translated_items] - observed
            control = np.divide(total, rest, out=np.full(len(row), np.nan), where=rest > 0)
            keys = (language[translated_items], other, columns["group"].to_numpy()[translated_items])
            yield _rows(measure, *keys, observed, chance[translated_items], control)


def _rows(*values: object) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(PER_EXAMPLE, values, strict=True))).astype({"observed": float})


def _views(examples: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield the rows of every pair of languages, of every language with all, and of all with all."""
    a, b = examples["language_a"], examples["language_b"]
    yield from examples[b != ALL_LANGUAGES].groupby(["language_a", "language_b"], sort=False)
    symmetric = examples["measure"].iloc[0] == "shared_groups"
    for language in dict.fromkeys([*a, *b] if symmetric else a):
        yield (language, ALL_LANGUAGES), examples[(a == language) | ((b == language) & symmetric)]
    yield (ALL_LANGUAGES, ALL_LANGUAGES), examples
