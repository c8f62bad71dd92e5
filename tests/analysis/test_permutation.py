"""Permutation tests err as often as they say, and are those of full enumeration and of scipy."""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, permutation_test

from modspec.analysis.intervals import adjusted, estimate, rejection_rate
from modspec.analysis.permutation import EXACT, label_permutation, language_permutation, orders
from modspec.errors import InputError


def test_orders_are_all_where_they_are_few_and_the_given_one_first():
    rng = np.random.default_rng(0)
    few, many = orders(7, 10, rng), orders(8, 10, rng)
    assert len(few) == EXACT == len(set(map(tuple, few))) and many.shape == (11, 8)
    for table in (few, many):
        assert table[0].tolist() == list(range(table.shape[1]))
        assert (np.sort(table, axis=1) == table[0]).all()


def top_lists(rng, tests, strata_size, train=100, evaluation=30, k=10):
    """(tests, train, evaluation) Boolean top-k lists; a few training examples are in nearly all of them.

    Strengths and labels know nothing of each other: one example in five of each stratum is own.
    """
    strength = 2 * rng.normal(size=(tests, train, 1))
    scores = strength + rng.normal(size=(tests, train, evaluation))
    listed = np.argsort(np.argsort(-scores, axis=1), axis=1) < k
    strata = np.repeat(np.arange(train // strata_size), strata_size)
    own = rng.permuted(
        np.tile(np.arange(strata_size) < strata_size // 5, (len(strata) // strata_size, 1)), axis=1
    )
    return listed, own.ravel(), strata


@pytest.mark.slow
@pytest.mark.parametrize("strata_size", [5, 25])
def test_hubs_fool_intervals_over_examples_but_not_permutations(strata_size):
    """Under this null the t test over evaluation examples rejects in about 70 % of the cases, not in 5 %."""
    rng, runs, tests = np.random.default_rng(0), 300, 8
    permutation, one_sided, naive = [], [], []
    for run in range(runs):
        listed, own, strata = top_lists(rng, tests, strata_size)
        weights = listed.sum(axis=2)
        permutation.append(label_permutation(weights, own, strata, resamples=399, seed=run).p)
        one_sided.append(
            label_permutation(weights, own, strata, alternative="greater", resamples=399, seed=run).p
        )
        naive.append(estimate(listed[0, own].sum(axis=0) / 10 - 0.2).p)
    # The tests of one run share labels; strengths are drawn anew, so rejections are all but independent.
    for p in (permutation, one_sided):
        assert binom.ppf(1e-4, runs * tests, 0.03) <= (np.array(p) <= 0.05).sum()
        assert (np.array(p) <= 0.05).sum() <= binom.ppf(1 - 1e-4, runs * tests, 0.05)
    any_rejected = sum((adjusted(p) <= 0.05).any() for p in one_sided)
    assert any_rejected <= binom.ppf(1 - 1e-4, runs, 0.05)
    assert rejection_rate(np.array(naive))[1] > 0.6


def arrangements(own, strata):
    """Every labelling that keeps each stratum's number of own examples, (arrangements, train)."""
    choices = []
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        choices.append(combinations(members, own[members].sum()))
    labelled = [np.isin(np.arange(len(own)), sum(chosen, ())) for chosen in product(*choices)]
    return np.array(labelled)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1, 3]), st.booleans(), st.integers(0, 999))
def test_permutation_p_is_that_of_full_enumeration(strata_count, tied, seed):
    rng, resamples = np.random.default_rng(seed), 20_000
    train = 10
    strata = rng.integers(0, strata_count, train)
    own = rng.permutation(np.arange(train) < 4)
    weights = rng.lognormal(0, 2, (3, train))
    weights = np.ceil(weights) if tied else weights
    sums = weights @ arrangements(own, strata).T
    observed = weights @ own
    above = (sums >= observed[:, None] - 1e-9).mean(axis=1)
    below = (sums <= observed[:, None] + 1e-9).mean(axis=1)
    expected = {"greater": above, "two-sided": np.minimum(1, 2 * np.minimum(above, below))}
    for alternative, p in expected.items():
        found = label_permutation(
            weights, own, strata.astype(str), alternative=alternative, resamples=resamples
        )
        # Four and a half binomial standard errors, doubled where the tail is.
        np.testing.assert_allclose(found.p, p, rtol=0, atol=2 * 4.5 * 0.5 / resamples**0.5)
    np.testing.assert_allclose(found.statistic, observed)


def test_permutation_equals_scipy_with_one_stratum():
    rng = np.random.default_rng(0)
    weights, own = rng.lognormal(0, 1, 14), np.arange(14) < 5
    peer = permutation_test(
        (weights[own], weights[~own]),
        lambda a, b, axis: a.sum(axis=axis),
        vectorized=True,
        n_resamples=np.inf,
    )
    found = label_permutation(weights[None], own, np.zeros(14, int), resamples=20_000)
    assert found.p == pytest.approx(peer.pvalue, abs=0.02)


def test_permutations_shuffle_within_strata_only():
    """Own examples are the lighter ones of a heavy stratum: only a shuffle across strata finds them heavy."""
    weights = np.concatenate([np.linspace(10, 11, 20), np.linspace(0, 1, 20)])[None]
    own = np.arange(40) < 8
    strata = np.repeat(["heavy", "light"], 20)
    within = label_permutation(weights, own, strata, alternative="greater")
    across = label_permutation(weights, own, np.zeros(40), alternative="greater")
    assert within.p == 1 and across.p < 0.01
    strata[:8] = "own"
    constant = label_permutation(weights, own, strata)  # no stratum is mixed
    assert constant.p == 1 and constant.statistic == pytest.approx(weights[0, own].sum())


def test_permutation_of_several_languages():
    """Equal to the test of one where only one counts, and to full enumeration with three in one stratum."""
    rng = np.random.default_rng(0)
    weights, own, strata = rng.normal(size=(4, 30)), np.arange(30) % 3 == 0, np.arange(30) // 6
    both = np.stack([0 * weights, weights], axis=1)
    for alternative in ("greater", "two-sided"):
        found = language_permutation(both, own.astype(int), strata, alternative=alternative)
        np.testing.assert_array_equal(
            found, label_permutation(weights, own, strata, alternative=alternative).p
        )
    languages, weights = np.array([0, 0, 1, 1, 2, 2, 2]), rng.lognormal(0, 1, (3, 7))
    sums = [weights[labels, range(7)].sum() for labels in map(list, set(permutations(languages.tolist())))]
    expected = np.mean(sums >= weights[languages, range(7)].sum() - 1e-9)
    found = language_permutation(
        weights[None], languages, np.zeros(7), alternative="greater", resamples=20_000
    )
    assert found == pytest.approx(expected, abs=0.016)  # four and a half binomial standard errors


def test_permutations_do_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    arguments = rng.normal(size=(4, 30)), np.arange(30) % 3 == 0, np.arange(30) // 6
    whole = label_permutation(*arguments, resamples=200)
    assert (label_permutation(*arguments, resamples=200).p == whole.p).all()
    assert (label_permutation(*arguments, resamples=200, seed=1).p != whole.p).any()
    monkeypatch.setattr("modspec.analysis.permutation.BLOCK", 100)
    assert (label_permutation(*arguments, resamples=200).p == whole.p).all()


def test_weights_that_are_not_finite_are_refused():
    own = np.array([True, False, True, False])
    with pytest.raises(InputError, match="weights: NaN or infinite"):
        label_permutation(np.full((2, 4), np.inf), own, own * 0)
