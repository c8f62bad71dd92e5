"""Slopes of shares over training: against a line, numpy's fit, and what tables must hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from modspec.analysis.intervals import estimate
from modspec.analysis.training_slope import share_over_training, slopes
from modspec.errors import InputError

PROGRESS = (0.1, 0.3, 0.5, 1.0)


def shares(values: np.ndarray, progress=PROGRESS) -> pd.DataFrame:
    """Shares of (seeds, languages, items, checkpoints) in mixed order; items are translated."""
    axes = [range(size) for size in values.shape[:3]]
    index = pd.MultiIndex.from_product([*axes, progress], names=["seed", "language", "id", "progress"])
    table = pd.DataFrame({"share": values.ravel()}, index).reset_index()
    table = table.astype({"language": str, "id": str})
    table["id"] = table["language"] + "-" + table["id"]
    return table.sample(frac=1, random_state=0)


def test_against_a_fit_for_each_seed_and_item() -> None:
    values = np.random.default_rng(0).random((2, 3, 5, 4))
    means = values.mean(axis=1)
    expected = [[np.polyfit(PROGRESS, means[s, i], 1)[0] for i in range(5)] for s in range(2)]
    np.testing.assert_allclose(slopes(shares(values)), expected, rtol=1e-12)


@pytest.mark.parametrize("slope", [0.0, -0.05])
def test_level_and_power(slope: float) -> None:
    """Seeds and items differ in level and slope; a slope of five points is found, none is not."""
    rng, runs = np.random.default_rng(1), 100
    rejected = 0
    for _ in range(runs):
        level = rng.normal(0.3, 0.1, (4, 3, 20, 1))
        trend = slope + rng.normal(0, 0.01, (4, 1, 1, 1)) + rng.normal(0, 0.03, (1, 1, 20, 1))
        noise = rng.normal(0, 0.03, (4, 3, 20, 4))
        rejected += estimate(slopes(shares(level + trend * np.array(PROGRESS) + noise))).p <= 0.05
    assert rejected <= binom.ppf(1 - 1e-4, runs, 0.05) if slope == 0 else rejected >= 0.9 * runs


def test_incomplete_tables_are_refused() -> None:
    table = shares(np.random.default_rng(0).random((2, 2, 3, 4)))
    for incomplete, message in (
        (table[table["progress"] == 0.1], "at least two"),
        (table.iloc[1:], "missing at a checkpoint"),
        (table[(table["seed"] == 0) | ~table["id"].str.endswith("-2")], "missing|different test examples"),
    ):
        with pytest.raises(InputError, match=message):
            slopes(incomplete)


def test_shares_at_every_checkpoint_of_each_language_and_of_all() -> None:
    """The slope of all languages' shares is the mean slope."""
    values = np.random.default_rng(3).random((2, 3, 5, 4))
    table = shares(values).assign(chance=1 / 3)
    found = share_over_training(table).set_index(["language", "progress"])
    assert found["chance"].tolist() == pytest.approx([1 / 3] * 16)
    together = found.loc["all languages", "value"].sort_index()
    np.testing.assert_allclose(together, values.mean(axis=(0, 1, 2)))
    assert np.polyfit(PROGRESS, together, 1)[0] == pytest.approx(slopes(table).mean())
    items = estimate(values[..., 0].mean(axis=1))
    row = found.loc[("all languages", 0.1)]
    assert (row["low"], row["high"]) == pytest.approx((items.low, items.high))
    for language in range(3):
        single = found.loc[str(language), "value"].sort_index()
        np.testing.assert_allclose(single, values[:, language].mean(axis=(0, 1)))
