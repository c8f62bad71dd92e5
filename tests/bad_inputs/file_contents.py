"""Lines, cells and labels of files, for ``python -m modspec data check``."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa

from tests.bad_inputs.answers import Content
from tests.bad_inputs.data_checks import GOOD, GOOD_CSV, SPLITS, data, en, jsonl, rows, table, tsv

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
    "an object without label": (
        {"text": "a"},
        "en.jsonl:21: the object lacks label; it has text; needed: text",
    ),
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
        SPLITS | {"test.en.tsv": labelled("a", "b", "c")},
        "test.en.tsv:4: label 'c' is in",
    ),
    "a label that only dev has": (
        SPLITS | {"dev.en.tsv": labelled("a", "c")},
        "dev.en.tsv:3: label 'c' is in no",
    ),
    "a test set without labels": (
        SPLITS | {"test.en.tsv": labelled("?")},
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
        SPLITS | {"dev.en.tsv": tsv(*rows(form="{text}\tx\t{label}"), header="text\ttext_pair\tlabel")},
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
