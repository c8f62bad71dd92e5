"""Weights whose sums are the study's measures: against the statistics that stage 3 keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.analysis.measures import weights
from modspec.analysis.shares import example_statistics
from modspec.errors import InputError


@given(st.integers(4, 30), st.integers(1, 5), st.integers(0, 999), st.booleans())
def test_weights_sum_to_the_statistics_of_stage_3(count, columns, seed, ties):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (count, columns)) if ties else rng.normal(size=(count, columns))
    languages = rng.choice(["a", "b", "c"], count)
    languages[:2] = ["a", "b"]
    k = int(rng.integers(1, count + 1))
    ids = np.array([f"{i}" for i in range(columns)])
    table = example_statistics(scores.astype(np.float32), languages, np.repeat("a", columns), ids, k)
    for language, rows in table.groupby("train_language"):
        own = languages == language
        for measure in ("proponents", "opponents"):
            share = weights(scores, measure, k)[own].sum(axis=0) + own.mean()
            np.testing.assert_allclose(share, rows[measure], atol=1e-6)
        auc = weights(scores, "auc", k)[own].sum(axis=0) / (own.sum() * (~own).sum()) + 0.5
        np.testing.assert_allclose(auc, rows["auc"], atol=1e-6)


def test_weights_of_a_column_add_up_to_zero_and_k_is_checked():
    scores = np.random.default_rng(0).normal(size=(12, 4))
    same = np.random.default_rng(1).random((12, 4)) < 0.5
    for measure in ("proponents", "opponents", "auc", "label_auc"):
        np.testing.assert_allclose(weights(scores, measure, 5, same).sum(axis=0), 0, atol=1e-5)
    for k in (0, 13):
        with pytest.raises(InputError, match=f"top_k: {k}; allowed: 1 to 12"):
            weights(scores, "proponents", k)
    assert (weights(scores, "proponents", 12) == 0).all()  # all are proponents: nothing to tell
