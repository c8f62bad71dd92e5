"""Typological distances are URIEL's; Mantel tests against brute force, under a null, and degenerate."""

from __future__ import annotations

import itertools
import math
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import squareform
from scipy.stats import binom, spearmanr

from modspec.analysis import typology
from modspec.analysis.typology import (
    DISTANCES,
    Mantel,
    language_pairs,
    mantel_tests,
    typological_distances,
)
from tests.helpers.frames import synthetic

CODES = ["de", "en", "es", "fr", "ru"]
PRESETS = "en de fr es ru zh ko ja it pl nl pt".split()


def distance(a: str, b: str, name: str) -> float:
    return typological_distances([a, b]).query("language_a != language_b")[name].item()


def mantel(similarity: np.ndarray, far: np.ndarray, **options: int) -> Mantel:
    """The test of two squares."""
    return typology.mantel(squareform(similarity, checks=False), squareform(far, checks=False), **options)


def random_square(rng: np.random.Generator, count: int, digits: int = 15) -> np.ndarray:
    half = np.triu(rng.random((count, count)), 1).round(digits)
    return half + half.T


def test_close_languages_are_close() -> None:
    assert distance("en", "de", "syntax") < distance("en", "ko", "syntax")
    assert distance("fr", "es", "family") < distance("fr", "ru", "family") < distance("fr", "ko", "family")
    assert distance("en", "fr", "geography") < distance("en", "zh", "geography")
    assert distance("es", "it", "inventory") < distance("es", "zh", "inventory")
    # Indo-European and Koreanic share no ancestor.
    assert distance("en", "ko", "family") == pytest.approx(1)


def test_distances_are_cosines_of_the_features() -> None:
    with np.load(files("lang2vec") / "data" / "feature_predictions.npz", allow_pickle=False) as arrays:
        languages, features = arrays["langs"].tolist(), arrays["feats"].tolist()
        data = arrays["data"]
    rows = {code: data[languages.index(code), :, 0].tolist() for code in ("eng", "jpn")}
    columns = [place for place, feature in enumerate(features) if feature.startswith("S_")]
    a, b = ([row[place] for place in columns] for row in rows.values())
    assert rows["eng"][features.index("S_SVO")] == 1 and rows["jpn"][features.index("S_SOV")] == 1
    product = sum(x * y for x, y in zip(a, b, strict=True))
    expected = 1 - product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    assert distance("en", "ja", "syntax") == pytest.approx(expected, rel=1e-5)


def test_every_language_of_the_presets_has_every_distance() -> None:
    table = typological_distances(PRESETS).set_index(["language_a", "language_b"])[list(DISTANCES)]
    assert list(table.index) == [*itertools.combinations_with_replacement(PRESETS, 2)]
    same = table.index.get_level_values(0) == table.index.get_level_values(1)
    assert (table[same] == 0).all(axis=None)
    assert (table[~same] > 0).all(axis=None) and (table <= 1 + 1e-6).all(axis=None)


def test_a_language_that_uriel_lacks_is_left_out() -> None:
    assert {*typological_distances(["en", "nowhere", "de-1", "de"])["language_b"]} == {"en", "de"}
    assert typological_distances(["en", "nowhere"]).empty
    frames = synthetic(5, 2)
    renamed = [frames[name].replace("ru", "xx") for name in ("mask_overlap", "influence_matrix")]
    pairs = language_pairs(*renamed, 100)
    assert {*pairs["language_a"]} == {"de", "en", "es", "fr"}
    assert set(mantel_tests(pairs)["languages"]) == {4}


@pytest.mark.parametrize(("count", "digits"), [(3, 15), (4, 15), (4, 1), (5, 15), (5, 1)])
def test_mantel_is_the_brute_force_over_all_permutations(count: int, digits: int) -> None:
    rng = np.random.default_rng(count + digits)
    similarity, far = random_square(rng, count, digits), random_square(rng, count, digits)
    above = np.triu_indices(count, 1)
    rhos = [
        spearmanr(similarity[np.ix_(order, order)][above], far[above]).statistic
        for order in itertools.permutations(range(count))
    ]
    found = mantel(similarity, far)
    assert found.rho == pytest.approx(rhos[0])
    assert found.p == np.mean(np.array(rhos) <= rhos[0] + 1e-9)
    assert found.p_two_sided == np.mean(np.abs(rhos) >= abs(rhos[0]) - 1e-9)
    assert found.smallest_p == 1 / math.factorial(count)


def test_random_permutations_come_near_all_of_them() -> None:
    rng = np.random.default_rng(3)
    far = random_square(rng, 8)
    similarity = random_square(rng, 8) - 0.4 * far
    found, again = (mantel(similarity, far, resamples=4999) for _ in range(2))
    other = mantel(similarity, far, resamples=4999, seed=1)
    assert found == again and found.smallest_p == 1 / 5000
    spread = 5 * math.sqrt(2 * found.p * (1 - found.p) / 4999)
    assert 0 < found.p < 0.5 and abs(found.p - other.p) < spread


def test_similarity_that_falls_with_distance_has_the_smallest_p() -> None:
    far = random_square(np.random.default_rng(0), 5)
    found = mantel(-far, far)
    assert found.rho == pytest.approx(-1) and found.p == found.smallest_p == 1 / 120
    opposite = mantel(far, far)
    assert opposite.rho == pytest.approx(1) and opposite.p == 1 and opposite.p_two_sided == 1 / 120


@pytest.mark.parametrize(("count", "studies"), [(5, 600), (8, 300)])
@pytest.mark.parametrize("which", ["p", "p_two_sided"])
def test_the_test_holds_its_level(count: int, studies: int, which: str) -> None:
    """Distances of points on a line, so that pairs of a language depend on each other."""
    rng = np.random.default_rng(count)
    rejected = 0
    for _ in range(studies):
        near, far = (np.abs(np.subtract.outer(x, x)) for x in rng.normal(size=(2, count)))
        rejected += getattr(mantel(-near, far, resamples=199), which) <= 0.05
    assert binom.ppf(0.0005, studies, 0.05) <= rejected <= binom.ppf(0.9995, studies, 0.05)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.permutations(range(5)))
def test_names_and_scale_do_not_matter(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    similarity, far = random_square(rng, 5), random_square(rng, 5)
    found = mantel(similarity, far)
    moved = mantel(np.exp(similarity[np.ix_(order, order)]), 3 * far[np.ix_(order, order)])
    assert (moved.rho, moved.p) == (pytest.approx(found.rho), found.p)


def test_two_languages_or_all_tied_give_no_answer() -> None:
    square = random_square(np.random.default_rng(0), 2)
    found = mantel(square, square)
    assert math.isnan(found.rho) and math.isnan(found.p) and math.isnan(found.p_two_sided)
    tied, varied = np.ones((4, 4)), random_square(np.random.default_rng(0), 4)
    assert math.isnan(mantel(tied, varied).p) and math.isnan(mantel(varied, tied).rho)


def test_pairs_are_means_of_both_directions_above_chance() -> None:
    frames = synthetic(5, 2)
    overlap, matrix = frames["mask_overlap"], frames["influence_matrix"]
    pairs = language_pairs(overlap, matrix, 1000).set_index(["seed", "measure", "language_a", "language_b"])
    assert pairs.index.is_unique and len(pairs) == 3 * 3 * 15
    excess = {
        (row.seed_a, row.language_a, row.seed_b, row.language_b): row.jaccard - row.chance
        for row in overlap.itertuples()
    }
    excess |= {(s, b, r, a): value for (r, a, s, b), value in excess.items()}
    rows = matrix[(matrix["condition"] == "full") & (matrix["mask_kind"] == "none")]
    rows = rows[(rows["score"] == "cosine") & (rows["train_gradient_mask"] == "test_example")]
    cell = rows.set_index(["seed", "language", "train_language"])
    of_distance = typological_distances(CODES).set_index(["language_a", "language_b"])
    matrix = matrix[matrix["train_gradient_mask"] == "test_example"]  # without a mask there is but one
    pairs = language_pairs(overlap, matrix, 1000).set_index(["seed", "measure", "language_a", "language_b"])
    for a, b in itertools.combinations_with_replacement(CODES, 2):
        for seed in (0, 1):
            own = (1 - seed) if a == b else seed  # the same language only in the other seed
            assert pairs.loc[(seed, "overlap", a, b), "value"] == pytest.approx(excess[seed, a, own, b])
            share = [cell.loc[(seed, *pair), "share"] - 0.2 for pair in ((a, b), (b, a))]
            assert pairs.loc[(seed, "share", a, b), "value"] == pytest.approx(np.mean(share))
            score = [cell.loc[(seed, *pair), "influence"] / 200 for pair in ((a, b), (b, a))]
            assert pairs.loc[(seed, "influence", a, b), "value"] == pytest.approx(np.mean(score))
        for measure in ("overlap", "share", "influence"):
            mean = np.mean([pairs.loc[(seed, measure, a, b), "value"] for seed in (0, 1)])
            assert pairs.loc[("all", measure, a, b), "value"] == pytest.approx(mean)
            found = pairs.loc[("all", measure, a, b), list(DISTANCES)]
            assert found.astype(float).to_numpy() == pytest.approx(of_distance.loc[(a, b)].to_numpy())


def test_tests_are_of_every_measure_distance_and_seed() -> None:
    frames = synthetic(5, 2)
    pairs = language_pairs(frames["mask_overlap"], frames["influence_matrix"], 1000)
    tests = mantel_tests(pairs)
    assert len(tests) == 3 * 3 * 5 and (tests["smallest_p"] == 1 / 120).all()
    p = tests.loc[tests["seed"] == "all", "p"].to_numpy()
    order = np.argsort(p)
    holm = np.maximum.accumulate([min(1, (15 - rank) * p[place]) for rank, place in enumerate(order)])
    assert tests.loc[tests["seed"] == "all", "p_holm"].to_numpy()[order] == pytest.approx(holm)
    chosen = pairs[(pairs["seed"] == 1) & (pairs["measure"] == "share")]
    chosen = chosen[chosen["language_a"] != chosen["language_b"]]
    expected = spearmanr(chosen["value"], chosen["geography"]).statistic
    row = tests[(tests["seed"] == 1) & (tests["measure"] == "share") & (tests["distance"] == "geography")]
    assert row["rho"].item() == pytest.approx(expected)


def test_masks_that_keep_every_head_are_left_out() -> None:
    """Of German in one seed: that seed has no such pairs, and the mean is the other seed's."""
    frames = synthetic(5, 2)
    overlap = frames["mask_overlap"].copy()
    for side in ("a", "b"):
        full = (overlap[f"language_{side}"] == "de") & (overlap[f"seed_{side}"] == 0)
        overlap.loc[full, f"kept_{side}"] = 144
    pairs = language_pairs(overlap, frames["influence_matrix"], 1000).query("measure == 'overlap'")
    tests = mantel_tests(pairs).groupby("seed")["languages"].unique().map(list).to_dict()
    assert tests == {"all": [5], 0: [4], 1: [5]}
    german = pairs[(pairs["language_a"] == "de") & (pairs["language_b"] != "de")]
    assert set(german["seed"]) == {"all", 1}
    mean = german.groupby("language_b")["value"].nunique()
    assert (mean == 1).all() and len(mean) == 4


def test_languages_that_lack_pairs_are_left_out_of_a_test() -> None:
    frames = synthetic(5, 2)
    pairs = language_pairs(frames["mask_overlap"], frames["influence_matrix"], 1000)
    some = pairs[(pairs["language_a"] != "en") | ~pairs["language_b"].isin(["es", "ru"])]
    found, expected = (
        mantel_tests(some),
        mantel_tests(pairs[~(pairs[["language_a", "language_b"]] == "en").any(axis=1)]),
    )
    pd.testing.assert_frame_equal(found, expected)
    assert (found["languages"] == 4).all()


def test_rounding_makes_no_ranks_of_ties() -> None:
    rng = np.random.default_rng(0)
    similarity, far = random_square(rng, 5, 1), random_square(rng, 5)
    above = np.triu_indices(5, 1)
    noisy = similarity.copy()
    noisy[above] += 1e-16 * rng.normal(size=10)
    noisy = np.triu(noisy, 1) + np.triu(noisy, 1).T
    assert len(np.unique(similarity[above])) < len(np.unique(noisy[above])) and mantel(noisy, far) == mantel(
        similarity, far
    )


def test_two_languages_have_pairs_and_no_test_and_one_has_neither() -> None:
    frames = synthetic(2, 1)
    pairs = language_pairs(frames["mask_overlap"], frames["influence_matrix"], 1000)
    assert (mantel_tests(pairs)[["rho", "p", "p_holm"]].isna()).all(axis=None)
    one = [
        frame[(frame.filter(like="language") == "de").all(axis=1)]
        for frame in (
            frames["mask_overlap"],
            frames["influence_matrix"].drop(columns="mask_language", errors="ignore"),
        )
    ]
    assert language_pairs(*one, 1000).empty and mantel_tests(language_pairs(*one, 1000)).empty


def test_without_full_fine_tuning_there_are_masks_only() -> None:
    frames = synthetic(5, 2)
    matrix = frames["influence_matrix"]
    pairs = language_pairs(frames["mask_overlap"], matrix[matrix["condition"] == "sft"], 1000)
    assert set(pairs["measure"]) == {"overlap"} and isinstance(mantel_tests(pairs), pd.DataFrame)
