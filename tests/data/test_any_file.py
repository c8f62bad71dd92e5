"""Any file gives the examples that were written into it, or one line; never anything else."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modspec.__main__ import main
from modspec.data.local_files import read
from modspec.data.tasks import TASKS
from modspec.errors import InputError, has_visible_character

# Separators, quotes, line ends, byte order marks, what cannot be seen, halves of characters.
ODD = "\t,;\"'\\\r\n\0\x0b\x0c\x1c\x85\xa0\xad\u200b\u200f\u2028\ufeff\u3164\ud83d\U0001f600e\u0301"
CELLS = st.one_of(
    st.text(max_size=8),
    st.text(ODD, max_size=5),
    st.sampled_from(["null", "NaN", "-", "true", "1e5", "007", "#", "text", "label"]),
)
VALUES = st.one_of(
    CELLS, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(st.integers(), max_size=2)
)
FEW = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def in_tsv(rows: list[dict]) -> bytes | None:
    """TSV has no quoting: only some cells can be written."""
    lines = ["\t".join(row.values()) for row in [{name: name for name in rows[0]}, *rows]]
    if any(set(cell) & {*"\t\n\r"} for row in rows for cell in row.values()):
        return None
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def in_csv(rows: list[dict]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode("utf-8")


def in_jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8")


def in_parquet(rows: list[dict]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


FORMATS = {"tsv": in_tsv, "csv": in_csv, "jsonl": in_jsonl, "parquet": in_parquet}


def written(path: Path, rows: list[dict]) -> bool:
    """Write rows into a file, where its format and encoding can hold them."""
    try:
        content = FORMATS[path.suffix[1:]](rows)
    except (UnicodeEncodeError, OverflowError, pa.ArrowException):
        return False
    path.write_bytes(content or b"")
    return content is not None


def one_line(error: InputError) -> None:
    assert len(str(error)) <= 300 and str(error).isprintable()


@FEW
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4),
    extension=st.sampled_from(list(FORMATS)),
)
def test_texts_are_read_as_they_were_written(tmp_path: Path, rows: list[tuple], extension: str) -> None:
    path = tmp_path / f"en.{extension}"
    records = [dict(zip(("id", "text", "label"), row, strict=True)) for row in rows]
    if not written(path, records):
        return
    try:
        result = read(path, TASKS["local"].column_names, None).rows
    except InputError as error:
        one_line(error)
        ids = [row[0].strip() for row in rows]
        seen = all(has_visible_character(cell) for row in rows for cell in row)
        halves = any("\ud800" <= c <= "\udfff" for row in rows for cell in row for c in cell)
        assert len(set(ids)) < len(ids) or not seen or halves or ("id", "text", "label") in rows
    else:
        expected = [tuple(cell.strip() for cell in row) for row in rows]
        assert [*result[["id", "text", "label"]].itertuples(index=False, name=None)] == expected


@FEW
@given(
    rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=3),
    extension=st.sampled_from(["jsonl", "parquet"]),
)
def test_values_of_any_type_keep_their_meaning(tmp_path: Path, rows: list[tuple], extension: str) -> None:
    path = tmp_path / f"en.{extension}"
    if not written(path, [dict(zip(("id", "text", "label"), row, strict=True)) for row in rows]):
        return
    try:
        result = read(path, TASKS["local"].column_names, None).rows
    except InputError as error:
        one_line(error)
        return
    for (identity, text, label), row in zip(rows, result.itertuples(), strict=True):
        assert isinstance(text, str) and row.text == text.strip()
        for value, name in ((identity, row.id), (label, row.label)):
            assert type(value) in (str, bool, int, float)
            assert name == (str(int(value)) if isinstance(value, float) else str(value).strip())


@FEW
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(ODD + "textlabel{}[]:", max_size=60).map(lambda t: t.encode("utf-8", "replace")),
    ),
    name=st.sampled_from(["en.tsv", "en.csv", "en.jsonl", "en.parquet", "en/train.csv", "train.en.jsonl"]),
    task=st.sampled_from([*TASKS]),
)
def test_any_bytes_under_any_task_are_refused_by_one_line(
    tmp_path_factory, content: bytes, name: str, task: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    with pytest.raises(SystemExit) as stop:  # no 200 bytes are data of two labels
        main(["data", "check", str(folder), "--task", task])
    line = str(stop.value).removeprefix("error: ")
    assert len(line) <= 300 and line.isprintable()
