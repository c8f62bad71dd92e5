"""Answers to the questions as readers see them: a row of the questions table in words."""

from collections.abc import Collection, Mapping
from math import isnan
from typing import Any

import pandas as pd

from modspec.analysis.verdicts import NOT_RUN, UNDECIDED
from modspec.terms import CONTRASTS, QUESTIONS

# Verdict -> the answer to a question.
ANSWERS = {
    "supported": "Yes",
    "contradicted": "No, the opposite",
    "rises": "It rises",
    "falls": "It falls",
    "equivalent": "No effect that matters",
    "negligible": "An effect too small to matter",
    "undecided": "We cannot tell",
    "unmatched": "We cannot tell, because the masks differ too much in accuracy",
    "too few seeds": "No verdict from fewer than three seeds",
    "not run": "Not run",
}


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the answer to every question: a row for each question, a column for each study.

    A question without a primary contrast is answered beside another one, and has no row.

    Args:
        table: of :func:`modspec.analysis.questions.question_table`.
    """
    rows = table[table["primary"]].assign(row=lambda rows: rows["question"].map(_named))
    rows["cell"] = [answer(row) for row in rows.to_dict("records")]
    wide = rows.pivot_table("cell", "row", "study", aggfunc="first", sort=False)
    primary = {_named(c.question): c.text for c in CONTRASTS if c.primary}
    wide.insert(0, "contrast", wide.index.map(primary))
    return wide.rename_axis(index=None, columns=None)


def _named(question: str) -> str:
    return f"{question} {QUESTIONS[question].text}"


def answer(row: Mapping[str, Any]) -> str:
    """Return the answer that a contrast gives, with its value and interval or p.

    Args:
        row: of :func:`modspec.analysis.questions.question_table`.
    """
    words = ANSWERS[row["verdict"]]
    return words if row["verdict"] == NOT_RUN else f"{words}: {_value(row)}"


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Return values with intervals and verdicts alone: a row for each contrast, a column for each study.

    Args:
        table: of :func:`modspec.analysis.questions.question_table`.
    """
    rows = table.assign(row=table["question"] + ": " + table["contrast"])
    rows["cell"] = [f"{_value(row)}, {row['verdict']}" for row in rows.to_dict("records")]
    return rows.pivot_table("cell", "row", "study", aggfunc="first", sort=False)


def by_study(table: pd.DataFrame) -> pd.DataFrame:
    """Return answers for readers: one row per contrast, one column per study, and what a contrast confounds.

    Args:
        table: of :func:`modspec.analysis.questions.question_table`.
    """
    rows = table.assign(row=table["question"] + ": " + table["contrast"])
    rows["cell"] = [effect(row) for row in rows.to_dict("records")]
    wide = rows.pivot_table("cell", "row", "study", aggfunc="first", sort=False, fill_value="–")
    confounds = rows.drop_duplicates("row").set_index("row")["confounds"].replace("", "– (primary)")
    return wide.assign(**{"the two sides also differ in": confounds})


def by_language(table: pd.DataFrame, contrasts: Collection[str]) -> pd.DataFrame:
    """Return single languages for readers: one row per contrast and language, one column per study.

    Args:
        table: of :func:`modspec.analysis.single_languages.single_languages`, with a column ``study``.
        contrasts: that are shown.
    """
    rows = table[table["contrast"].isin(contrasts)]
    # The item's translations stand where chance stands for all languages together.
    names = rows["contrast"].str.removesuffix(" − chance")
    rows = rows.assign(row=rows["question"] + ": " + names + ": " + rows["language"])
    rows["cell"] = [effect(row) for row in rows.to_dict("records")]
    wide = rows.pivot_table("cell", "row", "study", aggfunc="first", sort=False, fill_value="–")
    return wide.loc[sorted(wide.index, key=lambda name: name.split(": ")[0])]  # questions together


def effect(row: Mapping[str, Any]) -> str:
    """Return a row's value in the unit of its question, with interval or p, and verdict.

    An undecided row says which effect it would have found with 80 % power; one that compares masks of one
    model, by how much dev accuracy differs between them.

    Args:
        row: of :func:`modspec.analysis.questions.question_table`, or of
            :func:`modspec.analysis.single_languages.single_languages`.
    """
    if row["verdict"] == NOT_RUN:
        return NOT_RUN
    found = f"; detectable: {_number(row, 'minimum_detectable')}" if row["verdict"] == UNDECIDED else ""
    difference = row.get("accuracy_difference", float("nan"))  # which single languages lack
    found += "" if isnan(difference) else f"; dev accuracy {100 * difference:+.1f}".replace("-", "−")
    return f"{_value(row)}, {row['verdict']}{found}"


def _value(row: Mapping[str, Any]) -> str:
    """Return a row's value with its interval; with p where there is none, as in permutation tests."""
    value, low, high = (_number(row, name) for name in ("value", "low", "high"))
    chance = f"(p = {row['p']:.2g})" if low == "nan" else f"[{low}, {high}]"
    return f"{'' if value.startswith('−') else '+'}{value} {chance}"


def _number(row: Mapping[str, Any], name: str) -> str:
    """Return a number of a row in the unit of its question."""
    scale = QUESTIONS[row["question"]].scale
    return f"{scale * row[name]:.{1 if scale == 100 else 3}f}".replace("-", "−")
