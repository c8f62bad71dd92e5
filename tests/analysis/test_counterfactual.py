"""Influence against leaving languages out: enumeration in plain Python, level, power, and invariances."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, spearmanr

from modspec.analysis.counterfactual import maps_of_study, pooled_agreement
from modspec.errors import InputError


def task(rng: np.random.Generator, seeds: int = 3, languages: int = 5, *, rho: float, noise: float = 1.0):
    """Maps that share ``rho`` of what language matters to which, and large main effects; seeds add noise."""
    common, other = rng.normal(size=(2, languages, languages))
    influence = common + noise * rng.normal(size=(seeds, languages, languages))
    loss = rho * common + np.sqrt(1 - rho**2) * other + noise * rng.normal(size=influence.shape)
    strength, dependence = 5 * rng.normal(size=(1, 1, languages)), 5 * rng.normal(size=(1, languages, 1))
    return influence + strength + dependence, loss + strength - dependence


def centred(maps: np.ndarray) -> np.ndarray:
    """Residuals off the diagonal of an additive model of rows and columns, by alternating means."""
    languages = maps.shape[-1]
    residual = np.where(np.eye(languages, dtype=bool), np.nan, maps)
    for _ in range(200):
        residual = residual - np.nanmean(residual, axis=2, keepdims=True)
        residual = residual - np.nanmean(residual, axis=1, keepdims=True)
    return residual / np.nanstd(residual, axis=(1, 2), keepdims=True)


def test_against_enumeration_in_plain_python() -> None:
    """Two tasks of four languages: 24 x 24 orders."""
    rng = np.random.default_rng(0)
    tasks = [task(rng, languages=4, rho=0.8) for _ in range(2)]
    means = [[np.mean(centred(maps), axis=0) for maps in maps_of] for maps_of in tasks]
    apart = ~np.eye(4, dtype=bool)

    def correlation(orders) -> float:
        return float(
            np.mean(
                [
                    spearmanr(influence[np.ix_(order, order)][apart], loss[apart]).statistic
                    for (influence, loss), order in zip(means, orders, strict=True)
                ]
            )
        )

    everything = np.array([correlation(o) for o in product(permutations(range(4)), repeat=2)])
    found = pooled_agreement(tasks)
    assert found.value == pytest.approx(everything[0])
    tails = [np.mean(sign * everything >= sign * everything[0] - 1e-12) for sign in (1, -1)]
    assert found.p == pytest.approx(min(1, 2 * min(tails)))
    assert (found.seeds, found.examples) == (3, 24) and np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_level_and_power(rho: float) -> None:
    """Main effects of opposite sign, which are large, do not count."""
    rng, runs = np.random.default_rng(1), 100
    found = [pooled_agreement([task(rng, 6, rho=rho, noise=0.7) for _ in range(2)]) for _ in range(runs)]
    rejected = sum(one.p <= 0.05 for one in found)
    if rho:
        assert rejected >= 0.8 * runs and all(one.value > 0 for one in found if one.p <= 0.05)
    else:
        assert rejected <= binom.ppf(1 - 1e-4, runs, 0.05)
        spread = np.std([one.value for one in found])
        assert np.mean([one.minimum_detectable for one in found]) == pytest.approx(2.8 * spread, rel=0.25)


def test_scales_of_seeds_and_the_diagonal_do_not_matter() -> None:
    influence, loss = task(np.random.default_rng(3), rho=0.5)
    scaled = influence * np.array([1e-6, 1, 1e6])[:, None, None] + 1e9 * np.eye(5)
    value = pooled_agreement([(influence, loss)]).value
    assert pooled_agreement([(scaled, loss)]).value == pytest.approx(value)
    assert pooled_agreement([(influence, -loss)]).value == pytest.approx(-value)
    transposed = influence.transpose(0, 2, 1), loss.transpose(0, 2, 1)
    assert pooled_agreement([transposed]).value == pytest.approx(value)
    assert pooled_agreement([(influence[:1], loss[:1])]).seeds == 1


def test_maps_that_say_nothing_are_refused() -> None:
    influence, loss = task(np.random.default_rng(4), rho=0.5)
    for maps, message in (
        ((influence, loss[:2]), "twice the same"),
        ((influence[:, :3, :3], loss[:, :3, :3]), "at least 4 languages"),
        ((influence, loss + np.where(np.eye(5)[::-1], np.nan, 0)), "finite"),
        ((influence, np.zeros_like(loss) + np.arange(5)), "explain all"),
    ):
        with pytest.raises(InputError, match=message):
            pooled_agreement([maps])


def test_a_studys_maps_are_read_in_one_order_of_languages_and_seeds() -> None:
    """Two seeds, four languages; influence equals the margin lost."""
    languages, rows, lost = ["fr", "en", "de", "es"], [], []
    rng = np.random.default_rng(5)
    for seed, left_out, language in product((11, 10), languages, languages):
        value = rng.normal()
        run = {"seed": seed, "condition": "full", "language": language, "id": f"{language}-1"}
        lost.append(run | {"left_out": left_out, "margin_all": 1.0, "margin": 1.0 - value})
        scored = {"mask_kind": "none", "score": "dot", "train_gradient_mask": "test_example"}
        rows.append(run | scored | {"train_language": left_out, "influence": value})
    other = pd.DataFrame(rows).assign(influence=9.0)  # of a seed and of a score that do not count
    statistics = pd.concat([pd.DataFrame(rows), other.assign(seed=12), other.assign(score="cosine")])
    margins = pd.DataFrame(lost)
    margins = pd.concat([margins, margins.assign(condition="sft", margin=0.0)])
    influence, loss = maps_of_study(statistics.sample(frac=1, random_state=0), margins)
    assert influence.shape == (2, 4, 4)
    np.testing.assert_allclose(influence, loss)
    (expected,) = (
        row["influence"]
        for row in rows
        if (row["seed"], row["train_language"], row["language"]) == (10, "fr", "en")
    )
    assert influence[0, 0, 1] == pytest.approx(expected)
    assert pooled_agreement([(influence, loss)]).value == pytest.approx(1)
    few = margins[margins["language"].isin(["fr", "en"]) & margins["left_out"].isin(["fr", "en"])]
    assert maps_of_study(statistics, few) is None
