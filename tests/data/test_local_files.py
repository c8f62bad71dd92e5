"""Local files: every format, what is named by file and line, divisions that never overlap.

tests/bad_inputs/ has what is refused of users' files.
"""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.data.columns import ColumnNames
from modspec.data.local_files import divide, load, plan_splits, read
from modspec.errors import InputError

PAIRS = ColumnNames(
    text="premise",
    text_pair="hypothesis",
    label="label",
    in_order=("premise", "hypothesis", "label"),
)
NAMES = ("entailment", "neutral", "contradiction")
OWN = ColumnNames(text="text", label="label", text_pair="text_pair", id="id", optional=("text_pair", "id"))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def fails(path: Path, column_names: ColumnNames, labels: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read(path, column_names, labels)
    assert "\n" not in str(caught.value)


# --- what is read ---------------------------------------------------------------------------------


def test_tsv_without_header_has_no_quoting_and_counts_only_line_feeds(tmp_path: Path) -> None:
    rows = ['He said "no', "It was\u2028so", "neutral"], ['" x', "y\x85z", "entailment"]
    path = write(tmp_path / "a.tsv", "\r\n".join("\t".join(row) for row in rows) + "\r\n")
    one = read(path, PAIRS, NAMES)
    assert one.rows[["text", "text_pair", "label"]].to_numpy().tolist() == [*rows]
    assert one.rows["id"].tolist() == ["0", "1"] and one.rows["where"].tolist() == ["a.tsv:1", "a.tsv:2"]
    assert "id" not in one.columns


def test_header_in_any_order_gives_the_same_examples_as_no_header(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.tsv", "a\tb\tneutral\nc\td\tentailment\n")
    headed = write(
        tmp_path / "headed.tsv",
        "\ufeffLabel\tnote\tHypothesis\tpremise\nneutral\t\tb\ta\nentailment\t\td\tc\n",
    )
    one, two = read(bare, PAIRS, NAMES), read(headed, PAIRS, NAMES)
    pd.testing.assert_frame_equal(one.rows.drop(columns="where"), two.rows.drop(columns="where"))
    assert two.rows["where"].tolist() == ["headed.tsv:2", "headed.tsv:3"]
    assert one.unused == () and two.unused == ("note",)


def test_all_formats_hold_the_same_examples(tmp_path: Path) -> None:
    rows = [
        {"text": "Ja, gut.\nSehr.", "label": "good", "id": 7},
        {"text": "Nein,\tнет 不", "label": "bad", "id": 3},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for name, lines in {"a.parquet": [1, 2], "a.csv": [2, 4], "a.jsonl": [1, 2]}.items():
        one = read(tmp_path / name, OWN, None)
        frame = one.rows
        assert one.columns["id"] == "id"
        assert frame["text"].tolist() == [row["text"] for row in rows]
        assert frame["label"].tolist() == ["good", "bad"]
        assert frame["id"].tolist() == ["7", "3"]
        assert frame["where"].tolist() == [f"{name}:{line}" for line in lines]
        assert frame["text_pair"].tolist() == ["", ""]


def test_labels_may_be_given_by_index(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tb\t2\nc\td\tneutral\n")
    assert read(path, PAIRS, NAMES).rows["label"].tolist() == ["contradiction", "neutral"]


def test_labels_that_are_counted_from_one_are_not_taken_for_others(tmp_path: Path) -> None:
    stars = ColumnNames(text="text", label="label")
    known = [f"{n} stars" for n in range(1, 6)]
    for first, refused in ((0, False), (1, True)):
        rows = [f"text {i}\t{first + i % 4}" for i in range(40)]
        write(tmp_path / "en.tsv", "\n".join(["text\tlabel", *rows, ""]))
        if refused:
            with pytest.raises(InputError, match="none is 0, which means '1 stars'; allowed: 0 to 4"):
                load(tmp_path, ["en"], stars, known, False, {})
        else:
            load(tmp_path, ["en"], stars, known, False, {})


# --- what is refused ------------------------------------------------------------------------------


def test_an_unknown_label_on_line_one_may_be_a_header(tmp_path: Path) -> None:
    row, message = "one\ttwo\tgold\n", "unknown label 'gold'; allowed: entailment, neutral, contradiction"
    path = write(tmp_path / "a.tsv", f"{row}a\tb\tneutral\n")
    fails(path, PAIRS, NAMES, f"a.tsv:1: {message}; a header must name premise, hypothesis, label")
    fails(write(path, f"a\tb\tneutral\n{row}"), PAIRS, NAMES, f"a.tsv:2: {message}")


def test_own_data_need_a_header(tmp_path: Path) -> None:
    message = "a.csv:1: the header lacks text; it has words, label; needed: text, label"
    fails(write(tmp_path / "a.csv", "words,label\nx,y\n"), OWN, None, message)


# --- directories ----------------------------------------------------------------------------------


def test_a_split_that_one_language_lacks_is_named(tmp_path: Path) -> None:
    for name in ("dev.en.tsv", "test.en.tsv", "dev.de.tsv"):
        write(tmp_path / name, "a\tb\tneutral\n")
    message = r"data_dir: lacks test\.de\.<tsv\|csv\|jsonl\|parquet>, while test\.en\.tsv is there"
    with pytest.raises(InputError, match=message):
        load(tmp_path, ["de", "en"], PAIRS, NAMES, True, {})
    write(tmp_path / "en.tsv", "a\tb\tneutral\n")
    with pytest.raises(InputError, match=r"whole files and splits \(en.tsv, dev.en.tsv, test.en"):
        load(tmp_path, ["en"], PAIRS, NAMES, True, {})


@pytest.mark.parametrize(
    ("rows", "plan"),
    [
        ({"train": 9, "dev": 2, "test": 2}, {"train": ["train"], "dev": ["dev"], "test": ["test"]}),
        ({"dev": 2, "test": 5}, {"test": ["train"], "dev": ["dev", "test"]}),
        ({"dev": 5, "test": 2}, {"dev": ["train"], "test": ["dev", "test"]}),
        ({"train": 1, "test": 5}, {"train": ["train"], "test": ["dev", "test"]}),
        ({"": 5}, {"": ["train", "dev", "test"]}),
        ({"test": 5}, {"test": ["train", "dev", "test"]}),
    ],
)
def test_which_file_becomes_which_split(rows: dict[str, int], plan: dict[str, list[str]]) -> None:
    assert {split: list(shares) for split, shares in plan_splits(rows).items()} == plan


def test_load_qualifies_ids_and_describes_the_division(tmp_path: Path) -> None:
    for language in ("en", "de"):
        for split, n in {"dev": 60, "test": 90}.items():
            rows = "".join(f"{language} {split} {i // 3}\th{i}\t{NAMES[i % 3]}\n" for i in range(n))
            write(tmp_path / f"{split}.{language}.tsv", rows)
    column_names = ColumnNames(**{**vars(PAIRS), "block": 3})
    loaded = load(tmp_path, ["en", "de"], column_names, NAMES, True, {})
    pools = loaded.pools
    assert loaded.aligned
    assert loaded.source == (
        "local files; train is test.*.tsv; dev, test are disjoint parts (50/50 %) of dev.*.tsv"
    )
    assert {k: len(v) for k, v in pools.items() if k[0] == "de"} == {
        ("de", "train"): 90,
        ("de", "dev"): 30,
        ("de", "test"): 30,
    }
    assert pools["en", "train"]["id"].tolist() == [f"test-{i}" for i in range(90)]
    assert pools["en", "dev"]["id"].tolist() == pools["de", "dev"]["id"].tolist()
    assert pools["en", "dev"]["where"].iloc[0].startswith("dev.en.tsv:")
    # Hypotheses of one premise are neighbours: none may be in dev with a sibling in test.
    assert not set(pools["en", "dev"]["text"]) & set(pools["en", "test"]["text"])


@given(
    ids=st.lists(st.sets(st.integers(0, 200)), min_size=1, max_size=3),
    block=st.integers(1, 4),
)
def test_divide_partitions_and_keeps_ids_together(ids: list[set[int]], block: int) -> None:
    shares = {"train": 0.6, "dev": 0.2, "test": 0.2}
    frames = {str(k): pd.DataFrame({"id": [str(i) for i in s]}) for k, s in enumerate(ids)}
    parts = divide(frames, shares, block)
    split_of: dict[int, str] = {}
    for (language, split), part in parts.items():
        for i in part["id"].astype(int):
            assert split_of.setdefault(i // block, split) == split, language
    for language, frame in frames.items():
        got = [i for split in shares for i in parts[language, split]["id"]]
        assert sorted(got) == sorted(frame["id"])
    for split, share in shares.items():
        n = sum(1 for s in split_of.values() if s == split)
        assert abs(n - share * len(split_of)) <= 1


# --- what people call their files and columns -------------------------------------------------------


def test_a_file_of_an_asked_for_language_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "en.tsv", "text\tlabel\n" + "a\tx\nb\ty\n" * 9)
    write(tmp_path / "test.en.json", "[]")
    with pytest.raises(InputError, match=r"'test.en.json' seems to be of the language en, but its name does"):
        load(tmp_path, ["en"], OWN, None, True, {})


@pytest.mark.parametrize(
    ("header", "columns", "roles"),
    [
        ("premise\thypothesis\tgold_label", {}, ("premise", "hypothesis", "gold_label")),
        ("index_id\tcategory\ttext", {}, ("text", "", "category")),
        ("text\tid\ttopic\tlabel", {"label": "topic", "id": None}, ("text", "", "topic")),
    ],
)
def test_usual_and_chosen_columns(tmp_path: Path, header: str, columns: dict, roles: tuple) -> None:
    names = header.split("\t")
    rows = "".join("\t".join(f"{name} {i}" for name in names) + "\n" for i in range(2))
    one = read(write(tmp_path / "a.tsv", f"{header}\n{rows}"), OWN, None, columns)
    expected = [tuple(f"{role} {i}" if role else "" for role in roles) for i in range(2)]
    assert [*one.rows[["text", "text_pair", "label"]].itertuples(index=False, name=None)] == expected
    assert ("id" in one.columns) == (header == "index_id\tcategory\ttext")


def test_two_columns_for_one_role_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,category,intent\na,b,c\n")
    fails(path, OWN, None, "a.csv:1: 'category', 'intent' could each be the label; set columns: {label: one")


def own_files(directory: Path, **texts: str) -> Path:
    for name, text in texts.items():
        write(directory / f"{name.replace('_', '.')}.tsv", "text\tlabel\n" + text)
    return directory


def test_a_label_that_train_lacks_is_refused_and_one_that_dev_lacks_is_shown(tmp_path: Path) -> None:
    rows = "".join(f"t{i}\t{'xy'[i % 2]}\n" for i in range(20))
    own_files(tmp_path, train_en=rows, dev_en=rows.replace("y", "x"), test_en=rows)
    table = load(tmp_path, ["en"], OWN, None, True, {}).files.set_index("file")
    assert (
        table.loc["dev.en.tsv", "remarks"]
        == "dev lacks the labels y; 20 of dev also stand in an earlier split"
    )
    own_files(tmp_path, test_en=rows + "new\tz\n")
    with pytest.raises(InputError, match=r"test\.en\.tsv:22: label 'z' is in no training example"):
        load(tmp_path, ["en"], OWN, None, True, {})


def test_what_is_harmless_is_counted_and_shown(tmp_path: Path) -> None:
    rows = "".join(f"{i},text {i % 25},{'xy'[i % 2]},n{i}\n" for i in range(30))
    (tmp_path / "en").mkdir()
    write(tmp_path / "en/train-00000-of-00001.csv", f",text,label,note\n{rows}")
    write(tmp_path / "en/test.csv", "text,label\ntext 3,x\nnew,y\n")
    for number in range(40):
        write(tmp_path / f"l{number}.tsv", "")
    table = load(tmp_path, ["en"], OWN, None, True, {}).files.set_index("file")
    used = {name: (row["rows"], row["used for"]) for name, row in table.iterrows()}
    assert used == {
        "en/train-00000-of-00001.csv": (30, "train 30"),
        "en/test.csv": (2, "dev 1, test 1"),
        "40 files, such as l0.tsv": (0, "not read"),
    }
    remarks = table["remarks"].tolist()
    assert remarks[0] == "columns not used: one without a name, note; 5 of train repeat another one"
    assert "1 of dev also stand in an earlier split" in remarks[1] or "1 of test also" in remarks[1]
    assert remarks[2] == "language not asked for"


def test_a_label_that_one_language_lacks_is_shown(tmp_path: Path) -> None:
    rows = "".join(f"t{i}\t{'xy'[i % 2]}\n" for i in range(20))
    own_files(tmp_path, en=rows, de=rows.replace("y", "x"))
    table = load(tmp_path, ["en", "de"], OWN, None, True, {}).files.set_index("file")
    assert table.loc["de.tsv", "remarks"].startswith("train lacks the labels y; dev lacks the labels y")


def test_untranslated_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    names = ColumnNames(**{**vars(PAIRS), "untranslated": "NS"})
    one = read(write(tmp_path / "a.tsv", "a\tb\tneutral\nNS\tb\tneutral\nc\tNS\tneutral\n"), names, NAMES)
    assert one.untranslated == 2 and one.rows["id"].tolist() == ["0"]


def test_memory_and_time_grow_with_the_file_not_with_its_longest_cell(tmp_path: Path) -> None:
    rows = [f"{i},{'word ' * 200_000 if i == 7 else f'text {i}'},{'xy'[i % 2]}\n" for i in range(3000)]
    path = write(tmp_path / "en.csv", "id,text,label\n" + "".join(rows))
    tracemalloc.start()
    one = read(path, OWN, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(one.rows) == 3000 and peak < 20 * path.stat().st_size
