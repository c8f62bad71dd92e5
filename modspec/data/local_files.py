"""Labelled sentences from TSV, CSV, JSONL and parquet files, with errors that name file and line.

A data directory holds one file ``<split>.<language>.<extension>`` per split (train, dev, test) and language,
or one file ``<language>.<extension>`` per language. TSV has no quoting, CSV the usual one; both are UTF-8,
with or without a header. Line numbers count from 1; in parquet files they are row numbers.

Without train files, the larger of test and dev trains (:func:`plan_splits`). If only one file is left for
evaluation, it is halved into dev and test; a single file per language is divided 60/20/20. A hash of the
pair's id decides: the division is the same for every seed and keeps translations together.
"""

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
class ColumnNames:
    """The names of a file's columns, by what the columns hold."""

    text: str
    label: str
    text_pair: str | None = None
    id: str | None = None  # None: the number of the row (from 0) identifies the example
    in_order: tuple[str, ...] = ()  # all columns of a file without header; () if it must have one
    optional: tuple[str, ...] = ()  # those of ``text_pair`` and ``id`` that a file may lack
    block: int = 1  # consecutive rows that share a sentence, never divided between splits

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that every file must have."""
        named = (self.id, self.text, self.text_pair, self.label)
        return tuple(c for c in named if c is not None and c not in self.optional)


def find(data_dir: str | Path) -> dict[tuple[str, str], Path]:
    """Return the data files by (language, split); split is "" for a file that holds all of a language.

    Raises:
        InputError: the directory is missing, or two files hold the same language and split.
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
    column_names: ColumnNames,
    labels: Sequence[str] | None,
    aligned: bool,
) -> tuple[dict[tuple[str, str], pd.DataFrame], bool, str]:
    """Return what each split may draw from.

    Args:
        data_dir: directory of the files.
        languages: languages to read.
        column_names: of all files.
        labels: allowed labels; None allows any.
        aligned: an id means the same pair in every language, provided that the files give ids or that
            ``column_names`` has none.

    Returns:
        Frames by (language, split), whether ids are aligned, and a sentence on which file became which split.
        The frames have the columns of :func:`read`, with ``where`` (file and line) instead of ``line``. The
        file's split is part of an id ("dev-17"), as id 17 of another split is another example.

    Raises:
        InputError: a language lacks a split that another one has, or as for :func:`read`.
    """
    files = find(data_dir)
    stored = _stored_splits(files, languages)
    frames: dict[tuple[str, str], pd.DataFrame] = {}
    for language in languages:
        for split in stored:
            frame, has_ids = read(files[language, split], column_names, labels)
            aligned = aligned and (has_ids or column_names.id is None)
            name = files[language, split].name
            frame["where"] = [f"{name}:{line}" for line in frame.pop("line")]
            frames[language, split] = frame

    rows = {split: sum(len(frames[language, split]) for language in languages) for split in stored}
    plan = plan_splits(rows)
    pools: dict[tuple[str, str], pd.DataFrame] = {}
    for split, shares in plan.items():
        together = {language: frames[language, split] for language in languages}
        for batch in [together] if aligned else [{k: v} for k, v in together.items()]:
            for key, pool in divide(batch, shares, column_names.block).items():
                prefix = f"{split}-" if split else ""
                pools[key] = pool.assign(id=prefix + pool["id"])
    used = {files[place].suffix for place in frames}
    return pools, aligned, f"local files; {_describe(plan, '|'.join(sorted(used)))}"


def plan_splits(rows: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Return what each stored split becomes: {stored split: {new split: share of its ids}}.

    Without train files (XNLI and PAWS-X, see ``tasks.TASKS``) the larger of test and dev trains. A single
    split that is left for evaluation is halved into dev and test.

    Args:
        rows: {stored split: number of rows}.
    """
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
    """Return the splits that every language has files for."""
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
    """Divide frames into splits, each id into the same split in every language.

    Args:
        frames: {language: rows with an ``id``}.
        shares: {split: share}, the shares adding up to 1.
        block: number of consecutive ids that stay together.

    Returns:
        Frames by (language, split). Splits get their shares of the blocks up to rounding.
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


def read(path: Path, column_names: ColumnNames, labels: Sequence[str] | None) -> tuple[pd.DataFrame, bool]:
    """Return the examples of a file, and whether the file itself gives their ids.

    Args:
        path: the file.
        column_names: its columns.
        labels: allowed labels. The file may also give a label by its index. None allows any label.

    Returns:
        A frame with the columns id, text, text_pair, label (str) and line (int), in the file's order. Where
        the file has none, text_pair is "" and ids are row numbers from 0.

    Raises:
        InputError: a row cannot be used; the message names file and line.
    """
    readers = {"tsv": _tsv, "csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
    # What the file may call a label: its index, or the label itself.
    by_name = {str(i): name for i, name in enumerate(labels or ())} | {name: name for name in labels or ()}
    rows: list[tuple[str, str, str, str, int]] = []
    lines: dict[str, int] = {}
    has_ids = False
    for number, (line, record) in enumerate(readers[path.suffix[1:]](path, column_names)):
        where = f"{path.name}:{line}"
        if number and has_ids != (column_names.id in record):
            raise InputError(
                f"{where}: has {'no' if has_ids else 'an'} {column_names.id}, unlike the rows above"
            )
        has_ids = column_names.id in record
        identity = _cell(record, column_names.id, where) if has_ids else str(number)
        if identity in lines:
            raise InputError(f"{where}: {column_names.id} {identity!r} is already in line {lines[identity]}")
        lines[identity] = line
        label = _cell(record, column_names.label, where)
        if labels is not None and label not in by_name:
            hint = f"; a header must name {', '.join(column_names.needed)}" if line == 1 else ""
            raise InputError(
                f"{where}: unknown {column_names.label} {label!r}; allowed: {', '.join(labels)}{hint}"
            )
        text = _text(record, column_names.text, where)
        has_pair = column_names.text_pair in record
        text_pair = _text(record, column_names.text_pair, where) if has_pair else ""
        rows.append((identity, text, text_pair, by_name.get(label, label), line))
    if not rows:
        raise InputError(f"{path.name}: no examples")
    return pd.DataFrame(rows, columns=["id", "text", "text_pair", "label", "line"]), has_ids


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
    """Return the lines, split at line feeds only: texts may contain other separators, such as U+2028."""
    lines = _decode(path).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _tsv(path: Path, column_names: ColumnNames) -> Records:
    rows = ((line, text.split("\t")) for line, text in enumerate(_lines(path), start=1))
    yield from _delimited(path, column_names, rows)


def _csv(path: Path, column_names: ColumnNames) -> Records:
    def rows() -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(_decode(path), newline=""), strict=True)
        line = 1
        try:
            for cells in reader:
                yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{path.name}:{line}: broken CSV ({error})") from None

    yield from _delimited(path, column_names, rows())


def _delimited(path: Path, column_names: ColumnNames, rows: Iterator[tuple[int, list[str]]]) -> Records:
    columns = list(column_names.in_order)
    for line, cells in rows:
        if line == 1:
            header = [cell.strip().lower() for cell in cells]
            if set(column_names.needed) <= set(header):
                columns = header
                continue
            if not columns:
                _require(column_names, header, f"{path.name}:1", "the header")
        if len(cells) != len(columns):
            raise InputError(
                f"{path.name}:{line}: {len(cells)} columns, expected {len(columns)} ({', '.join(columns)})"
            )
        yield line, dict(zip(columns, cells, strict=True))


def _jsonl(path: Path, column_names: ColumnNames) -> Records:
    for line, text in enumerate(_lines(path), start=1):
        where = f"{path.name}:{line}"
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: broken JSON ({error.msg})") from None
        if not isinstance(record, dict):
            raise InputError(f"{where}: {type(record).__name__}, expected a JSON object")
        _require(column_names, list(record), where, "the object")
        yield line, record


def _parquet(path: Path, column_names: ColumnNames) -> Records:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path.name}: not a readable parquet file ({reason})") from None
    _require(column_names, table.column_names, path.name, "the table")
    yield from enumerate(table.to_pylist(), start=1)


def _require(column_names: ColumnNames, columns: Sequence[str], where: str, what: str) -> None:
    missing = [column for column in column_names.needed if column not in columns]
    if missing:
        optional = f" (optional: {', '.join(column_names.optional)})" if column_names.optional else ""
        raise InputError(
            f"{where}: {what} lacks {', '.join(missing)}; it has {', '.join(columns) or 'nothing'}"
            f"; needed: {', '.join(column_names.needed)}{optional}"
        )
