"""Texts are kept once per sample of the data, and only those that were scored on are taken."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from modspec.analysis import strongest_examples
from modspec.errors import InputError
from modspec.stages.texts import FILE, keep_texts
from modspec.workflow import artifacts


def rows(split: str, count: int) -> dict[str, list]:
    ids = [f"en-{split}-{i}" for i in range(count)]
    texts = [f"text {i} of {split}" for i in range(count)]
    labels = [i % 2 for i in range(count)]
    columns = {"id": ids, "language": ["en"] * count, "text": texts, "text_pair": [""] * count}
    return columns | {"label": labels, "group": ids}


TASK = SimpleNamespace(
    fingerprint="0123456789abcdef",
    labels=("no", "yes"),
    data=DatasetDict({split: Dataset.from_dict(rows(split, 4)) for split in ("train", "dev", "test")}),
)


def write_run(study: Path, name: str, train: list[str], data: str = TASK.fingerprint) -> Path:
    """Write what the texts are taken from: an artefact of stage 3 with one test item."""
    table = pd.DataFrame({"id": "en-test-1", "train_id": train})
    with artifacts.writing(study / "influence" / name, {"data": data, "parameters": {"task": "local"}}) as b:
        table.to_parquet(b / strongest_examples.FILE)
    return study / "influence" / name


def never() -> None:
    raise AssertionError("the data are not needed")


def test_all_runs_on_the_same_data_share_the_texts_of_what_they_name(tmp_path: Path) -> None:
    first = write_run(tmp_path, "full-seed0", ["en-train-0", "en-train-2"])
    second = write_run(tmp_path, "sft-seed0", ["en-train-3"])
    write_run(tmp_path, "full-seed1", ["en-train-1"], data="another")
    place = keep_texts(first, lambda: TASK)
    kept = pd.read_parquet(place / FILE).set_index("id")
    assert set(kept.index) == {"en-train-0", "en-train-2", "en-train-3", "en-test-1"}
    assert kept.loc["en-train-3", ["split", "label", "text"]].tolist() == ["train", "yes", "text 3 of train"]
    assert keep_texts(second, never) == place


def test_a_run_that_names_other_examples_renews_the_texts(tmp_path: Path) -> None:
    run = write_run(tmp_path, "full-seed0", ["en-train-0"])
    keep_texts(run, lambda: TASK)
    write_run(tmp_path, "sft-seed0", ["en-train-1"])
    kept = pd.read_parquet(keep_texts(run, lambda: TASK) / FILE)
    assert set(kept["id"]) == {"en-train-0", "en-train-1", "en-test-1"}


def test_other_data_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path, "full-seed0", ["en-train-0"], data="another")
    with pytest.raises(InputError, match="was made from other data"):
        keep_texts(run, lambda: TASK)
    assert not list(tmp_path.glob("texts/*/manifest.json"))


def test_a_restored_run_without_strongest_examples_keeps_the_texts_current(tmp_path: Path) -> None:
    """Published texts stay, although a table that they were made from is no longer there."""
    run = write_run(tmp_path, "full-seed0", ["en-train-0"])
    other = write_run(tmp_path, "full-seed1", ["en-train-1"])
    place = keep_texts(run, lambda: TASK)
    artifacts.copy_without(other, tmp_path / "restored", [strongest_examples.FILE])
    shutil.rmtree(other)
    (tmp_path / "restored").rename(other)
    assert keep_texts(run, never) == place


def test_a_run_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with artifacts.writing(
        tmp_path / "influence" / "full-seed0", {"data": "x", "parameters": {"task": "local"}}
    ) as building:
        (building / "other.csv").touch()
    with pytest.raises(InputError, match="before stage 3 kept the strongest examples"):
        keep_texts(tmp_path / "influence" / "full-seed0", never)
