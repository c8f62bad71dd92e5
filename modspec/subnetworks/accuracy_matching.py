"""Random masks that harm a model as much as a given mask does.

A mask that a model was not trained under damages it, and the in-language share of proponents rises with
damage. A random mask is therefore a control of a language's mask only where both leave the same accuracy. It
is found from the language's own mask by swaps: in one layer, a kept head is dropped for a dropped one.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

Mask = Bool[np.ndarray, "layers heads"]
Swaps = Int[np.ndarray, "swaps 3"]  # layer, the head that is dropped, the head that is kept in its place


def random_swaps(mask: Mask, rng: np.random.Generator) -> Swaps:
    """Return as many swaps within layers as there are, in random order, no head in two of them."""
    swaps = []
    for layer, is_kept in enumerate(mask):
        kept, dropped = (rng.permutation(np.flatnonzero(heads)) for heads in (is_kept, ~is_kept))
        swaps += [(layer, *pair) for pair in zip(kept, dropped, strict=False)]
    return rng.permutation(np.array(swaps, dtype=np.int64).reshape(-1, 3))


def swapped(mask: Mask, swaps: Swaps) -> Mask:
    """Return the mask after these swaps; every layer keeps as many heads."""
    layer, dropped, added = swaps.T
    result = mask.copy()
    result[layer, dropped], result[layer, added] = False, True
    return result


def accuracy_matched(
    mask: Mask,
    own_score: float,
    most_swaps: int,
    score: Callable[[Mask], float],
    tolerance: float,
    rng: np.random.Generator,
) -> tuple[Mask, int, float]:
    """Return a random mask under which a model is about as accurate as under ``mask``.

    The two differ by ``most_swaps`` swaps if that mask is matched. If not, bisection along one random order
    of swaps finds a number of swaps whose mask is matched, while one swap more is not.

    Args:
        mask: a language's own mask.
        own_score: the model's accuracy under it.
        most_swaps: the number to try first; fewer where the mask does not allow as many.
        score: called with a mask; returns the model's accuracy under it.
        tolerance: masks are matched whose scores differ from ``own_score`` by this at most.
        rng: draws the order of swaps.

    Returns:
        The mask, the number of swaps between the two masks, and the model's accuracy under it.
    """
    swaps = random_swaps(mask, rng)[:most_swaps]
    matched, matched_score, unmatched, tried = 0, own_score, len(swaps) + 1, len(swaps)
    while unmatched - matched > 1:
        tried_score = score(swapped(mask, swaps[:tried]))
        # Scores are shares of whole examples, rounded.
        if abs(tried_score - own_score) <= tolerance + 1e-12:
            matched, matched_score = tried, tried_score
        else:
            unmatched = tried
        tried = (matched + unmatched) // 2
    return swapped(mask, swaps[:matched]), matched, matched_score
