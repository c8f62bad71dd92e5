"""Intervals, tests, corrections, and how often tests err.

A measure is an array ``values`` of shape (seeds, examples), crossed: every seed saw the same test examples,
so seeds and examples are each a source of chance (two-way random-effects layout). Intervals over them do not
know that a few *training* examples can be strong proponents of everything; ``modspec.analysis.permutation``
does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import binomtest, bootstrap, chi2, t

from modspec.errors import InputError

POWER = 0.8  # of the minimum detectable effect
# Chi-square quantiles per part of the variance over which power is averaged; error in power below 0.001.
QUANTILES = 128


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and test examples, with what the sample can say about it."""

    value: float  # the mean, in the measure's unit
    low: float
    high: float
    p: float  # of the test that the mean is 0
    # Smallest absolute mean that this test detects with 80 % power, taking the sample's variances for the
    # true ones.
    minimum_detectable: float
    seeds: int
    examples: int


def interval(values: np.ndarray, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean of ``values`` for new seeds and new examples.

    The variance of the mean is estimated as (MS_seed + MS_example - MS_residual) / (seeds x examples), and as
    no less than what either margin or the residual alone gives. Its part from the margin with fewer units (as
    a rule seeds) and the rest are known to units - 1 degrees of freedom each, so the half width is
    sqrt(sum of t^2 x part) with each part's own t quantile (Banerjee 1961): for independent mean squares this
    covers at least at ``confidence`` whichever part dominates. One t quantile at Satterthwaite's (1946)
    degrees of freedom covers too little where few seeds differ (two: 86 to 90 %, three: 91 to 93 %), because
    the sample decides by chance which part seems to dominate. The price with two seeds is about five times
    the width that a known variance would give; with three 1.9, with five 1.3 times.

    Args:
        values: (seeds, examples).
        confidence: between 0 and 1.

    Returns:
        Low and high end. With one seed: the t interval over examples, which says nothing of other seeds.
        Fewer than two examples, or all NaN (AUC of a single language): NaNs. Equal values: width zero.

    Raises:
        InputError: ``values`` has some NaN.
    """
    values = _table(values)
    half = _Variance.of(values).critical((1 - confidence) / 2)
    return _mean(values) - half, _mean(values) + half


def mean_and_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of ``values``, (seeds, examples), and both ends of its :func:`interval`."""
    return _mean(_table(values)), *interval(values, confidence=confidence)


def estimate(values: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of ``values``, its :func:`interval`, two-sided test and power.

    p belongs to the same procedure: the two-sided p is below 1 - confidence exactly where the interval
    excludes 0; with one seed it is the t test's. ``minimum_detectable`` is exact for normal data with these
    variances, not the usual t + t approximation. Equal values: p is 1 if they are 0, otherwise 0.

    Args:
        values: (seeds, examples).
        confidence: of the interval; the test is at 1 - confidence.

    Returns:
        NaN where :func:`interval` has NaN.

    Raises:
        InputError: as :func:`interval`.
    """
    values = _table(values)
    variance = _Variance.of(values)
    mean, low, high = mean_and_interval(values, confidence)
    p = 1.0 if mean == low == high == 0 else variance.p(abs(mean))
    return Estimate(mean, low, high, p, variance.minimum_detectable((1 - confidence) / 2), *values.shape)


def bootstrap_interval(
    values: np.ndarray, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of the mean of ``values``.

    Seeds and test examples are resampled independently of each other (crossed, or pigeonhole, bootstrap; Owen
    2007); drawing examples anew within each seed would break the pairing of examples across seeds. With one
    seed only examples are resampled, and the interval says nothing of other seeds; with few it is too narrow
    (simulated with 40 examples and seed effects of half their spread, a 95 % interval covers 73 % with two
    seeds, 82 % with three, 88 % with five): :func:`interval` is not.

    Args:
        values: (seeds, examples).
        confidence: between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the samples.

    Returns:
        Low and high end, NaN where :func:`interval` has NaN.

    Raises:
        InputError: as :func:`interval`.
    """
    values = _table(values)
    seeds, examples = values.shape
    if np.isnan(_mean(values)) or examples < 2:
        return float("nan"), float("nan")

    def mean(columns: np.ndarray, rows: np.ndarray | None = None, axis: int = -1) -> np.ndarray:
        rows = np.zeros_like(columns[..., :1]) if rows is None else rows
        return values[rows[..., :, None], columns[..., None, :]].mean(axis=(-2, -1))

    data = (np.arange(examples),) if seeds == 1 else (np.arange(examples), np.arange(seeds))
    result = bootstrap(
        data,
        mean,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def adjusted(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number by Holm's method (family-wise error).

    NaN, a test that could not be made, stays NaN and does not count. (statsmodels' ``multipletests`` gives
    the same, but collects Python's garbage at every call, which takes longer than the rest of a simulation.)
    """
    order = np.argsort(p)  # NaN last
    ranked = np.asarray(p, dtype=float)[order]
    as_many = np.count_nonzero(~np.isnan(ranked)) - np.arange(len(ranked))
    result = np.empty(len(ranked))
    result[order] = np.minimum(np.maximum.accumulate(ranked * as_many), 1)
    return result


def rejection_rate(p: np.ndarray, level: float = 0.05) -> tuple[float, float, float]:
    """Return the share of tests with p at most ``level``, and both ends of its 95 % Clopper-Pearson
    interval."""
    test = binomtest(int(np.sum(p <= level)), len(p))
    return test.statistic, *test.proportion_ci(method="exact")


@dataclass(frozen=True)
class _Variance:
    """Variance of a mean as a sum of parts, each estimated with its own degrees of freedom."""

    parts: np.ndarray  # (parts,)
    df: np.ndarray  # (parts,)

    @classmethod
    def of(cls, values: np.ndarray) -> _Variance:
        """Return the variance of the mean of ``values``, (seeds, examples); see :func:`interval`."""
        if min(values.shape[1] - 1, values.shape[0]) < 1 or np.isnan(values).all():
            return cls(np.array([np.nan]), np.array([1]))
        if np.ptp(values) == 0:
            return cls(np.array([0.0]), np.array([values.size - 1]))
        units = np.array(values.shape)
        centred = values - values.mean()
        if units[0] == 1:
            return cls(np.array([values.var(ddof=1) / values.size]), units[1:] - 1)
        rows, columns = centred.mean(axis=1), centred.mean(axis=0)
        residual = ((centred - rows[:, None] - columns) ** 2).sum() / (units - 1).prod()
        squares = units[::-1] * [rows @ rows, columns @ columns] / (units - 1)
        few = int(units[1] < units[0])
        total = max(*squares, squares.sum() - residual, residual)
        parts = np.array([squares[few], total - squares[few]]) / values.size
        df = np.array([units[few], units[1 - few]]) - 1
        return cls(parts[parts > 0], df[parts > 0])

    def critical(self, tail: float) -> float:
        """Return the distance from the true mean that is exceeded, on one side, with probability ``tail``."""
        return float(np.hypot.reduce(t.isf(tail, self.df) * np.sqrt(self.parts)))

    def p(self, distance: float) -> float:
        """Return the two-sided p of a mean at a distance of 0 or more from the true one: the inverse of
        :meth:`critical`."""
        if np.isnan(self.parts).any():
            return float("nan")
        if distance == 0:
            return 1.0
        if self.critical(1e-200) <= distance:
            return 0.0

        def excess(log_tail: float) -> float:
            return self.critical(np.exp(log_tail)) - distance

        tail = float(np.exp(brentq(excess, np.log(1e-200), np.log(0.5), xtol=1e-12)))
        return min(1.0, 2 * tail)

    def minimum_detectable(self, tail: float) -> float:
        """Return the distance of the true mean from 0 at which a test at ``tail`` rejects with ``POWER``.

        Averages the power given the estimated variances over those variances' distribution.
        """
        total = self.parts.sum()
        if np.isnan(total) or total == 0:
            return float(total)
        middles = (np.arange(QUANTILES) + 0.5) / QUANTILES
        spreads = [chi2.ppf(middles, df) / df for df in self.df]
        scaled = [q * q * part for q, part in zip(t.isf(tail, self.df), self.parts, strict=True)]
        grids = np.meshgrid(*(a * b for a, b in zip(scaled, spreads, strict=True)), sparse=True)
        needed = np.sqrt(sum(grids) / total)

        def missing(shift: float) -> float:
            return (ndtr(shift - needed) + ndtr(-shift - needed)).mean() - POWER

        return float(np.sqrt(total) * brentq(missing, 0, needed.max() + 40))


def _mean(values: np.ndarray) -> float:
    """Return the mean; of equal values exactly their value, which a sum's rounding would miss."""
    if not values.size:
        return float("nan")
    return float(values.flat[0] if np.ptp(values) == 0 else values.mean())


def _table(values: np.ndarray) -> np.ndarray:
    """Return checked ``values`` as float64 (seeds, examples); one dimension is one seed."""
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    missing = ~np.isfinite(values)
    if missing.any() and not np.isnan(values).all():
        raise InputError(
            f"values: {missing.sum()} of {values.size} not finite; allowed: every seed with every example"
        )
    return values
