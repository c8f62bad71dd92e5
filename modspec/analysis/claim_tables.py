"""The claims table as readers see it: plain sentences, and LaTeX."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from modspec.analysis.claims import overall
from modspec.terms import ALL_LANGUAGES

# What a row's value is about, and its unit: percentage points, but for mean scores.
SUBJECTS = {
    "C0": "the in-language share without mask differs from chance by",
    "C1": "an own mask changes the in-language share by",
    "C2": "an own mask's in-language share differs from the control's ({control}) by",
    "C3": "{condition} changes the in-language share by",
    "C4": "SFT changes the mean score of other languages' examples by",
    "C5": "SFT's accuracy differs from that of {condition} by",
    "C6": "{condition} changes what an own mask adds to the in-language share by",
}
ENDINGS = {
    "supported": "the claim is supported",
    "contradicted": "the claim is contradicted",
    "rises": "it rises",
    "falls": "it falls",
}


def sentence(row: pd.Series) -> str:
    """What a row of :func:`modspec.analysis.claims.claims` says, in words."""
    left, _, right = row["comparison"].removesuffix(", accuracy").partition(" - ")
    condition = right if row["claim"] == "C5" else left
    condition = "full fine-tuning" if condition == "full" else condition
    subject = SUBJECTS[row["claim"]].format(control=right, condition=condition)
    scale, unit = (1, "") if row["claim"] == "C4" else (100, " points")
    value, low, high, least = (scale * row[c] for c in ("value", "low", "high", "minimum_detectable"))
    text = f"{row['language']}: {subject} {value:+.2g}{unit} [{low:+.2g}, {high:+.2g}]"
    if row["verdict"] in ENDINGS:
        return f"{text}: {ENDINGS[row['verdict']]} (p = {row['p_adjusted']:.2g})."
    return f"{text}: undecided; {least:.2g}{unit} would have been found four times in five."


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Every row with its sentence, indexed by claim, comparison and language."""
    chosen = table.assign(sentence=[sentence(row) for _, row in table.iterrows()])
    columns = ["value", "low", "high", "p_t", "p_permutation", "p_adjusted", "effect_size"]
    columns += ["minimum_detectable", "seeds", "examples", "verdict", "sentence"]
    return chosen.set_index(["claim", "comparison", "language"])[columns]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each claim and comparison: effect over all languages, range over them, verdict."""
    rows = []
    for (claim, comparison), part in table.groupby(["claim", "comparison"], sort=False):
        whole = part[part["language"] == ALL_LANGUAGES]
        single = part[part["language"] != ALL_LANGUAGES]["value"]
        form = "{:+.1e}".format if claim == "C4" else lambda value: f"{100 * value:+.1f}"
        over = "" if whole.empty else _interval(whole.iloc[0], form)
        decided = part[(part["language"] != ALL_LANGUAGES) & (part["verdict"] != "undecided")]
        named = ", ".join(f"{row.language} {row.verdict}" for row in decided.itertuples())
        ends = dict.fromkeys((form(single.min()), form(single.max())))  # one, if there is one language
        rows.append((claim, comparison, over, " to ".join(ends), named))
    columns = ["claim", "comparison", "all languages", "by language", "decided languages"]
    found = pd.DataFrame(rows, columns=columns).merge(overall(table), on=["claim", "comparison"])
    return found.set_index(["claim", "comparison"])


def write_latex(table: pd.DataFrame, file: Path) -> None:
    """:func:`summary` as a LaTeX table (booktabs), for papers."""
    text = summary(table).reset_index().to_latex(index=False, escape=True)
    file.write_text(text, encoding="utf-8")


def _interval(row: pd.Series, form) -> str:
    return f"{form(row['value'])} [{form(row['low'])}, {form(row['high'])}]"
