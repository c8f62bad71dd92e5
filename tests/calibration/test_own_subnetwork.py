"""Q3's statistic: masks of equal layer profiles, shares under them, and the level of its verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from modspec.analysis.shares import strongest
from modspec.calibration.own_subnetwork import own_minus_others, own_subnetwork, pooled_others, same_profile
from modspec.calibration.planting import disjoint_masks
from modspec.influence import influence
from tests.helpers.models import HEADS, LAYERS, random_encoder, random_examples


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_mask_of_the_same_profile_has_the_layers_highest_weights(layers, heads, seed) -> None:
    rng = np.random.default_rng(seed)
    mask, weights = rng.random((layers, heads)) < 0.5, rng.integers(0, 4, (layers, heads)).astype(float)
    found = same_profile(mask, weights)
    assert found.dtype == bool and (found.sum(axis=1) == mask.sum(axis=1)).all()
    for kept, of_layer in zip(found, weights, strict=True):
        assert not kept.any() or kept.all() or of_layer[kept].min() >= of_layer[~kept].max()


def test_pooled_others_of_two_planted_halves_are_each_others() -> None:
    masks = disjoint_masks(("de", "en"), (4, 6), np.random.default_rng(0))
    others = pooled_others(masks, {name: mask.astype(float) for name, mask in masks.items()})
    assert np.array_equal(others["de"], masks["en"]) and np.array_equal(others["en"], masks["de"])


def test_pooled_others_never_read_the_languages_own_weights() -> None:
    masks = disjoint_masks(("de", "en", "fr"), (4, 6), np.random.default_rng(0))
    weights = {name: np.random.default_rng(i).random((4, 6)) for i, name in enumerate(masks)}
    others = pooled_others(masks, weights)
    changed = pooled_others(masks, weights | {"de": -weights["de"]})
    assert np.array_equal(others["de"], changed["de"]) and not np.array_equal(others["en"], changed["en"])
    mean = (weights["en"] + weights["fr"]) / 2
    assert np.array_equal(others["de"], same_profile(masks["de"], mean))


def test_shares_are_read_under_each_mask() -> None:
    model, train, evaluation = random_encoder(), random_examples(12, seed=1), random_examples(6, seed=2)
    masks = disjoint_masks(("en", "de"), (LAYERS, HEADS), np.random.default_rng(0))
    others = {"en": masks["de"], "de": masks["en"]}
    table = own_minus_others(model, train, evaluation, masks, others, 3)
    assert table.groupby("language")["item"].apply(list).tolist() == [[0, 1, 2], [0, 1, 2]]
    for language, kind, mask in [
        (t, k, m[t]) for t in masks for k, m in (("own", masks), ("others", others))
    ]:
        scores = influence(
            model, train, evaluation.of(language), train_mask=mask, evaluation_mask=mask
        ).cosine
        expected = (train.languages[strongest(scores, 3)] == language).mean(axis=0)
        assert table.loc[table["language"] == language, kind].tolist() == pytest.approx(expected.tolist())


def simulated(rng: np.random.Generator, effect: float, seeds: int = 3, items: int = 12) -> pd.DataFrame:
    """Shares of top-4 lists under both masks; items differ, and the own mask adds ``effect``."""
    rows = []
    for language in ("de", "en"):
        rate = rng.uniform(0.2, 0.6, items)
        for seed in range(seeds):
            own, others = rng.binomial(4, rate + effect) / 4, rng.binomial(4, rate) / 4
            columns = {"item": np.arange(items), "own": own, "others": others}
            rows.append(pd.DataFrame(columns).assign(language=language, seed=seed))
    return pd.concat(rows).assign(languages=2, condition="full")


def test_the_verdict_finds_nothing_in_clones_and_a_planted_effect() -> None:
    """Clones: both masks mean the same. The t interval may err less often than its level, not more."""
    rng, runs = np.random.default_rng(0), 150
    tables = [own_subnetwork(simulated(rng, 0.0), 0.05) for _ in range(runs)]
    for language in ("all languages", "de", "en"):
        p = [table.set_index("language").loc[language, "p"] for table in tables]
        assert np.count_nonzero(np.array(p) < 0.05) <= binom.ppf(0.999, runs, 0.05)
    wrong = [table["verdict"].isin(["supported", "contradicted"]).any() for table in tables]
    assert np.mean(wrong) <= binom.ppf(0.999, runs, 0.15) / runs
    found = own_subnetwork(simulated(rng, 0.35), 0.05).set_index("language").loc["all languages"]
    assert found["verdict"] == "supported" and found["low"] > 0.1 and found["items"] == 12
    lone = own_subnetwork(simulated(rng, 0.35, seeds=2), 0.05)
    assert (lone["verdict"] == "too few seeds").all()


def test_the_mean_over_languages_is_by_item() -> None:
    shares = simulated(np.random.default_rng(0), 0.1)
    table = own_subnetwork(shares, 0.05).set_index("language")["value"]
    assert table["all languages"] == pytest.approx((table["de"] + table["en"]) / 2)
    assert table["de"] == pytest.approx(shares[shares["language"] == "de"].eval("own - others").mean())
