"""Are these labels of one task? What to ask of them before anything is computed."""

import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import combinations

import pandas as pd

from modspec.data.columns import LONGEST_NAME
from modspec.errors import InputError, quoted

INDEX = "index"  # kind of a label that a file gives by its place among the task's labels, counted from 0


def check_labels(pools: Mapping[tuple[str, str], pd.DataFrame], known: Sequence[str] | None = None) -> None:
    """Check the labels of all languages and splits against one another.

    A label that some language or split lacks is harmless where nothing else speaks of a mistake.

    Args:
        pools: (language, split) -> examples with the columns ``label``, ``kind`` and ``where``.
        known: the task's labels; None: any.

    Raises:
        InputError: labels are of different kinds, look like scores, look alike, are nearly as many as the
            examples, cannot be learned, differ from language to language, or are counted from 1.
    """
    rows = pd.concat(
        [pool[["label", "kind", "where"]].assign(language=k, split=s) for (k, s), pool in pools.items()],
        ignore_index=True,
    )
    first = rows.drop_duplicates("label")
    _check_kinds(rows)
    _check_scores(first)
    if known is not None:
        _check_counted_from_zero(rows[rows["kind"] == INDEX], known)
    labels = list(first["label"])
    if len(labels) < 2:
        raise InputError(f"label: all {len(rows)} examples have {quoted(labels[0])}; needed: two labels")
    if len(labels) > len(rows) / 2:
        raise InputError(
            f"label: {len(labels)} different ones among {len(rows)} examples, such as {quoted(labels[0])}; "
            "needed: at least two examples per label on average (is it the right column?)"
        )
    _check_alike(first)
    learned = set(rows.loc[rows["split"] == "train", "label"].unique())
    for row in first.itertuples():
        if row.label not in learned:
            raise InputError(
                f"{row.where}: label {quoted(row.label)} is in no training example; needed: some of every "
                "label (add them, or merge the label with another one)"
            )
    _check_languages(rows.drop_duplicates(["language", "label"]))


def lacking_labels(pool: pd.DataFrame, labels: tuple[str, ...]) -> list[str]:
    """Return the labels that no example of a pool has."""
    there = set(pool["label"].unique())
    return [label for label in labels if label not in there]


def _check_kinds(rows: pd.DataFrame) -> None:
    """Text formats know text alone; among the others the kinds must agree."""
    kinds = rows[rows["kind"] != ""].drop_duplicates("kind")
    if len(kinds) > 1:
        one, two = (kinds.iloc[i] for i in range(2))
        raise InputError(
            f"{two['where']}: label {quoted(two['label'])} is of the kind {two['kind']}, but "
            f"{quoted(one['label'])} ({one['where']}) {one['kind']}; allowed: one kind in all files"
        )


def _check_counted_from_zero(rows: pd.DataFrame, known: Sequence[str]) -> None:
    """Refuse indices without a single 0: stars from 1 to 4, say, would be taken for the labels after them."""
    if len(rows) and known[0] not in set(rows["label"]):
        raise InputError(
            f"{rows['where'].iloc[0]}: labels are numbers, but none is 0, which means {quoted(known[0])}; "
            f"allowed: 0 to {len(known) - 1}, or names: {', '.join(known)}"
        )


def _check_languages(first: pd.DataFrame) -> None:
    """Refuse labels that were translated too: each of two languages has labels that the other one lacks."""
    places = {t: dict(zip(of["label"], of["where"], strict=True)) for t, of in first.groupby("language")}
    for (one, labels), (other, other_labels) in combinations(places.items(), 2):
        own = next((label for label in labels if label not in other_labels), None)
        others = next((label for label in other_labels if label not in labels), None)
        if own is not None and others is not None:
            raise InputError(
                f"{labels[own]}: label {quoted(own, 30)} is in {one} and not in {other}, which has "
                f"{quoted(others, 30)} ({other_labels[others]}); allowed: the same labels in every language"
            )


def _check_scores(first: pd.DataFrame) -> None:
    """Refuse numbers with a decimal point, even among words for missing values."""
    numbers = {row.where: number for row in first.itertuples() if (number := _number(row.label)) is not None}
    fractions = [where for where, number in numbers.items() if number != int(number)]
    if fractions and len(numbers) > len(first) / 2:
        label = first.set_index("where")["label"][fractions[0]]
        raise InputError(
            f"{fractions[0]}: label is {quoted(label)}, a number with a decimal point, like a score; "
            "allowed: classes (divide scores into classes first)"
        )


def _number(label: str) -> Decimal | None:
    """Return the number that a label is, or None."""
    try:
        number = Decimal(label)
    except InvalidOperation:
        return None
    # An exponent of many digits would fill the memory.
    return number if number.is_finite() and abs(number.adjusted()) < LONGEST_NAME else None


def _check_alike(first: pd.DataFrame) -> None:
    """Refuse labels that differ in nothing that a reader would see or mean."""
    seen: dict[str | Decimal, tuple[str, str]] = {}
    for row in first.itertuples():
        key = _appearance(row.label)
        if key in seen:
            other, where = seen[key]
            raise InputError(
                f"{row.where}: label {ascii(row.label)[:60]} looks like {ascii(other)[:60]} ({where}); "
                "allowed: one way to write a label"
            )
        seen[key] = (row.label, row.where)


def _appearance(label: str) -> str | Decimal:
    """Return a label without its Unicode form, case, width and unseen characters; 01 and 1.0 are 1."""
    if (number := _number(label)) is not None:
        return number
    plain = unicodedata.normalize("NFKC", label).casefold()
    return " ".join("".join(c for c in plain if unicodedata.category(c) != "Cf").split())
