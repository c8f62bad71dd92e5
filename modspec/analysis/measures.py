"""What each training example adds to the measure of its language.

Every measure of the study is a sum, over the training examples of the evaluation example's language, of a
weight that the scores alone decide: 1/k for each of the top-k proponents makes the share S_t, ranks make the
AUC.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.stats import rankdata

from modspec.errors import InputError

Measure = Literal["proponents", "opponents", "auc", "label_auc"]


def weights(
    scores: np.ndarray, measure: Measure, top_k: int, same_label: np.ndarray | None = None
) -> np.ndarray:
    """What each training example adds to the measure of its language: (train, columns), float32.

    ``label_auc`` is the AUC among training examples of the evaluation example's label, ``same_label``, bool
    (train, columns): scores rank label before language, and a k above a label's examples counts them all.

    Centred: the weights of a column add up to zero, so that a sum over one language's examples is the
    measure minus chance (for the AUCs: times the number of its examples times that of the others). Ties at
    rank k go to the example that comes first. Raises InputError for a ``top_k`` out of range.
    """
    count = len(scores)
    if measure == "label_auc":
        ranks = rankdata(np.where(same_label, scores, -np.inf), axis=0)  # the others share the lowest
        members = same_label.sum(axis=0)
        return np.where(same_label, ranks - (count - members) - (members + 1) / 2, 0).astype(np.float32)
    if measure == "auc":
        return (rankdata(scores, axis=0) - (count + 1) / 2).astype(np.float32)
    if not 1 <= top_k <= count:
        raise InputError(f"top_k: {top_k}; allowed: 1 to {count}, the training examples")
    order = np.argsort(-scores if measure == "proponents" else scores, axis=0, kind="stable")[:top_k]
    found = np.full(scores.shape, -1 / count, dtype=np.float32)
    np.put_along_axis(found, order, np.float32(1 / top_k - 1 / count), axis=0)
    return found
