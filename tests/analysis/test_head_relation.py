"""Heads against importance and masks: against loops, regressions, simulated nulls."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, spearmanr

from modspec.analysis.head_relation import head_relation, own_against_other_languages

LAYERS, HEADS = 4, 6
GRID = list(itertools.product(range(1, LAYERS + 1), range(1, HEADS + 1)))
Maps = dict[tuple[str, int], np.ndarray]  # (language, seed) -> (heads,)


def frames(maps: Maps, importance: Maps, masks: Maps) -> tuple[pd.DataFrame, ...]:
    """The tables that hold ``maps`` as in-language contributions, and their ranks' share as shares."""
    contributions, shares, weights, kept = [], [], [], []
    languages = sorted({language for language, _ in maps})
    following = dict(zip(languages, languages[1:] + languages[:1], strict=True))
    for (language, seed), values in maps.items():
        for (layer, head), value in zip(GRID, values, strict=True):
            for other in (language, following[language]):
                contribution = 1.0 + value * (other == language)
                contributions.append((seed, language, other, layer, head, contribution))
            shares.append((seed, language, layer, head, value**3, 0.2))
    for (language, seed), values in importance.items():
        for (layer, head), value in zip(GRID, values, strict=True):
            weights.append((layer, head, True, value, 0, "exact", language, seed))
            # Neither later steps nor the inherited importance count.
            weights.append((layer, head, True, -value, 1, "exact", language, seed))
            weights.append((layer, head, True, -value, 0, "inherited", language, seed))
    for (language, seed), values in masks.items():
        kept += [(seed, language, *place, bool(v)) for place, v in zip(GRID, values, strict=True)]
    names = [
        "seed language train_language layer head contribution",
        "seed language layer head share chance",
        "layer head kept weight step importance language seed",
        "seed language layer head kept",
    ]
    tables = (contributions, shares, weights, kept)
    return tuple(pd.DataFrame(rows, columns=n.split()) for rows, n in zip(tables, names, strict=True))


def noise(
    rng: np.random.Generator, languages: int, seeds: int, by_layer: float = 0.0
) -> tuple[Maps, Maps, Maps]:
    """Independent maps, importances and masks, but for a common dependence on the layer."""
    layer = by_layer * np.repeat(np.arange(LAYERS), HEADS)
    keys = list(itertools.product([f"l{number:03}" for number in range(languages)], range(seeds)))

    def draw() -> Maps:
        return {key: layer + rng.normal(size=LAYERS * HEADS) for key in keys}

    values, importance, scores = draw(), draw(), draw()
    return values, importance, {key: score > layer.mean() for key, score in scores.items()}


def adjusted_difference(values: np.ndarray, mask: np.ndarray) -> float:
    """Coefficient of the mask in a least-squares regression with a constant for each layer."""
    layers = np.repeat(np.eye(LAYERS), HEADS, axis=0)
    return np.linalg.lstsq(np.column_stack([mask, layers]), values, rcond=None)[0][0]


MAPS, IMPORTANCE, MASKS = noise(np.random.default_rng(5), 3, 2, by_layer=0.5)
FOUND = head_relation(*frames(MAPS, IMPORTANCE, MASKS), resamples=400).set_index(
    ["seed", "language", "measure", "mask_kind"]
)


def test_values_are_means_over_matching_importances_and_masks() -> None:
    languages = sorted({language for language, _ in MAPS})
    assert FOUND.index.is_unique and len(FOUND) == 4 * 3 * 4 * 3
    for seed, language in itertools.product([0, 1], languages):
        matching = {
            "own": [(language, seed)],
            "other_language": [(other, seed) for other in languages if other != language],
            "other_seed": [(language, 1 - seed)],
        }
        for source, keys in matching.items():
            rho = np.mean([spearmanr(MAPS[language, seed], IMPORTANCE[key]).statistic for key in keys])
            for influence in ("contribution", "share"):  # cubes have the same ranks
                row = FOUND.loc[(seed, language, f"{influence}_importance", source)]
                assert row["value"] == pytest.approx(rho)
            for influence, power in (("contribution", 1), ("share", 3)):
                values = MAPS[language, seed] ** power
                expected = np.mean([adjusted_difference(values, MASKS[key]) for key in keys])
                row = FOUND.loc[(seed, language, f"{influence}_mask", source)]
                assert row["value"] == pytest.approx(expected)


def test_all_is_the_mean_over_seeds_and_over_languages() -> None:
    values = FOUND["value"]
    for measure, source in itertools.product(
        ["contribution_importance", "share_mask"], ["own", "other_seed"]
    ):
        by_language = []
        for language in ("l000", "l001", "l002"):
            mean = np.mean([values[seed, language, measure, source] for seed in (0, 1)])
            assert values["all", language, measure, source] == pytest.approx(mean)
            by_language.append(mean)
        assert values["all", "all languages", measure, source] == pytest.approx(np.mean(by_language))


def test_chance_is_what_layers_alone_give() -> None:
    """The mean of a linear statistic under permutation within layers is its value at the layers' means."""
    for language, seed in MAPS:
        ranks = [np.argsort(np.argsort(m[language, seed])).astype(float) for m in (MAPS, IMPORTANCE)]
        means = np.repeat(ranks[0].reshape(LAYERS, HEADS).mean(axis=1), HEADS)
        cross = np.mean((means - means.mean()) * (ranks[1] - ranks[1].mean()))
        row = FOUND.loc[(seed, language, "contribution_importance", "own")]
        assert row["chance"] == pytest.approx(cross / ranks[0].std() / ranks[1].std(), abs=0.04)
        assert row["chance_low"] < row["chance"] < row["chance_high"]
        assert FOUND.loc[(seed, language, "share_mask", "own"), "chance"] == pytest.approx(0, abs=0.8)


def test_equal_maps_are_found() -> None:
    found = head_relation(*frames(MAPS, MAPS, {k: v > 0.5 for k, v in MAPS.items()}), resamples=999)
    found = found.set_index(["seed", "language", "measure", "mask_kind"])
    own = found.loc[("all", "all languages", "contribution_importance", "own")]
    assert own["value"] == pytest.approx(1) and own["p"] == 2 / 1000
    assert found.loc[("all", "all languages", "contribution_mask", "own"), "p"] == 2 / 1000


@pytest.mark.parametrize("measure", ["contribution_importance", "share_mask"])
def test_the_test_holds_its_level_where_layers_agree(measure: str) -> None:
    """200 languages: independent but for their layers, which an unstratified test would take for heads."""
    found = head_relation(*frames(*noise(np.random.default_rng(1), 200, 1, by_layer=1.0)), resamples=199)
    rows = found[(found["seed"] == 0) & (found["mask_kind"] == "own") & (found["measure"] == measure)]
    rows = rows[rows["language"] != "all languages"]
    rejected = (rows["p"] <= 0.05).sum()
    assert len(rows) == 200
    assert binom.ppf(0.0005, 200, 0.05) <= rejected <= binom.ppf(0.9995, 200, 0.05)
    inside = rows["value"].between(rows["chance_low"], rows["chance_high"]).sum()
    assert inside >= binom.ppf(0.0005, 200, 0.94)
    if measure == "contribution_importance":
        assert rows["value"].mean() > 0.3 and rows["chance"].mean() > 0.3


@pytest.mark.parametrize("measure", ["share_importance", "share_mask"])
def test_maps_that_resemble_each_other_are_no_independent_evidence(measure: str) -> None:
    """Six copies of one map and of one mask that have nothing in common find no more than one of them."""
    rng, runs = np.random.default_rng(2), 120
    keys = [(language, seed) for language in "abc" for seed in (0, 1)]
    p = []
    for _ in range(runs):
        copied = (dict.fromkeys(keys, *maps.values()) for maps in noise(rng, 1, 1))
        found = head_relation(*frames(*copied), resamples=99)
        overall = found[(found["seed"] == "all") & (found["language"] == "all languages")]
        p += overall[(overall["measure"] == measure) & (overall["mask_kind"] == "own")]["p"].tolist()
    assert (np.array(p) <= 0.05).sum() <= binom.ppf(0.999, len(p), 0.05)


def test_own_against_others_is_the_brute_force_over_languages() -> None:
    found = own_against_other_languages(*frames(MAPS, IMPORTANCE, MASKS)).set_index("measure")
    assert len(found) == 4 and (found["smallest_p"] == 1 / 6).all() and (found["seeds"] == 2).all()
    languages = ["l000", "l001", "l002"]
    for measure, statistic, of in (
        ("contribution_importance", lambda a, b: spearmanr(a, b).statistic, IMPORTANCE),
        ("contribution_mask", adjusted_difference, MASKS),
    ):
        cells = {
            (a, b): np.mean([statistic(MAPS[a, seed], of[b, seed]) for seed in (0, 1)])
            for a, b in itertools.product(languages, languages)
        }
        sums = [
            sum(cells[pair] for pair in zip(languages, order, strict=True)) / 3
            for order in itertools.permutations(languages)
        ]
        assert found.loc[measure, "own"] == pytest.approx(sums[0])
        others = [value for (a, b), value in cells.items() if a != b]
        assert found.loc[measure, "other"] == pytest.approx(np.mean(others))
        assert found.loc[measure, "p"] == np.mean(np.array(sums) >= sums[0] - 1e-12)


def test_own_against_others_holds_its_level_and_finds_what_is_there() -> None:
    rng = np.random.default_rng(2)
    found = pd.concat(
        own_against_other_languages(*frames(*noise(rng, 5, 1, by_layer=1.0))) for _ in range(60)
    )
    for _, rows in found.groupby("measure"):
        assert (rows["p"] <= 0.05).sum() <= binom.ppf(0.9995, 60, 0.05)
    maps, _, masks = noise(rng, 5, 2)
    near = {key: values + 0.5 * rng.normal(size=values.size) for key, values in maps.items()}
    found = own_against_other_languages(*frames(maps, near, masks)).set_index("measure")
    assert found.loc["contribution_importance", "p"] == 1 / 120


def test_result_is_the_same_on_every_call() -> None:
    tables = frames(MAPS, IMPORTANCE, MASKS)
    pd.testing.assert_frame_equal(head_relation(*tables, resamples=50), head_relation(*tables, resamples=50))


def test_one_seed_has_no_other_seed_and_one_language_nothing() -> None:
    first = [{key: v for key, v in maps.items() if key[1] == 0} for maps in (MAPS, IMPORTANCE, MASKS)]
    found = head_relation(*frames(*first), resamples=50)
    assert set(found["mask_kind"]) == {"own", "other_language"} and set(found["seed"]) == {"all", 0}
    contributions, shares, importance, masks = frames(MAPS, IMPORTANCE, MASKS)
    empty = contributions[:0], shares[:0], importance, masks
    assert head_relation(*empty).empty and own_against_other_languages(*empty).empty


def test_what_does_not_differ_between_heads_has_no_rows() -> None:
    flat = {key: np.ones(len(GRID)) for key in MAPS}
    for importance, masks, absent in ((flat, MASKS, "_importance"), (IMPORTANCE, flat, "_mask")):
        tables = frames(MAPS, importance, masks)
        found = head_relation(*tables, resamples=50)
        assert len(found) and not found["measure"].str.endswith(absent).any()
        assert not own_against_other_languages(*tables)["measure"].str.endswith(absent).any()
    one = MASKS | {("l001", 0): np.ones(len(GRID))}
    found = head_relation(*frames(MAPS, IMPORTANCE, one), resamples=50).query("measure == 'share_mask'")
    places = found.query("mask_kind == 'own'")[["language", "seed"]].apply(tuple, axis=1).to_list()
    assert ("l001", 0) not in places and ("l001", 1) in places and found["value"].notna().all()
