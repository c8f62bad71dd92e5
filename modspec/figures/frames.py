"""The tidy frames behind the figures: what their columns may hold, checked cell by cell."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from modspec.errors import InputError

# Column -> its values in drawing order -> what a reader is shown.
LEVELS: dict[str, dict[str, str]] = {
    "condition": {
        "full": "full fine-tuning",
        "sft": "sparse (SFT)",
        "sft_random": "SFT, random masks",
        "sft_intersection": "SFT, intersection of masks",
        "sft_union": "SFT, union of masks",
    },
    "mask_kind": {
        "none": "no mask",
        "own": "own mask",
        "language": "mask",
        "other_language": "other language's mask",
        "other_seed": "own mask, other seed",
        "random": "random mask",
        "inherited": "own mask, inherited importance",
        "shared": "shared mask",
    },
    "train_gradient_mask": {
        "test_example": "train gradients: same mask",
        "own_language": "train gradients: own masks",
    },
    "part": {
        "embeddings": "embeddings",
        "attention": "attention",
        "feed-forward": "feed-forward",
        "norms": "layer norms",
        "classifier": "classifier",
    },
    "baseline": {
        "full, no mask": "against full fine-tuning, no mask",
        "full, own mask": "against full fine-tuning, own mask",
    },
    "test": {
        "interval": "t interval",
        "bootstrap": "percentile bootstrap",
        "permutation": "permutation of labels",
    },
    "axis": {
        "train": "training examples",
        "evaluation": "evaluation examples",
    },
    "system": {
        "modspec bfloat16": "modspec, bfloat16",
        "modspec float32": "modspec, float32",
        "kronfluence": "kronfluence (linear layers)",
        "captum linear": "captum (linear layers)",
        "captum": "captum",
        "trak": "TRAK",
        "dattri": "dattri",
    },
}
ALL_LANGUAGES = "all languages"  # in the column language: examples of all, pooled
FLAGS = {"kept", "accepted"}
TEXTS = {"seed", "seed_a", "seed_b", "language", "language_a", "language_b", "mask_language"}
TEXTS |= {"train_language", "split", "score", "measure", "claim", "comparison", "verdict", "choice", "study"}
TEXTS |= set(LEVELS)
MAY_BE_BLANK = {
    "value",
    "low",
    "high",
    "chance",
    "minimum_detectable",
}  # not every statistic exists on one seed


def read(csv: bytes, source: str) -> pd.DataFrame:
    """A CSV's cells as text: a language may be called ``nan``. ``InputError`` if it is no CSV."""
    try:
        frame = pd.read_csv(io.BytesIO(csv), dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not a CSV in UTF-8: {str(error).strip()}") from error
    if not isinstance(frame.index, pd.RangeIndex):  # how pandas takes surplus cells in every row
        raise InputError(f"{source}: not a CSV: its rows have more cells than its header")
    frame.attrs["source"] = source
    return frame


def typed(frame: pd.DataFrame, columns: Sequence[str], source: str) -> pd.DataFrame:
    """The frame's ``columns`` as text, Booleans or numbers; ``source`` names it in errors.

    Raises ``InputError`` for a missing column, no rows, or a value that its column cannot hold.
    """
    missing = [column for column in columns if column not in frame]
    if missing:
        raise InputError(f"{source}: column {missing[0]} is missing; needed: {', '.join(columns)}")
    if frame.empty:
        raise InputError(f"{source}: column {columns[0]} is empty: there are no rows below it")
    result = {}
    for column in columns:
        text = frame[column].astype(object).where(frame[column].notna(), "").map(str)
        if column in TEXTS:
            result[column] = text
            bad = ~text.isin(LEVELS.get(column, text))
            allowed = f"one of {'; '.join(LEVELS.get(column, ''))}"
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
    """The rows that hold all of ``values``; ``InputError`` if there is none."""
    for column, value in values.items():
        rows = frame[frame[column] == value]
        if rows.empty:
            raise InputError(f"{frame.attrs['source']}: column {column} has no {value!r} to draw")
        frame = rows
    return frame


def levels(frame: pd.DataFrame, column: str) -> list[str]:
    """The values of ``column`` that are there: in the order of ``LEVELS``, else sorted."""
    present = set(frame[column])
    return [level for level in LEVELS.get(column, sorted(present)) if level in present]
