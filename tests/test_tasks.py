"""Tasks: the same rows whatever they come from, balanced, aligned, and never across splits."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pandas as pd
import pytest
from datasets.arrow_writer import ArrowWriter
from hypothesis import given
from hypothesis import strategies as st

from modspec import hub, hubfiles
from modspec.errors import InputError
from modspec.tasks import SPLITS, TASKS, Task, available_languages, load_task, stratified

SHARED = Path(
    os.environ.get("MODSPEC_SHARED_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data")
)
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")


def load(name: str, languages: list[str], train: int = 20, held_out: int = 10, **more) -> Task:
    return load_task(
        name,
        languages,
        train_per_language=train,
        dev_per_language=held_out,
        test_per_language=held_out,
        **more,
    )


def groups(task: Task, split: str, language: str) -> list[str]:
    return [r["group"] for r in task.data[split].to_list() if r["language"] == language]


def check(task: Task, sizes: dict[str, int]) -> None:
    """What holds for every task."""
    assert list(task.data) == list(SPLITS)
    seen: dict[str, str] = {}
    for split, rows in task.data.items():
        assert rows.column_names == ["id", "language", "text", "text_pair", "label", "group"]
        assert rows.features["label"].names == list(task.labels)
        assert rows["language"][:] == [x for x in task.languages for _ in range(sizes[split])]
        assert len(set(rows["id"])) == len(rows)
        assert all(text.strip() for text in rows["text"])
        for group in rows["group"]:
            assert seen.setdefault(group, split) == split
    assert re.fullmatch("[0-9a-f]{64}", task.fingerprint)


def raw_rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")]


# --- real data ------------------------------------------------------------------------------------


def test_intents_through_the_common_door() -> None:
    sizes = {"train": 100, "dev": 40, "test": 40}
    task = load("intents", ["en", "de", "fr", "es", "ru"], 100, 40, seed=3)
    check(task, sizes)
    assert set(task.data["train"]["text_pair"]) == {""}
    assert set(Counter(task.data["dev"]["label"]).values()) == {20}
    row = task.data["train"][0]
    assert row["group"].startswith(f"en/{task.labels[row['label']]}/")


@needs_shared_data
def test_xnli_from_shared_data() -> None:
    languages = ["en", "fr", "de", "ru", "es"]
    task = load("xnli", languages, 2000, 500, data_dir=SHARED / "xnli")
    check(task, {"train": 2000, "dev": 500, "test": 500})
    assert task.labels == ("entailment", "neutral", "contradiction")
    assert "train is test.*.tsv; dev, test are disjoint parts (50/50 %) of dev.*" in task.source
    for split in SPLITS:
        assert all(groups(task, split, x) == groups(task, split, "en") for x in languages)
    for language in languages:
        stored = {s: raw_rows(SHARED / "xnli" / f"{s}.{language}.tsv") for s in ("dev", "test")}
        for split in SPLITS:
            rows = [row for row in task.data[split].to_list() if row["language"] == language]
            spread = Counter(row["label"] for row in rows).values()
            assert max(spread) - min(spread) <= 1
            for row in rows:
                file, number = row["group"].split("-")
                assert row["id"] == f"{language}-{row['group']}"
                expected = [row["text"], row["text_pair"], task.labels[row["label"]]]
                assert [cell.strip() for cell in stored[file][int(number)]] == expected
    assert not set(task.data["dev"]["text"]) & set(task.data["test"]["text"])


@needs_shared_data
def test_pawsx_from_shared_data() -> None:
    languages = ["en", "fr", "de", "ko", "es"]
    task = load("pawsx", languages, 1800, 400, data_dir=SHARED / "pawsx")
    check(task, {"train": 1800, "dev": 400, "test": 400})
    assert all(groups(task, "train", x) == groups(task, "train", "en") for x in languages)
    stored = {row[0]: row for row in raw_rows(SHARED / "pawsx" / "dev.ko.tsv")}
    for row in task.data["test"].to_list():
        if row["language"] == "ko":
            cells = stored[row["group"].removeprefix("dev-")]
            assert [row["text"], row["text_pair"], str(row["label"])] == [c.strip() for c in cells[1:]]


@needs_shared_data
def test_multiemo_from_shared_data() -> None:
    languages = ["en", "fr", "de", "zh", "es"]
    task = load("multiemo", languages, 2000, 400, data_dir=SHARED / "multiemo")
    check(task, {"train": 2000, "dev": 400, "test": 400})
    assert task.source.endswith("train, dev, test are disjoint parts (60/20/20 %) of *.tsv")
    assert all(groups(task, "train", x) == groups(task, "train", "en") for x in languages)
    assert set(Counter(task.data["train"]["label"]).values()) == {2500}


@needs_shared_data
def test_unaligned_draws_share_pools_but_not_pairs() -> None:
    sizes = {"train": 1900, "dev": 500, "test": 500}
    task = load("pawsx", ["en", "de"], 1900, 500, data_dir=SHARED / "pawsx", parallel=False)
    check(task, sizes)
    small = load("xnli", ["en", "de"], 200, 50, data_dir=SHARED / "xnli", parallel=False)
    assert groups(small, "train", "en") != groups(small, "train", "de")
    check(small, {"train": 200, "dev": 50, "test": 50})


@needs_shared_data
def test_dev_and_test_pools_are_the_same_for_every_seed() -> None:
    first = load("xnli", ["en"], 10, 1200, data_dir=SHARED / "xnli", seed=0)
    second = load("xnli", ["en"], 10, 1200, data_dir=SHARED / "xnli", seed=1)
    assert first.fingerprint != second.fingerprint
    assert not set(first.data["dev"]["group"]) & set(second.data["test"]["group"])


@needs_shared_data
def test_too_few_examples_says_how_many_there_are() -> None:
    with pytest.raises(InputError, match="train_per_language: 6000, but en, de share 5010 examples"):
        load("xnli", ["en", "de"], 6000, data_dir=SHARED / "xnli")
    with pytest.raises(InputError, match="train_per_language: 2000, but de has 1968 examples for t"):
        load("pawsx", ["de"], 2000, data_dir=SHARED / "pawsx", parallel=False)


# --- own data -------------------------------------------------------------------------------------


def own_data(directory: Path, with_ids: bool, languages: tuple[str, ...] = ("en", "de")) -> Path:
    directory.mkdir()
    for language in languages:
        frame = pd.DataFrame(
            {
                "text": [f"{language} text {i}" for i in range(60)],
                "label": ["good" if i % 3 else "bad" for i in range(60)],
            }
        )
        if with_ids:
            frame["id"] = range(60)
        frame.sample(frac=1, random_state=len(language)).to_csv(directory / f"{language}.csv", index=False)
    return directory


def test_own_data_need_no_code(tmp_path: Path) -> None:
    task = load("local", ["en", "de"], 18, 6, data_dir=own_data(tmp_path / "own", with_ids=True))
    check(task, {"train": 18, "dev": 6, "test": 6})
    assert task.labels == ("bad", "good")
    assert groups(task, "train", "en") == groups(task, "train", "de")
    for row in task.data["train"]:
        assert row["text"] == f"{row['language']} text {row['group']}"
        assert row["label"] == (int(row["group"]) % 3 > 0)
    plain = load("local", ["en", "de"], 18, 6, data_dir=own_data(tmp_path / "no", with_ids=False))
    check(plain, {"train": 18, "dev": 6, "test": 6})
    assert plain.data["train"]["group"][:] == plain.data["train"]["id"][:]


def test_rows_depend_on_neither_directory_nor_format(tmp_path: Path) -> None:
    one = own_data(tmp_path / "one", with_ids=True)
    two = tmp_path / "two"
    two.mkdir()
    for path in one.iterdir():
        pd.read_csv(path).to_parquet(two / f"{path.stem}.parquet")
    tasks = [load("local", ["de", "en"], 9, 3, data_dir=d, seed=4) for d in (one, two)]
    assert tasks[0].fingerprint == tasks[1].fingerprint
    assert tasks[0].data["dev"].to_list() == tasks[1].data["dev"].to_list()
    other = load("local", ["de", "en"], 9, 3, data_dir=one, seed=5)
    assert other.fingerprint != tasks[0].fingerprint


def test_translations_with_different_labels_are_refused(tmp_path: Path) -> None:
    directory = own_data(tmp_path / "own", with_ids=False)
    lines = ["id,text,label", *(f"{i},t{i},{'bad' if i < 20 else 'good'}" for i in range(60))]
    (directory / "en.csv").write_text("\n".join(lines), encoding="utf-8")
    lines[7] = "6,t6,good"
    (directory / "de.csv").write_text("\n".join(lines), encoding="utf-8")
    message = r"de\.csv:8: label 'good' in de, but 'bad' in en \(en\.csv:8\) for the same pair '6'"
    with pytest.raises(InputError, match=message):
        load("local", ["en", "de"], 9, 3, data_dir=directory)
    check(
        load("local", ["en", "de"], 9, 3, data_dir=directory, parallel=False),
        {"train": 9, "dev": 3, "test": 3},
    )


def test_one_label_is_no_task(tmp_path: Path) -> None:
    (tmp_path / "en.csv").write_text("text,label\na,x\nb,x\nc,x\n", encoding="utf-8")
    with pytest.raises(InputError, match="all examples are labelled 'x', needed: two labels"):
        load("local", ["en"], data_dir=tmp_path)


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_labels_are_as_equal_as_the_data_allow(counts: list[int], share: float, seed: int) -> None:
    labels = pd.Series([str(k) for k, count in enumerate(counts) for _ in range(count)])
    size = round(share * len(labels))
    picks = stratified(labels, size, np.random.default_rng(seed))
    assert len(set(picks.tolist())) == len(picks) == size
    drawn = Counter(labels.iloc[picks])
    left = [drawn[str(k)] for k, count in enumerate(counts) if drawn[str(k)] < count]
    if left and size:
        assert max(drawn.values()) - min(left) <= 1


# --- hub ------------------------------------------------------------------------------------------

N = {"train": 90, "validation": 45, "test": 45}


def hub_rows(source: hubfiles.HubSource, language: str, split: str) -> datasets.Dataset:
    """As the hub has them: integer labels, its own columns."""
    numbers = range(N[split])
    if source.path == "facebook/xnli":
        features = datasets.Features(
            {
                "premise": datasets.Value("string"),
                "hypothesis": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["entailment", "neutral", "contradiction"]),
            }
        )
        rows = [
            {"premise": f"{language} {split} {i}", "hypothesis": f"h{i}", "label": i % 3} for i in numbers
        ]
        return datasets.Dataset.from_list(rows, features=features)
    if source.path == "google-research-datasets/paws-x":
        features = datasets.Features(
            {
                "id": datasets.Value("int32"),
                "sentence1": datasets.Value("string"),
                "sentence2": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["0", "1"]),
            }
        )
        rows = [
            {
                "id": i + 1,
                "sentence1": "NS" if language == "de" and i % 10 == 0 else f"{language} {i}",
                "sentence2": "" if language == "de" and i % 10 == 1 else f"b{i}",
                "label": i % 2,
            }
            for i in numbers
        ]
        return datasets.Dataset.from_list(rows, features=features)
    rows = [
        {
            "id": f"{language}_{i:07}",
            "text": f"{split} {i}",
            "label": i * 5 // N[split],
            "label_text": "x",
        }
        for i in numbers
    ]  # sorted by stars
    return datasets.Dataset.from_list(rows)


def test_xnli_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubfiles, "load_dataset", hub_rows)
    task = load("xnli", ["en", "de"], 30, 15)
    check(task, {"train": 30, "dev": 15, "test": 15})
    assert groups(task, "dev", "en") == groups(task, "dev", "de")
    for row in task.data["dev"]:
        number = int(row["group"].removeprefix("validation-"))
        assert row["text"] == f"{row['language']} validation {number}"
        assert row["text_pair"] == f"h{number}" and row["label"] == number % 3
    assert task.source == "xnli, facebook/xnli from the hub; its train, validation and test splits"


def test_pawsx_from_the_hub_without_untranslated_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubfiles, "load_dataset", hub_rows)
    task = load("pawsx", ["en", "de"], 72, 35)
    check(task, {"train": 72, "dev": 35, "test": 35})
    assert "NS" not in task.data["train"]["text"]
    with pytest.raises(InputError, match="train_per_language: 73, but en, de share 72 examples"):
        load("pawsx", ["en", "de"], 73, 35)


def test_marc_from_the_hub_is_shuffled_and_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubfiles, "load_dataset", hub_rows)
    task = load("marc", ["en", "de"], 50, 20)
    check(task, {"train": 50, "dev": 20, "test": 20})
    labels = task.data["train"]["label"][:]
    assert set(Counter(labels).values()) == {20} and labels[:50] != sorted(labels[:50])
    assert groups(task, "train", "en") == task.data["train"]["id"][:50]
    assert task.labels[0] == "1 star"


def test_hub_shapes_that_are_not_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = hub_rows(TASKS["xnli"].hub, "en", "train")
    monkeypatch.setattr(hubfiles, "load_dataset", lambda *_: rows.remove_columns("hypothesis"))
    with pytest.raises(InputError, match="facebook/xnli en train: lacks hypothesis; has premise, l"):
        load("xnli", ["en"])
    odd = datasets.Dataset.from_list([{"premise": "a", "hypothesis": "b", "label": -1}])
    monkeypatch.setattr(hubfiles, "load_dataset", lambda *_: odd)
    with pytest.raises(InputError, match=r"unknown labels \[-1\]; allowed: 0 to 2"):
        load("xnli", ["en"])


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.mark.parametrize("name", ["xnli", "pawsx", "marc"])
def test_unreachable_hub_names_the_local_alternative(unreachable: Path, name: str) -> None:
    start = time.monotonic()
    columns = ", ".join(TASKS[name].layout.columns)
    with pytest.raises(InputError) as caught:
        load(name, ["en"])
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert message.startswith(f"task: {name}: could not load {TASKS[name].hub.path} en train from")
    assert "set data_dir to a directory of files <train|dev|test>.<language>.<tsv|csv|" in message
    assert message.endswith(f"with columns {columns}") and "\n" not in message
    assert not datasets.config.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE")


def test_unreachable_hub_but_cached(unreachable: Path) -> None:
    """The two kinds of cache, laid out as the libraries lay them out."""
    root = unreachable / "datasets" / "facebook___xnli" / "en" / "0.0.0" / "abc"
    root.mkdir(parents=True)
    splits = datasets.SplitDict(dataset_name="xnli")
    for split in N:
        rows = hub_rows(TASKS["xnli"].hub, "en", split)
        with ArrowWriter(path=str(root / f"xnli-{split}.arrow"), features=rows.features) as writer:
            writer.write_table(rows.data.table)
            writer.finalize()
        splits.add(datasets.SplitInfo(split, num_examples=len(rows)))
    datasets.DatasetInfo(
        features=rows.features,
        dataset_name="xnli",
        builder_name="parquet",
        config_name="en",
        version="0.0.0",
        splits=splits,
    ).write_to_directory(str(root))
    check(load("xnli", ["en"], 30, 15), {"train": 30, "dev": 15, "test": 15})

    repository = unreachable / "hub" / "datasets--mteb--amazon_reviews_multi"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    folder = repository / "snapshots" / "abc" / "en"
    folder.mkdir(parents=True)
    for split in N:
        rows = hub_rows(TASKS["marc"].hub, "en", split)
        lines = [json.dumps(row) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    check(load("marc", ["en"], 50, 20), {"train": 50, "dev": 20, "test": 20})


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "snli"}, "task: 'snli' is not known; allowed: intents, xnli, pawsx, marc, multi"),
        ({"languages": []}, "languages: [], needed: a list of at least one language"),
        ({"languages": "en"}, "languages: 'en', needed: a list of at least one language"),
        ({"languages": ["en", "en"]}, "languages: en, en has duplicates"),
        ({"languages": ["en", "xx"]}, "languages: intents lacks xx; there: af, ar, bg"),
        ({"name": "xnli", "languages": ["ko"]}, "languages: xnli lacks ko; there: ar, bg, de"),
        ({"train_per_language": 0}, "train_per_language: 0, needed: a whole number from 1"),
        ({"dev_per_language": 1.5}, "dev_per_language: 1.5, needed: a whole number from 1"),
        ({"seed": -1}, "seed: -1, needed: a whole number from 0"),
        ({"name": "multiemo"}, "data_dir: None, but task 'multiemo' needs a directory of files"),
        ({"name": "local"}, "data_dir: None, but task 'local' needs a directory of files"),
        ({"name": "xnli", "data_dir": "no/such"}, "data_dir: 'no/such' is not a directory"),
        ({"data_dir": "some"}, "data_dir: 'some', but task 'intents' is embedded and reads no"),
    ],
)
def test_arguments(change: dict, message: str) -> None:
    arguments = {
        "name": "intents",
        "languages": ["en"],
        "train_per_language": 10,
        "dev_per_language": 10,
        "test_per_language": 10,
    }
    with pytest.raises(InputError, match=re.escape(message)):
        load_task(**{**arguments, **change})


def test_languages_of_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="local lacks en in data_dir '.*'; there: none; expected a"):
        load("local", ["en"], data_dir=tmp_path)
    own = own_data(tmp_path / "own", with_ids=False, languages=("sw", "en"))
    assert available_languages("local", own) == ("en", "sw")
    with pytest.raises(InputError, match="local lacks de in data_dir '.*own'; there: en, sw"):
        load("local", ["en", "de"], data_dir=own)
    assert available_languages("xnli") == TASKS["xnli"].hub.languages
