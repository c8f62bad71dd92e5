"""Which choices change a verdict? The claims on shares again, under every variant of the instrument."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from modspec.analysis.claims import Level, claims, overall
from modspec.analysis.intervals import estimate
from modspec.analysis.measurements import OTHER_K, STUDY, Measured
from modspec.analysis.membership import Membership
from modspec.figures.frames import ALL_LANGUAGES

NO_PREDICTIONS = pd.DataFrame(columns=["condition", "seed", "id", "language", "split", "label"])
SHARE_CLAIMS = ("C0", "C1", "C2", "C3", "C6")
BY_K = ("none", "own", "random", "other_language", "other_seed")


def sensitivity(runs: Sequence[Measured], strata: np.ndarray, level: Level) -> pd.DataFrame:
    """The claims on shares by choice, all languages together: a row for each choice and comparison.

    Columns: choice, claim, comparison, value, low, high, verdict. AUC values are AUC - 0.5 and differences
    of AUCs; all others are shares.
    """
    tables, top_k = [], runs[0].parameters["top_k"]
    for choice in dict.fromkeys(name for run in runs for name in run.cells):
        table = claims(Membership(runs, choice), NO_PREDICTIONS, strata, level)
        table = table[table["claim"].isin(SHARE_CLAIMS)]
        whole = table[table["language"] == ALL_LANGUAGES].drop(columns="verdict")
        merged = whole.merge(overall(table), on=["claim", "comparison"])
        is_study = choice == STUDY
        tables.append(merged.assign(choice=f"{STUDY} (cosine, k = {top_k})" if is_study else choice))
    columns = ["choice", "claim", "comparison", "value", "low", "high", "verdict"]
    return pd.concat(tables, ignore_index=True)[columns]


def share_by_k(runs: Sequence[Measured], level: Level) -> pd.DataFrame:
    """S_t of all languages together as a function of k, fully fine-tuned model, by kind of mask.

    Columns: mask_kind, top_k, value, low, high, chance.
    """
    full = [run for run in runs if run.condition == "full"]
    if not full:
        return pd.DataFrame(columns=["mask_kind", "top_k", "value", "low", "high", "chance"])
    train, languages = full[0].train["language"], full[0].languages
    chance = float(np.mean([(train == language).mean() for language in languages]))
    names = {full[0].parameters["top_k"]: STUDY}
    names |= {int(c.removeprefix(OTHER_K)): c for c in full[0].cells if c.startswith(OTHER_K)}
    rows = []
    for k, name in sorted(names.items()):
        membership = Membership(full, name)
        for kind in (kind for kind in BY_K if membership.has("full", kind)):
            cells = [membership.cell("full", kind, language) for language in languages]
            found = estimate(
                np.concatenate([cell.values for cell in cells], axis=1) + chance, confidence=level.confidence
            )
            rows.append((kind, k, found.value, found.low, found.high, chance))
    return pd.DataFrame(rows, columns=["mask_kind", "top_k", "value", "low", "high", "chance"])
