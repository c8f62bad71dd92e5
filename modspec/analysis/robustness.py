"""Which settings change a verdict? The claims on shares again, measured in every other way."""

from __future__ import annotations

import numpy as np
import pandas as pd

from modspec.analysis.claims import Level, claims, overall
from modspec.analysis.intervals import estimate
from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns
from modspec.terms import ALL_LANGUAGES, CONTROL_MASK_KINDS

NO_PREDICTIONS = pd.DataFrame(columns=["condition", "seed", "id", "language", "split", "label"])
SHARE_CLAIMS = ("C0", "C1", "C2", "C3", "C6")
BY_K = ("none", "own", *CONTROL_MASK_KINDS)


def setting_name(setting: Setting, top_k: int) -> str:
    """Return what a reader is shown for a setting; ``top_k``: the study's own."""
    if setting == DEFAULT:
        return f"study's own (cosine, k = {top_k})"
    if setting.top_k is not None:
        return f"k = {setting.top_k}"
    if setting.checkpoint_weights is not None:
        return f"eta = {setting.checkpoint_weights.replace('_', ' ')}"
    if setting.train_gradient_mask is not None:
        mask = {"own_language": "own", "test_example": "test example's"}[setting.train_gradient_mask]
        return f"SFT: {mask}-mask gradients"
    if setting.own_mask == "inherited":
        return "masks by inherited importance"
    if setting.checkpoints == "last":
        return "last checkpoint"
    if setting.score == "dot":
        return "dot product"
    return {"auc": "AUC instead of top k", "label_auc": "AUC within label"}.get(
        setting.measure, setting.measure
    )


def sensitivity(runs: StudyRuns, strata: np.ndarray, level: Level) -> pd.DataFrame:
    """Return the claims on shares by setting, all languages together: one row per setting and comparison.

    Columns: choice (the setting's name), claim, comparison, value, low, high, verdict. AUC values are AUC -
    0.5 and differences of AUCs; all others are shares.
    """
    tables = []
    for setting in runs.settings():
        table = claims(runs, NO_PREDICTIONS, strata, level, setting)
        table = table[table["claim"].isin(SHARE_CLAIMS)]
        whole = table[table["language"] == ALL_LANGUAGES].drop(columns="verdict")
        merged = whole.merge(overall(table), on=["claim", "comparison"])
        tables.append(merged.assign(choice=setting_name(setting, runs.parameters["top_k"])))
    columns = ["choice", "claim", "comparison", "value", "low", "high", "verdict"]
    return pd.concat(tables, ignore_index=True)[columns]


def share_by_k(runs: StudyRuns, level: Level) -> pd.DataFrame:
    """Return S_t of all languages together as a function of k, fully fine-tuned model, by kind of mask.

    Columns: mask_kind, top_k, value, low, high, chance.
    """
    columns = ["mask_kind", "top_k", "value", "low", "high", "chance"]
    if "full" not in runs.conditions:
        return pd.DataFrame(columns=columns)
    train = runs.train["language"]
    chance = float(np.mean([(train == language).mean() for language in runs.languages]))
    settings = [s for s in runs.settings() if s == DEFAULT or s.top_k is not None]
    by_k = {setting.top_k or runs.parameters["top_k"]: setting for setting in settings}
    rows = []
    for k, setting in sorted(by_k.items()):
        for kind in (kind for kind in BY_K if runs.has("full", kind, setting)):
            shares = [runs.cell("full", kind, language, setting).values for language in runs.languages]
            mean = estimate(np.concatenate(shares, axis=1) + chance, confidence=level.confidence)
            rows.append((kind, k, mean.value, mean.low, mean.high, chance))
    return pd.DataFrame(rows, columns=columns)
