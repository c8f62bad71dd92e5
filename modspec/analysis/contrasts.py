"""Contrasts of in-language shares, of AUCs and of test accuracies: differences by seed and test item.

Values are averaged over languages for each (seed, test item), because translations of one item are no
independent items. Seeds, items and, where all seeds share one training sample, that sample's items are each a
source of chance (:func:`modspec.analysis.intervals.estimate`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from modspec.analysis.items import by_item, item_names
from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns
from modspec.analysis.shares import AUCS, by_seed_and_example
from modspec.terms import Contrast

Sample = tuple[np.ndarray, np.ndarray | None]  # (seeds, items), and what each training item adds
SIGNS = (1, -1, -1, 1)  # of the values of a contrast


def share_sample(runs: StudyRuns, contrast: Contrast, setting: Setting = DEFAULT) -> Sample | None:
    """Return a contrast of in-language shares or AUCs; None where a condition or mask of it was not scored.

    Args:
        runs: of all conditions and seeds.
        contrast: of shares, or of whatever the setting measures.
        setting: how shares are measured.
    """
    if not all(runs.has(*scored, setting) for scored in contrast.values):
        return None
    cells = {language: runs.difference(contrast.values, language, setting) for language in runs.languages}
    # Where every seed drew its own sample, seeds already vary with it.
    added = _added_by_training_items(runs, contrast.values, setting) if runs.one_sample else None
    return by_item(cells), added


def _added_by_training_items(
    runs: StudyRuns, scored: Sequence[tuple[str, str]], setting: Setting
) -> np.ndarray:
    """Return what each item of the seeds' one training sample adds to a contrast: (items,).

    Items are groups of translations, whose contribution is taken for all languages together. A share is a
    ratio: an item that is a proponent of everything adds to both its parts, so its contribution is what it
    adds to the share less what it would add at the mean share. An AUC compares a language's examples with the
    others: to first order, an item adds what its rank adds on the language's side, less the same on the other
    side, each in proportion to the other side's size.
    """
    items = pd.factorize(runs.train["group"])[0]
    added = np.zeros(items.max() + 1)
    for scored_under, sign in zip(scored, SIGNS, strict=False):
        for language in runs.languages:
            weights = runs.cell(*scored_under, language, setting).weights.mean(axis=0)
            is_own = (runs.train["language"] == language).to_numpy()
            level = is_own.mean()
            if setting.measure not in AUCS:
                weights = weights + 1 / len(runs.train)  # not centred
                level = weights[is_own].sum()
            added += sign * np.bincount(items, weights * (is_own - level)) / len(runs.languages)
    return added


def accuracy_sample(predictions: pd.DataFrame, contrast: Contrast) -> Sample | None:
    """Return a contrast of test accuracies; None where the study has not all of its conditions.

    Args:
        predictions: stage 2's, of all conditions and seeds. A condition's own mask is the one in force.
        contrast: of accuracies.
    """
    test = predictions[predictions["split"] == "test"]
    if not {condition for condition, _ in contrast.values} <= set(test["condition"]):
        return None
    values: np.ndarray | float = 0.0
    for (condition, kind), sign in zip(contrast.values, SIGNS, strict=False):
        rows = test[test["condition"] == condition]
        right = rows["no_mask" if kind == "none" else "in_force"] == rows["label"]
        items = item_names(rows["id"], rows["language"])
        scored = pd.DataFrame({"seed": rows["seed"], "id": items, "right": right.astype(float)})
        values = values + sign * by_seed_and_example(scored, "right")
    return np.asarray(values), None


def accuracy_difference(accuracy: pd.DataFrame, contrast: Contrast) -> float:
    """Return by how much dev accuracy under the first mask exceeds that under the second, in one model.

    Args:
        accuracy: of all conditions and seeds, :func:`modspec.analysis.study_tables.tables`.
        contrast: of shares.

    Returns:
        Mean over languages and seeds; NaN where the contrast is not between two masks of one model, or the
        accuracy under just the masks that were scored is not known.
    """
    conditions, kinds = zip(*contrast.values, strict=True)
    if len(kinds) != 2 or conditions[0] != conditions[1]:
        return float("nan")
    dev = accuracy[(accuracy["split"] == "dev") & (accuracy["condition"] == conditions[0])]
    # The first version's tables have every language's own mask for every language, and random masks that are
    # not those that were scored.
    is_own = (dev["mask_kind"] == "language") & (dev["mask_language"] == dev["language"])
    scored = dev[is_own | (dev["mask_language"] == "")].replace({"mask_kind": {"language": "own"}})
    means = scored.groupby("mask_kind")["accuracy"].mean().reindex(kinds)
    return float(means.iloc[0] - means.iloc[1])
