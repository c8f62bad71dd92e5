"""Contrasts of shares under every other setting, to see which settings change a verdict."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from modspec.analysis.contrasts import Sample, share_sample
from modspec.analysis.intervals import mean_and_interval, pooled_estimate
from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns
from modspec.analysis.shares import AUCS
from modspec.analysis.training_slope import share_column, slopes
from modspec.analysis.verdicts import verdict
from modspec.terms import CONTRASTS, CONTROL_MASK_KINDS, QUESTIONS

BY_K = ("none", "own", *CONTROL_MASK_KINDS)


# Field of a setting -> its value -> what a reader is shown.
_DEPARTURES = {
    "measure": {"auc": "AUC instead of top k", "label_auc": "AUC within label", "opponents": "opponents"},
    "score": {"dot": "dot product"},
    "checkpoints": {"last": "last checkpoint"},
    "checkpoint_weights": {"one": "eta = one", "learning_rate": "eta = learning rate"},
    "own_mask": {"inherited": "masks by inherited importance"},
    "train_gradient_mask": {
        "own_language": "own-mask gradients",
        "test_example": "test-example-mask gradients",
    },
}


def setting_name(setting: Setting, top_k: int) -> str:
    """Return what a reader is shown for a setting.

    Args:
        setting: one of :meth:`modspec.analysis.measurements.StudyRuns.settings`.
        top_k: the study's own.
    """
    departures = _departures(setting)
    if not departures:
        return f"study's own (cosine, k = {top_k})"
    ((name, value),) = departures.items()
    return f"k = {value}" if name == "top_k" else _DEPARTURES[name][value]


def _departures(setting: Setting) -> dict[str, Any]:
    """Return the fields in which a setting departs from the study's own."""
    return {name: value for name, value in vars(setting).items() if value != getattr(DEFAULT, name)}


def sensitivity(
    runs: StudyRuns, over_training: pd.DataFrame | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """Return every contrast of in-language shares, and of their slope over training, by setting.

    Verdicts are those of secondary contrasts: not corrected, and none supports or contradicts anything. AUCs
    have no margin, because the questions' margins are points of share.

    Args:
        runs: of all conditions and seeds.
        over_training: the shares over training of all seeds; None where there are none.
        confidence: of intervals and verdicts.

    Returns:
        One row per setting and contrast that it changes: setting (its name), question, contrast, value, low,
        high, verdict. AUC values are AUC - 0.5 and differences of AUCs; all others are shares.
    """
    rows, own = [], {}
    for setting in runs.settings():
        name = setting_name(setting, runs.parameters["top_k"])
        for contrast in CONTRASTS:
            sample = None
            if contrast.statistic == "share":
                sample = share_sample(runs, contrast, setting)
            elif contrast.statistic == "slope" and over_training is not None:
                sample = _slope_sample(over_training, setting)
            if sample is None:
                continue
            if setting == DEFAULT:
                own[contrast] = sample[0]
            elif np.array_equal(sample[0], own[contrast]):  # the setting is about other conditions or masks
                continue
            found = pooled_estimate([sample], confidence=confidence)
            question = replace(QUESTIONS[contrast.question], sign=0)
            if setting.measure in AUCS:
                question = replace(question, margin=None)
            word = verdict(found, question, found.p, confidence)
            row = (name, contrast.question, contrast.text, found.value, found.low, found.high, word)
            rows.append(row)
    columns = ["setting", "question", "contrast", "value", "low", "high", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _slope_sample(over_training: pd.DataFrame, setting: Setting) -> Sample | None:
    """Return the slopes of the share under a setting; None where the table does not know it."""
    departures = _departures(setting)
    if not departures.keys() <= {"score", "top_k", "measure"}:
        return None
    column = share_column(**departures)
    return (slopes(over_training, column), None) if column in over_training else None


def share_by_k(runs: StudyRuns, confidence: float = 0.95) -> pd.DataFrame:
    """Return S_t of all languages together as a function of k, in the fully fine-tuned model.

    Args:
        runs: of all conditions and seeds.
        confidence: of intervals.

    Returns:
        One row per k and kind of mask: mask_kind, top_k, value, low, high, chance.
    """
    chance = float(np.mean([runs.sizes.get(language, 0) / runs.sizes.sum() for language in runs.languages]))
    settings = [s for s in runs.settings() if s == DEFAULT or s.top_k is not None]
    by_k = {setting.top_k or runs.parameters["top_k"]: setting for setting in settings}
    rows = []
    for k, setting in sorted(by_k.items()):
        for kind in (kind for kind in BY_K if runs.has("full", kind, setting)):
            shares = [runs.cell("full", kind, language, setting).values for language in runs.languages]
            values = np.concatenate(shares, axis=1) + chance
            rows.append((kind, k, *mean_and_interval(values, confidence), chance))
    return pd.DataFrame(rows, columns=["mask_kind", "top_k", "value", "low", "high", "chance"])
