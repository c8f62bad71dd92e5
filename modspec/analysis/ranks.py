"""Ranks whose mean product is Spearman's correlation."""

import numpy as np
from scipy.stats import rankdata, zscore


def standardised_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks within each row, with mean 0 and standard deviation 1; NaN in a row of equal values.

    Args:
        values: (..., columns).

    Returns:
        The same shape. The mean product of two rows is their Spearman correlation.
    """
    return zscore(rankdata(values, axis=-1), axis=-1)
