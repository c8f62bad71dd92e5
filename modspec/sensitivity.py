"""Which choices change a verdict? The share claims C0 to C3 again, under every variant of the instrument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from modspec.attributions import Attributions
from modspec.claims import Level, claims, overall
from modspec.inference import estimate
from modspec.membership import Choice, Membership
from modspec.tidy import ALL_LANGUAGES

NO_PREDICTIONS = pd.DataFrame(columns=["condition", "seed", "id", "language", "split", "label"])
BY_K = ("none", "own", "random", "other_language", "other_seed")


def choices(runs: Sequence[Attributions], top_ks: Sequence[int]) -> Iterator[tuple[str, Choice]]:
    """The study's own choice and every single departure from it that its runs allow, with a name."""
    study = runs[0].parameters
    count = len(runs[0].train)
    yield f"study's own (cosine, k = {study['top_k']})", Choice()
    for k in top_ks:
        if k <= count and k != study["top_k"]:
            yield f"k = {k}", Choice(top_k=k)
    yield "AUC instead of top k", Choice(measure="auc")
    yield "AUC within label", Choice(measure="label_auc")
    yield "opponents", Choice(measure="opponents")
    yield "dot product", Choice(score="dot")
    if len(runs[0].checkpoints) > 1:
        yield "last checkpoint", Choice(checkpoints="last")
        other = "one" if study["eta"] == "learning_rate" else "learning_rate"
        yield f"eta = {other.replace('_', ' ')}", Choice(eta=other)
    sparse = [run.columns for run in runs if run.condition != "full"]
    if any((columns["train_gradient"] == "own").any() for columns in sparse):
        yield "SFT: own-mask gradients", Choice(train_gradient="own")
    if any((run.columns["mask_kind"] == "inherited").any() for run in runs):
        yield "masks by inherited importance", Choice(own="inherited")


def sensitivity(
    runs: Sequence[Attributions], top_ks: Sequence[int], strata: np.ndarray, level: Level
) -> pd.DataFrame:
    """C0 to C3 by choice: value, interval and verdict of all languages; a row each choice and comparison.

    Columns: choice, claim, comparison, value, low, high, verdict. AUC values are AUC - 0.5 and differences
    of AUCs; all others are shares.
    """
    tables = []
    for name, choice in choices(runs, top_ks):
        table = claims(Membership(runs, choice), NO_PREDICTIONS, strata, level)
        table = table[table["claim"].isin(["C0", "C1", "C2", "C3"])]
        whole = table[table["language"] == ALL_LANGUAGES].drop(columns="verdict")
        merged = whole.merge(overall(table), on=["claim", "comparison"])
        tables.append(merged.assign(choice=name))
    columns = ["choice", "claim", "comparison", "value", "low", "high", "verdict"]
    return pd.concat(tables, ignore_index=True)[columns]


def share_by_k(runs: Sequence[Attributions], top_ks: Sequence[int], level: Level) -> pd.DataFrame:
    """S_t of all languages together as a function of k, fully fine-tuned model, by kind of mask.

    Columns: mask_kind, top_k, value, low, high, chance.
    """
    full = [run for run in runs if run.condition == "full"]
    train = runs[0].train["language"]
    languages = list(dict.fromkeys(runs[0].columns["language"]))
    chance = float(np.mean([(train == language).mean() for language in languages]))
    rows = []
    for k in (k for k in top_ks if full and k <= len(train)):
        membership = Membership(full, Choice(top_k=k))
        for kind in (kind for kind in BY_K if membership.has("full", kind)):
            cells = [membership.cell("full", kind, language) for language in languages]
            found = estimate(
                np.concatenate([cell.values for cell in cells], axis=1) + chance, confidence=level.confidence
            )
            rows.append((kind, k, found.value, found.low, found.high, chance))
    return pd.DataFrame(rows, columns=["mask_kind", "top_k", "value", "low", "high", "chance"])
