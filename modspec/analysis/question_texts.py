"""Answers to the questions as readers see them: a row of the questions table in words."""

from collections.abc import Mapping
from math import isnan
from typing import Any

from modspec.analysis.verdicts import NOT_RUN, UNDECIDED
from modspec.terms import QUESTIONS


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
