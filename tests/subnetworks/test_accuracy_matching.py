"""Accuracy-matched random masks, on models whose accuracy is known for every mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modspec.subnetworks.accuracy_matching import TRIES, accuracy_matched, random_swaps, swapped

GRIDS = st.tuples(st.integers(1, 5), st.integers(1, 7))


def drawn(grid: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(grid) < 0.6


@given(GRIDS, st.integers(0, 999), st.integers(0, 40))
def test_swaps_keep_every_layers_size_and_change_two_heads_each(grid, seed, count) -> None:
    mask = drawn(grid, seed)
    swaps = random_swaps(mask, np.random.default_rng(seed))
    assert len(swaps) == np.minimum(mask.sum(1), (~mask).sum(1)).sum()
    result = swapped(mask, swaps[:count])
    assert result.sum(1).tolist() == mask.sum(1).tolist()
    assert (result != mask).sum() == 2 * min(count, len(swaps))


def test_every_head_of_a_layer_is_swapped_equally_often() -> None:
    mask = np.array([[True, True, True, False, False]])
    results = [swapped(mask, random_swaps(mask, np.random.default_rng(seed))[:1]) for seed in range(3000)]
    kept = np.mean(results, axis=0)[0]
    # 2/3 and 1/2, within four standard errors
    assert np.abs(kept[:3] - 2 / 3).max() < 0.035
    assert np.abs(kept[3:] - 1 / 2).max() < 0.037


def cost_of_swaps(mask: np.ndarray, tried: list[np.ndarray]) -> Callable[[np.ndarray], float]:
    """Return a score that every swap lowers by 1 point, and that keeps the masks it is asked for."""

    def score(candidate: np.ndarray) -> float:
        tried.append(candidate)
        return 0.8 - 0.01 * ((candidate != mask).sum() // 2)

    return score


@given(GRIDS, st.integers(0, 999), st.integers(0, 30), st.integers(0, 30))
def test_the_most_swaps_that_are_matched_are_found(grid, seed, asked, limit) -> None:
    mask, tried = drawn(grid, seed), []
    possible = len(random_swaps(mask, np.random.default_rng(0)))
    score = cost_of_swaps(mask, tried)
    found, swaps, found_score = accuracy_matched(
        mask, 0.8, asked, score, 0.01 * limit, np.random.default_rng(seed)
    )
    assert swaps == min(asked, limit, possible)
    assert (found != mask).sum() == 2 * swaps
    assert found_score == score(found)
    assert len(tried) - 1 <= TRIES * (1 + np.ceil(np.log2(max(asked, 1))))


@given(st.integers(0, 2 * TRIES), st.integers(0, 999))
def test_a_number_of_swaps_is_given_up_after_several_masks(refused, seed) -> None:
    mask, tried = np.arange(144).reshape(12, 12) % 3 > 0, []

    def score(candidate: np.ndarray) -> float:
        tried.append(candidate)
        return 0.8 if len(tried) > refused else 0.5

    found, swaps, found_score = accuracy_matched(mask, 0.8, 10, score, 0.01, np.random.default_rng(seed))
    # 10, then 5 and 2 swaps; once a mask is matched, every larger number down from there is.
    assert swaps == {0: 10, 1: 9, 2: 4}[refused // TRIES]
    assert (found != mask).sum() == 2 * swaps and found_score == 0.8
    first = {candidate.tobytes() for candidate in tried[:TRIES]}
    assert len(first) == min(len(tried), TRIES)


def test_where_not_even_one_swap_is_matched_the_mask_itself_comes_back() -> None:
    mask = np.arange(144).reshape(12, 12) % 3 > 0
    found, swaps, score = accuracy_matched(mask, 0.8, 10, lambda _: 0.5, 0.01, np.random.default_rng(0))
    assert np.array_equal(found, mask) and (swaps, score) == (0, 0.8)


def test_a_seed_decides_the_mask() -> None:
    mask = np.arange(144).reshape(12, 12) % 3 > 0
    first, again, other = (
        accuracy_matched(mask, 0.8, 10, lambda _: 0.8, 0.0, np.random.default_rng(seed))[0]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
