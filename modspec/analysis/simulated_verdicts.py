"""How often the verdicts of the analysis plan err, and what they find: by simulation.

A simulated study has the true effect that we give it, and the variances of a published one. Its table of
seeds and items is balanced and normal,

    value = effect + seed + item + rest,

so its mean and its three mean squares are independent of each other: we draw these (normal, chi-square)
instead of tables. They are all that :mod:`modspec.analysis.intervals` makes an estimate of. One set of draws
serves every effect, because an effect moves the mean alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import chi2

from modspec.analysis.intervals import POWER, Variance, adjusted
from modspec.analysis.verdicts import SMALL, verdicts
from modspec.terms import Question

CAUTION = 0.8  # confidence of the upper end of the seeds' variance
RIGHT = ("supported", "rises")  # verdicts on a true effect above zero that say so
# Tails at which critical distances are tabulated, to read p-values from.
TAILS = np.append(np.geomspace(1e-9, 0.4, 200), 0.5)


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a value's sources of chance, in the value's unit."""

    seed: float
    item: float
    rest: float


@dataclass(frozen=True)
class Noise:
    """Simulated estimates of one task where the true effect is zero."""

    means: np.ndarray  # (draws,)
    variance: Variance  # parts (draws, parts)


def spread_of(values: np.ndarray, training: np.ndarray | None = None, *, cautious: bool = False) -> Spread:
    """Return the standard deviations behind a published sample (analysis of variance; negative ones are 0).

    Args:
        values: (seeds, items).
        training: what each item of the training sample that all seeds share adds to the mean, or None. Seeds
            that draw samples of their own also differ by these, so their variance is added to the seeds'.
        cautious: take the seeds' variance at the upper end of its one-sided 80 % interval, because a few
            seeds tell little about it.
    """
    seeds, items = values.shape
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + values.mean()
    rest = (rest**2).sum() / ((seeds - 1) * (items - 1))
    between = rows.var(ddof=1)
    if cautious:
        between *= (seeds - 1) / chi2.ppf(1 - CAUTION, seeds - 1)
    seed = max(0.0, between - rest / items)
    if training is not None:
        seed += len(training) * training.var(ddof=1)
    item = max(0.0, columns.var(ddof=1) - rest / seeds)
    return Spread(*(float(np.sqrt(variance)) for variance in (seed, item, rest)))


def draw_noise(spread: Spread, seeds: int, items: int, draws: int, rng: np.random.Generator) -> Noise:
    """Draw ``draws`` estimates of a task whose true effect is zero."""
    seed, item, rest = spread.seed**2, spread.item**2, spread.rest**2
    means = rng.normal(0, np.sqrt(seed / seeds + item / items + rest / (seeds * items)), draws)
    expected = np.array([items * seed + rest, seeds * item + rest, rest])
    df = np.array([seeds - 1, items - 1, (seeds - 1) * (items - 1)])
    squares = expected * rng.chisquare(df, (draws, 3)) / df
    return Noise(means, Variance.of_mean_squares(squares[:, :2], squares[:, 2], (seeds, items)))


@dataclass(frozen=True)
class Simulated:
    """A question's estimates, pooled over tasks, for each effect and draw."""

    question: Question
    effects: np.ndarray  # (effects,), the true ones
    values: np.ndarray  # (effects, draws)
    p: np.ndarray  # (effects, draws), not corrected
    half: np.ndarray  # half widths of the intervals, broadcast against ``values``; NaN: none
    task_values: np.ndarray  # (tasks, effects, draws), each task's estimates
    task_halves: np.ndarray  # the same of these


def simulate(
    question: Question, tasks: Sequence[Noise], effects: np.ndarray, confidence: float = 0.95
) -> Simulated:
    """Return what :func:`modspec.analysis.intervals.pooled_estimate` says of tasks with the same effect."""
    tail = (1 - confidence) / 2
    pooled = Variance.joined([task.variance for task in tasks])
    task_values = np.array([task.means + effects[:, None] for task in tasks])
    values = task_values.mean(axis=0)
    halves = np.array([task.variance.critical(tail) for task in tasks])[:, None]
    p = p_at_distance(pooled, np.abs(values))
    return Simulated(question, effects, values, p, pooled.critical(tail), task_values, halves)


def p_at_distance(variance: Variance, distances: np.ndarray) -> np.ndarray:
    """Return the two-sided p of means at ``distances``, (…, draws), from zero; below 2e-9 it is 2e-9.

    Read from a table of critical distances, which is exact to three digits.
    """
    limits = variance.critical(TAILS[:, None]).T  # (draws, tails), falling
    log_p = np.log(2 * TAILS)
    columns = [
        np.interp(of_draw, limit[::-1], log_p[::-1])
        for of_draw, limit in zip(distances.T, limits, strict=True)
    ]
    return np.exp(columns).T


def words(simulated: Simulated, p_adjusted: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Return the verdict on every simulated study, str (effects, draws).

    Tasks are equivalent together only where each of them is.
    """
    question = simulated.question

    def of(values: np.ndarray, half: np.ndarray, p: np.ndarray, question: Question) -> np.ndarray:
        return verdicts(values, values - half, values + half, p, question, confidence)

    each = of(simulated.task_values, simulated.task_halves, np.ones(()), question)
    pooled, without_margin = (
        of(simulated.values, simulated.half, p_adjusted, judged)
        for judged in (question, replace(question, margin=None))
    )
    return np.where(np.isin(each, SMALL).all(axis=0), pooled, without_margin)


def rates(
    simulated: Mapping[str, Simulated], others: int, rng: np.random.Generator, level: float = 0.05
) -> pd.DataFrame:
    """Return how often each verdict is given.

    Holm's correction is over the questions that are simulated and ``others``. All questions but the one that
    is looked at have no effect.

    Args:
        simulated: of each question; their first effect is zero, and they have the same number of draws.
        others: number of questions whose variances nobody knows yet; their p-values are uniform.
        rng: of these p-values.
        level: of the tests.

    Returns:
        One row per question and effect: ``question``, ``effect``, ``margin``; shares of draws ``rejected``
        (p below the level), ``rejected_holm`` (after correction), ``right`` (the verdict says that the effect
        is above zero) and ``small`` (the verdict says that any effect is inside the margin). And one row
        "any", of the effect 0: whether any of the questions is rejected.
    """
    draws = next(iter(simulated.values())).values.shape[1]
    null = np.array([of.p[0] for of in simulated.values()] + list(rng.uniform(size=(others, draws))))
    rows = []
    for number, (code, of) in enumerate(simulated.items()):
        family = np.repeat(null[None], len(of.effects), axis=0)
        family[:, number] = of.p
        holm = adjusted(family.swapaxes(1, 2))[..., number]
        said = words(of, holm, 1 - level)
        claimed = (of.p < level, holm < level, np.isin(said, RIGHT), np.isin(said, SMALL))
        shares = np.array([which.mean(axis=1) for which in claimed])
        if of.question.margin is None:
            shares[-1] = np.nan
        rows += [
            (code, effect, of.question.margin, *at) for effect, *at in zip(of.effects, *shares, strict=True)
        ]
    some = (null < level).any(axis=0).mean(), (adjusted(null.T) < level).any(axis=1).mean()
    rows.append(("any", 0.0, None, *some, np.nan, np.nan))
    return pd.DataFrame(rows, columns="question effect margin rejected rejected_holm right small".split())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per question, number of seeds and spread: error rates and power.

    Args:
        table: from :func:`rates`, with any further columns that name a simulation.

    Returns:
        ``false_positives``, ``false_positives_holm``, ``small_at_zero``, ``small_at_margin``,
        ``power_at_margin``, ``power_at_double``, ``smallest``: the effect that is found with 80 % power, NaN
        where no simulated effect is. Questions without a margin have no rates at margins.
    """
    named = ["question", "seed_variance", "seeds"]
    rows = []
    for keys, curve in table.groupby(named, sort=False):
        curve = curve.sort_values("effect").set_index("effect")
        zero, margin = curve.iloc[0], curve["margin"].iloc[0]
        small = np.interp(margin, curve.index, curve["small"])
        power = (np.interp(times * margin, curve.index, curve["right"]) for times in (1, 2))
        row = (zero["rejected"], zero["rejected_holm"], zero["small"], small, *power)
        rows.append((*keys, margin, *row, smallest_found(curve["right"])))
    columns = "margin false_positives false_positives_holm small_at_zero small_at_margin power_at_margin"
    return pd.DataFrame(rows, columns=[*named, *columns.split(), "power_at_double", "smallest"])


def smallest_found(power: pd.Series) -> float:
    """Return the effect at which the power, indexed by effect, reaches 80 %; NaN where it does not."""
    reached = np.maximum.accumulate(power.fillna(0).to_numpy())
    if reached[-1] < POWER:
        return float("nan")
    after = int(np.argmax(reached >= POWER))
    if after == 0:
        return float(power.index[0])
    return float(np.interp(POWER, reached[after - 1 : after + 1], power.index[after - 1 : after + 1]))
