"""Masks as files, random controls and overlap, against brute force."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.subnetworks.masks import (
    chance_jaccard,
    dose_masks,
    jaccard,
    load_masks,
    permuted_masks,
    random_mask,
    random_masks,
    save_masks,
)

GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 6))
MASKS = {
    "en": np.array([[True, False, True], [False, False, True]]),
    "de": np.array([[True, True, False], [True, False, False]]),
}


def test_files_return_the_same_masks(tmp_path: Path) -> None:
    # A transposed view, whose memory is not contiguous, is saved by its values.
    masks = MASKS | {"ru": np.array([[True, False], [False, False], [True, True]]).T}
    save_masks(tmp_path / "masks.safetensors", masks)
    loaded = load_masks(tmp_path / "masks.safetensors")
    assert loaded.keys() == masks.keys()
    for language, mask in masks.items():
        assert loaded[language].dtype == bool and np.array_equal(loaded[language], mask)


def test_random_masks_are_drawn_for_each_language_from_the_seed() -> None:
    drawn = random_masks(MASKS, 3)
    assert list(drawn) == ["de", "en"]
    for language, mask in drawn.items():
        assert mask.sum(1).tolist() == MASKS[language].sum(1).tolist()
    again = random_masks(dict(reversed(MASKS.items())), 3)
    assert all(np.array_equal(drawn[language], again[language]) for language in MASKS)
    wide = {language: np.arange(400).reshape(2, 200) % 2 == 0 for language in MASKS}
    first, second = random_masks(wide, 3), random_masks(wide, 4)
    assert not np.array_equal(first["en"], first["de"])
    assert not np.array_equal(first["en"], second["en"])


@given(GRIDS, st.integers(0, 999))
def test_random_masks_keep_the_number_of_heads_of_each_layer(grid, seed):
    mask = np.random.default_rng(seed).random(grid) < 0.6
    control = random_mask(mask, np.random.default_rng(seed + 1))
    assert control.dtype == bool and control.sum(1).tolist() == mask.sum(1).tolist()
    assert np.array_equal(control, random_mask(mask, np.random.default_rng(seed + 1)))


@given(GRIDS, st.integers(0, 999), st.integers(2, 4))
def test_permuted_masks_keep_sizes_and_overlaps_in_every_layer(grid, seed, languages) -> None:
    rng = np.random.default_rng(seed)
    masks = {f"t{i}": rng.random(grid) < 0.6 for i in range(languages)}
    permuted = permuted_masks(masks, seed)
    for a, b in combinations(masks, 2):
        together = (permuted[a] & permuted[b]).sum(1)
        assert together.tolist() == (masks[a] & masks[b]).sum(1).tolist()
    for language, mask in masks.items():
        assert permuted[language].sum(1).tolist() == mask.sum(1).tolist()
        alone = permuted_masks({language: mask}, seed)
        assert np.array_equal(alone[language], permuted[language])  # whatever the other languages are


def test_permuted_masks_are_uniform_and_differ_by_seed_and_layer() -> None:
    mask = np.array([[True, False, False, False], [True, False, False, False]])
    kept = np.array([permuted_masks({"en": mask}, seed)["en"].argmax(1) for seed in range(4000)])
    counts = np.bincount(4 * kept[:, 0] + kept[:, 1], minlength=16)
    assert np.abs(counts - 250).max() < 4 * np.sqrt(250)


@given(GRIDS, st.integers(0, 999))
def test_dose_masks_have_their_sizes_and_lie_in_one_another(grid, seed) -> None:
    shares = (0.9, 0.5, 0.2)
    masks = dose_masks(grid, shares, seed)
    heads = grid[0] * grid[1]
    assert [int(mask.sum()) for mask in masks] == [round(share * heads) for share in shares]
    for larger, smaller in zip(masks, masks[1:], strict=False):
        assert not (smaller & ~larger).any()


def test_random_masks_are_uniform_and_layers_independent():
    mask = np.zeros((2, 4), bool)
    mask[:, :2] = True
    rng, draws = np.random.default_rng(0), 12_000
    seen: dict[tuple, int] = {}
    for _ in range(draws):
        key = tuple(tuple(np.flatnonzero(layer)) for layer in random_mask(mask, rng))
        seen[key] = seen.get(key, 0) + 1
    pairs = list(combinations(range(4), 2))
    expected = draws / len(pairs) ** 2
    chi2 = sum((seen.get((a, b), 0) - expected) ** 2 / expected for a in pairs for b in pairs)
    assert chi2 < 66.6  # 35 degrees of freedom, p = 0.001


@given(st.integers(1, 8), st.data())
def test_chance_jaccard_equals_enumeration(heads, data):
    kept_a, kept_b = (data.draw(st.integers(0, heads)) for _ in range(2))
    fixed = np.arange(heads) < kept_a
    overlaps = []
    for chosen in combinations(range(heads), kept_b):
        other = np.zeros(heads, bool)
        other[list(chosen)] = True
        overlaps.append(jaccard(fixed, other))
    assert chance_jaccard(kept_a, kept_b, heads) == pytest.approx(np.mean(overlaps), abs=1e-12)


def test_chance_jaccard_equals_monte_carlo_and_nears_its_limit():
    rng, draws = np.random.default_rng(0), 20_000
    a, b = (np.argsort(rng.random((draws, 144)), axis=1) < kept for kept in (100, 72))
    overlaps = (a & b).sum(1) / (a | b).sum(1)
    error = overlaps.std() / draws**0.5
    assert abs(chance_jaccard(100, 72, 144) - overlaps.mean()) < 4 * error
    for density in (0.2, 0.5, 0.9):
        kept = int(density * 4000)
        assert chance_jaccard(kept, kept, 4000) == pytest.approx(density / (2 - density), abs=2e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_jaccard_counts_shared_over_all(pairs):
    a, b = np.array(pairs).T
    kept_a, kept_b = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    expected = len(kept_a & kept_b) / len(kept_a | kept_b) if kept_a | kept_b else 1
    assert jaccard(a, b) == jaccard(b, a) == expected
