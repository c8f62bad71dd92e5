"""The search for a language's subnetwork: the heads that its dev score needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from modspec.errors import InputError
from modspec.subnetworks.head_importance import importance as exact_importance


@dataclass(frozen=True)
class Step:
    """One mask that the search looked at."""

    mask: np.ndarray  # bool (layers, heads), True = kept
    score: float  # dev score under the mask
    accepted: bool  # score >= threshold x unpruned score
    # (layers, heads) under the mask, NaN for dropped heads; None where the search stopped before needing it.
    importance: np.ndarray | None


@dataclass(frozen=True)
class Search:
    """A finished search with its whole trajectory."""

    steps: tuple[Step, ...]  # step 0 is the unpruned encoder
    threshold_score: float  # the lowest dev score that is accepted

    @property
    def accepted(self) -> list[np.ndarray]:
        """The masks that passed, from the full mask on."""
        return [step.mask for step in self.steps if step.accepted]

    @property
    def mask(self) -> np.ndarray:
        """The last mask that passed; the full mask if the first pruning step already failed."""
        return self.accepted[-1]

    @property
    def note(self) -> str:
        """One sentence on how the search ended."""
        kept, heads = int(self.mask.sum()), self.mask.size
        if len(self.steps) == 1:
            return "a single pruning step would drop every head: the full mask is returned"
        if kept == heads:
            return "the first pruning step already fell below the threshold: the full mask is returned"
        failed = not self.steps[-1].accepted
        end = "the next step fell below the threshold" if failed else "no further step was possible"
        return f"{kept} of {heads} heads kept; {end}"


def search(
    gradients: Callable[[np.ndarray], np.ndarray],
    score: Callable[[np.ndarray], float],
    grid: tuple[int, int],
    *,
    threshold: float = 0.95,
    step: float = 0.1,
    importance: Callable[[np.ndarray], np.ndarray] = exact_importance,
) -> Search:
    """Drop the least important heads step by step, as long as the dev score holds.

    Each step drops the same share of *all* heads: those of lowest importance among the heads left. Ties go to
    the lower layer, then the lower head. The search ends before the score would fall below ``threshold`` x
    the unpruned score, or before the last head would go (Michel et al. 2019; Prasanna et al. 2020).

    Args:
        gradients: called with a mask; returns head gradients of training examples (n, layers, heads).
        score: called with a mask; returns the dev score under it.
        grid: (layers, heads) of the encoder.
        threshold: share of the unpruned score that must be kept, above 0, at most 1.
        step: share of all heads to drop per step, above 0, below 1.
        importance: called with the gradients; returns (layers, heads).

    Raises:
        InputError: threshold or step is out of range, or the unpruned score is negative or not finite.
        FloatingPointError: an importance is not finite.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold: {threshold}; allowed: above 0, at most 1")
    if not 0 < step < 1:
        raise InputError(f"step: {step}; allowed: above 0, below 1")
    heads = grid[0] * grid[1]
    drop = max(1, round(step * heads))
    mask = np.ones(grid, dtype=bool)
    current = score(mask)
    if not (np.isfinite(current) and current >= 0):
        raise InputError(f"score: the unpruned encoder has {current}; allowed: a finite number from 0")
    threshold_score = threshold * current
    steps: list[Step] = []
    while True:
        accepted = current >= threshold_score
        goes_on = accepted and mask.sum() > drop
        weights = _of_kept(mask, importance(gradients(mask))) if goes_on else None
        steps.append(Step(mask, current, accepted, weights))
        if weights is None:
            return Search(tuple(steps), threshold_score)
        mask = mask & ~least_important(weights, drop)
        current = score(mask)


def search_along(importance: Callable[[np.ndarray], np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
    """Drop the least important heads, in every layer and step as many as another search did; return the mask.

    Args:
        importance: called with a mask; returns the importance of heads under it, (layers, heads).
        masks: the other search's, one per step, from the full mask to the one that it chose: each bool
            (layers, heads), and contained in the one before.

    Raises:
        FloatingPointError: an importance is not finite.
    """
    mask = masks[0]
    for before, after in pairwise(masks):
        weights = _of_kept(mask, importance(mask))
        counts = (before & ~after).sum(axis=1)
        least = [least_important(*of_layer) for of_layer in zip(weights, counts, strict=True)]
        mask = mask & ~np.stack(least)
    return mask


def _of_kept(mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the importance of the heads that a mask keeps, and NaN for the others."""
    if not np.isfinite(weights[mask]).all():
        raise FloatingPointError(f"importance is not finite with {mask.sum()} heads left")
    return np.where(mask, weights, np.nan)


def least_important(weights: np.ndarray, count: int) -> np.ndarray:
    """Return where the ``count`` smallest weights are, NaN excluded, ties by position: bool, same shape."""
    order = np.argsort(weights, axis=None, kind="stable")  # NaN sorts last
    chosen = np.zeros(weights.size, dtype=bool)
    chosen[order[:count]] = True
    return chosen.reshape(weights.shape) & ~np.isnan(weights)
