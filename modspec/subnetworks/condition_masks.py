"""Which masks a condition trains under, and which masks are in force when it is evaluated."""

import numpy as np

from modspec.errors import InputError
from modspec.subnetworks.masks import Masks, permuted_masks
from modspec.terms import TRAINS_UNDER


def condition_masks(condition: str, searched: Masks, seed: int) -> Masks:
    """Return the masks in force under a condition, by language.

    Args:
        condition: a code of :data:`modspec.terms.CONDITIONS`. Where it trains without masks, its masks in
            force are the searched ones, which it is evaluated under.
        searched: {language: bool (layers, heads)}, as stage 1 found them.
        seed: of the permutation of heads.

    Raises:
        InputError: an intersection keeps no head.
    """
    kind = TRAINS_UNDER[condition] or "searched"
    if kind == "searched":
        return searched
    if kind == "random":
        return permuted_masks(searched, seed)
    combine = {"intersection": np.all, "union": np.any}[kind]
    shared = combine(np.stack(list(searched.values())), axis=0)
    if not shared.any():
        raise InputError(
            f"condition: {condition!r}, but no head is in every language's mask of seed {seed}; "
            "allowed: other conditions, or masks that keep more heads (a higher threshold)"
        )
    return dict.fromkeys(searched, shared)
