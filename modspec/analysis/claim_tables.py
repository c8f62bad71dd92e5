"""The claims table as readers see it: plain sentences, and LaTeX."""

from pathlib import Path

import pandas as pd

from modspec.analysis.claim_tests import UNDECIDED, overall
from modspec.terms import ALL_LANGUAGES, COMPARISONS

# What the value of a claim's rows is about; ``name`` is that of the control or condition.
SUBJECTS = {
    "C0": "the in-language share without mask differs from chance by",
    "C1": "an own mask changes the in-language share by",
    "C2": "an own mask's in-language share differs from the control's ({name}) by",
    "C3": "{name} changes the in-language share by",
    "C4": "{name} changes the mean score of other languages' examples by",
    "C5": "SFT's accuracy differs from that of {name} by",
    "C6": "{name} changes what an own mask adds to the in-language share by",
}
INTERVAL = ["value", "low", "high"]
ENDINGS = {
    "supported": "the claim is supported",
    "contradicted": "the claim is contradicted",
    "rises": "it rises",
    "falls": "it falls",
}


def sentence(row: pd.Series) -> str:
    """Return what a row of :func:`modspec.analysis.claim_tests.claims` says, in words.

    Effects are in percentage points, but C4's, which are mean scores.
    """
    comparison = COMPARISONS[row["comparison"]]
    subject = SUBJECTS[comparison.claim].format(name=comparison.name)
    scale, unit = (1, "") if comparison.claim == "C4" else (100, " points")
    value, low, high, detectable = (scale * row[c] for c in ("value", "low", "high", "minimum_detectable"))
    text = f"{row['language']}: {subject} {value:+.2g}{unit} [{low:+.2g}, {high:+.2g}]"
    if row["verdict"] in ENDINGS:
        return f"{text}: {ENDINGS[row['verdict']]} (p = {row['p_adjusted']:.2g})."
    return f"{text}: undecided; smallest effect detectable with 80 % power: {detectable:.2g}{unit}."


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return every row of a claims table with its sentence, indexed by claim, comparison and language."""
    sentences = table.assign(sentence=[sentence(row) for _, row in table.iterrows()])
    columns = ["value", "low", "high", "p_t", "p_permutation", "p_adjusted", "effect_size"]
    columns += ["minimum_detectable", "seeds", "examples", "verdict", "sentence"]
    return sentences.set_index(["claim", "comparison", "language"])[columns]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per claim and comparison: effect over all languages, range over them, verdict.

    Args:
        table: :func:`modspec.analysis.claim_tests.claims`, or its columns claim to high and verdict.

    Returns:
        Text, indexed by claim and comparison; columns all languages, by language, decided languages, verdict.
    """
    rows = []
    for (claim, comparison), part in table.groupby(["claim", "comparison"], sort=False):
        is_whole = part["language"] == ALL_LANGUAGES
        form = "{:+.1e}".format if claim == "C4" else lambda value: f"{100 * value:+.1f}"
        whole = [f"{form(v)} [{form(a)}, {form(b)}]" for v, a, b in part[is_whole][INTERVAL].to_numpy()]
        single = part[~is_whole]
        ends = dict.fromkeys((form(single["value"].min()), form(single["value"].max())))
        decided = single[single["verdict"] != UNDECIDED]
        named = ", ".join(f"{row.language} {row.verdict}" for row in decided.itertuples())
        rows.append((claim, comparison, "".join(whole), " to ".join(ends), named))
    columns = ["claim", "comparison", "all languages", "by language", "decided languages"]
    verdicts = overall(table)
    return pd.DataFrame(rows, columns=columns).merge(verdicts).set_index(["claim", "comparison"])


def write_latex(table: pd.DataFrame, file: Path) -> None:
    """Write :func:`summary` as a LaTeX table (booktabs), for papers."""
    text = summary(table).reset_index().to_latex(index=False, escape=True)
    file.write_text(text, encoding="utf-8")
