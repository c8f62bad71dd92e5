"""The tidy tables behind the figures: what their columns may hold, checked cell by cell."""

import io
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from modspec.errors import InputError
from modspec.terms import ALL_LANGUAGES, LABELS

FLAGS = {"kept", "accepted", "primary"}
TEXTS = {*LABELS, "seed", "seed_a", "seed_b", "language", "language_a", "language_b", "mask_language"}
TEXTS |= {"left_out", "train_language", "split", "score", "measure", "setting", "verdict"}
TEXTS |= {"study", "question", "contrast", "seed_variance"}
# One seed lacks some statistics; questions without a margin have no rates of equivalence.
MAY_BE_BLANK = {"value", "low", "high", "chance", "minimum_detectable", "margin", "right", "small"}


def read(csv: bytes, source: str) -> pd.DataFrame:
    """Return a CSV's cells as text, because a language may be called ``nan``.

    Args:
        csv: content of the file, UTF-8.
        source: name of the file, for errors.

    Raises:
        InputError: ``csv`` is not a CSV.
    """
    try:
        frame = pd.read_csv(io.BytesIO(csv), dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not a CSV in UTF-8: {str(error).strip()}") from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus cells in every row as an index
        raise InputError(f"{source}: not a CSV: its rows have more cells than its header")
    frame.attrs["source"] = source
    return frame


def typed(frame: pd.DataFrame, columns: Sequence[str], source: str) -> pd.DataFrame:
    """Return the frame's ``columns`` as text, Booleans or numbers.

    Args:
        frame: a table, for example from :func:`read`.
        columns: columns that it must have; the others are dropped.
        source: name of the table, for errors.

    Raises:
        InputError: a column is missing, there are no rows, or a column cannot hold a value.
    """
    missing = [column for column in columns if column not in frame]
    if missing:
        raise InputError(f"{source}: column {missing[0]} is missing; needed: {', '.join(columns)}")
    if frame.empty:
        raise InputError(f"{source}: column {columns[0]} is empty: there are no rows below it")
    result = {}
    for column in columns:
        text = frame[column].astype(object).fillna("").map(str)
        if column in TEXTS:
            result[column] = text
            bad = ~text.isin(LABELS.get(column, text))
            allowed = f"one of {'; '.join(LABELS.get(column, ''))}"
        elif column in FLAGS:
            result[column] = text == "True"
            bad, allowed = ~text.isin(["True", "False"]), "True or False"
        else:
            result[column] = pd.to_numeric(text, errors="coerce")
            bad, allowed = ~np.isfinite(result[column]), "a finite number"
            if column in MAY_BE_BLANK:
                bad &= text != ""
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            # The header is line 1 of the CSV.
            raise InputError(f"{source}:{row + 2}: {column} is {text.iloc[row]!r}, not {allowed}")
    checked = pd.DataFrame(result).reset_index(drop=True)
    checked.attrs["source"] = source
    return checked


def only(frame: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Return the rows that hold all of ``values``.

    Raises:
        InputError: there is no such row.
    """
    for column, value in values.items():
        rows = frame[frame[column] == value]
        if rows.empty:
            raise InputError(f"{frame.attrs['source']}: column {column} has no {value!r} to draw")
        frame = rows
    return frame


def levels(frame: pd.DataFrame, column: str, known: Collection[str] = ()) -> list[str]:
    """Return the values that ``column`` has in ``frame``, in drawing order.

    Args:
        frame: a table from :func:`typed`.
        column: one of its columns.
        known: values that the column may have, in order; default: the column's labels in
            ``modspec.terms``, or else any, as the table has them first, all languages together last.

    Raises:
        InputError: a value is not among ``known``.
    """
    present = list(frame[column].unique())
    known = known or LABELS.get(column) or sorted(present, key=lambda value: value == ALL_LANGUAGES)
    if unknown := sorted({*present}.difference(known)):
        allowed = "; ".join(known)
        raise InputError(f"{frame.attrs['source']}: {column} is {unknown[0]!r}, not one of {allowed}")
    return [value for value in known if value in present]


def by_level(frame: pd.DataFrame, column: str, known: Collection[str] = ()) -> dict[str, pd.DataFrame]:
    """Return the rows of each of the :func:`levels` of ``column``, in drawing order."""
    return {level: frame[frame[column] == level] for level in levels(frame, column, known)}


def refuse_duplicates(frame: pd.DataFrame, keys: list[str], column: str) -> None:
    """Raise InputError where ``frame`` has more than one row for the same ``keys``, so that points of
    ``column`` would lie over each other."""
    duplicates = frame[frame.duplicated(keys)]
    if len(duplicates):
        place = ", ".join(map(str, duplicates.iloc[0][keys]))
        raise InputError(f"{frame.attrs['source']}: column {column} has more than one row for {place}")
