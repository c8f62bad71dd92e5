"""What leaving a language out of training costs, and whether influence predicts it (Q7).

The cost for a test item is its *lost margin*: its margin after training on all, minus its margin after
training without the language (log p / (1 - p), nats). Training examples with positive influence on an item
should cost margin when they are left out: where influence predicts the cost, the two correlate positively.

Tables are those of ``modspec.stages.leave_one_out`` (``margins.parquet``, of one or several seeds) and of
stage 3 (``statistics.parquet`` under the run's own settings, see ``StudyRuns.own_statistics``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from modspec.analysis.intervals import mean_and_interval
from modspec.analysis.ranks import standardised_ranks
from modspec.errors import InputError
from modspec.terms import ALL_LANGUAGES, RANDOM_PART

# Condition -> the mask that its margins are measured under, and so the mask of the influence beside them.
MASK_OF_MARGINS = {"full": "none", "sft": "own"}
OWN, OTHERS = "the left-out language", "the other languages"  # test items
FEWEST_LANGUAGES = 4  # of three, centring leaves one number, and all correlations are 1 or -1


def lost_margins(table: pd.DataFrame, languages: Sequence[str]) -> np.ndarray:
    """Return the mean lost margin of each language's test items.

    Args:
        table: of one condition; one or several seeds.
        languages: in the order of the result.

    Returns:
        Float64 (seeds, left-out language, test language), in nats, seeds in ascending order.
    """
    return _by_seed(_with_lost(table), ["left_out", "language"], "lost", languages)


def summed_influence(statistics: pd.DataFrame, languages: Sequence[str], condition: str) -> np.ndarray:
    """Return the summed signed dot product of each language's training examples, mean over test items.

    Args:
        statistics: of one or several seeds. Scored training examples alone count.
        languages: in the order of the result.
        condition: ``full``, scored without mask, or ``sft``, scored under the test item's own mask.

    Returns:
        Float64 (seeds, training language, test language), seeds in ascending order.

    Raises:
        InputError: nothing was scored under this mask, or not with training gradients under it.
    """
    rows = _dot_products(statistics, condition)
    return _by_seed(rows, ["train_language", "language"], "influence", languages)


def centred_pairs(matrix: np.ndarray) -> np.ndarray:
    """Return the cells of different languages, less what their rows and columns explain.

    Args:
        matrix: (..., languages, languages).

    Returns:
        (..., ordered pairs of different languages), row by row: the residuals of the least-squares fit of a
        number for each row and each column, whose sums over every row and every column are zero.
    """
    count = matrix.shape[-1]
    rows, columns = np.nonzero(~np.eye(count, dtype=bool))
    design = np.hstack([np.eye(count)[rows], np.eye(count)[columns]])
    return matrix[..., rows, columns] @ (np.eye(len(rows)) - design @ np.linalg.pinv(design))


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of two matrices over the :func:`centred_pairs` of languages.

    Args:
        first: (..., languages, languages).
        second: the same shape.

    Returns:
        (...); NaN for fewer than four languages.
    """
    if first.shape[-1] < FEWEST_LANGUAGES:
        return np.full(first.shape[:-2], np.nan)
    ranks = [standardised_ranks(centred_pairs(matrix)) for matrix in (first, second)]
    return (ranks[0] * ranks[1]).mean(axis=-1)


@dataclass(frozen=True)
class Agreement:
    """A rank correlation, and its interval for new test items."""

    value: float
    low: float
    high: float
    pairs: int  # ordered pairs of different languages


def agreement(
    table: pd.DataFrame,
    statistics: pd.DataFrame,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Return the rank correlation of summed influence with lost margin, of one run.

    The interval is a percentile bootstrap over groups of translated test items. Items whose influence was
    scored are resampled among themselves, and so are the others. The interval says nothing of other seeds, of
    other training examples or of other languages.

    Args:
        table: of one condition and seed.
        statistics: of the same run.
        confidence: of the interval.
        resamples: of the bootstrap.
        seed: of the resamples.

    Raises:
        InputError: as :func:`summed_influence`.
    """
    (condition,) = set(table["condition"])
    languages = [name for name in dict.fromkeys(table["left_out"]) if name != RANDOM_PART]
    lost = _with_lost(table).pivot_table("lost", ["group", "language", "id"], "left_out")[languages]
    influence = _dot_products(statistics, condition)
    influence = influence.pivot_table("influence", ["language", "id"], "train_language")[languages]
    both = lost.join(influence.add_prefix("influence of "), on=["language", "id"]).reset_index()
    scored = both[f"influence of {languages[0]}"].notna().to_numpy()
    weights = _resampled(both, scored, resamples, np.random.default_rng(seed))
    matrices = []
    for columns, counted in ((languages, True), ([f"influence of {name}" for name in languages], scored)):
        means = []
        for language in languages:
            places = np.flatnonzero((both["language"] == language) & counted)
            drawn = weights[:, places]
            values = both[columns].to_numpy()[places]
            means.append(drawn @ values / drawn.sum(axis=1, keepdims=True))
        matrices.append(np.stack(means, axis=-1))  # (draws, left out, test language)
    correlations = rank_correlation(*matrices)
    tail = (1 - confidence) / 2
    low, high = np.quantile(correlations[1:], [tail, 1 - tail])
    return Agreement(float(correlations[0]), float(low), float(high), len(languages) * (len(languages) - 1))


def against_random_part(table: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Return what leaving out a language costs beyond what leaving out a random part costs.

    Args:
        table: of one condition and seed.
        confidence: of the t interval over groups of translated test items.

    Returns:
        One row per left-out language, or ``ALL_LANGUAGES`` for their mean, kind of test items (:data:`OWN`,
        :data:`OTHERS`) and measure: value, low, high; ``groups``, their number. Measures: ``lost margin``
        (nats), ``lost accuracy`` (0 to 1). Of a group's items of several languages, the mean counts.
    """
    costs = _with_lost(table).assign(
        accuracy=_right(table, "prediction_all") - _right(table, "prediction"),
        items=np.where(table["language"] == table["left_out"], OWN, OTHERS),
    )
    measures = {"lost": "lost margin", "accuracy": "lost accuracy"}
    is_random = costs["left_out"] == RANDOM_PART
    random, costs = costs[is_random].set_index("id")[list(measures)], costs[~is_random]
    costs[list(measures)] -= random.loc[costs["id"]].to_numpy()
    rows = []
    for left_out, cost in (*costs.groupby("left_out", sort=False), (ALL_LANGUAGES, costs)):
        for items, measure in product((OWN, OTHERS), measures):
            values = cost[cost["items"] == items].groupby("group")[measure].mean().to_numpy()
            estimated = mean_and_interval(values[None], confidence)
            rows.append((left_out, items, measures[measure], *estimated, len(values)))
    return pd.DataFrame(rows, columns=["left_out", "items", "measure", "value", "low", "high", "groups"])


def accuracy_by_left_out(table: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy, 0 to 1, by left-out set (rows; the first: nothing) and test language."""
    languages = list(dict.fromkeys(table["language"]))
    everything = table.drop_duplicates(["seed", "id"]).assign(left_out="nothing")
    rows = [everything.assign(right=_right(everything, "prediction_all"))]
    rows.append(table.assign(right=_right(table, "prediction")))
    return pd.concat(rows).pivot_table("right", "left_out", "language", sort=False)[languages]


def cost_and_influence(table: pd.DataFrame, statistics: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the two matrices side by side, as :func:`modspec.figures.language_matrices.leave_one_out` draws
    them.

    Args:
        table: of one condition; means over its seeds.
        statistics: of the same runs; None: the cost alone.

    Returns:
        One row per ``quantity``, ``left_out`` and ``language`` of the test items. Quantities: ``lost margin``
        (nats); ``influence``, as a share of the largest absolute value.
    """
    languages = list(dict.fromkeys(table["language"]))
    sets = [*languages, RANDOM_PART]
    lost = _with_lost(table).pivot_table("lost", "left_out", "language").loc[sets, languages]
    matrices = {"lost margin": lost}
    if statistics is not None:
        (condition,) = set(table["condition"])
        mean = summed_influence(statistics, languages, condition).mean(axis=0)
        matrices["influence"] = pd.DataFrame(mean / np.abs(mean).max(), languages, languages)
    columns = ["quantity", "left_out", "language"]
    stacked = pd.concat(matrices, names=columns[:2]).rename_axis(columns="language").stack()
    return stacked.rename("value").reset_index()


def in_words(excess: pd.DataFrame, found: Agreement | None = None) -> str:
    """Return what :func:`against_random_part` and :func:`agreement` say, one sentence a line."""
    mean = excess[(excess["measure"] == "lost margin") & (excess["left_out"] == ALL_LANGUAGES)]
    lines = [
        f"On test items of {row.items}, leaving out a language costs {row.value:z.2f} nats of margin more "
        f"than leaving out a random part [{row.low:z.2f}, {row.high:z.2f}] (mean over languages)."
        for row in mean.itertuples(index=False)
    ]
    if found is not None and np.isnan(found.value):
        lines.append(f"No rank correlation is shown, because it needs {FEWEST_LANGUAGES} languages.")
    elif found is not None:
        lines.append(
            f"Influence and lost margin have a rank correlation of {found.value:z.2f} [{found.low:z.2f}, "
            f"{found.high:z.2f}] over {found.pairs} ordered pairs of languages."
        )
    return "\n".join([*lines, "All intervals are over test items: they say nothing of other seeds."])


def _with_lost(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(lost=table["margin_all"] - table["margin"])


def _by_seed(rows: pd.DataFrame, axes: list[str], value: str, languages: Sequence[str]) -> np.ndarray:
    """Return means as (seeds, languages, languages)."""
    means = rows.groupby(["seed", *axes])[value].mean()
    seeds = sorted(set(rows["seed"]))
    order = pd.MultiIndex.from_product([seeds, languages, languages])
    return means.loc[order].to_numpy().reshape(len(seeds), len(languages), len(languages))


def _dot_products(statistics: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Return the rows of ``statistics`` that hold dot products under the mask that margins are measured
    under."""
    kind = MASK_OF_MARGINS[condition]
    wanted = {"condition": condition, "mask_kind": kind, "score": "dot"}
    wanted["train_gradient_mask"] = "test_example"
    rows = statistics[(statistics[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if rows.empty:
        allowed = f"scores under mask_kind {kind!r} with training gradients under 'test_example'"
        raise InputError(f"statistics: condition {condition!r} has none; allowed: {allowed}")
    return rows


def _right(table: pd.DataFrame, prediction: str) -> pd.Series:
    return (table[prediction] == table["label"]).astype(float)


def _resampled(items: pd.DataFrame, scored: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each item is drawn, (1 + count, items): once each first, then in ``count`` resamples.

    Groups are drawn with replacement within strata. Groups of one stratum have items in the same languages,
    and either all of them have a scored item or none has.
    """
    codes, _ = pd.factorize(items["group"])
    strata = pd.crosstab(codes, items["language"]).astype(bool)
    strata["scored"] = pd.Series(scored).groupby(codes).any()
    weights = np.ones((1 + count, len(strata)))
    for members in strata.groupby(list(strata)).indices.values():
        size = len(members)
        weights[1:, members] = rng.multinomial(size, np.full(size, 1 / size), count)
    return weights[:, codes]
