"""Bad inputs, each a different way to go wrong, and what the one line that refuses it must name.

``tests/test_bad_inputs.py`` gives every one to the function behind its command. To send every one through the
real command, in a process of its own, and write a table of what came back (half an hour and more):

    python tests/bad_inputs.py bad_inputs.csv [words of the names to run]

To add one, append a row to the table of its command below.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[1]
Content = str | bytes | pa.Table


@dataclass(frozen=True)
class BadInput:
    """What a user typed, the files that there were, and what the answer must name."""

    command: str  # a key of COMMANDS
    name: str
    arguments: tuple[Any, ...]  # of the command; DIR stands for the folder of the files
    answer: tuple[str, ...]  # parts of the line
    files: dict[str, Content] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Any, ...]:
        """Write the files into a folder; return the arguments."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pa.Table):
                pq.write_table(content, path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tuple(
            word.replace("DIR", str(folder)) if isinstance(word, str) else word for word in self.arguments
        )


# --- how files are written ------------------------------------------------------------------------------


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


# --- directories and names of files -----------------------------------------------------------------------

data("a directory that is not there", {}, "data_dir: ", "nowhere", "is not a directory", path="DIR/nowhere")
data("a file instead of a directory", {"en.tsv": GOOD}, "is not a directory", path="DIR/en.tsv")
data("a path that is too long", {}, "data_dir: ", "is not a directory", path="DIR/" + "x" * 5000)
data("an empty directory", {}, "data_dir: no file to read; needed: a directory of files")
data("nothing but a README", {"README.md": "x"}, "no file to read (README.md: its name does not end in .tsv")
data("nothing but hidden files", {".en.tsv": GOOD}, "no file to read (.en.tsv: hidden)")
data("splits of no language", {"train.tsv": GOOD, "test.tsv": GOOD}, "(test.tsv: its name is not that of")
data("folders within folders", {"a/b/en.tsv": GOOD}, "no file to read (b: a folder within a folder)")
data("several folders of languages", {"x/data/en/train.tsv": GOOD}, "no file to read", "a folder within")
data("a split's name of one's own", {"en/dev_2k.tsv": GOOD}, "(dev_2k.tsv: its name is not that of")
for extension in ("xlsx", "json", "txt", "tsv.gz", "csv.zip", "arrow"):
    data(
        f"a .{extension} file of the language asked for",
        {f"en.{extension}": "x", "de.tsv": GOOD},
        f"'en.{extension}' seems to be of the language en",
        "convert it or move it away",
        options=["--languages", "en", "de"],
    )
splits = {f"{split}.en.tsv": GOOD for split in ("train", "dev", "test")}
data(
    "a training file that is compressed",
    {"train.en.tsv.gz": "x", "dev.en.tsv": GOOD, "test.en.tsv": GOOD},
    "'train.en.tsv.gz' seems to be of the language en",
)
data(
    "a file in parts",
    {f"en/train-0000{i}-of-00002.parquet": table() for i in range(2)} | {"en/test.tsv": GOOD},
    "'en/train-00000-of-00002.parquet' seems to be",
    "join the parts",
)
data(
    "the same split in two formats",
    {"en.tsv": GOOD, "en.csv": GOOD_CSV},
    "'en.csv' and 'en.tsv' hold the same",
)
data(
    "the same split in two folders",
    {"train.en.tsv": GOOD, "en/train.tsv": GOOD},
    "hold the same split; keep one",
)
data(
    "dev and validation",
    splits | {"validation.en.tsv": GOOD},
    "'dev.en.tsv' and 'validation.en.tsv'",
    "keep one",
)
data(
    "split first and split last",
    splits | {"en.test.tsv": GOOD},
    "'en.test.tsv' and 'test.en.tsv'",
    "keep one",
)
data("dev of one language is missing", splits | {"train.de.tsv": GOOD, "test.de.tsv": GOOD}, "lacks dev.de.<")
data(
    "train of one language is missing", splits | {"dev.de.tsv": GOOD, "test.de.tsv": GOOD}, "lacks train.de.<"
)
data("a whole file beside splits", splits | {"en.tsv": GOOD}, "whole files and splits (en.tsv, train.en.tsv")
data("whole files and splits by language", splits | {"de.tsv": GOOD}, "data_dir: lacks", "is there")
for languages, answer in {
    "xx": "local lacks xx",
    "EN": "local lacks EN",
    "eng": "local lacks eng",
    "en en": "['en', 'en'], needed: a list of different",
    "en,de": "local lacks en,de",
}.items():
    words = ["--languages", *languages.split()]
    data(f"--languages {languages}", {"en.tsv": GOOD}, "languages: ", answer, options=words)
data("a task that is not known", {"en.tsv": GOOD}, "task: 'snli' is not known", options=["--task", "snli"])
data("a task that is embedded", {"en.tsv": GOOD}, "task 'intents' is embedded", options=["--task", "intents"])
data("a task in capitals", {"en.tsv": GOOD}, "task: 'XNLI' is not known", options=["--task", "XNLI"])

# --- names of columns -------------------------------------------------------------------------------------

for options, answer in {
    "lable=label": "columns: 'lable' is not what a column holds; allowed: id, text, text_pair, label",
    "label=topic": "en.tsv:1: the header lacks topic; it has text, label",
    "id=nr": "en.tsv:1: the header lacks nr",
    "text_pair=other": "en.tsv:1: the header lacks other",
    "label": "columns: 'label'; allowed: ROLE=NAME",
    "text=": "columns: text: None; allowed: the name of the column",
    "label=": "columns: label: None; allowed: the name of the column",
    "text=text text_pair=text": "columns: 'text' has two roles",
}.items():
    en(f"--columns {options}", GOOD, answer, options=["--columns", *options.split()])
nli = tsv(*rows(form="{text}\tx\tneutral\t{i}"), header="premise\thypothesis\tlabel\tpairID")
en(
    "ids where row numbers count",
    nli,
    "columns: id: 'pairID'",
    options="--task xnli --columns id=pairID".split(),
)
headers = {
    "header lacks the text": (
        "words\tlabel",
        "the header lacks text; it has words, label; needed: text, label",
    ),
    "header lacks the label": ("text\ttopic", "the header lacks label; it has text, topic"),
    "header in another language": ("texte\tétiquette", "lacks text, label; it has texte, étiquette"),
    "no header": ("good film\ta", "the header lacks text, label; it has good film, a"),
    "a zero-width space in the header": ("text\tla\u200bbel", "it has text, la\\u200bbel"),
    "a second byte order mark": ("\ufeff\ufefftext\tlabel", "lacks text; it has \\ufefftext"),
    "quotes in a TSV header": ('"text"\t"label"', 'it has "text", "label"'),
    "commas in a TSV file": ("text,label", "lacks text, label; it has text,label"),
    "spaces for tabs": ("text    label", "lacks text, label"),
    "a hash before the header": ("# text\tlabel", "lacks text; it has # text"),
    "the label twice": ("text\tlabel\tlabel", "'label', 'label' could each be the label"),
    "another column twice": ("text\tlabel\tnote\tnote", "the header has 'note' twice"),
    "columns that differ in case": ("text\tLabel\tLABEL", "'Label', 'LABEL' could each be the label"),
    "two usual names of the label": (
        "text\tcategory\tintent",
        "'category', 'intent' could each be the label",
    ),
    "two usual names of the text": (
        "premise\tsentence1\tlabel",
        "'premise', 'sentence1' could each be the text",
    ),
    "a blank first line": ("\ntext\tlabel", "the header lacks text, label; it has nothing"),
    "a title line": ("My data\ntext\tlabel", "the header lacks text, label; it has My data"),
    "a column that is named by a number": ("0\t1", "the header lacks text, label; it has 0, 1"),
}
for name, (header, answer) in headers.items():
    en(name, tsv(*rows(), header=header), "en.tsv:1: ", answer)
task_headers = {
    "xnli with one sentence": (
        "xnli",
        "premise\tlabel",
        "en.tsv:1: 2 columns, expected 3 (premise, hypothesis",
    ),
    "xnli with other columns": (
        "xnli",
        "a\tb\tc",
        "unknown label 'c'; allowed: entailment, neutral, contradiction",
    ),
    "pawsx without ids": ("pawsx", "sentence1\tsentence2\tlabel", "3 columns, expected 4 (id, sentence1"),
    "multiemo without domains": ("multiemo", "1\tpositive\tx", "3 columns, expected 4 (id, domain, polarity"),
    "marc with titles": ("marc", "1\ttitle\ttext\t3", "en.tsv:1: 4 columns, expected 3 (id, text, label)"),
}
for name, (task, header, answer) in task_headers.items():
    en(name, header + "\n", answer, options=["--task", task])
columns = {
    "MASSIVE's file of all splits": (
        "partition",
        ["train", "dev", "test"],
        "several splits (dev, test, train)",
    ),
    "a column of splits": ("split", ["train", "validation"], "'split' names several splits"),
    "a column of sets": ("Set", ["TRAIN", "TEST"], "'Set' names several splits"),
    "XNLI's file of all languages": ("language", ["ar", "de", "en"], "several languages (ar, de, en)"),
    "a column of locales": ("locale", ["en-US", "de-DE"], "'locale' names several languages (de-DE, en-US)"),
}
for name, (column, values, answer) in columns.items():
    lines = [f"{line}\t{values[i % len(values)]}" for i, line in enumerate(rows())]
    en(name, tsv(*lines, header=f"text\tlabel\t{column}"), "en.tsv: the column", answer, "a file for each")

# --- lines and encodings ----------------------------------------------------------------------------------

lines = {
    "a row that is too short": ("alone", "en.tsv:22: 1 columns, expected 2 (text, label)"),
    "a tab within a text": ("one\ttwo\ta", "en.tsv:22: 3 columns, expected 2 (text, label)"),
    "a blank last line": ("", "en.tsv:22: 1 columns, expected 2"),
    "a merge conflict": ("<<<<<<< HEAD", "en.tsv:22: 1 columns, expected 2"),
    "two files joined": ("text\tlabel", "en.tsv:22: repeats the header"),
    "a comment": ("# the end", "en.tsv:22: 1 columns, expected 2"),
}
for name, (line, answer) in lines.items():
    en(name, GOOD + line + "\n", answer)
contents: dict[str, tuple[Content, str]] = {
    "an empty file": ("", "en.tsv: no examples"),
    "nothing but a header": ("text\tlabel\n", "en.tsv: no examples"),
    "nothing but a byte order mark": ("\ufeff", "the header lacks text, label; it has nothing"),
    "Latin-1": (GOOD.replace("text 3", "\u00e9t\u00e9").encode("latin-1"), "en.tsv:5: not UTF-8 (byte 0xe9)"),
    "UTF-16": (GOOD.encode("utf-16"), "en.tsv:1: not UTF-8 (byte 0xff)"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "en.tsv:1: the header lacks text, label"),
    "Shift-JIS": (GOOD.replace("text 9", "\u8868\u793a").encode("shift-jis"), "en.tsv:11: not UTF-8"),
    "a line cut within a character": (
        GOOD.encode() + "\u00e9".encode()[:1] + b"\ta\n",
        "en.tsv:22: not UTF-8",
    ),
    "lines that end in CR": (GOOD.replace("\n", "\r"), "en.tsv:1: its lines end in CR alone"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "en.tsv:1: not UTF-8 (byte 0x89)"),
    "a compressed file under another name": (b"\x1f\x8b\x08\0\0\0\0\0", "en.tsv:1: not UTF-8 (byte 0x8b)"),
    "a spreadsheet under another name": (b"PK\x03\x04\x14\0\x06\0", "en.tsv:1: the header lacks text, label"),
    "zeros, as after a crash": (b"\0" * 100, "en.tsv:1: the header lacks text, label; it has \\x00"),
    "a web page": ("<!DOCTYPE html>\n<html>\n", "it has <!DOCTYPE html>"),
    "a Git LFS pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "but a Git LFS pointer",
    ),
    "CSV in a TSV file": (GOOD_CSV, "en.tsv:1: the header lacks text, label; it has text,label"),
}
for name, (content, answer) in contents.items():
    en(name, content, answer)
csvs: dict[str, tuple[Content, str]] = {
    "semicolons": (GOOD.replace("\t", ";"), "en.csv:1: the header lacks text, label; it has text;label"),
    "Excel's first line": ("sep=,\n" + GOOD_CSV, "en.csv:1: the header lacks text, label; it has sep=, "),
    "tabs in a CSV file": (GOOD, "en.csv:1: the header lacks text, label"),
    "a quote that is never closed": (
        GOOD_CSV + '"open,a\n',
        "en.csv:22: broken CSV (unexpected end of data)",
    ),
    "a quote within a text": (GOOD_CSV + '"a "quote" here",a\n', "en.csv:22: broken CSV ("),
    "a backslash before a quote": (GOOD_CSV + '"a \\"quote\\" here",a\n', "en.csv:22: broken CSV ("),
    "a comma within a text": (GOOD_CSV + "one, two,a\n", "en.csv:22: 3 columns, expected 2 (text, label)"),
    "single quotes": (GOOD_CSV + "'one, two',a\n", "en.csv:22: 3 columns, expected 2"),
    "a comma at the end": (GOOD_CSV + "one,a,\n", "en.csv:22: 3 columns, expected 2"),
    "a blank line of CSV": (GOOD_CSV + "\none,a\n", "en.csv:22: 0 columns, expected 2"),
    "two CSV files joined": (GOOD_CSV + GOOD_CSV, "en.csv:22: repeats the header"),
    "an empty CSV file": ("", "en.csv: no examples"),
    "CSV in Latin-1": (GOOD_CSV.encode() + b"caf\xe9,a\n", "en.csv:22: not UTF-8 (byte 0xe9)"),
    "CSV in UTF-16": (GOOD_CSV.encode("utf-16"), "en.csv:1: not UTF-8 (byte 0xff)"),
    "a second header": ("text,label\nstring,ClassLabel\n", "label: all 1 examples have 'ClassLabel'"),
    "a line number after a text of two lines": (GOOD_CSV + '"one\ntwo",a\nthree\n', "en.csv:24: 1 columns"),
}
for name, (content, answer) in csvs.items():
    en(name, content, answer, extension="csv")
records = {
    "a JSON array": ('[{"text": "a", "label": "b"}]', "en.jsonl:21: list, expected a JSON object"),
    "an object over several lines": ("{", "en.jsonl:21: broken JSON (Expecting property name"),
    "an object that is cut off": ('{"text": "a", "la', "en.jsonl:21: broken JSON (Invalid control"),
    "a comma too many": ('{"text": "a", "label": "b",}', "en.jsonl:21: broken JSON ("),
    "a Python dictionary": ("{'text': 'a', 'label': 'b'}", "en.jsonl:21: broken JSON ("),
    "Python's None": ('{"text": None, "label": "b"}', "en.jsonl:21: broken JSON (Expecting value)"),
    "two objects on a line": ('{"text": "a", "label": "b"}' * 2, "en.jsonl:21: broken JSON (Extra data)"),
    "a comma after an object": ('{"text": "a", "label": "b"},', "en.jsonl:21: broken JSON (Extra data)"),
    "a blank line of JSON": ("", "en.jsonl:21: broken JSON ("),
    "a comment in JSON": ("// end", "en.jsonl:21: broken JSON ("),
    "a text instead of an object": ('"a"', "en.jsonl:21: str, expected a JSON object"),
    "null instead of an object": ("null", "en.jsonl:21: NoneType, expected a JSON object"),
    "a tab within a JSON text": (
        '{"text": "a\tb", "label": "a"}',
        "en.jsonl:21: broken JSON (Invalid control",
    ),
    "a key twice": ('{"text": "a", "label": "b", "label": "c"}', "broken JSON ('label' stands twice"),
    "brackets without end": ("[" * 100_000, "en.jsonl:21: broken JSON ("),
    "a number of 5,000 digits": ('{"text": "a", "label": ' + "1" * 5000 + "}", "en.jsonl:21: broken JSON ("),
    "an object without label": ({"text": "a"}, "en.jsonl:21: the object lacks label; it has text"),
    "an object without text": ({"label": "a"}, "en.jsonl:21: the object lacks text; it has label"),
    "an empty object": ({}, "en.jsonl:21: the object lacks text, label; it has nothing"),
    "an id in one object": ({"text": "a", "label": "b", "id": 3}, "21: id is 'id', unlike the rows above"),
    "a pair in one object": (
        {"text": "a", "text_pair": "c", "label": "b"},
        "text_pair is 'text_pair', unlike",
    ),
    "another name of the label": (
        {"text": "a", "category": "b"},
        "label is 'category', unlike the rows above",
    ),
    "half a character": ('{"text": "cut \\ud83d", "label": "a"}', "text has '\\ud83d', half a character"),
}
for name, (record, answer) in records.items():
    en(name, jsonl(record), answer, extension="jsonl")
en("JSONL in UTF-16", jsonl().encode("utf-16"), "en.jsonl:1: not UTF-8 (byte 0xff)", extension="jsonl")
en(
    "an indented JSON file",
    json.dumps([{"text": "a"}], indent=1),
    "en.jsonl:1: broken JSON (",
    extension="jsonl",
)
parquets: dict[str, tuple[Content, str]] = {
    "CSV in a parquet file": (GOOD_CSV, "en.parquet: not a readable parquet file ("),
    "an empty parquet file": (b"", "en.parquet: not a readable parquet file ("),
    "a parquet file that is cut off": (b"PAR1" + b"\0" * 50, "en.parquet: not a readable parquet file ("),
    "a pointer instead of parquet": ("version https://git-lfs.github.com/spec/v1\n", "but a Git LFS pointer"),
    "a table of no rows": (table().slice(0, 0), "en.parquet: no examples"),
    "a table without label": (
        table().drop_columns("label"),
        "en.parquet:1: the table lacks label; it has text",
    ),
    "a table with a column twice": (
        pa.Table.from_arrays([pa.array(["x"])] * 3, names=["text", "label", "label"]),
        "en.parquet: the table has 'label' twice",
    ),
    "bytes as text": (table(text=[b"text"] * 20), "en.parquet:1: text is b'text', not text"),
    "numbers as text": (table(text=range(20)), "en.parquet:1: text is 0, not text"),
    "tokens as text": (table(text=[["a", "text"]] * 20), "en.parquet:1: text is ['a', 'text'], not text"),
    "all languages in one column": (
        table(text=[{"en": "a", "de": "b"}] * 20),
        "1: text is {'en': 'a', 'de': 'b'}",
    ),
    "a missing text": (table(text=["x"] * 19 + [None]), "en.parquet:20: text is empty"),
    "a missing label": (table(label=["a"] * 19 + [None]), "en.parquet:20: label is empty"),
    "NaN among numbers": (
        table(label=[0.0, 1.0] * 9 + [float("nan"), 1.0]),
        "19: label is NaN, a missing value",
    ),
    "scores in a table": (table(label=[0.5, 1.0] * 10), "1: label is 0.5, a number with a decimal point"),
    "infinity": (table(label=[0.0] * 19 + [float("inf")]), "en.parquet:20: label is inf, not a number"),
    "decimals": (
        table(label=[Decimal("1.5")] * 20),
        "1: label is Decimal('1.5') (Decimal); allowed: text, whole",
    ),
    "dates": (
        table(label=pd.date_range("2020-01-01", periods=20)),
        "en.parquet:1: label is ",
        "allowed: text",
    ),
    "several labels": (table(label=[["a", "b"]] * 20), "en.parquet:1: label is ['a', 'b'] (list)"),
    "one-hot labels": (table(label=[[0, 1]] * 20), "en.parquet:1: label is [0, 1] (list)"),
    "bytes as label": (table(label=[b"a"] * 20), "en.parquet:1: label is b'a' (bytes)"),
    "a pair that one row lacks": (table(text_pair=["x"] * 19 + [None]), "en.parquet:20: text_pair is empty"),
    "an id that one row lacks": (table(id=[*range(19), None]), "en.parquet:20: id is empty"),
    "a fraction as id": (
        table(id=[i + 0.5 for i in range(20)]),
        "1: id is 0.5, a number with a decimal point",
    ),
}
for name, (content, *answer) in parquets.items():
    en(name, content, *answer, extension="parquet")

# --- cells ------------------------------------------------------------------------------------------------

invisible = {
    "a space": " ",
    "a no-break space": "\xa0",
    "a zero-width space": "\u200b",
    "a byte order mark": "\ufeff",
    "a mark of direction": "\u200f",
    "a soft hyphen": "\xad",
    "a Hangul filler": "\u3164",
    "an empty braille cell": "\u2800",
    "a bell": "\a",
}
for name, character in invisible.items():
    for column in ("text", "label"):
        record = {"text": "x", "label": "a", column: character * 2}
        answer = "is empty" if not character.strip() else "nothing of it can be seen"
        en(f"{column}: {name}", jsonl(record), f"en.jsonl:21: {column} is ", answer, extension="jsonl")
cells: dict[str, tuple[Any, str]] = {
    "text empty": ({"text": ""}, "text is empty"),
    "text null": ({"text": None}, "text is empty"),
    "text a number": ({"text": 3}, "text is 3, not text"),
    "text Boolean": ({"text": True}, "text is True, not text"),
    "text a list": ({"text": ["x"]}, "text is ['x'], not text"),
    "text an object": ({"text": {"en": "x"}}, "text is {'en': 'x'}, not text"),
    "text NaN": ({"text": float("nan")}, "text is nan, not text"),
    "label empty": ({"label": ""}, "label is empty"),
    "label null": ({"label": None}, "label is empty"),
    "label NaN": ({"label": float("nan")}, "label is NaN, a missing value; allowed: text, whole numbers or"),
    "label infinite": ({"label": float("-inf")}, "label is -inf, not a number"),
    "label a score": ({"label": 0.37}, "label is 0.37, a number with a decimal point"),
    "label a list": ({"label": ["a"]}, "label is ['a'] (list); allowed: text, whole numbers or Booleans"),
    "label an object": ({"label": {"name": "a"}}, "label is {'name': 'a'} (dict)"),
    "label a whole text": ({"label": "word " * 60}, "label has 300 characters ('word word"),
    "label of half a character": ({"label": "\ud800"}, "label is '\\ud800': nothing of it can be seen"),
    "label a large number": ({"label": 1e300}, "label has 301 characters ('1000"),
    "label another kind": ({"label": 1}, "label '1' is of the kind integer, but 'a' (en.jsonl:1) text"),
    "label Boolean among texts": ({"label": True}, "label 'True' is of the kind Boolean, but 'a'"),
}
for name, (change, answer) in cells.items():
    en(name, jsonl({"text": "x", "label": "a"} | change), "en.jsonl:21: ", answer, extension="jsonl")
ids: dict[str, tuple[list[Any], str]] = {
    "an id twice": ([1, 2, 1], "en.jsonl:3: id '1' is already in line 1; without ids: columns {id: null}"),
    "an id as number and as text": ([1, "1"], "en.jsonl:2: id '1' is already in line 1"),
    "ids that differ in space": (["a", "a "], "en.jsonl:2: id 'a' is already in line 1"),
    "an empty id": (["a", ""], "en.jsonl:2: id is empty"),
    "an id of null": ([1, None], "en.jsonl:2: id is empty"),
    "a list as id": ([[1]], "en.jsonl:1: id is [1] (list); allowed: text, whole numbers or Booleans"),
    "an id that cannot be seen": (["\u200b"], "en.jsonl:1: id is '\\u200b': nothing of it can be seen"),
    "a text as id": (["i" * 300_000], "en.jsonl:1: id has 300000 characters ('iii"),
}
for name, (values, answer) in ids.items():
    lines = [json.dumps({"id": v, "text": f"t{i}", "label": "ab"[i % 2]}) for i, v in enumerate(values)]
    en(name, "\n".join(lines), answer, extension="jsonl")
marked = {
    "SNLI's label of no agreement": ("xnli", "p\th\t-", "unknown label '-'; allowed: entailment, neutral"),
    "minus one for no label": ("xnli", "p\th\t-1", "unknown label '-1'"),
    "a label in capitals": ("xnli", "p\th\tNEUTRAL", "unknown label 'NEUTRAL'"),
    "another word for a label": ("xnli", "p\th\tcontradictory", "unknown label 'contradictory'"),
    "a label beyond the last": ("xnli", "p\th\t3", "unknown label '3'"),
    "a pair with an empty side": ("xnli", "p\t\tneutral", "hypothesis is empty"),
    "stars from 1 to 5": ("marc", "7\tgood\t5", "unknown label '5'; allowed: 1 star, 2 stars"),
    "stars as a fraction": ("marc", "7\tgood\t4.5", "unknown label '4.5'"),
    "a polarity of another scheme": ("multiemo", "1\thotels\tplus\tgood", "unknown polarity 'plus'"),
    "a third label of a pair": (
        "pawsx",
        "1\ta\tb\t2",
        "unknown label '2'; allowed: no paraphrase, paraphrase",
    ),
}
for name, (task, line, answer) in marked.items():
    en(name, f"{line}\n", "en.tsv:1: ", answer, options=["--task", task])
en("a Boolean as xnli's label", '{"premise": "p", "hypothesis": "h", "label": true}', "unknown label 'True'",
   extension="jsonl", options=["--task", "xnli"])  # fmt: skip
en("only untranslated rows", "1\tNS\tb\t1\n", "en.tsv: no examples", options=["--task", "pawsx"])

# --- labels, languages and splits beside one another --------------------------------------------------------


def labelled(*labels: str) -> str:
    return tsv(*rows(labels=list(labels)))


one_file = {
    "one label": (labelled("a"), "label: all 20 examples have 'a'; needed: two labels"),
    "texts for labels": (tsv(*rows(form="{label}\t{text}")), "label: 20 different ones among 20 examples"),
    "scores": (
        tsv(*rows(form="{text}\t0.{i}1")),
        "label is '0.01', a number with a decimal point, like a score",
    ),
    "scores and a word for missing": (
        labelled("0.1", "0.7", "nan"),
        "label is '0.1', a number with a decimal",
    ),
    "half stars": (labelled("3.5", "4", "4.5"), "label is '3.5', a number with a decimal point"),
    "labels that differ in case": (labelled("good", "Good"), "label 'Good' looks like 'good' (en.tsv:2)"),
    "composed and decomposed": (labelled("caf\u00e9", "cafe\u0301"), "'cafe\\u0301' looks like 'caf\\xe9'"),
    "an unseen character at the end": (labelled("a", "a\u200b"), "label 'a\\u200b' looks like 'a'"),
    "full width": (labelled("A1", "\uff21\uff11"), "label '\\uff21\\uff11' looks like 'A1'"),
    "a no-break space within": (labelled("a b", "a\xa0b"), "label 'a\\xa0b' looks like 'a b'"),
    "two spaces within": (labelled("a b", "a  b"), "label 'a  b' looks like 'a b'"),
    "a ligature": (labelled("first", "\ufb01rst"), "looks like 'first'"),
    "a number in two forms": (labelled("1", "1.0", "2"), "label '1.0' looks like '1'"),
    "a number with a zero before": (labelled("1", "01", "2"), "label '01' looks like '1'"),
    "sharp s": (labelled("gro\u00df", "gross"), "label 'gross' looks like 'gro\\xdf'"),
}
for name, (content, answer) in one_file.items():
    en(name, content, answer)
several: dict[str, tuple[dict[str, Content], str]] = {
    "a label that only test has": (
        splits | {"test.en.tsv": labelled("a", "b", "c")},
        "test.en.tsv:4: label 'c' is in",
    ),
    "a label that only dev has": (
        splits | {"dev.en.tsv": labelled("a", "c")},
        "dev.en.tsv:3: label 'c' is in no",
    ),
    "a test set without labels": (
        splits | {"test.en.tsv": labelled("?")},
        "test.en.tsv:2: label '?' is in no",
    ),
    "translated labels": (
        {"en.tsv": labelled("yes", "no"), "de.tsv": labelled("ja", "nein")},
        "allowed: the same labels in every language",
    ),
    "one label is translated": (
        {"en.tsv": labelled("a", "b", "yes"), "de.tsv": labelled("a", "b", "ja")},
        "label 'ja' is in de and not in en, which has 'yes' (en.tsv:",
    ),
    "numbers in one language, words in another": (
        {"en.tsv": labelled("0", "1"), "de.tsv": labelled("a", "b")},
        "allowed: the same labels in every language",
    ),
    "numbers that start at 0 and at 1": (
        {"en.tsv": labelled("0", "1", "2"), "de.tsv": labelled("1", "2", "3")},
        "label '3' is in de and not in en, which has '0'",
    ),
    "labels composed in one language": (
        {"en.tsv": labelled("caf\u00e9", "th\u00e9"), "fr.tsv": labelled("cafe\u0301", "the\u0301")},
        "looks like",
    ),
    "integers in one file, texts in another": (
        {
            "en.jsonl": "".join(f'{{"text": "t{i}", "label": {i % 2}}}\n' for i in range(20)),
            "de.jsonl": "".join(f'{{"text": "t{i}", "label": "{i % 2}"}}\n' for i in range(20)),
        },
        "allowed: one kind in all files",
    ),
    "ids in one language alone": (
        {"en.tsv": GOOD, "de.tsv": tsv(*rows(form="{i}\t{text}\t{label}"), header="id\ttext\tlabel")},
        "en.tsv: has no id, but de.tsv has",
    ),
    "pairs in one split alone": (
        splits | {"dev.en.tsv": tsv(*rows(form="{text}\tx\t{label}"), header="text\ttext_pair\tlabel")},
        "train.en.tsv: has no text_pair, but dev.en.tsv has",
    ),
    "translations with other labels": (
        {
            f"{language}.tsv": tsv(
                *rows(labels=labels, form="{i}\t{text}\t{label}"), header="id\ttext\tlabel"
            )
            for language, labels in {"en": "ab", "de": "ba"}.items()
        },
        "for the same pair",
    ),
    "a bad row in a folder": (
        {"en/train.tsv": GOOD + "alone\n", "en/test.tsv": GOOD},
        "en/train.tsv:22: 1 columns, expected 2",
    ),
    "an empty file in a folder": ({"en/train.tsv": GOOD, "en/test.tsv": ""}, "en/test.tsv: no examples"),
    "a table that is no language": (
        {"en.tsv": GOOD, "labels.csv": "name,nr\na,0\n"},
        "labels.csv:1: the header",
    ),
}
for name, (files, answer) in several.items():
    data(name, files, answer)

# --- presets ----------------------------------------------------------------------------------------------

PRESETS: list[BadInput] = []


def preset(name: str, content: Content, *answer: str, file: str = "mine.yaml") -> None:
    """Add a row for ``snakemake --dry-run`` with a preset of one's own."""
    PRESETS.append(BadInput("study", f"preset: {name}", (f"preset=DIR/{file}",), answer, {file: content}))


texts: dict[str, tuple[Content, str]] = {
    "a misspelt section": (
        "finetunning: {epochs: 2}",
        "'finetunning' is not a key; allowed: finetuning (did you",
    ),
    "a section in capitals": (
        "Search: {epochs: 2}",
        "'Search' is not a key; allowed: search (did you mean it?)",
    ),
    "a parameter outside its section": (
        "epochs: 3",
        "'epochs' is not a key; allowed: seeds, conditions, threads",
    ),
    "seed for seeds": ("seed: 3", "'seed' is not a key; allowed: seeds (did you mean it?)"),
    "a key twice": ("seeds: [0]\nconditions: [full]\nseeds: [1]", "mine.yaml: line 3: 'seeds' stands twice"),
    "a section twice": ("data: {task: xnli}\nsearch: {}\ndata: {}", "line 3: 'data' stands twice"),
    "a parameter twice": ("search:\n  epochs: 2\n  step: 0.1\n  epochs: 3", "line 4: 'epochs' stands twice"),
    "a key twice, three deep": (
        "influence_by_condition:\n  full:\n    top_k: 1\n    top_k: 2",
        "line 4: 'top_k' stands twice",
    ),
    "a tag of YAML": ("search: {epochs: !!str 3}", "mine.yaml: line 1: a tag (!)"),
    "a tag of Python": ("data: !!python/object/apply:os.system [ls]", "mine.yaml: line 1: a tag (!)"),
    "a tag of one's own": ("data: !include data.yaml", "mine.yaml: line 1: a tag (!)"),
    "two documents": ("seeds: [0]\n---\nseeds: [1]", "mine.yaml:2: cannot be read as YAML"),
    "tabs": ("search:\n\tepochs: 3", "mine.yaml:2: cannot be read as YAML (found character '\\t'"),
    "an open bracket": ("seeds: [0, 1\n", "mine.yaml:2: cannot be read as YAML"),
    "an open quote": ('data: {task: "xnli}\n', "cannot be read as YAML (found unexpected end of stream)"),
    "uneven indentation": ("data:\n  task: xnli\n parallel: true", "mine.yaml:3: cannot be read as YAML"),
    "no space after a colon": ("seeds:[0]", "mine.yaml: 'seeds:[0]'; allowed: a mapping of seeds"),
    "an equals sign": ("seeds = [0]", "mine.yaml: 'seeds = [0]'; allowed: a mapping of seeds"),
    "an empty file": ("", "mine.yaml: None; allowed: a mapping of seeds"),
    "nothing but comments": ("# later\n", "mine.yaml: None; allowed: a mapping"),
    "a list": ("- seeds: [0]", "mine.yaml: [{'seeds': [0]}]; allowed: a mapping"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0", "mine.yaml: cannot be read as YAML"),
    "Latin-1": ("# \u00e9\nseeds: [0]".encode("latin-1"), "mine.yaml: cannot be read as YAML"),
    "a control character": ("seeds: [0]\a", "mine.yaml: cannot be read as YAML"),
    "an alias of nothing": (
        "seeds: *mine",
        "mine.yaml:1: cannot be read as YAML (found undefined alias 'mine'",
    ),
    "an alias of itself": ("seeds: &a [*a]", "cannot be read as YAML (found unconstructable recursive node)"),
    "brackets without end": ("[" * 3000, "mine.yaml: cannot be read as YAML (maximum recursion depth"),
    "a list as key": ("? [a]\n: b", "mine.yaml:1: cannot be read as YAML (found unhashable key)"),
    "a number as key": ("3: x", "mine.yaml: 3 is not a key; allowed: seeds"),
    "null as key": ("null: x", "mine.yaml: None is not a key"),
    "a merge key": ("<<: {seeds: [0]}", "mine.yaml: '<<' is not a key"),
    "a number as name of a parameter": ("search: {3: x}", "mine.yaml: search: 3 is not a parameter"),
    "true as name of a parameter": ("search: {true: x}", "mine.yaml: search: True is not a parameter"),
    "a section that is a list": (
        "search: [epochs, 3]",
        "mine.yaml: search: ['epochs', 3]; allowed: a mapping",
    ),
    "a section that is text": ("search: epochs=3", "mine.yaml: search: 'epochs=3'; allowed: a mapping"),
    "a section that is false": ("search: false", "mine.yaml: search: False; allowed: a mapping"),
    "a section that is zero": ("search: 0", "mine.yaml: search: 0; allowed: a mapping"),
    "an unknown condition": (
        "influence_by_condition: {fll: {top_k: 3}}",
        "'fll' is not a condition; allowed: full",
    ),
    "a condition of nothing": (
        "influence_by_condition: {full: }",
        "influence_by_condition: full: None; allowed",
    ),
    "conditions in a list": (
        "influence_by_condition: [full]",
        "influence_by_condition: ['full']; allowed: a map",
    ),
    "a parameter of no condition": (
        "influence_by_condition: {sft: {top_q: 3}}",
        "top_q: 3 is not a parameter",
    ),
    "a condition's wrong value": (
        "influence_by_condition: {sft: {top_k: x}}",
        "top_k: 'x' (str); allowed: integer",
    ),
    "a condition that is not run": (
        "conditions: [full]\ninfluence_by_condition: {sft: {top_k: x}}",
        "top_k: 'x' (str); allowed: integer",
    ),
    "a condition's own seed": ("influence_by_condition: {full: {seed: 3}}", "'seed' is set for each job"),
    "a seed in a section": (
        "data: {seed: 3}",
        "data: 'seed' is set for each job; allowed: seeds, conditions",
    ),
    "a directory in a section": ("search: {study_dir: x}", "search: 'study_dir' is set for each job"),
    "a condition in a section": (
        "finetuning: {condition: sft}",
        "finetuning: 'condition' is set for each job",
    ),
    "seeds in a section": ("figures: {seeds: [0]}", "figures: 'seeds' is set for each job"),
    "a parameter of another section": ("figures: {top_k: 3}", "top_k: 3 is not a parameter of this stage"),
    "a parameter of notebook 05": (
        "figures: {studies: [a]}",
        "studies: ['a'] is not a parameter of this stage",
    ),
    "the calibration's misspelt parameter": (
        "calibration: {langage: en}",
        "langage: 'en' is not a parameter",
    ),
    "the calibration's wrong type": ("calibration: {language: 3}", "language: 3 (int); allowed: string"),
    "the calibration's wrong range": (
        "calibration: {retrainings: 1}",
        "retrainings: 1 (int); allowed: greater",
    ),
    "an old name": (
        "search: {inherited: true}",
        "inherited: was renamed; allowed: inherited_importance: True",
    ),
}
for name, (content, answer) in texts.items():
    preset(name, content, answer)
preset("a name that no folder may have", "seeds: [0]", "study: 'my study'; allowed", file="my study.yaml")
preset("a name with a quote", "seeds: [0]", 'study: "it\'s"; allowed', file="it's.yaml")
PRESETS += [
    BadInput(
        "study", "preset: a folder", ("preset=DIR/a.yaml",), ("preset: ", "does not exist"), {"a.yaml/b": ""}
    ),
    BadInput(
        "study", "preset: not there", ("preset=DIR/no.yaml",), ("no.yaml' does not exist; allowed: emb",)
    ),
    BadInput(
        "study", "preset: another extension", ("preset=DIR/a.txt",), ("does not exist",), {"a.txt": "x"}
    ),
    BadInput(
        "study", "preset: too long a name", (f"preset={'x' * 5000}",), ("preset: 'xxx", "does not exist")
    ),
]
values = {
    "data": {
        "languages: en": "languages: 'en' (str); allowed: list",
        "languages: []": "languages: [] (list); allowed: at least 1 item",
        "languages: [en, en]": "languages: ['en', 'en']; allowed: each value once",
        "languages: [en, 5]": "languages.1: 5 (int); allowed: string",
        "languages: [en, null]": "languages.1: None (NoneType); allowed: string",
        "languages: [en, true]": "languages.1: True (bool); allowed: string",
        "languages: [en, [de]]": "languages.1: ['de'] (list); allowed: string",
        "languages: {en: 1}": "languages: {'en': 1} (dict); allowed: list",
        'languages: [en, ""]': "languages.1: ''; allowed: text that can be seen",
        'languages: [en, "\\u200b"]': "languages.1: '\\u200b'; allowed: text that can be seen",
        "languages: [en, xx]": "languages: intents lacks xx; there: af, ar",
        "languages: [en, no-NO]": "languages: intents lacks no-NO; there: af, ar",
        "languages:": "languages: None (NoneType); allowed: list",
        "task: snli": "task: 'snli' is not known; allowed: intents, xnli",
        "task: [xnli]": "task: ['xnli'] (list); allowed: string",
        "task: 1e5": "task: 100000.0 (float); allowed: string",
        "task: local": "data_dir: None, but task 'local' needs a directory of files",
        "task: multiemo": "data_dir: None, but task 'multiemo' needs a directory of files",
        "data_dir: 5": "data_dir: 5 (int); allowed: string",
        "data_dir: here": "here', but task 'intents' is embedded",
        "columns: {label: topic}": "columns: {'label': 'topic'}; allowed: with files of a data_dir",
        "columns: {lable: topic}": "columns",
        "columns: {label: 3}": "columns: 3 (int); allowed: string",
        "columns: label": "columns: 'label' (str); allowed: dictionary",
        "columns: [label]": "columns: ['label'] (list); allowed: dictionary",
        "device: gpu": "device: 'gpu' (str); allowed: ",
        "device: CPU": "device: 'CPU' (str); allowed: ",
        "device: 0": "device: 0 (int); allowed: string",
        "precision: fp16": "precision: 'fp16' (str); allowed: 'auto', 'float32' or 'bfloat16'",
        "max_length: 4": "max_length: 4 (int); allowed: greater than or equal to 8",
        "max_length: 1000": "max_length: 1000 (int); allowed: less than or equal to 512",
        "parallel: yes": "parallel: 'yes' (str); allowed: boolean",
        "parallel: 1": "parallel: 1 (int); allowed: boolean",
        "train_per_language: all": "train_per_language: 'all' (str); allowed: integer",
        "train_per_language: null": "train_per_language: None (NoneType); allowed: integer",
        "train_per_language: 100 # %\n  dev_per_language: -1": "dev_per_language: -1 (int); allowed: greater",
        "data_seed: -1": "data_seed: -1 (int); allowed: greater than or equal to 0",
        "data_seed: 99999999999": "data_seed: 99999999999 (int); allowed: less than or equal to 4294967295",
    },
    "search": {
        "epochs: two": "epochs: 'two' (str); allowed: integer",
        "epochs: 2.5": "epochs: 2.5 (float); allowed: integer",
        "epochs: 1e3": "epochs: 1000.0 (float); allowed: integer",
        'epochs: "3"': "epochs: '3' (str); allowed: integer",
        "epochs: 007": "epochs: '007' (str); allowed: integer",
        "epochs: 0x10": "epochs: '0x10' (str); allowed: integer",
        "epochs: 1_000": "epochs: '1_000' (str); allowed: integer",
        "epochs: 1:30": "epochs: '1:30' (str); allowed: integer",
        "epochs: 2024-11-01": "epochs: '2024-11-01' (str); allowed: integer",
        "epochs: true": "epochs: True (bool); allowed: integer",
        "epochs: 0": "epochs: 0 (int); allowed: greater than or equal to 1",
        "epochs: [3]": "epochs: [3] (list); allowed: integer",
        "epoch: 3": "epoch: 3 is not a parameter of this stage; allowed: epochs (did you mean it?)",
        "learning_rate: 0": "learning_rate: 0 (int); allowed: greater than 0",
        "learning_rate: 1": "learning_rate: 1 (int); allowed: less than 1",
        "learning_rate: .nan": "learning_rate: '.nan' (str); allowed: number",
        "learning_rate: .inf": "learning_rate: '.inf' (str); allowed: number",
        'learning_rate: "1e-4"': "learning_rate: '1e-4' (str); allowed: number",
        "learning_rate: 1e-4x": "learning_rate: '1e-4x' (str); allowed: number",
        "learning_rate: 2,5e-5": "learning_rate: '2,5e-5' (str); allowed: number",
        "learning_rate: 1e999": "learning_rate: inf (float); allowed: ",
        "threshold: 95%": "threshold: '95%' (str); allowed: number",
        "threshold: 95": "threshold: 95 (int); allowed: less than or equal to 1",
        "step: 1": "step: 1 (int); allowed: less than 1",
        "importance_examples: 500": "importance_examples: 500; allowed: at most train_per_language",
        "start_languages: [zz]": "start_languages: 'zz'; allowed: some of en, de, fr, es, ru",
        "inherited_importance: off": "inherited_importance: 'off' (str); allowed: boolean",
    },
    "influence": {
        "top_k: 5000": "top_k: 5000; allowed: at most the 220 training examples",
        "top_ks: 10": "top_ks: 10 (int); allowed: list",
        "mask_kinds: [own]": "mask_kinds: ['own']; allowed: any that include 'none'",
        "mask_kinds: none": "mask_kinds: 'none' (str); allowed: list",
        "mask_kinds: [none, others]": "mask_kinds.1: 'others' (str); allowed: 'none'",
        "checkpoints: first": "checkpoints: 'first' (str); allowed: 'last' or 'all'",
        "checkpoints: []": "checkpoints: ",
        "eta: 0.1": "eta: 0.1 (float); allowed: 'learning_rate' or 'one'",
        "memory_gib: 0": "memory_gib: 0 (int); allowed: greater than 0",
        "memory_gib: 6GB": "memory_gib: '6GB' (str); allowed: number",
        "evaluation_per_language: 31": "evaluation_per_language: 31; allowed: at most test_per_language",
        "scored_per_language: 500": "scored_per_language: 500; allowed: at most train_per_language",
        "train_gradients: [own]": "train_gradients: was renamed; allowed: train_gradient_masks",
    },
    "figures": {
        "confidence: 95": "confidence: 95 (int); allowed: less than 1",
        "resamples: 10": "resamples: 10 (int); allowed: greater than or equal to 100",
        "permutations: 1.5": "permutations: 1.5 (float); allowed: integer",
    },
}
for section, of_section in values.items():
    for line, answer in of_section.items():
        preset(f"{section}: {line}", f"{section}:\n  {line}\n", answer)
tops = {
    "seeds: []": "seeds: []; allowed: one or more different whole numbers",
    "seeds: [0, 0]": "seeds: [0, 0]; allowed: one or more different whole numbers",
    "seeds: [0.5]": "seeds: [0.5]; allowed: one or more different whole numbers",
    "seeds: [a]": "seeds: ['a']; allowed: one or more different whole numbers",
    "seeds: [true]": "seeds: [True]; allowed: one or more different whole numbers",
    "seeds:": "seeds: [None]; allowed: one or more different whole numbers",
    "seeds: 0-4": "seeds: ['0-4']; allowed: one or more different whole numbers",
    "seeds: {a: 1}": "seeds: [{'a': 1}]; allowed: one or more different whole numbers",
    "seeds: [-1]": "seed: -1 (int); allowed: greater than or equal to 0",
    "seeds: [4294967296]": "seed: 4294967296 (int); allowed: less than or equal to 4294967295",
    "conditions: []": "conditions: []; allowed: one or more different words",
    "conditions: [dense]": "condition: 'dense' (str); allowed: 'full', 'sft'",
    "conditions: [full, full]": "conditions: ['full', 'full']; allowed: one or more different words",
    "conditions: [3]": "conditions: [3]; allowed: one or more different words",
    "threads: 0": "threads: 0; allowed: at least 1",
    "threads: -2": "threads: -2; allowed: at least 1",
    "threads: two": "threads: ['two']; allowed: one or more different whole numbers",
    "threads: 1.5": "threads: [1.5]; allowed: one or more different whole numbers",
    "threads: all": "threads: ['all']; allowed: one or more different whole numbers",
}
for line, answer in tops.items():
    preset(line, line, answer)

# --- the command line -------------------------------------------------------------------------------------

OVERRIDES: list[BadInput] = []


def override(
    words: str | list[str], *answer: str, files: dict[str, Content] | None = None, note: str = ""
) -> None:
    """Add a row for ``snakemake --dry-run --config``."""
    words = [words] if isinstance(words, str) else words
    OVERRIDES.append(
        BadInput("study", f"--config {' '.join(words)}"[:80] + note, tuple(words), answer, files or {})
    )


names = [
    "a/b",
    "..",
    ".hidden",
    "-x",
    "a b",
    "a;b",
    "$HOME",
    "a{b}",
    "a*",
    "it's",
    'a"b',
    "a\\b",
    "C:x",
    "~",
    "a&b",
]
names += [
    "a\u200bb",
    "\U0001f600",
    "x" * 101,
    "../runs",
    "a\nb",
    "a\tb",
    "7",
    "1e5",
    "True",
    "null",
    "",
]
for name in [*names, "[a]", "{a: b}"]:
    override(f"study={name}", "study: ", "; allowed: letters, digits, _, - and .")
for words, answer in {
    "preset=embeded": "preset: 'embeded' does not exist; allowed: embedded, intents",
    "preset=": "preset: None does not exist; allowed: embedded",
    "preset=nan": "preset: 'nan' does not exist",
    "preset=3": "preset: 3 does not exist",
    "preset=[xnli,pawsx]": "preset: ['xnli', 'pawsx'] does not exist",
    "preset=notebooks/presets": "preset: 'notebooks/presets' does not exist",
    "presets=xnli": "presets: 'xnli' is not a parameter; allowed: preset, study",
    "topk=3": "topk: 3 is not a parameter; allowed: preset, study, seeds",
    "epochs=3": "epochs: stages search, finetuning have one each; allowed: search='{epochs: 3}'",
    "batch_size=16": "batch_size: stages search, finetuning, influence have one each",
    "learning_rate=1e-4": "learning_rate: stages search, finetuning have one each",
    "seed=3": "data: 'seed' is set for each job; allowed: seeds, conditions",
    "condition=full": "condition: stages finetuning, influence have one each",
    "study_dir=x": "data: 'study_dir' is set for each job",
    "search=3": "search: 3; allowed: a mapping such as '{name: value}'",
    "search=[epochs]": "search: ['epochs']; allowed: a mapping",
    "finetuning=epochs:3": "finetuning: 'epochs:3'; allowed: a mapping",
    "finetuning={epochs:3}": "epochs:3: None is not a parameter of this stage; allowed: epochs (did",
    "finetuning={epoch: 3}": "epoch: 3 is not a parameter of this stage; allowed: epochs (did you mean it?)",
    "finetuning={epochs: three}": "epochs: 'three' (str); allowed: integer",
    "languages=en,de": "languages: 'en,de' (str); allowed: list",
    "languages=en": "languages: 'en' (str); allowed: list",
    "languages=[en": "languages: '[en' (str); allowed: list",
    "languages=nan": "languages: 'nan' (str); allowed: list",
    "languages=": "languages: None (NoneType); allowed: list",
    "languages=[en,null]": "languages.1: None (NoneType); allowed: string",
    "languages=[en,nan]": "languages: intents lacks nan; there: af",
    "languages=[en,2]": "languages.1: 2 (int); allowed: string",
    "threshold=95%": "threshold: '95%' (str); allowed: number",
    "threshold=0,9": "threshold: '0,9' (str); allowed: number",
    "threshold=nan": "threshold: 'nan' (str); allowed: number",
    "threshold=inf": "threshold: 'inf' (str); allowed: number",
    "threshold=-0.1": "threshold: -0.1 (float); allowed: greater than 0",
    "threshold=": "threshold: None (NoneType); allowed: number",
    "threads=two": "threads: ['two']; allowed: one or more different whole numbers",
    "threads=0": "threads: 0; allowed: at least 1",
    "seeds=0..2": "seeds: ['0..2']; allowed: one or more different whole numbers",
    "seeds=0,1": "seeds: ['0,1']; allowed: one or more different whole numbers",
    "seeds=[1,1]": "seeds: [1, 1]; allowed: one or more different whole numbers",
    "seeds=1.5": "seeds: [1.5]; allowed: one or more different whole numbers",
    "conditions=dense": "condition: 'dense' (str); allowed: 'full', 'sft'",
    "task=XNLI": "task: 'XNLI' is not known; allowed: intents, xnli",
    "task=": "task: None (NoneType); allowed: string",
    "task=local": "data_dir: None, but task 'local' needs a directory of files",
    "columns={label: topic}": "columns: {'label': 'topic'}; allowed: with files of a data_dir",
    "max_length=4": "max_length: 4 (int); allowed: greater than or equal to 8",
    "precision=float16": "precision: 'float16' (str); allowed: 'auto', 'float32' or 'bfloat16'",
    "top_k=0": "top_k: 0 (int); allowed: greater than or equal to 1",
    "parallel=on": "parallel: 'on' (str); allowed: boolean",
    "inherited=true": "inherited: was renamed; allowed: inherited_importance: True",
    "influence_by_condition={fll: {top_k: 5}}": "'fll' is not a condition; allowed: full",
    "influence_by_condition={full: 5}": "influence_by_condition: full: 5; allowed: a mapping",
    "calibration={langage: en}": "langage: 'en' is not a parameter of this stage; allowed: language (did you",
}.items():
    override(words, answer)
local = ["task=local", "data_dir=DIR", "languages=[en,sw]"]
override(local, "languages: local lacks sw in data_dir", "there: en", files={"en.tsv": GOOD})
override(
    local,
    "languages: local lacks en, sw in data_dir",
    "there: none; expected a directory",
    note=", an empty directory",
)
override(
    local,
    "'sw.xlsx' seems to be of the language sw",
    files={"en.tsv": GOOD, "sw.xlsx": "x"},
    note=", a spreadsheet",
)
override(local, "hold the same split", files={"en.tsv": GOOD, "en.csv": GOOD_CSV}, note=", a file twice")
override(["task=local", "data_dir=DIR/nowhere", "languages=[en,sw]"], "nowhere' is not a directory")
override(["task=xnli", "languages=[en,ko]"], "languages: xnli lacks ko; there: ar, bg, de")
override(["task=intents", "data_dir=DIR"], "but task 'intents' is embedded and reads no files")

# --- notebooks --------------------------------------------------------------------------------------------

NOTEBOOKS = [
    BadInput("notebook", f"notebook {number}: {text}", (number, text), (answer,))
    for number, text, answer in [
        ("01", "seedd: 3", "seedd: 3 is not a parameter of this stage; allowed: seed (did you mean it?)"),
        ("01", "seed: three", "seed: 'three' (str); allowed: integer"),
        ("01", "languages: en", "languages: 'en' (str); allowed: list"),
        ("01", "languages: [en, false]", "languages.1: False (bool); allowed: string"),
        ("01", "learning_rate: 5e-05", "learning_rate: '5e-05' (str); allowed: number"),
        ("01", "inherited: true", "inherited: was renamed; allowed: inherited_importance: True"),
        ("01", "columns: {label: topic}", "columns: {'label': 'topic'}; allowed: with files of a data_dir"),
        ("02", "condition: dense", "condition: 'dense' (str); allowed: 'full', 'sft'"),
        ("02", "start_languages: [zz]", "start_languages: 'zz'; allowed: some of en, de, fr, es, ru"),
        ("03", "top_k: 5000", "top_k: 5000; allowed: at most the 220 training examples"),
        ("03", "mask_kinds: [own]", "mask_kinds: ['own']; allowed: any that include 'none'"),
        ("03", "other_seed: 0", "other_seed: 0; allowed: a searched seed other than seed = 0"),
        ("04", "seeds: []", "seeds: [] (list); allowed: at least 1 item"),
        ("04", "confidence: 95", "confidence: 95 (int); allowed: less than 1"),
        ("00", "language: sw", "language: 'sw'; allowed: one of en, de, fr, es, ru"),
        ("00", "cipher_shares: [0, 2]", "cipher_shares.1: 2 (int); allowed: less than or equal to 1"),
    ]
]

# --- encoders ---------------------------------------------------------------------------------------------

# Rows for ``python -m modspec encoder check``, as BadInput("encoder check", name, ("DIR/…",), answer, files).
ENCODERS: list[BadInput] = []

ALL = [*DATA, *PRESETS, *OVERRIDES, *NOTEBOOKS, *ENCODERS]

# --- the functions behind the commands ----------------------------------------------------------------------


def _check(*words: str) -> None:
    from modspec.__main__ import main

    try:
        main(words)
    except SystemExit as stop:
        from modspec.errors import InputError

        raise InputError(str(stop).removeprefix("error: ")) from None


def _study(*words: str) -> None:
    """What the Snakefile does with ``--config``."""
    from snakemake.cli import parse_config

    from modspec.data.tasks import check_languages
    from modspec.workflow.paths import path
    from modspec.workflow.presets import resolve

    study = resolve(parse_config(words))
    first = study.parameters("search", seed=study.seeds[0])
    check_languages(first.task, first.languages, first.data_dir and path(first.data_dir))


def _notebook(number: str, text: str) -> None:
    """What the third cell of a notebook does with papermill's parameters."""
    from modspec.workflow.parameters import STAGES

    stage = ("calibration", "search", "finetuning", "influence", "figures")[int(number)]
    STAGES[stage](**yaml.safe_load(text))


FUNCTIONS: dict[str, Callable[..., None]] = {
    "data check": lambda *words: _check("data", "check", *words),
    "encoder check": lambda *words: _check("encoder", "check", *words),
    "study": _study,
    "notebook": _notebook,
}


def refusal(bad: BadInput, folder: Path) -> str | None:
    """Return the line that refuses a bad input, or None where nothing does."""
    from modspec.errors import InputError

    try:
        FUNCTIONS[bad.command](*bad.write(folder))
    except InputError as error:
        return str(error)
    return None


def complaints(bad: BadInput, line: str | None) -> list[str]:
    """Return what is wrong with an answer."""
    if line is None:
        return ["accepted"]
    lacking = [f"lacks {part!r}" for part in bad.answer if part not in line]
    return lacking + ["too long"] * (len(line) > 300) + ["not printable"] * (not line.isprintable())


# --- the commands themselves --------------------------------------------------------------------------------

COMMANDS: dict[str, Callable[..., list[str]]] = {
    "data check": lambda *words: ["-m", "modspec", "data", "check", *words],
    "encoder check": lambda *words: ["-m", "modspec", "encoder", "check", *words],
    "study": lambda *words: "-m snakemake --dry-run --cores 1 --quiet all --config".split() + list(words),
    "notebook": lambda number, text: [
        *"-m papermill --kernel python3 --no-progress-bar --log-level ERROR".split(),
        str(next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))),
        os.devnull,
        "--parameters_yaml",
        text,
    ],
}


def sent(bad: BadInput) -> dict[str, Any]:
    """Send a bad input through its command; return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *COMMANDS[bad.command](*bad.write(Path(folder)))]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        seconds = time.monotonic() - start
    # A dry run of Snakemake prints its errors as output.
    printed = f"{done.stdout}\n{done.stderr}".strip().splitlines()
    lines = [line.removeprefix("error: ").removeprefix("InputError: ") for line in printed]
    line = next(
        (line for line in lines if all(part in line for part in bad.answer)), lines[-1] if lines else None
    )
    wrong = complaints(bad, line) + ["exit code 0"] * (done.returncode == 0)
    # papermill shows where in the notebook the error was raised; nothing else may show a traceback.
    wrong += ["traceback"] * ("Traceback" in "".join(printed) and bad.command != "notebook")
    return {
        "command": bad.command,
        "input": bad.name,
        "exit code": done.returncode,
        "seconds": round(seconds, 1),
        "line": line,
        "verdict": "; ".join(wrong) or "pass",
    }


def main() -> None:
    """Send bad inputs through the real commands, one after the other."""
    file, *words = sys.argv[1:]
    chosen = [bad for bad in ALL if not words or any(word in f"{bad.command} {bad.name}" for word in words)]
    table = []
    for bad in chosen:
        table.append(sent(bad))
        if table[-1]["verdict"] != "pass":
            print(f"{bad.command}, {bad.name}: {table[-1]['verdict']}: {table[-1]['line']}", file=sys.stderr)
        pd.DataFrame(table).to_csv(file, index=False)
    failed = sum(row["verdict"] != "pass" for row in table)
    print(f"{len(table) - failed} of {len(table)} bad inputs were refused by one line; table: {file}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
