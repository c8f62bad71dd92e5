"""The rows of TSV, CSV, JSONL and parquet files, with errors that name file and line.

TSV has no quoting, CSV the usual one; both are UTF-8, with or without a header. Line numbers count from 1; in
parquet files they are row numbers.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modspec.errors import InputError, quoted

# (line, {column: cell}) of each row; of a file without header, the columns are the given ones.
Rows = Iterator[tuple[int, Mapping[str, Any]]]
# Whether the cells of a file's first line are column names.
IsHeader = Callable[[Sequence[str]], bool]
# How a file begins that stands for a large one, which Git LFS did not fetch.
POINTER = b"version https://git-lfs"


def rows_of(path: Path, name: str, is_header: IsHeader, without_header: Sequence[Sequence[str]]) -> Rows:
    """Yield the rows of a file.

    Args:
        path: the file; its extension is its format.
        name: what messages call it.
        is_header: called with the first line of a TSV or CSV file.
        without_header: what the columns of a file without header may be; none if it must have one.

    Raises:
        InputError: the file cannot be read, or a row has the wrong number of cells.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None
    if start == POINTER:
        kind = path.suffix.lower()[1:]
        raise InputError(f"{name}: not a readable {kind} file, but a Git LFS pointer; run git lfs pull")
    match path.suffix.lower():
        case ".tsv":
            yield from _delimited(name, _tsv(path, name), is_header, without_header)
        case ".csv":
            yield from _delimited(name, _csv(path, name), is_header, without_header)
        case ".jsonl":
            yield from _jsonl(path, name)
        case ".parquet":
            yield from _parquet(path, name)


def _lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, split at line feeds only: texts may contain other separators, such as U+2028."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                raise InputError(f"{name}:{number}: not UTF-8 (byte 0x{byte:02x})") from None
            yield number, line


def _tsv(path: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in _lines(path, name):
        if "\r" in line and not line.endswith("\n") and number == 1:
            raise InputError(f"{name}:1: its lines end in CR alone; allowed: LF or CRLF")
        yield number, line.removesuffix("\n").removesuffix("\r").split("\t")


def _csv(path: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(sys.maxsize)  # a text may be longer than the 131,072 characters of the default
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                yield line, cells
                line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}:{line}: broken CSV ({error})") from None
    except UnicodeDecodeError:
        for _ in _lines(path, name):  # which names the line
            pass


def _delimited(
    name: str,
    lines: Iterator[tuple[int, list[str]]],
    is_header: IsHeader,
    without_header: Sequence[Sequence[str]],
) -> Rows:
    columns: Sequence[str] = ()
    for line, cells in lines:
        if line == 1:
            if is_header(cells):
                # Columns without a name hold an index, or nothing: nobody asks for them.
                if twice := [column for column in cells if column.strip() and cells.count(column) > 1]:
                    raise InputError(f"{name}:1: the header has {quoted(twice[0])} twice")
                columns = cells
                continue
            by_width = {len(order): order for order in without_header}
            columns = by_width.get(len(cells)) or without_header[0]
        elif cells == columns:
            raise InputError(f"{name}:{line}: repeats the header; were files joined?")
        if len(cells) != len(columns):
            raise InputError(
                f"{name}:{line}: {len(cells)} columns, expected {len(columns)} ({', '.join(columns)})"
            )
        yield line, dict(zip(columns, cells, strict=True))


def _jsonl(path: Path, name: str) -> Rows:
    for line, text in _lines(path, name):
        where = f"{name}:{line}"
        try:
            record = json.loads(text, object_pairs_hook=_without_duplicates)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: broken JSON ({error.msg})") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: broken JSON ({error})") from None
        if not isinstance(record, dict):
            raise InputError(f"{where}: {type(record).__name__}, expected a JSON object")
        yield line, record


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{quoted(next(n for n in names if names.count(n) > 1))} stands twice in one object")
    return record


def _parquet(path: Path, name: str) -> Rows:
    try:
        file = pq.ParquetFile(path)
        columns = file.schema_arrow.names
        if twice := [column for column in columns if columns.count(column) > 1]:
            raise InputError(f"{name}: the table has {quoted(twice[0])} twice")
        number = 0
        for batch in file.iter_batches():
            for record in batch.to_pylist():
                number += 1
                yield number, record
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{name}: not a readable parquet file ({error})") from None
