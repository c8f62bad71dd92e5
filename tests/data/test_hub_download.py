"""Tasks from the Hugging Face hub: on files of its shapes, and without it."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import datasets
import huggingface_hub
import pytest
from datasets.arrow_writer import ArrowWriter

from modspec.data import hub_download
from modspec.data.tasks import TASKS
from modspec.downloads import hub
from modspec.errors import InputError
from tests.data.test_tasks import check, groups, load

COMMIT = "abc".ljust(40, "0")
N = {"train": 90, "validation": 45, "test": 45}


def hub_rows(source: hub_download.HubSource, language: str, split: str) -> datasets.Dataset:
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
    monkeypatch.setattr(hub_download, "load_dataset", hub_rows)
    task = load("xnli", ["en", "de"], 30, 15)
    check(task, {"train": 30, "dev": 15, "test": 15})
    assert groups(task, "dev", "en") == groups(task, "dev", "de")
    for row in task.data["dev"]:
        number = int(row["group"].removeprefix("validation-"))
        assert row["text"] == f"{row['language']} validation {number}"
        assert row["text_pair"] == f"h{number}" and row["label"] == number % 3
    assert task.source == "xnli, facebook/xnli from the hub; its train, validation and test splits"
    other = load("xnli", ["en", "de"], 30, 15, train_seed=1)
    same = [other.data[split].to_list() == task.data[split].to_list() for split in ("train", "dev", "test")]
    assert same == [False, True, True]


def test_pawsx_from_the_hub_without_untranslated_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_download, "load_dataset", hub_rows)
    task = load("pawsx", ["en", "de"], 72, 35)
    check(task, {"train": 72, "dev": 35, "test": 35})
    assert "NS" not in task.data["train"]["text"]
    with pytest.raises(InputError, match="train_per_language: 73, but en, de share 72 examples"):
        load("pawsx", ["en", "de"], 73, 35)


def test_marc_from_the_hub_is_shuffled_and_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_download, "load_dataset", hub_rows)
    task = load("marc", ["en", "de"], 50, 20)
    check(task, {"train": 50, "dev": 20, "test": 20})
    labels = task.data["train"]["label"][:]
    assert set(Counter(labels).values()) == {20} and labels[:50] != sorted(labels[:50])
    assert groups(task, "train", "en") == task.data["train"]["id"][:50]
    assert task.labels[0] == "1 star"


def test_hub_shapes_that_are_not_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = hub_rows(TASKS["xnli"].hub, "en", "train")
    monkeypatch.setattr(hub_download, "load_dataset", lambda *_: rows.remove_columns("hypothesis"))
    with pytest.raises(InputError, match="facebook/xnli en train: lacks hypothesis; has premise, l"):
        load("xnli", ["en"])
    odd = datasets.Dataset.from_list([{"premise": "a", "hypothesis": "b", "label": -1}])
    monkeypatch.setattr(hub_download, "load_dataset", lambda *_: odd)
    with pytest.raises(InputError, match=r"unknown labels \[-1\]; allowed: 0 to 2"):
        load("xnli", ["en"])


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(hub, "hub_is_reachable", lambda: False)
    for module in (datasets.config, huggingface_hub.constants):  # put back at the end
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", module.HF_HUB_OFFLINE)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.mark.parametrize("name", ["xnli", "pawsx", "marc"])
def test_unreachable_hub_names_the_local_alternative(unreachable: Path, name: str) -> None:
    start = time.monotonic()
    columns = ", ".join(TASKS[name].column_names.in_order)
    with pytest.raises(InputError) as caught:
        load(name, ["en"])
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert message.startswith(f"task: {name}: could not load {TASKS[name].hub.path} en train from")
    assert "set data_dir to a directory of files <train|dev|test>.<language>.<tsv|csv|" in message
    assert message.endswith(f"with columns {columns}") and "\n" not in message


def test_unreachable_hub_but_cached(unreachable: Path) -> None:
    """The two kinds of cache, laid out as the libraries lay them out."""
    root = unreachable / "datasets" / "facebook___xnli" / "en" / "0.0.0" / COMMIT
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
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT / "en"
    folder.mkdir(parents=True)
    for split in N:
        rows = hub_rows(TASKS["marc"].hub, "en", split)
        lines = [json.dumps(row) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    check(load("marc", ["en"], 50, 20), {"train": 50, "dev": 20, "test": 20})
