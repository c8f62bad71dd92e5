"""Intervals cover and err as often as they say, by simulation; their parts against peers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, ttest_1samp
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from modspec.analysis.intervals import (
    adjusted,
    bootstrap_interval,
    estimate,
    interval,
    pooled_estimate,
    rejection_rate,
)
from modspec.errors import InputError


def gaussian(rng, seeds, examples, seed_sd):
    """Mean 0; examples and residuals of standard deviation 1, seeds of ``seed_sd``; the mean's sd."""
    values = rng.normal(size=examples) + rng.normal(size=(seeds, examples))
    values += seed_sd * rng.normal(size=(seeds, 1))
    return values, (seed_sd**2 / seeds + 1 / examples + 1 / (seeds * examples)) ** 0.5


def shares(rng, seeds, examples, spread=0.7):
    """Skewed shares of a top-10 list, mean 0.2; with spread 0.7 seeds vary half as much as examples."""
    rate = 0.5 * rng.beta(0.5, 0.75, examples) * (1 + rng.uniform(-spread, spread, (seeds, 1)))
    return rng.binomial(10, rate) / 10


# Mean width of the interval over that of one that knows the variance, 2 x 1.96 sd.
WIDEST = {
    (1, 6): 1.4,
    (1, 40): 1.1,
    (2, 6): 5,
    (2, 40): 5.5,
    (3, 6): 2.2,
    (3, 40): 2.2,
    (5, 6): 1.7,
    (5, 40): 1.6,
}


@pytest.mark.parametrize("seed_sd", [0, 0.5])
@pytest.mark.parametrize(("seeds", "examples"), WIDEST)
def test_interval_covers_at_its_confidence(seeds, examples, seed_sd):
    rng, runs = np.random.default_rng(0), 1000
    hits, widths = 0, []
    for _ in range(runs):
        values, sd = gaussian(rng, seeds, examples, seed_sd if seeds > 1 else 0)
        low, high = interval(values)
        hits += low <= 0 <= high
        widths.append((high - low) / (2 * 1.96 * sd))
    assert hits >= binom.ppf(1e-4, runs, 0.95)
    assert 1 < np.mean(widths) < WIDEST[seeds, examples]


@pytest.mark.parametrize(("seeds", "examples"), WIDEST)
def test_interval_covers_skewed_shares_nearly_at_its_confidence(seeds, examples):
    rng, runs = np.random.default_rng(0), 1000
    bounds = [interval(shares(rng, seeds, examples, 0.7 if seeds > 1 else 0)) for _ in range(runs)]
    hits = sum(low <= 0.2 <= high for low, high in bounds)
    assert hits >= binom.ppf(1e-4, runs, 0.90 if examples == 6 else 0.93)


def test_bootstrap_covers_far_less_with_two_seeds():
    rng, runs = np.random.default_rng(0), 300
    hits = 0
    for run in range(runs):
        values, _ = gaussian(rng, 2, 40, 0.5)
        low, high = bootstrap_interval(values, resamples=200, seed=run)
        hits += low <= 0 <= high
    assert hits < binom.ppf(1e-4, runs, 0.9)


def test_with_one_seed_it_is_the_t_test():
    values = np.random.default_rng(0).normal(0.2, 1, 12)
    for null in (-0.5, 0.1, 2.0):
        found = estimate(values - null)
        peer = ttest_1samp(values, null)
        assert found.p == pytest.approx(peer.pvalue, rel=1e-9)
    found = estimate(values)
    assert (found.low, found.high) == pytest.approx(tuple(ttest_1samp(values, 0).confidence_interval()))
    assert (found.value, found.seeds, found.examples) == (values.mean(), 1, 12)
    size = TTestPower().solve_power(nobs=12, alpha=0.05, power=0.8)
    assert found.minimum_detectable == pytest.approx(size * values.std(ddof=1), rel=2e-3)


def test_seeds_that_agree_add_no_examples():
    values = np.random.default_rng(0).normal(size=30)
    assert interval(np.tile(values, (4, 1))) == pytest.approx(interval(values), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(2, 12), st.integers(1, 10), st.integers(0, 999))
def test_p_and_interval_are_one_procedure(seeds, examples, levels, seed):
    """The interval at confidence 1 - p ends at 0; so also after transposing seeds and examples."""
    values = np.random.default_rng(seed).integers(-levels, levels + 1, (seeds, examples)) / levels - 0.3
    found = estimate(values)
    assert estimate(values.T).p == pytest.approx(found.p, rel=1e-6)
    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    assert estimate(-values).p == pytest.approx(found.p, rel=1e-6)
    if 1e-12 < found.p < 1:
        low, high = interval(values, confidence=1 - found.p)
        assert (low if found.value > 0 else high) == pytest.approx(0, abs=1e-3 * (high - low) + 1e-12)


def typical(seeds, examples, seed_sd):
    """A table whose mean squares are exactly those to be expected of :func:`gaussian`, with mean 0."""
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=(seeds, 1)), rng.normal(size=(1, examples))
    cells = rng.normal(size=(seeds, examples))
    rows, columns = rows - rows.mean(), columns - columns.mean()
    cells = cells - cells.mean(0) - cells.mean(1, keepdims=True) + cells.mean()
    rows *= ((seed_sd**2 + 1 / examples) / rows.var(ddof=1)) ** 0.5
    columns *= ((1 + 1 / seeds) / columns.var(ddof=1)) ** 0.5
    cells *= ((seeds - 1) * (examples - 1) / (cells**2).sum()) ** 0.5
    return rows + columns + cells


@pytest.mark.parametrize(("seeds", "seed_sd"), [(2, 0.5), (3, 0.0), (5, 0.5)])
def test_the_minimum_detectable_effect_is_found_with_its_power(seeds, seed_sd):
    effect = estimate(typical(seeds, 40, seed_sd)).minimum_detectable
    rng, runs = np.random.default_rng(1), 1000
    found = 0
    for _ in range(runs):
        values, _ = gaussian(rng, seeds, 40, seed_sd)
        low, high = interval(values + effect)
        found += low > 0 or high < 0
    assert found / runs == pytest.approx(0.8, abs=0.04)  # three binomial standard errors


@pytest.mark.slow
def test_a_shared_training_sample_is_a_third_source_of_chance():
    """Three seeds share a sample in which a few items are proponents of everything; the truth is 0.2."""
    rng, runs, items, k = np.random.default_rng(0), 400, 100, 25
    is_own = np.tile(np.arange(5) == 0, items)
    p = {"without": [], "with": []}
    for _ in range(runs):
        strength = rng.normal(size=5 * items)
        scores = strength + 0.5 * rng.normal(size=(3, 1, 5 * items)) + rng.normal(size=(3, 20, 5 * items))
        listed = np.argsort(np.argsort(-scores, axis=2), axis=2) < k
        weights = listed.mean(axis=(0, 1)) / k
        added = (weights * (is_own - weights[is_own].sum())).reshape(items, 5).sum(axis=1)
        values = listed[..., is_own].sum(axis=2) / k - 0.2
        p["without"].append(estimate(values).p)
        p["with"].append(estimate(values, training=added).p)
    assert (np.array(p["with"]) <= 0.05).sum() <= binom.ppf(1 - 1e-3, runs, 0.05)
    assert rejection_rate(np.array(p["without"]))[1] > 0.1


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_pooled_estimate_covers_and_is_the_estimate_of_a_single_sample(seeds):
    rng, runs = np.random.default_rng(0), 200
    hits = 0
    for _ in range(runs):
        samples = [gaussian(rng, seeds, 20, sd)[0] for sd in (0, 0.5)]
        pooled = pooled_estimate([(values, None) for values in samples])
        hits += pooled.low <= 0 <= pooled.high
    assert pooled.value == pytest.approx(np.mean([values.mean() for values in samples]))
    assert hits >= binom.ppf(1e-3, runs, 0.95)
    assert pooled_estimate([(samples[0], None)]) == estimate(samples[0])


def test_power_over_more_than_two_variances_agrees_with_the_grid():
    values, _ = gaussian(np.random.default_rng(0), 3, 40, 0.5)
    alone, beside = estimate(values), estimate(values, training=np.zeros(500))  # a third part of nothing
    assert beside.minimum_detectable == pytest.approx(alone.minimum_detectable, rel=2e-3)
    assert (beside.low, beside.high) == (alone.low, alone.high)


def test_adjusted_against_statsmodels_and_without_nan():
    p = np.random.default_rng(0).uniform(size=20) ** 3
    p[3] = p[5]
    with_gaps = np.insert(p, [0, 7, 20], np.nan)
    expected = multipletests(p, method="holm")[1]
    np.testing.assert_array_equal(adjusted(p), expected)
    found = adjusted(with_gaps)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(with_gaps))
    np.testing.assert_allclose(found[~np.isnan(found)], expected)
    assert np.isnan(adjusted([np.nan])).all() and adjusted([]).shape == (0,)


def test_rejection_rate():
    # Clopper and Pearson's bounds for none of n: 1 - (alpha / 2) ^ (1 / n).
    assert rejection_rate(np.ones(20)) == (0, 0, pytest.approx(1 - 0.025 ** (1 / 20)))
    rate, low, high = rejection_rate(np.array([0.05, 0.2, 0.01, 0.9]))
    assert rate == 0.5 and low < 0.5 < high


@pytest.mark.parametrize(
    "values", [np.ones((1, 1)), np.ones((4, 1)), np.ones((1, 0)), np.full((2, 3), np.nan)]
)
def test_too_few_examples_give_nan(values):
    found = estimate(values)
    assert np.isnan([found.low, found.high, found.p, found.minimum_detectable]).all()
    assert np.isnan([*interval(values), *bootstrap_interval(values)]).all()


def test_equal_values():
    values = np.full((3, 7), 0.1)  # their mean is not 0.1 in floating point
    assert interval(values) == (0.1, 0.1) == pytest.approx(bootstrap_interval(values), rel=1e-12)
    for value, p in {0.1: 0, 0.0: 1}.items():
        found = estimate(np.full((3, 7), value))
        assert (found.value, found.low, found.high) == (value,) * 3
        assert (found.p, found.minimum_detectable) == (p, 0)


def test_margins_that_cancel_still_have_a_width():
    low, high = interval(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert low < -1 and high > 1


def test_bootstrap_resamples_seeds_and_examples_crossed():
    """Against a bootstrap written out: whole rows and whole columns are drawn, not cells."""
    values = np.random.default_rng(1).normal(size=(3, 20)) + np.array([[0.0], [1], [3]])
    rng, means = np.random.default_rng(2), []
    for _ in range(6000):
        rows, columns = rng.integers(0, 3, 3), rng.integers(0, 20, 20)
        means.append(values[np.ix_(rows, columns)].mean())
    found = bootstrap_interval(values, resamples=6000)
    np.testing.assert_allclose(found, np.quantile(means, [0.025, 0.975]), atol=0.15)
    assert found == bootstrap_interval(values, resamples=6000) != bootstrap_interval(values, seed=1)


def test_bootstrap_of_one_seed_is_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(size=500)
    assert bootstrap_interval(values) == pytest.approx(interval(values), abs=0.02)


def test_impossible_arguments_are_refused():
    with pytest.raises(InputError, match="values: 1 of 2 not finite"):
        interval([[1.0, np.nan]])
