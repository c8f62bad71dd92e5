"""Simulated verdicts against closed forms, and against the analysis itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, nct, t

from modspec.analysis.intervals import Estimate, Variance, adjusted, pooled_estimate
from modspec.analysis.simulated_verdicts import (
    RIGHT,
    Noise,
    Simulated,
    Spread,
    draw_noise,
    rates,
    simulate,
    smallest_found,
    spread_of,
    summary,
    words,
)
from modspec.analysis.verdicts import SMALL, verdict
from modspec.terms import QUESTIONS

QUESTION = replace(QUESTIONS["Q1"], margin=1.0, sign=1)
DRAWS = 4000


def within(count: float, rate: float) -> bool:
    """Whether a rate of successes in ``DRAWS`` is what the true one gives, but for 1 in 1,000 cases."""
    low, high = binom.ppf([0.0005, 0.9995], DRAWS, rate) / DRAWS
    return low <= count <= high


def drawn(seeds: int, items: int, spread: Spread, tasks: int = 1, effects: tuple = (0.0,)) -> Simulated:
    rng = np.random.default_rng(seeds)
    noises = [draw_noise(spread, seeds, items, DRAWS, rng) for _ in range(tasks)]
    return simulate(QUESTION, noises, np.array(effects))


def tables(count: int, rng: np.random.Generator, seeds: int = 3, items: int = 7) -> np.ndarray:
    """Tables of values, (count, seeds, items)."""
    parts = rng.normal(size=(count, seeds, 1)), rng.normal(size=(count, 1, items))
    return 0.3 + parts[0] + parts[1] + rng.normal(size=(count, seeds, items))


def noise_of(values: np.ndarray) -> Noise:
    """What the simulation would have drawn for these tables: analysis of variance by its definition."""
    _, seeds, items = values.shape
    grand = values.mean(axis=(1, 2), keepdims=True)
    rows, columns = (values.mean(axis=axis, keepdims=True) - grand for axis in (2, 1))
    rest = values - grand - rows - columns
    squares = [items * (rows**2).sum(axis=(1, 2)) / (seeds - 1)]
    squares.append(seeds * (columns**2).sum(axis=(1, 2)) / (items - 1))
    residual = (rest**2).sum(axis=(1, 2)) / ((seeds - 1) * (items - 1))
    variance = Variance.of_mean_squares(np.stack(squares, axis=1), residual, (seeds, items))
    return Noise(grand[:, 0, 0], variance)


def test_estimates_and_verdicts_are_those_of_the_analysis():
    rng = np.random.default_rng(0)
    samples = [tables(60, rng), 0.5 * tables(60, rng)]
    effects = np.array([0.0, 0.5, 3.0])
    simulated = simulate(QUESTION, [noise_of(values) for values in samples], effects)
    said = words(simulated, simulated.p)
    seen = set()
    for place, effect in enumerate(effects):
        for draw in range(60):
            of_tasks = [(values[draw] + effect, None) for values in samples]
            found = pooled_estimate(of_tasks)
            assert simulated.values[place, draw] == pytest.approx(found.value)
            assert simulated.half[draw] == pytest.approx((found.high - found.low) / 2)
            assert simulated.p[place, draw] == pytest.approx(found.p, rel=0.01, abs=3e-9)
            expected = verdict(found, QUESTION, found.p)
            each = [verdict(pooled_estimate([task]), QUESTION, 1.0) for task in of_tasks]
            if expected in SMALL and not set(each) <= set(SMALL):
                expected = verdict(found, replace(QUESTION, margin=None), found.p)
            assert said[place, draw] == expected
            seen.add(expected)
    assert {"supported", "undecided"} <= seen


def test_drawn_mean_squares_are_those_of_drawn_tables():
    """Means of the means' squares and of the variances' parts, from tables and from the simulation."""
    rng = np.random.default_rng(1)
    simple = noise_of(tables(20_000, rng) - 0.3)
    direct = draw_noise(Spread(1, 1, 1), 3, 7, 20_000, rng)
    for power in (1, 2):
        expected = (simple.variance.parts**power).mean(axis=0)
        np.testing.assert_allclose((direct.variance.parts**power).mean(axis=0), expected, rtol=0.08)
    assert direct.means.var() == pytest.approx(1 / 3 + 1 / 7 + 1 / 21, rel=0.05)
    assert abs(np.corrcoef(direct.means**2, direct.variance.parts[:, 0])[0, 1]) < 0.03


@pytest.mark.parametrize("seeds", [3, 6, 10])
def test_with_seeds_alone_it_is_the_t_test(seeds):
    """No variance of items and no rest: level and power of a one-sample t test over seeds (noncentral t)."""
    sd, df = 0.8, seeds - 1
    effects = (0.0, 0.5, 1.0, 2.0)
    simulated = drawn(seeds, 40, Spread(sd, 0, 0), effects=effects)
    limit = t.isf(0.025, df)
    for effect, p in zip(effects, simulated.p, strict=True):
        shift = effect * np.sqrt(seeds) / sd
        assert within((p < 0.05).mean(), nct.sf(limit, df, shift) + nct.cdf(-limit, df, shift))


@pytest.mark.parametrize("seeds", [3, 6, 10])
def test_an_effect_at_the_margin_is_seldom_called_small_and_no_effect_seldom_found(seeds):
    simulated = drawn(seeds, 40, Spread(0.3, 0.8, 1.5), tasks=2, effects=(0.0, 1.0))
    said = words(simulated, simulated.p)
    assert np.isin(said[1], SMALL).mean() <= binom.ppf(0.999, DRAWS, 0.025) / DRAWS
    assert (simulated.p[0] < 0.05).mean() <= binom.ppf(0.999, DRAWS, 0.05) / DRAWS


def test_tasks_are_equivalent_together_only_where_each_is():
    half, values = np.array([0.5]), np.array([[0.1]])
    for width, p, expected in ((0.9, 1, "equivalent"), (1.1, 1, "undecided"), (1.1, 0.01, "supported")):
        halves = np.array([[[0.1]], [[width]]])
        p_values = np.array([[p]])
        simulated = Simulated(QUESTION, values[0], values, p_values, half, np.zeros((2, 1, 1)), halves)
        assert words(simulated, simulated.p) == expected


def test_spreads_are_found_again():
    rng = np.random.default_rng(0)
    values = 0.5 * rng.normal(size=(400, 1)) + 2 * rng.normal(size=300) + 3 * rng.normal(size=(400, 300))
    found = spread_of(values)
    assert [found.seed, found.item, found.rest] == pytest.approx([0.5, 2, 3], rel=0.1)
    training = rng.normal(size=500)
    training *= 1.2 / np.sqrt(500 * training.var(ddof=1))  # adds a standard deviation of 1.2
    assert spread_of(values, training).seed == pytest.approx(np.hypot(found.seed, 1.2))
    same = np.tile(rng.normal(size=30), (3, 1)) + 1e-3 * rng.normal(size=(3, 30))
    assert spread_of(same).seed <= spread_of(same, cautious=True).seed < 0.01


def test_a_cautious_variance_is_above_the_true_one_in_four_cases_of_five():
    rng, runs = np.random.default_rng(0), 1000
    above = sum(
        spread_of(rng.normal(size=(3, 1)) + 1e-6 * rng.normal(size=(3, 5)), cautious=True).seed > 1
        for _ in range(runs)
    )
    low, high = binom.ppf([0.0005, 0.9995], runs, 0.8)
    assert low <= above <= high


def test_rates_count_draws_and_holm_is_over_all_questions():
    rng = np.random.default_rng(0)
    effects = (0.0, 1.0, 3.0)
    simulated = {code: drawn(seeds, 40, Spread(1, 1, 1), 2, effects) for code, seeds in (("a", 3), ("b", 6))}
    table = rates(simulated, 2, rng)
    uniform = np.random.default_rng(0).uniform(size=(2, DRAWS))
    null = np.stack([simulated["a"].p[0], simulated["b"].p[0], *uniform])
    for place, effect in enumerate(effects):
        row = table[(table["question"] == "a") & (table["effect"] == effect)].iloc[0]
        family = null.copy()
        family[0] = simulated["a"].p[place]
        holm = adjusted(family.T)[:, 0]
        assert row["rejected"] == (simulated["a"].p[place] < 0.05).mean() >= row["rejected_holm"]
        assert row["rejected_holm"] == (holm < 0.05).mean()
        assert row["right"] == np.isin(words(simulated["a"], holm)[place], RIGHT).mean()
    some = table[table["question"] == "any"].iloc[0]
    assert some["rejected"] == (null < 0.05).any(axis=0).mean() > 0.05
    assert some["rejected_holm"] <= binom.ppf(0.999, DRAWS, 0.05) / DRAWS


def test_adjusting_many_families_is_adjusting_each():
    p = np.random.default_rng(0).uniform(size=(3, 4, 5))
    p[0, 0, 1] = np.nan
    for place in np.ndindex(3, 4):
        np.testing.assert_array_equal(adjusted(p)[place], adjusted(p[place]))


def test_a_summary_by_hand():
    curve = {"effect": [0.0, 1.0, 2.0, 4.0], "rejected": [0.04, 0.3, 0.6, 1], "right": [0.01, 0.2, 0.6, 1.0]}
    curve |= {"rejected_holm": [0.02, 0.2, 0.6, 1], "small": [0.5, 0.03, 0, 0], "margin": 1.0}
    table = pd.DataFrame(curve).assign(question="Q1", seed_variance="as estimated", seeds=3)
    row = summary(table).iloc[0]
    named = "false_positives false_positives_holm small_at_zero small_at_margin power_at_margin"
    assert row[[*named.split(), "power_at_double"]].tolist() == [0.04, 0.02, 0.5, 0.03, 0.2, 0.6]
    assert row["smallest"] == pytest.approx(3)
    assert np.isnan(smallest_found(pd.Series([0.1, 0.79], index=[0.0, 1.0])))
    assert smallest_found(pd.Series([0.9, 0.95], index=[0.5, 1.0])) == 0.5


def test_no_interval_is_a_verdict_by_p_alone():
    question = replace(QUESTION, margin=None)
    nothing, values = np.array(np.nan), np.array([[0.2, 0.2, -0.2]])
    simulated = Simulated(question, values[0], values, values, nothing, values[None], nothing)
    said = words(simulated, np.array([[0.01, 0.2, 0.01]]))
    assert said.tolist() == [["supported", "undecided", "contradicted"]]
    lone = Estimate(0.2, np.nan, np.nan, 0.01, np.nan, 3, 9)
    assert verdict(lone, question, 0.01) == "supported"
