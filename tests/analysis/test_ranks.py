"""Ranks and orders that several tests share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from modspec.analysis.permutation import EXACT, orders
from modspec.analysis.ranks import standardised_ranks


@pytest.mark.parametrize("digits", [1, 15])
def test_the_mean_product_of_ranks_is_spearman(digits):
    values = np.random.default_rng(0).normal(size=(2, 40)).round(digits)  # one digit: ties
    a, b = standardised_ranks(values)
    assert np.mean(a * b) == pytest.approx(spearmanr(*values).statistic, abs=1e-12)
    assert (a.mean(), a.std()) == pytest.approx((0, 1))
    np.testing.assert_array_equal(standardised_ranks(values[0]), a)


def test_orders_are_all_where_they_are_few_and_the_given_one_first():
    rng = np.random.default_rng(0)
    few, many = orders(7, 10, rng), orders(8, 10, rng)
    assert len(few) == EXACT == len(set(map(tuple, few))) and many.shape == (11, 8)
    for table in (few, many):
        assert table[0].tolist() == list(range(table.shape[1]))
        assert (np.sort(table, axis=1) == table[0]).all()
