"""Answers to the questions as readers see them: a row of the questions table in words."""

from collections.abc import Collection, Mapping
from math import isnan
from typing import Any

import pandas as pd

from modspec.analysis.verdicts import NOT_RUN, UNDECIDED
from modspec.terms import QUESTIONS


def by_study(table: pd.DataFrame) -> pd.DataFrame:
    """Return answers for readers: one row per contrast, one column per study, and what a contrast confounds.

    Args:
        table: of :func:`modspec.analysis.questions.question_table`.
    """
    rows = table.assign(row=table["question"] + ": " + table["contrast"])
    rows["cell"] = [effect(row) for row in rows.to_dict("records")]
    wide = rows.pivot_table("cell", "row", "study", aggfunc="first", sort=False, fill_value="–")
    confounds = rows.drop_duplicates("row").set_index("row")["confounds"].replace("", "– (primary)")
    return wide.assign(**{"its sides also differ in": confounds})


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
    scale = QUESTIONS[row["question"]].scale
    digits = 1 if scale == 100 else 3
    value, low, high, detectable = (
        f"{scale * row[name]:.{digits}f}" for name in ("value", "low", "high", "minimum_detectable")
    )
    # Permutation tests have no interval.
    chance = f"(p = {row['p']:.2g})" if low == "nan" else f"[{low}, {high}]"
    found = f"; detectable: {detectable}" if row["verdict"] == UNDECIDED else ""
    difference = row.get("accuracy_difference", float("nan"))  # which single languages lack
    found += "" if isnan(difference) else f"; dev accuracy {100 * difference:+.1f}"
    return f"{'' if value.startswith('-') else '+'}{value} {chance}, {row['verdict']}{found}"
