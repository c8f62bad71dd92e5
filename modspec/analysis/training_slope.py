"""Does reliance on other languages grow with training? A share at each checkpoint, and its slope (Q8)."""

import numpy as np
import pandas as pd

from modspec.analysis.intervals import mean_and_interval
from modspec.analysis.items import item_names
from modspec.analysis.shares import by_seed_and_example
from modspec.errors import InputError
from modspec.terms import ALL_LANGUAGES


def share_column(*, score: str = "cosine", top_k: int | None = None, measure: str = "proponents") -> str:
    """Return the column of ``over_training.parquet`` that holds a reading of the scores.

    At most one argument departs from the study's own reading.

    Args:
        score: "cosine" or "dot".
        top_k: number of proponents; None: the study's own.
        measure: "proponents" or "label_auc". The table has no column of other measures.
    """
    if measure != "proponents":
        return measure
    return "share_dot" if score == "dot" else "share" if top_k is None else f"share_top_{top_k}"


def slopes(shares: pd.DataFrame, column: str = "share") -> np.ndarray:
    """Return how much the in-language share changes from the start of training to its end.

    A least-squares line over the checkpoints for each seed and test item, whose translations are averaged
    first. A falling share is reliance on other languages that grows.

    Args:
        shares: columns seed, language, id, progress (0 before the first step of training, 1 after the last)
            and a share (a fraction); every seed with every test example at every checkpoint.
        column: that holds the share.

    Returns:
        (seeds, items), in shares per training run.

    Raises:
        InputError: a seed lacks a test example or a checkpoint, or there are fewer than two checkpoints.
    """
    items = shares.assign(item=item_names(shares["id"], shares["language"]))
    means = items.groupby(["seed", "item", "progress"])[column].mean().unstack()
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


def share_over_training(shares: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Return S_t without mask at each checkpoint, of all languages together and of each.

    Args:
        shares: as for :func:`slopes`, with the column ``chance``.
        confidence: of intervals over seeds and test examples; of all languages, over seeds and items.

    Returns:
        Columns language, progress, value, low, high, chance; shares are fractions.
    """
    together = shares.assign(language=ALL_LANGUAGES, id=item_names(shares["id"], shares["language"]))
    rows = [
        (*keys, *mean_and_interval(by_seed_and_example(part, "share"), confidence), part["chance"].mean())
        for table in (together, shares)
        for keys, part in table.groupby(["language", "progress"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["language", "progress", "value", "low", "high", "chance"])
