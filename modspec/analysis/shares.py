"""From influence scores to in-language shares: every measure of the study, computed here and nowhere else.

S_t(m), the in-language share, is the mean share of language t among the k strongest proponents of test
examples of language t under mask m; its chance level is the language's share of the scored training examples.
Beside it, since the top k ignore magnitude: the opponents' share, the AUC, which has no threshold,
AUC = P(score of an in-language example > score of a cross-language one), and the summed influence.
"""

from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from modspec.errors import InputError

Measure = Literal["proponents", "opponents", "auc", "label_auc"]
AUCS = ("auc", "label_auc")


def strongest(scores: np.ndarray, top_k: int, *, opponents: bool = False) -> np.ndarray:
    """Return the positions of the k strongest proponents, or opponents, strongest first.

    Args:
        scores: (train, columns).
        top_k: number of training examples per column. Ties at rank k go to the example that comes first.

    Returns:
        int (top_k, columns).

    Raises:
        InputError: k is below 1 or above the number of training examples.
    """
    if not 1 <= top_k <= len(scores):
        raise InputError(f"top_k: {top_k}; allowed: 1 to {len(scores)}, the training examples")
    return np.argsort(scores if opponents else -scores, axis=0, kind="stable")[:top_k]


def share_statistics(
    scores: np.ndarray,
    train_languages: np.ndarray,
    evaluation_languages: np.ndarray,
    evaluation_ids: np.ndarray,
    top_k: int,
) -> pd.DataFrame:
    """Return one row for each training language and test example.

    Args:
        scores: (train, columns).
        train_languages: (train,).
        evaluation_languages: (columns,).
        evaluation_ids: (columns,).
        top_k: number of proponents and of opponents; ties as in :func:`strongest`.

    Returns:
        Columns id, language, train_language; ``proponents`` and ``opponents``, the training language's share
        of the top and bottom k; ``influence``, the sum of its scores; ``chance``, its share of the training
        examples. All test examples of the first training language come first, in the order of ``scores``.

    Raises:
        InputError: k is out of range.
    """
    top, bottom = strongest(scores, top_k), strongest(scores, top_k, opponents=True)
    languages = list(dict.fromkeys(train_languages.tolist()))
    members = [train_languages == language for language in languages]
    columns = {
        "id": np.tile(evaluation_ids, len(languages)),
        "language": np.tile(evaluation_languages, len(languages)),
        "train_language": np.repeat(languages, len(evaluation_ids)),
        "proponents": np.concatenate([member[top].mean(axis=0) for member in members]),
        "opponents": np.concatenate([member[bottom].mean(axis=0) for member in members]),
        "influence": np.concatenate([scores[m].sum(axis=0, dtype=np.float64) for m in members]),
        "chance": np.repeat(np.mean(members, axis=1), len(evaluation_ids)),
    }
    return pd.DataFrame(columns)


def example_statistics(
    scores: np.ndarray,
    train_languages: np.ndarray,
    evaluation_languages: np.ndarray,
    evaluation_ids: np.ndarray,
    top_k: int,
    same_label: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return :func:`share_statistics` and the AUCs, which take most of the time.

    Args:
        scores: (train, columns); the other arguments as in :func:`share_statistics`.
        same_label: bool (train, columns), whether both examples have the same label; None: no ``label_auc``.

    Returns:
        The columns of :func:`share_statistics`; ``auc``, P(score of an example of the training language >
        score of another language's), ties counting half, NaN without such pairs; ``label_auc``, the same
        among training examples of the test example's label.

    Raises:
        InputError: k is out of range.
    """
    table = share_statistics(scores, train_languages, evaluation_languages, evaluation_ids, top_k)
    counted = {"auc": np.ones(scores.shape, dtype=bool)}
    if same_label is not None:
        counted["label_auc"] = same_label
    for name, examples in counted.items():
        ranks = rankdata(np.where(examples, scores, -np.inf), axis=0)
        languages = dict.fromkeys(train_languages.tolist())
        table[name] = np.concatenate([_auc(ranks, examples, train_languages == t) for t in languages])
    return table


def _auc(ranks: np.ndarray, counted: np.ndarray, in_language: np.ndarray) -> np.ndarray:
    """Mann-Whitney's U over the pairs that it compares, among the counted examples: (columns,).

    ``ranks``: (train, columns), with the examples that do not count sharing the lowest ones.
    """
    inside = counted & in_language[:, None]
    members, others = inside.sum(axis=0), (counted & ~in_language[:, None]).sum(axis=0)
    rank_sums = np.where(inside, ranks - (~counted).sum(axis=0), 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # without pairs: NaN
        return (rank_sums - members * (members + 1) / 2) / (members * others)


def training_weights(
    scores: np.ndarray, measure: Measure, top_k: int, same_label: np.ndarray | None = None
) -> np.ndarray:
    """Return what each training example adds to the measure of its language: float32 (train, columns).

    Every measure is a sum, over the training examples of the test example's language, of a weight that the
    scores alone decide: 1/k for each of the top-k proponents makes the share S_t, ranks make the AUC. Weights
    are centred: those of a column add up to zero, so that a sum over one language's examples is the measure
    minus chance (for the AUCs: times the number of its examples times that of the others). Permutations of
    the training examples' languages need the weights; the measures' values are in :func:`example_statistics`.

    Args:
        scores: (train, columns).
        measure: ``label_auc``, the AUC among training examples of the test example's label, is there because
            scores rank label before language, and a k above the number of a label's examples counts them all.
        top_k: as in :func:`strongest`.
        same_label: bool (train, columns); only ``label_auc`` needs it.

    Raises:
        InputError: k is out of range.
    """
    count = len(scores)
    if measure in AUCS:
        counted = same_label if measure == "label_auc" else np.ones(scores.shape, dtype=bool)
        ranks = rankdata(np.where(counted, scores, -np.inf), axis=0)  # the others share the lowest ranks
        members = counted.sum(axis=0)
        return np.where(counted, ranks - (count - members) - (members + 1) / 2, 0).astype(np.float32)
    weights = np.full(scores.shape, -1 / count, dtype=np.float32)
    chosen = strongest(scores, top_k, opponents=measure == "opponents")
    np.put_along_axis(weights, chosen, np.float32(1 / top_k - 1 / count), axis=0)
    return weights


def by_seed_and_example(rows: pd.DataFrame, measure: str) -> np.ndarray:
    """Return a measure as (seeds, examples); several masks of one kind (other languages') are averaged."""
    means = rows.groupby(["seed", "id"])[measure].mean()  # many times faster than a pivot table
    return means.dropna().unstack().to_numpy()
