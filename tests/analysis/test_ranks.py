"""The mean product of standardised ranks is Spearman's correlation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from modspec.analysis.ranks import standardised_ranks


@pytest.mark.parametrize("digits", [1, 15])
def test_the_mean_product_of_ranks_is_spearman(digits):
    values = np.random.default_rng(0).normal(size=(2, 40)).round(digits)  # one digit: ties
    a, b = standardised_ranks(values)
    assert np.mean(a * b) == pytest.approx(spearmanr(*values).statistic, abs=1e-12)
    assert (a.mean(), a.std()) == pytest.approx((0, 1))
    np.testing.assert_array_equal(standardised_ranks(values[0]), a)
