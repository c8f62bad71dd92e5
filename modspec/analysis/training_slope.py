"""Does reliance on other languages grow with training? The slope of a share over the checkpoints (Q8)."""

import numpy as np
import pandas as pd

from modspec.analysis.items import item_names
from modspec.errors import InputError


def slopes(shares: pd.DataFrame) -> np.ndarray:
    """Return how much the in-language share changes from the start of training to its end.

    A least-squares line over the checkpoints for each seed and test item, whose translations are averaged
    first. A falling share is reliance on other languages that grows.

    Args:
        shares: columns seed, language, id, progress (0 before the first step of training, 1 after the last)
            and share (a fraction); every seed with every test example at every checkpoint.

    Returns:
        (seeds, items), in shares per training run.

    Raises:
        InputError: a seed lacks a test example or a checkpoint, or there are fewer than two checkpoints.
    """
    items = shares.assign(item=item_names(shares["id"], shares["language"]))
    means = items.groupby(["seed", "item", "progress"])["share"].mean().unstack()
    counts = items.groupby(["seed", "progress"])["id"].agg(["size", "nunique"])
    if means.shape[1] < 2:
        raise InputError(f"progress: {means.shape[1]} checkpoint; allowed: at least two, which make a slope")
    if means.isna().any(axis=None) or counts.nunique().max() > 1:
        raise InputError("shares: a test example is missing at a checkpoint; allowed: all of every seed's")
    progress = means.columns.to_numpy(dtype=float)
    centred = progress - progress.mean()
    by_seed_and_item = (means @ (centred / (centred @ centred))).unstack()
    if by_seed_and_item.isna().any(axis=None):
        raise InputError("shares: seeds have different test examples; allowed: the same ones")
    return by_seed_and_item.to_numpy()
