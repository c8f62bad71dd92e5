"""Which column of a file holds what, and what a cell may hold."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modspec.errors import InputError, has_visible_character, quoted

TEXTS = ("text", "text_pair")
ROLES = ("id", *TEXTS, "label")
# What data sets call these columns.
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "idx", "index_id", "guid", "pair_id", "pairid", "example_id", "review_id"),
    "text": ("text", "sentence", "sentence1", "premise", "utterance", "utt", "review_body", "content"),
    "text_pair": ("text_pair", "sentence2", "hypothesis"),
    "label": ("label", "gold_label", "category", "class", "intent", "polarity", "sentiment", "stars"),
}
# Columns that name the split or the language of a row. A file holds one split of one language.
SPLIT_COLUMNS = ("split", "partition", "set")
LANGUAGE_COLUMNS = ("language", "lang", "locale")
LONGEST_NAME = 200  # characters of an id or a label


@dataclass(frozen=True)
class ColumnNames:
    """The names of a file's columns, by what the columns hold (their role)."""

    text: str
    label: str
    text_pair: str | None = None
    id: str | None = None  # None: the number of the row (from 0) identifies the example
    in_order: tuple[str, ...] = ()  # all columns of a file without header; () if it must have one
    optional: tuple[str, ...] = ()  # those of ``text_pair`` and ``id`` that a file may lack
    block: int = 1  # consecutive rows that share a sentence, never divided between splits
    untranslated: str = ""  # stands in place of a text that was not translated; such rows are left out

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that every file must have."""
        named = (self.id, self.text, self.text_pair, self.label)
        return tuple(c for c in named if c is not None and c not in self.optional)


def recognise(
    columns: Sequence[str], names: ColumnNames, chosen: Mapping[str, str | None], where: str
) -> tuple[dict[str, str], list[str]]:
    """Return {role: column} of a file, and the names of the columns that it lacks.

    The names that the user chose come first, then those of the task, then the usual ones.

    Args:
        columns: the file's.
        names: those that the task's files are known to have.
        chosen: {role: column, or None to do without it}, the parameter ``columns``.
        where: the file, for messages.

    Raises:
        InputError: several columns could hold one role.
    """
    found: dict[str, str] = {}
    lacking = []
    for role in ROLES:
        name = chosen.get(role, getattr(names, role))
        if name is None:
            continue
        usual = USUAL_NAMES[role] if role not in chosen else ()
        candidates = [column for column in columns if column == name]
        candidates = candidates or [column for column in columns if _key(column) == _key(name)]
        candidates = candidates or [
            column for column in columns if _key(column) in usual and column not in found.values()
        ]
        if len(candidates) > 1:
            listed = ", ".join(quoted(column) for column in candidates)
            raise InputError(
                f"{where}: {listed} could each be the {role}; set columns: {{{role}: one of them}}"
            )
        if candidates:
            found[role] = candidates[0]
        elif name not in names.optional or role in chosen:
            lacking.append(name)
    return found, lacking


def _key(column: str) -> str:
    return column.strip().lower()


def text_of(value: Any, column: str, where: str) -> str:
    """Return a text without space around it.

    Raises:
        InputError: it is no text, or nothing of it can be seen.
    """
    if not isinstance(value, str | None):
        raise InputError(f"{where}: {column} is {quoted(value)}, not text")
    if value is None or not value.strip():
        raise InputError(f"{where}: {column} is empty")
    _check_characters(value, column, where)
    return value.strip()


def name_of(value: Any, column: str, where: str) -> tuple[str, str]:
    """Return a label or id as text, and its kind: "text", "integer" or "Boolean".

    Raises:
        InputError: it is of another kind (NaN, a fraction, a list, an object), empty, or too long.
    """
    kinds = {bool: "Boolean", int: "integer", str: "text"}
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas writes whole numbers so where one of a column is missing
    if isinstance(value, float):
        missing = f"{value}, not a number" if math.isinf(value) else "NaN, a missing value"
        what = missing if not math.isfinite(value) else f"{value}, a number with a decimal point"
        raise InputError(f"{where}: {column} is {what}; allowed: text, whole numbers or Booleans")
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where}: {column} is empty")
    if type(value) not in kinds:
        kind = type(value).__name__
        raise InputError(
            f"{where}: {column} is {quoted(value)} ({kind}); allowed: text, whole numbers or Booleans"
        )
    text = str(value)
    if len(text) > LONGEST_NAME:
        raise InputError(
            f"{where}: {column} has {len(text)} characters ({quoted(text, 30)}); allowed: {LONGEST_NAME}"
        )
    _check_characters(text, column, where)
    return text.strip(), kinds[type(value)]


def _check_characters(text: str, column: str, where: str) -> None:
    if text.isascii() and text.isprintable():  # most texts: five times faster than what follows
        return
    if not has_visible_character(text):
        raise InputError(f"{where}: {column} is {quoted(text)}: nothing of it can be seen")
    if half := re.search("[\ud800-\udfff]", text):  # JSON can write it
        raise InputError(
            f"{where}: {column} has {quoted(half[0])}, half a character: the text was cut within it"
        )
