"""The search's control logic on synthetic encoders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modspec.errors import InputError
from modspec.subnetworks.search import least_important, search, search_along

GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 6))
THRESHOLDS = st.floats(0.01, 1)
STEPS = st.floats(0.01, 0.6)


class Synthetic:
    """An encoder of independent heads: fixed weights, any score of a mask; notes what it was asked."""

    def __init__(self, grid: tuple[int, int], seed: int = 0, levels: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.grid, self.seed = grid, seed
        # Few levels make ties; the sign of a gradient must not matter.
        self.weights = rng.integers(1, levels + 1, grid) if levels else rng.random(grid) + 0.1
        self.asked: list[np.ndarray] = []

    def gradients(self, mask: np.ndarray) -> np.ndarray:
        assert mask.any()
        return np.stack([self.weights, -self.weights]) * mask

    def score(self, mask: np.ndarray) -> float:
        """Noisy and not monotone, from the mask alone; the full mask scores about 0.8."""
        self.asked.append(mask.copy())
        assert len(self.asked) <= mask.size + 1, "the search does not end"
        noise = np.random.default_rng([self.seed, *mask.ravel().astype(int)]).uniform(-0.1, 0.1)
        return 0.8 * mask.mean() ** 0.2 + noise

    def search(self, **settings):
        return search(
            self.gradients, self.score, self.grid, importance=lambda g: np.abs(g).mean(axis=0), **settings
        )


@settings(max_examples=200)
@given(GRIDS, THRESHOLDS, STEPS, st.integers(0, 999), st.sampled_from([0, 1, 3]))
def test_search_returns_the_last_mask_that_passed_and_keeps_the_whole_trajectory(
    grid, threshold, step, seed, levels
):
    encoder = Synthetic(grid, seed, levels)
    found = encoder.search(threshold=threshold, step=step)

    # An independent replay: order heads once (weights do not change), cut, stop at the first failure.
    heads = grid[0] * grid[1]
    drop = max(1, round(step * heads))
    order = sorted(range(heads), key=lambda h: (encoder.weights.flat[h], h))
    replay = Synthetic(grid, seed, levels)
    masks, scores = [np.ones(grid, bool)], []
    scores.append(replay.score(masks[0]))
    while scores[-1] >= threshold * scores[0] and masks[-1].sum() > drop:
        mask = masks[-1].copy()
        mask.flat[order[: len(masks) * drop]] = False
        masks.append(mask)
        scores.append(replay.score(mask))
    passed = [m for m, s in zip(masks, scores, strict=True) if s >= threshold * scores[0]]

    assert [s.mask.tolist() for s in found.steps] == [m.tolist() for m in masks]
    assert [s.score for s in found.steps] == scores
    assert found.threshold_score == threshold * scores[0]
    assert found.mask.tolist() == passed[-1].tolist() and found.mask.any()
    assert [s.accepted for s in found.steps[:-1]] == [True] * (len(masks) - 1)  # a failure ends it
    assert len(encoder.asked) == len(found.steps)  # nothing scored that is not in the trajectory
    for now, after in zip(found.steps, found.steps[1:], strict=False):
        assert now.mask.sum() - after.mask.sum() == drop and not (after.mask & ~now.mask).any()
        # What was dropped mattered no more than what was left.
        dropped = now.mask & ~after.mask
        assert now.importance[dropped].max() <= now.importance[after.mask].min()
        assert np.array_equal(np.isnan(now.importance), ~now.mask)
    assert found.steps[-1].importance is None


@pytest.mark.parametrize("grid, step, dropped", [((12, 12), 0.1, 14), ((2, 3), 0.1, 1), ((4, 4), 0.25, 4)])
def test_each_step_drops_a_share_of_all_heads(grid, step, dropped):
    encoder = Synthetic(grid)
    encoder.score = lambda mask: 1.0  # nothing is ever lost
    found = encoder.search(step=step)
    left = [int(s.mask.sum()) for s in found.steps]
    assert (np.diff(left) == -dropped).all() and 0 < left[-1] <= dropped
    assert "no further step was possible" in found.note and f"{left[-1]} of" in found.note


def test_first_failure_returns_the_full_mask_and_says_so():
    encoder = Synthetic((3, 4))
    encoder.score = lambda mask: 1.0 if mask.all() else 0.5
    found = encoder.search()
    assert found.mask.all() and [s.accepted for s in found.steps] == [True, False]
    assert "first pruning step" in found.note and "full mask" in found.note


def test_a_search_that_cannot_take_a_first_step_does_not_claim_that_one_failed():
    encoder = Synthetic((1, 4))
    encoder.score = lambda mask: 1.0
    found = encoder.search(step=0.9)  # rounds to all four heads: no step is possible
    assert found.mask.all() and len(found.steps) == 1
    assert "fell below" not in found.note


def test_note_of_a_search_stopped_by_the_threshold():
    encoder = Synthetic((2, 5))
    encoder.score = lambda mask: float(mask.sum() >= 7)
    found = encoder.search(step=0.2)
    assert found.mask.sum() == 8 and found.steps[-1].mask.sum() == 6
    assert found.note.startswith("8 of 10 heads kept; the next step fell below the threshold")


def test_a_score_exactly_at_the_threshold_passes():
    encoder = Synthetic((1, 4))
    encoder.score = lambda mask: {4: 1.0, 3: 0.5, 2: 0.25}[int(mask.sum())]
    assert encoder.search(threshold=0.5, step=0.25).mask.sum() == 3


def test_importance_is_taken_anew_under_every_mask():
    # Head 3 matters only once head 0 is gone; a search by the first importances would drop it next.
    def gradients(mask):
        weights = np.array([[0.1, 0.5, 0.6, 0.2]]) if mask.all() else np.array([[9, 0.3, 0.6, 0.9]])
        return weights[None] * mask

    found = search(gradients, lambda mask: 1.0 if mask.sum() > 1 else 0.0, (1, 4), step=0.25)
    assert [s.mask.ravel().astype(int).tolist() for s in found.steps] == [
        [1, 1, 1, 1],
        [0, 1, 1, 1],
        [0, 0, 1, 1],
        [0, 0, 0, 1],
    ]
    assert found.mask.ravel().tolist() == [False, False, True, True]


def test_a_search_with_nan_importances_ends_with_an_error():
    calls = []

    def score(mask):  # a diverged encoder predicts one class under any mask
        calls.append(1)
        if len(calls) > 50:
            pytest.fail("the search loops forever: NaN importances never drop a head")
        return 0.5

    nothing = np.full((4, 2, 3), np.nan)
    with pytest.raises((ValueError, FloatingPointError)):
        search(lambda mask: nothing, score, (2, 3), importance=lambda g: np.abs(g).mean(axis=0))


def test_an_unpruned_score_that_is_not_finite_is_an_error_that_says_so():
    encoder = Synthetic((2, 3))
    with pytest.raises((ValueError, FloatingPointError), match="score"):
        _ = search(encoder.gradients, lambda mask: float("nan"), encoder.grid).mask


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_bad_threshold_stops_before_any_compute(threshold):
    encoder = Synthetic((2, 2))
    with pytest.raises(InputError, match=f"threshold: {threshold}; allowed: above 0, at most 1"):
        encoder.search(threshold=threshold)
    assert not encoder.asked


@pytest.mark.parametrize("step", [0, -0.1, 1, 2.0, float("nan")])
def test_bad_step_stops_before_any_compute(step):
    encoder = Synthetic((2, 2))
    with pytest.raises(InputError, match=f"step: {step}; allowed: above 0, below 1"):
        encoder.search(step=step)
    assert not encoder.asked


def test_ties_go_by_position_and_nan_is_never_chosen():
    weights = np.array([[2.0, 1, np.nan], [1, 1, 0.5]])
    assert np.argwhere(least_important(weights, 3)).tolist() == [[0, 1], [1, 0], [1, 2]]
    assert least_important(weights, 6).sum() == 5


@settings(max_examples=100)
@given(GRIDS, THRESHOLDS, STEPS, st.integers(0, 999), st.sampled_from([0, 1, 3]))
def test_a_search_along_another_keeps_as_many_heads_in_every_layer(grid, threshold, step, seed, levels):
    own = Synthetic(grid, seed, levels).search(threshold=threshold, step=step)
    other = Synthetic(grid, seed + 1, levels)
    asked = []
    found = search_along(lambda mask: asked.append(mask) or other.weights * mask, own.accepted)
    assert found.dtype == bool and found.sum(1).tolist() == own.mask.sum(1).tolist()
    # Step by step too, and within a layer the most important heads are left.
    assert [m.sum(1).tolist() for m in asked] == [m.sum(1).tolist() for m in own.accepted[:-1]]
    for kept, weights in zip(found, other.weights, strict=True):
        assert not kept.any() or kept.all() or weights[kept].min() >= weights[~kept].max()
    # Along itself, a search finds its own mask.
    same = search_along(lambda mask: np.abs(Synthetic(grid, seed, levels).weights) * mask, own.accepted)
    assert np.array_equal(same, own.mask)


def test_a_search_along_another_refuses_importance_that_is_not_finite():
    masks = [np.ones((1, 3), bool), np.array([[True, True, False]])]
    with pytest.raises(FloatingPointError, match="not finite with 3 heads left"):
        search_along(lambda mask: np.array([[1.0, np.nan, 2.0]]), masks)
