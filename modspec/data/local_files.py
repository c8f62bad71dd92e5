"""Labelled sentences from TSV, CSV, JSONL and parquet files, with errors that name file and line.

A data directory holds ``<split>.<language>.<extension>`` (split: train, dev, test) or one
``<language>.<extension>`` a language. TSV has no quoting, CSV the usual one; both are UTF-8, with
or without a header. Line numbers count from 1; in parquet files they are row numbers.

Without train files the larger of test and dev trains. If only one file is left for evaluation,
it is halved into dev and test; a single file a language is divided 60/20/20. Division goes by a
hash of the pair id: it is the same for every seed and keeps translations together.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modspec.errors import InputError

SPLITS = ("train", "dev", "test")
EXTENSIONS = ("tsv", "csv", "jsonl", "parquet")
FILE_NAME = rf"((?P<split>{'|'.join(SPLITS)})\.)?(?P<language>[^.]+)\.({'|'.join(EXTENSIONS)})"
SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}


@dataclass(frozen=True)
class Layout:
    """Which column of a file holds what."""

    text: str
    label: str
    text_pair: str | None = None
    id: str | None = None  # None: the number of the row (from 0) identifies the example
    columns: tuple[str, ...] = ()  # all columns of a file without header; () if it must have one
    optional: tuple[str, ...] = ()  # those of ``text_pair`` and ``id`` that a file may lack
    block: int = 1  # so many rows in a row share a sentence: never divided between splits

    @property
    def needed(self) -> tuple[str, ...]:
        named = (self.id, self.text, self.text_pair, self.label)
        return tuple(c for c in named if c is not None and c not in self.optional)


def find(data_dir: str | Path) -> dict[tuple[str, str], Path]:
    """Files by (language, split); split is "" for a file that holds all of a language.

    Raises ``InputError`` if the directory is missing or two files claim the same place.
    """
    directory = Path(data_dir)
    if not directory.is_dir():
        raise InputError(f"data_dir: {str(data_dir)!r} is not a directory")
    files: dict[tuple[str, str], Path] = {}
    for path in sorted(directory.iterdir()):
        match = re.fullmatch(FILE_NAME, path.name)
        if not match or not path.is_file():
            continue
        place = (match["language"], match["split"] or "")
        if place in files:
            raise InputError(f"data_dir: {files[place].name} and {path.name} hold the same split; keep one")
        files[place] = path
    return files


def load(
    data_dir: str | Path,
    languages: Sequence[str],
    layout: Layout,
    labels: Sequence[str] | None,
    aligned: bool,
) -> tuple[dict[tuple[str, str], pd.DataFrame], bool, str]:
    """What each split may draw from, whether ids are aligned, and a sentence on which is which.

    The frames, by (language, split), have the columns of ``read`` and ``where`` (file and line)
    instead of line; ids are qualified by the file's split ("dev-17"), as another split's 17 is
    another example. ``aligned``: an id means the same pair in every language, provided that all
    files have the id column of ``layout``, if it has one.

    Raises ``InputError`` if a language lacks a split that another has, and as ``read`` does.
    """
    files = find(data_dir)
    stored = _stored_splits(files, languages)
    frames: dict[tuple[str, str], pd.DataFrame] = {}
    for language in languages:
        for split in stored:
            frame, has_ids = read(files[language, split], layout, labels)
            aligned = aligned and (has_ids or layout.id is None)
            name = files[language, split].name
            frame["where"] = [f"{name}:{line}" for line in frame.pop("line")]
            frames[language, split] = frame

    rows = {split: sum(len(frames[language, split]) for language in languages) for split in stored}
    plan = plan_splits(rows)
    pools: dict[tuple[str, str], pd.DataFrame] = {}
    for split, shares in plan.items():
        together = {language: frames[language, split] for language in languages}
        for batch in [together] if aligned else [{k: v} for k, v in together.items()]:
            for key, pool in divide(batch, shares, layout.block).items():
                prefix = f"{split}-" if split else ""
                pools[key] = pool.assign(id=prefix + pool["id"])
    used = {files[place].suffix for place in frames}
    return pools, aligned, f"local files; {_describe(plan, '|'.join(sorted(used)))}"


def plan_splits(rows: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """What each stored split becomes, given its number of rows: shares of train, dev and test."""
    if len(rows) == 1:
        return {split: SHARES for split in rows}
    train = "train" if "train" in rows else max(("test", "dev"), key=lambda split: rows[split])
    rest = [split for split in rows if split != train]
    if len(rest) == 1:
        return {train: {"train": 1.0}, rest[0]: {"dev": 0.5, "test": 0.5}}
    return {train: {"train": 1.0}, **{split: {split: 1.0} for split in rest}}


def _describe(plan: Mapping[str, Mapping[str, float]], extension: str) -> str:
    parts = []
    for split, shares in plan.items():
        file = f"{split}.*{extension}" if split else f"*{extension}"
        if len(shares) == 1:
            parts.append(f"{next(iter(shares))} is {file}")
        else:
            percent = "/".join(f"{100 * share:.0f}" for share in shares.values())
            parts.append(f"{', '.join(shares)} are disjoint parts ({percent} %) of {file}")
    return "; ".join(parts)


def _stored_splits(files: Mapping[tuple[str, str], Path], languages: Sequence[str]) -> tuple[str, ...]:
    """The splits that every one of ``languages`` has files for."""
    stored = [s for s in ("", *SPLITS) if any((language, s) in files for language in languages)]
    for language in languages:
        for split in stored:
            if (language, split) not in files:
                wanted = f"{split}.{language}" if split else language
                other = next(p.name for (o, s), p in files.items() if s == split and o in languages)
                raise InputError(f"data_dir: lacks {wanted}.<{'|'.join(EXTENSIONS)}>, while {other} is there")
    if "" in stored and len(stored) > 1:
        both = ", ".join(files[languages[0], split].name for split in stored)
        raise InputError(f"data_dir: has whole files and splits ({both}); keep one kind")
    return tuple(stored)


def divide(
    frames: Mapping[str, pd.DataFrame], shares: Mapping[str, float], block: int = 1
) -> dict[tuple[str, str], pd.DataFrame]:
    """Frames by (language, split), each id in the same split in every language.

    Splits get their shares of the ids (of blocks of ``block`` consecutive ones) up to rounding.
    """
    if len(shares) == 1:
        return {(language, *shares): frame for language, frame in frames.items()}

    def unit(identity: str) -> str:
        return identity if block == 1 else str(int(identity) // block)

    def order(name: str) -> str:
        return hashlib.sha256(name.encode()).hexdigest()

    units = sorted({unit(i) for frame in frames.values() for i in frame["id"]}, key=order)
    bounds = [0, *(round(len(units) * share) for share in accumulate(shares.values()))]
    split_of = {
        name: split
        for split, start, stop in zip(shares, bounds, bounds[1:], strict=False)
        for name in units[start:stop]
    }
    return {
        (language, split): frame.loc[[split_of[unit(i)] == split for i in frame["id"]]]
        for language, frame in frames.items()
        for split in shares
    }


def read(path: Path, layout: Layout, labels: Sequence[str] | None) -> tuple[pd.DataFrame, bool]:
    """The examples of a file, and whether the file itself gives their ids.

    The frame has the columns id, text, text_pair, label (str) and line (int), in the file's order;
    text_pair is "" and ids are row numbers from 0 where the file has none. ``labels`` are the
    allowed names, each of which may also be given by its index; None allows any.

    Raises ``InputError`` naming file and line for whatever cannot be used.
    """
    readers = {"tsv": _tsv, "csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
    by_name = _label_names(labels)
    rows: list[tuple[str, str, str, str, int]] = []
    lines: dict[str, int] = {}
    has_ids = False
    for number, (line, record) in enumerate(readers[path.suffix[1:]](path, layout)):
        where = f"{path.name}:{line}"
        if number and has_ids != (layout.id in record):
            raise InputError(f"{where}: has {'no' if has_ids else 'an'} {layout.id}, unlike the rows above")
        has_ids = layout.id in record
        identity = _cell(record, layout.id, where) if has_ids else str(number)
        if identity in lines:
            raise InputError(f"{where}: {layout.id} {identity!r} is already in line {lines[identity]}")
        lines[identity] = line
        has_pair = layout.text_pair in record
        label = _cell(record, layout.label, where)
        if labels is not None and label not in by_name:
            hint = f"; a header must name {', '.join(layout.needed)}" if line == 1 else ""
            raise InputError(f"{where}: unknown {layout.label} {label!r}; allowed: {', '.join(labels)}{hint}")
        rows.append(
            (
                identity,
                _text(record, layout.text, where),
                _text(record, layout.text_pair, where) if has_pair else "",
                by_name.get(label, label),
                line,
            )
        )
    if not rows:
        raise InputError(f"{path.name}: no examples")
    return pd.DataFrame(rows, columns=["id", "text", "text_pair", "label", "line"]), has_ids


def _label_names(labels: Sequence[str] | None) -> dict[str, str]:
    """Label name by what files may call it."""
    labels = labels or ()
    return {str(i): name for i, name in enumerate(labels)} | {name: name for name in labels}


def _cell(record: Mapping[str, object], column: str, where: str) -> str:
    value = record[column]
    if value is None or not str(value).strip():
        raise InputError(f"{where}: {column} is empty")
    return str(value).strip()


def _text(record: Mapping[str, object], column: str, where: str) -> str:
    if not isinstance(record[column], str | None):
        raise InputError(f"{where}: {column} is {record[column]!r}, not text")
    return _cell(record, column, where)


# --- formats: each yields (line, record) ----------------------------------------------------------

Records = Iterator[tuple[int, Mapping[str, object]]]


def _decode(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = raw[error.start]
        raise InputError(f"{path.name}:{line}: not UTF-8 (byte 0x{byte:02x})") from None


def _lines(path: Path) -> list[str]:
    """Lines ended by a line feed only: texts may contain other separators, such as U+2028."""
    lines = _decode(path).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _tsv(path: Path, layout: Layout) -> Records:
    rows = ((line, text.split("\t")) for line, text in enumerate(_lines(path), start=1))
    yield from _delimited(path, layout, rows)


def _csv(path: Path, layout: Layout) -> Records:
    def rows() -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(_decode(path), newline=""), strict=True)
        line = 1
        try:
            for cells in reader:
                yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{path.name}:{line}: broken CSV ({error})") from None

    yield from _delimited(path, layout, rows())


def _delimited(path: Path, layout: Layout, rows: Iterator[tuple[int, list[str]]]) -> Records:
    columns = list(layout.columns)
    for line, cells in rows:
        if line == 1:
            header = [cell.strip().lower() for cell in cells]
            if set(layout.needed) <= set(header):
                columns = header
                continue
            if not columns:
                _require(layout, header, f"{path.name}:1", "the header")
        if len(cells) != len(columns):
            raise InputError(
                f"{path.name}:{line}: {len(cells)} columns, expected {len(columns)} ({', '.join(columns)})"
            )
        yield line, dict(zip(columns, cells, strict=True))


def _jsonl(path: Path, layout: Layout) -> Records:
    for line, text in enumerate(_lines(path), start=1):
        where = f"{path.name}:{line}"
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: broken JSON ({error.msg})") from None
        if not isinstance(record, dict):
            raise InputError(f"{where}: {type(record).__name__}, expected a JSON object")
        _require(layout, list(record), where, "the object")
        yield line, record


def _parquet(path: Path, layout: Layout) -> Records:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path.name}: not a readable parquet file ({reason})") from None
    _require(layout, table.column_names, path.name, "the table")
    yield from enumerate(table.to_pylist(), start=1)


def _require(layout: Layout, columns: Sequence[str], where: str, what: str) -> None:
    missing = [column for column in layout.needed if column not in columns]
    if missing:
        optional = f" (optional: {', '.join(layout.optional)})" if layout.optional else ""
        raise InputError(
            f"{where}: {what} lacks {', '.join(missing)}; it has {', '.join(columns) or 'nothing'}"
            f"; needed: {', '.join(layout.needed)}{optional}"
        )
