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
# Random masks that are tried for each number of swaps. With one try, 11 of 15 masks of a seed of `xnli` had
# fewer swaps than they should, and two had none: such a control is the own mask itself.
TRIES = 5


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

    Several random masks that are ``most_swaps`` swaps away are tried; the first is taken that is matched. If
    none is, bisection finds a number of swaps at which one is, while at one swap more none was.

    Args:
        mask: a language's own mask.
        own_score: the model's accuracy under it.
        most_swaps: the number to try first; fewer where the mask does not allow as many.
        score: called with a mask; returns the model's accuracy under it.
        tolerance: masks are matched whose scores differ from ``own_score`` by this at most.
        rng: draws the swaps.

    Returns:
        The mask, the number of swaps between the two masks, and the model's accuracy under it. Where not even
        one swap leaves the accuracy, the number is 0 and the mask the given one.
    """
    tried = min(most_swaps, int(np.minimum(mask.sum(1), (~mask).sum(1)).sum()))
    matched, unmatched = 0, tried + 1
    result, result_score = mask.copy(), own_score
    while unmatched - matched > 1:
        for _ in range(TRIES):
            candidate = swapped(mask, random_swaps(mask, rng)[:tried])
            candidate_score = score(candidate)
            # Scores are shares of whole examples, rounded.
            if abs(candidate_score - own_score) <= tolerance + 1e-12:
                matched, result, result_score = tried, candidate, candidate_score
                break
        else:
            unmatched = tried
        tried = (matched + unmatched) // 2
    return result, matched, result_score
