"""Are these labels of one task? What to ask of them before anything is computed."""

import unicodedata
from collections.abc import Mapping

import pandas as pd

from modspec.errors import InputError, quoted


def check_labels(pools: Mapping[tuple[str, str], pd.DataFrame]) -> None:
    """Check the labels of all languages and splits against one another.

    Args:
        pools: (language, split) -> examples with the columns ``label``, ``kind`` and ``where``.

    Raises:
        InputError: labels are of different kinds, look like scores, look alike, are as many as the examples,
            or are not there to be learned in every language.
    """
    rows = pd.concat([pool.assign(language=k, split=s) for (k, s), pool in pools.items()], ignore_index=True)
    first = rows.drop_duplicates("label")
    _check_kinds(rows)
    _check_scores(first)
    _check_alike(first)
    labels, train = list(first["label"]), rows[rows["split"] == "train"]
    if len(labels) < 2:
        raise InputError(f"label: all {len(rows)} examples have {quoted(labels[0])}; needed: two labels")
    if len(labels) > len(rows) / 2:
        raise InputError(
            f"label: {len(labels)} different ones among {len(rows)} examples, such as {quoted(labels[0])}; "
            "needed: at least two examples a label on average (is it the right column?)"
        )
    learned = {language: set(of["label"]) for language, of in train.groupby("language", sort=False)}
    for row in first.itertuples():
        lacking = [language for language, known in learned.items() if row.label not in known]
        if lacking:
            raise InputError(
                f"{row.where}: label {quoted(row.label)} stands in no training example of "
                f"{', '.join(lacking)}; needed: the same labels in every language, and in train"
            )


def lacking_labels(pool: pd.DataFrame, labels: tuple[str, ...]) -> list[str]:
    """Return the labels that no example of a pool has."""
    return [label for label in labels if label not in set(pool["label"])]


def _check_kinds(rows: pd.DataFrame) -> None:
    """Text formats know text alone; among the others the kinds must agree."""
    kinds = rows[rows["kind"] != ""].drop_duplicates("kind")
    if len(kinds) > 1:
        one, two = (kinds.iloc[i] for i in range(2))
        raise InputError(
            f"{two['where']}: label {quoted(two['label'])} is of the kind {two['kind']}, but "
            f"{quoted(one['label'])} ({one['where']}) {one['kind']}; allowed: one kind in all files"
        )


def _check_scores(first: pd.DataFrame) -> None:
    numbers = pd.to_numeric(first["label"], errors="coerce")
    if numbers.notna().all() and (numbers % 1 != 0).any():
        row = first[numbers % 1 != 0].iloc[0]
        raise InputError(
            f"{row['where']}: label is {quoted(row['label'])}, a number with a decimal point, like a score; "
            "allowed: classes (divide scores into classes first)"
        )


def _check_alike(first: pd.DataFrame) -> None:
    """Refuse labels that differ only in Unicode form, case, width, or in what cannot be seen."""
    seen: dict[str, tuple[str, str]] = {}
    for row in first.itertuples():
        key = _appearance(row.label)
        if key in seen:
            other, where = seen[key]
            raise InputError(
                f"{row.where}: label {ascii(row.label)} looks like {ascii(other)} ({where}); "
                "allowed: one way to write a label"
            )
        seen[key] = (row.label, row.where)


def _appearance(label: str) -> str:
    plain = unicodedata.normalize("NFKC", label).casefold()
    return " ".join("".join(c for c in plain if unicodedata.category(c) != "Cf").split())
