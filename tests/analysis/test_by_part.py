"""Tables by part of the encoder, against loops over every example's contributions."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, spearmanr

from modspec.analysis import by_part
from modspec.analysis.intervals import interval
from tests.helpers.parts import EVALUATION, HEADS, LAYERS, PLANTED, TOP_K, TRAINING, simulated, table

SIMULATION = simulated()
PARTS = table(SIMULATION)
COUNT = sum(TRAINING.values())


def share_of(language: str, values: np.ndarray) -> float:
    """Share of a language among the strongest training examples."""
    strongest = sorted(range(COUNT), key=lambda example: -values[example])[:TOP_K]
    return sum(SIMULATION.trained[example] == language for example in strongest) / TOP_K


def shares(condition: str, seed: int, language: str, part: tuple[str, int, int]) -> list[float]:
    """In-language share of every evaluation example of a language, by one part's contributions."""
    column = SIMULATION.parts.index(part)
    keys = [(condition, seed, language, f"{language}-{number}") for number in range(EVALUATION[language])]
    return [share_of(language, SIMULATION.contributions[key][:, column]) for key in keys]


def own_less_others(language: str, seed: int, layer: int, head: int) -> float:
    column, means = SIMULATION.parts.index(("head", layer, head)), {}
    for trained in TRAINING:
        values = [
            SIMULATION.contributions["full", seed, language, f"{language}-{number}"][example, column]
            for number in range(EVALUATION[language])
            for example in range(COUNT)
            if SIMULATION.trained[example] == trained
        ]
        means[trained] = sum(values) / len(values)
    others = [mean for trained, mean in means.items() if trained != language]
    return means[language] - sum(others) / len(others)


def test_layer_share_is_the_mean_share_by_one_part_alone() -> None:
    found = by_part.layer_share(PARTS, confidence=0.95)
    parts = [part for part in SIMULATION.parts if part[0] != "head"]
    found = found.set_index(["seed", "condition", "part", "layer", "language"])
    assert len(found) == 3 * 2 * len(parts) * 4 and found.index.is_unique
    for condition, part in itertools.product(["full", "sft"], parts):
        pooled = {}
        for seed in range(2):
            by_language = {language: shares(condition, seed, language, part) for language in TRAINING}
            for language, values in by_language.items():
                row = found.loc[(seed, condition, *part[:2], language)]
                expected = (np.mean(values), TRAINING[language] / COUNT, EVALUATION[language])
                assert tuple(row[["value", "chance", "examples"]]) == pytest.approx(expected)
                assert np.isnan(row["low"]) and np.isnan(row["high"])
            pooled[seed] = sum(by_language.values(), [])
            row = found.loc[(seed, condition, *part[:2], "all languages")]
            assert row["value"] == pytest.approx(np.mean(pooled[seed])) and row["examples"] == 8
        row = found.loc[("all", condition, *part[:2], "all languages")]
        chance = sum(TRAINING[language] / COUNT * count for language, count in EVALUATION.items()) / 8
        expected = (np.mean([pooled[0], pooled[1]]), chance, 8)
        assert tuple(row[["value", "chance", "examples"]]) == pytest.approx(expected)
        assert tuple(row[["low", "high"]]) == interval(np.array([pooled[0], pooled[1]]), confidence=0.95)


def test_head_share_is_the_mean_share_by_one_head_alone() -> None:
    found = by_part.head_share(PARTS).set_index(["seed", "language", "layer", "head"])
    assert len(found) == 2 * 3 * LAYERS * HEADS and found.index.is_unique
    for (seed, language, layer, head), row in found.iterrows():
        expected = np.mean(shares("full", seed, language, ("head", layer, head)))
        assert row["share"] == pytest.approx(expected)
        assert row["chance"] == pytest.approx(TRAINING[language] / COUNT)


def test_head_influence_is_the_mean_over_pairs_of_examples() -> None:
    found = by_part.head_influence(PARTS, COUNT)
    assert len(found) == 2 * 3 * 3 * LAYERS * HEADS
    for row in found.itertuples():
        column = SIMULATION.parts.index(("head", row.layer, row.head))
        values = [
            values[SIMULATION.trained == row.train_language, column]
            for (condition, seed, language, _), values in SIMULATION.contributions.items()
            if (condition, seed, language) == ("full", row.seed, row.language)
        ]
        assert row.contribution == pytest.approx(np.concatenate(values).mean())


def test_own_above_others_is_in_language_influence_by_head() -> None:
    found = by_part.own_above_others(by_part.head_influence(PARTS, COUNT))
    assert list(found.index) == [(language, seed) for language in TRAINING for seed in range(2)]
    for (language, seed), heads in found.iterrows():
        for (layer, head), value in heads.items():
            assert value == pytest.approx(own_less_others(language, seed, layer, head))


def test_the_planted_head_is_found_in_both_seeds() -> None:
    contributions = by_part.own_above_others(by_part.head_influence(PARTS, COUNT))
    found = by_part.top_heads(contributions, "own - others", count=2)
    assert list(found.index) == list(itertools.product(TRAINING, [1, 2]))
    first = found.xs(1, level="rank")
    assert (first[["layer", "head"]].to_numpy() == PLANTED).all()
    assert (first["rank in each seed"] == "1, 1").all()
    assert first["own - others"].to_numpy() == pytest.approx(2e-6, rel=0.1)
    share = by_part.head_maps(by_part.head_share(PARTS), ["language", "seed"], "share")
    first = by_part.top_heads(share, "share", count=1)
    assert (first[["layer", "head"]].to_numpy() == PLANTED).all() and (first["share"] == 1).all()


def random_maps(languages: int, seeds: int, common: float = 0.0) -> pd.DataFrame:
    """Maps of 12 x 12 heads: noise around a pattern of each language, which has weight ``common``."""
    rng = np.random.default_rng(languages * 10 + seeds)
    codes = [f"l{number:03}" for number in range(languages)]
    patterns = rng.normal(size=(languages, 1, 144))
    values = common * patterns + rng.normal(size=(languages, seeds, 144))
    rows = pd.MultiIndex.from_product([codes, range(seeds)], names=["language", "seed"])
    heads = pd.MultiIndex.from_product([range(1, 13), range(1, 13)], names=["layer", "head"])
    return pd.DataFrame(values.reshape(-1, 144), rows, heads)


@pytest.mark.parametrize("seeds", [2, 3])
def test_agreement_is_the_mean_spearman_over_pairs_of_seeds(seeds: int) -> None:
    maps = random_maps(3, seeds, common=1.0).round(1)  # rounded: with ties
    found = by_part.head_agreement(maps, resamples=50)
    for language in found.index:
        same, others = [], []
        for (a, i), (b, j) in itertools.permutations(maps.index, 2):
            correlation = spearmanr(maps.loc[a, i], maps.loc[b, j]).statistic
            if a == language and i != j:
                (same if b == language else others).append(correlation)
        assert found.loc[language, "same language"] == pytest.approx(np.mean(same))
        assert found.loc[language, "other languages"] == pytest.approx(np.mean(others))
    assert (found["same language"] > 0.3).all() and (found["other languages"].abs() < 0.15).all()


def test_noise_agrees_as_chance_says() -> None:
    found = by_part.head_agreement(random_maps(120, 2), resamples=400)
    inside = found["same language"].between(found["chance, from"], found["chance, to"]).sum()
    assert inside >= binom.ppf(0.0005, 120, 0.95)
    # Spearman of two independent maps of n heads has standard deviation 1 / sqrt(n - 1).
    width = found["chance, to"].mean() - found["chance, from"].mean()
    assert width == pytest.approx(2 * 1.96 / 143**0.5, rel=0.05)


def test_agreement_is_deterministic_and_complete_for_the_same_maps() -> None:
    maps = random_maps(1, 1)
    twice = pd.concat([maps, maps.rename(index={0: 1})])
    found = by_part.head_agreement(twice)
    assert found["same language"].item() == pytest.approx(1)
    assert np.isnan(found["other languages"].item())  # there is no other language
    pd.testing.assert_frame_equal(found, by_part.head_agreement(twice))


def test_one_seed_has_ranks_but_no_agreement() -> None:
    parts = PARTS[PARTS["seed"] == 0]
    maps = by_part.own_above_others(by_part.head_influence(parts, COUNT))
    assert by_part.head_agreement(maps).empty
    assert (by_part.top_heads(maps, "value", count=1)["rank in each seed"] == "1").all()


@pytest.mark.parametrize(
    "parts",
    [
        PARTS[PARTS["condition"] == "sft"],
        PARTS[(PARTS["language"] == "de") & (PARTS["train_language"] == "de")],
    ],
    ids=["no full fine-tuning", "one language"],
)
def test_nothing_to_compare_gives_empty_tables(parts: pd.DataFrame) -> None:
    influence, share = by_part.head_influence(parts, COUNT), by_part.head_share(parts)
    assert influence.empty and share.empty and not by_part.layer_share(parts, confidence=0.95).empty
    maps = by_part.head_maps(share, ["language", "seed"], "share")
    for empty in (by_part.own_above_others(influence), maps):
        assert by_part.head_agreement(empty).empty and by_part.top_heads(empty, "value").empty
