"""Files that a study can use, for bad ones to differ from, and rows for ``python -m modspec data check``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from tests.bad_inputs.answers import BadInput, Content


def tsv(*rows: str, header: str = "text\tlabel") -> str:
    return "\n".join([header, *rows]) + "\n"


def rows(number: int = 20, labels: str | list[str] = "ab", word: str = "text", form: str = "{text}\t{label}"):
    """Rows with labels in turn."""
    return [form.format(text=f"{word} {i}", label=labels[i % len(labels)], i=i) for i in range(number)]


def jsonl(*records: dict[str, Any] | str) -> str:
    """Twenty good objects, and then these."""
    good = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(20)]
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in [*good, *records])


def table(**columns: Any) -> pa.Table:
    """Twenty rows; the columns given replace the good ones."""
    return pa.table({"text": [f"text {i}" for i in range(20)], "label": ["a", "b"] * 10} | columns)


GOOD = tsv(*rows())
SPLITS = {f"{split}.en.tsv": GOOD for split in ("train", "dev", "test")}
GOOD_CSV = GOOD.replace("\t", ",")
DATA: list[BadInput] = []


def data(
    name: str, files: dict[str, Content], *answer: str, options: Iterable[str] = (), path: str = "DIR"
) -> None:
    """Add a row for ``python -m modspec data check``."""
    DATA.append(BadInput("data check", name, (path, *options), answer, files))


def en(
    name: str, content: Content, *answer: str, extension: str = "tsv", options: Iterable[str] = ()
) -> None:
    """Add a row whose only file is that of English."""
    data(name, {f"en.{extension}": content}, *answer, options=options)
