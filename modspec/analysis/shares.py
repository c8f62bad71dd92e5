"""From influence scores to in-language shares: every measure of the study, computed here and nowhere else.

S_t(m), the in-language share, is the mean share of language t among the k strongest proponents of test examples
of language t under mask m; its chance level is the language's share of the scored training examples. Beside it,
since the top k ignore magnitude: the opponents' share, the AUC, which has no threshold,
AUC = P(score of an in-language example > score of a cross-language one), and the summed influence.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from modspec.errors import InputError

Measure = Literal["proponents", "opponents", "auc", "label_auc"]
MEASURES: tuple[str, ...] = get_args(Measure)
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


def example_statistics(
    scores: np.ndarray,
    train_languages: np.ndarray,
    evaluation_languages: np.ndarray,
    evaluation_ids: np.ndarray,
    top_k: int,
    same_label: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return one row for each test example and training language.

    Args:
        scores: (train, columns).
        train_languages: (train,). evaluation_languages, evaluation_ids: (columns,).
        top_k: number of proponents and of opponents; ties as in :func:`strongest`.
        same_label: bool (train, columns), whether both examples have the same label; None: no ``label_auc``.

    Returns:
        Columns id, language, train_language; ``proponents`` and ``opponents``, the language's share of the top
        and bottom k; ``auc``, P(score of one of its examples > score of another language's), ties counting half,
        NaN if there is no other; ``label_auc``, the same among training examples of the test example's label;
        ``influence``, the sum of its scores; ``chance``, its share of the training examples.

    Raises:
        InputError: k is out of range.
    """
    top, bottom = strongest(scores, top_k), strongest(scores, top_k, opponents=True)
    labels = {"auc": np.ones(scores.shape, dtype=bool)}
    labels |= {} if same_label is None else {"label_auc": same_label}
    ranks = {auc: rankdata(np.where(counted, scores, -np.inf), axis=0) for auc, counted in labels.items()}
    frames = []
    for language in dict.fromkeys(train_languages.tolist()):
        in_language = train_languages == language
        columns = {
            "id": evaluation_ids,
            "language": evaluation_languages,
            "train_language": language,
            "proponents": in_language[top].mean(axis=0),
            "opponents": in_language[bottom].mean(axis=0),
            **{auc: _auc(ranks[auc], counted, in_language) for auc, counted in labels.items()},
            "influence": scores[in_language].sum(axis=0, dtype=np.float64),
            "chance": in_language.mean(),
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _auc(ranks: np.ndarray, counted: np.ndarray, in_language: np.ndarray) -> np.ndarray:
    """Mann-Whitney's U over the pairs that it compares, among the counted examples: (columns,).

    ``ranks``: (train, columns), with the examples that do not count sharing the lowest ones.
    """
    inside = counted & in_language[:, None]
    own, rest = inside.sum(axis=0), (counted & ~in_language[:, None]).sum(axis=0)
    below = (~counted).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (np.where(inside, ranks - below, 0).sum(axis=0) - own * (own + 1) / 2) / (own * rest)
    return np.where(own * rest > 0, auc, np.nan)


def training_weights(
    scores: np.ndarray, measure: Measure, top_k: int, same_label: np.ndarray | None = None
) -> np.ndarray:
    """Return what each training example adds to the measure of its language: float32 (train, columns).

    Every measure is a sum, over the training examples of the test example's language, of a weight that the
    scores alone decide: 1/k for each of the top-k proponents makes the share S_t, ranks make the AUC. Weights
    are centred: those of a column add up to zero, so that a sum over one language's examples is the measure
    minus chance (for the AUCs: times the number of its examples times that of the others). Permutations of the
    training examples' languages need the weights; the measures' values are in :func:`example_statistics`.

    Args:
        scores: (train, columns).
        measure: ``label_auc`` is the AUC among training examples of the test example's label. It is there
            because scores rank label before language, and a k above a label's examples counts them all.
        top_k: as in :func:`strongest`.
        same_label: bool (train, columns); only ``label_auc`` needs it.

    Raises:
        InputError: k is out of range.
    """
    count = len(scores)
    if measure == "label_auc":
        ranks = rankdata(np.where(same_label, scores, -np.inf), axis=0)  # the others share the lowest
        members = same_label.sum(axis=0)
        return np.where(same_label, ranks - (count - members) - (members + 1) / 2, 0).astype(np.float32)
    if measure == "auc":
        return (rankdata(scores, axis=0) - (count + 1) / 2).astype(np.float32)
    weights = np.full(scores.shape, -1 / count, dtype=np.float32)
    chosen = strongest(scores, top_k, opponents=measure == "opponents")
    np.put_along_axis(weights, chosen, np.float32(1 / top_k - 1 / count), axis=0)
    return weights


def by_seed_and_example(rows: pd.DataFrame, measure: str) -> np.ndarray:
    """Return a measure as (seeds, examples); several masks of one kind (other languages') are averaged."""
    return rows.pivot_table(index="seed", columns="id", values=measure, aggfunc="mean").to_numpy()
