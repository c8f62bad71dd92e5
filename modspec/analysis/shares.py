"""From influence scores to language specialization.

S_t(m), the in-language share, is the mean share of language t among the k strongest proponents of evaluation
examples of language t under mask m; its chance level is the language's share of the scored training
examples. Beside it, since top-k discards magnitude: the opponents' share, the threshold-free
AUC = P(score of an in-language example > score of a cross-language one), and the summed influence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from modspec.errors import InputError


def example_statistics(
    scores: np.ndarray,
    train_languages: np.ndarray,
    evaluation_languages: np.ndarray,
    evaluation_ids: np.ndarray,
    top_k: int,
) -> pd.DataFrame:
    """One row for each evaluation example and training language.

    ``scores``: (train, evaluation). Columns: id, language, train_language; ``proponents`` and
    ``opponents``, the language's share of the top and bottom k; ``auc``, P(score of one of its examples >
    score of another language's), ties counting half, NaN if there is no other; ``influence``, the sum of
    its scores; ``chance``, its share of the training examples. Ties at rank k go to the example that
    comes first in the training data.

    Raises InputError where k is below 1 or above the number of training examples.
    """
    count = len(scores)
    if not 1 <= top_k <= count:
        raise InputError(f"top_k: {top_k}; allowed: 1 to {count}, the training examples")
    order = np.argsort(-scores, axis=0, kind="stable")
    reverse = np.argsort(scores, axis=0, kind="stable")
    ranks = rankdata(scores, axis=0)
    frames = []
    for language in dict.fromkeys(train_languages.tolist()):
        own = train_languages == language
        n, rest = own.sum(), (~own).sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = (ranks[own].sum(axis=0) - n * (n + 1) / 2) / (n * rest)
        frames.append(
            pd.DataFrame(
                {
                    "id": evaluation_ids,
                    "language": evaluation_languages,
                    "train_language": language,
                    "proponents": own[order[:top_k]].mean(axis=0),
                    "opponents": own[reverse[:top_k]].mean(axis=0),
                    "auc": np.where(n * rest > 0, auc, np.nan),
                    "influence": scores[own].sum(axis=0, dtype=np.float64),
                    "chance": n / count,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def by_seed_and_example(rows: pd.DataFrame, measure: str) -> np.ndarray:
    """(seeds, examples) of a measure; several masks of one kind (other languages') are averaged."""
    return rows.pivot_table(index="seed", columns="id", values=measure, aggfunc="mean").to_numpy()
