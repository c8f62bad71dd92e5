"""Tasks: the same rows whatever they come from, balanced, aligned, and never across splits."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.data.local_files import SPLITS
from modspec.data.sampling import stratified
from modspec.data.tasks import TASKS, Task, available_languages, load_task
from modspec.errors import InputError
from modspec.workflow.parameters import SearchParameters

SHARED = Path(
    os.environ.get("MODSPEC_SHARED_DATA", Path(__file__).resolve().parents[2] / ".." / "shared" / "data")
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
@pytest.mark.parametrize("train_seed", [None, 10])
def test_dev_and_test_alone_can_be_parallel(train_seed: int | None) -> None:
    """No training item in two languages, the same labels in each; dev and test as if all were parallel."""
    languages = ["en", "fr", "de", "zh", "es"]
    options = {"data_dir": SHARED / "multiemo", "train_seed": train_seed}
    task = load("multiemo", languages, 1400, 400, parallel="dev_and_test", **options)
    check(task, {"train": 1400, "dev": 400, "test": 400})
    assert len(set(task.data["train"]["group"])) == len(task.data["train"]) == 7000
    by_language = task.data["train"].to_pandas().groupby("language")["label"].value_counts().unstack()
    assert (by_language.max() - by_language.min()).max() <= 1
    parallel = load("multiemo", languages, 1400, 400, **options)
    for split in ("dev", "test"):
        assert task.data[split].to_list() == parallel.data[split].to_list()
    with pytest.raises(InputError, match="train_per_language: 1441; allowed: at most 1440 .*dev_and_test"):
        load("multiemo", languages, 1441, 400, parallel="dev_and_test", **options)


def test_languages_without_known_translations_share_no_training_item_anyway(tmp_path: Path) -> None:
    directory = own_data(tmp_path / "own", with_ids=False)
    options = {"data_dir": directory}
    tasks = [load("local", ["de", "en"], 9, 6, parallel=p, **options) for p in ("dev_and_test", False)]
    assert tasks[0].fingerprint == tasks[1].fingerprint


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


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("with_ids", [True, False])
def test_a_seed_of_the_training_examples_changes_nothing_else(
    tmp_path: Path, with_ids: bool, parallel: bool
) -> None:
    directory = own_data(tmp_path / "own", with_ids)
    options = {"data_dir": directory, "seed": 4, "parallel": parallel}
    tasks = {seed: load("local", ["de", "en"], 9, 6, train_seed=seed, **options) for seed in (None, 4, 5)}
    assert tasks[4].fingerprint == tasks[None].fingerprint != tasks[5].fingerprint
    for split in ("dev", "test"):
        assert tasks[5].data[split].to_list() == tasks[None].data[split].to_list()
    assert set(tasks[5].data["train"]["id"]) != set(tasks[None].data["train"]["id"])
    check(tasks[5], {"train": 9, "dev": 6, "test": 6})
    # The same training examples as with this seed for all splits.
    alone = load("local", ["de", "en"], 9, 6, **options | {"seed": 5})
    assert tasks[5].data["train"].to_list() == alone.data["train"].to_list()


def test_without_a_seed_of_their_own_the_examples_are_those_of_earlier_versions(tmp_path: Path) -> None:
    own = load("local", ["de", "en"], 9, 6, data_dir=own_data(tmp_path / "own", with_ids=True))
    short = load("intents", ["en", "de"], 40, 26)
    assert (own.fingerprint[:16], short.fingerprint[:16]) == ("ebf68a0ece10d828", "7c7736830ff55c31")


@needs_shared_data
def test_the_published_checksums_are_those_of_the_files() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "data.sha256").read_text("utf-8").splitlines()
    listed = dict(reversed(line.split()) for line in lines)
    assert len(listed) == 25
    for name, checksum in listed.items():
        assert hashlib.sha256((SHARED / name).read_bytes()).hexdigest() == checksum, name


@needs_shared_data
@pytest.mark.parametrize("study", ["xnli-v1", "pawsx-v1"])
def test_the_published_examples_are_drawn_again(study: str) -> None:
    file = Path(__file__).parents[2] / "figures" / study / "artefacts" / "search" / "seed0" / "manifest.json"
    made_by = json.loads(file.read_text(encoding="utf-8"))["made_by"]
    p = SearchParameters(**made_by["parameters"])
    sizes = p.model_dump(include={f"{split}_per_language" for split in SPLITS})
    options = {"seed": p.data_seed, "train_seed": p.train_sample_seed, "parallel": p.parallel}
    task = load_task(p.task, p.languages, **sizes, **options, data_dir=SHARED / p.task)
    assert task.fingerprint == made_by["data"]


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
    with pytest.raises(InputError, match="label: all 3 examples have 'x'; needed: two labels"):
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


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "snli"}, "task: 'snli' is not known; allowed: intents, xnli, pawsx, marc, multi"),
        ({"languages": []}, "languages: [], needed: a list of different languages"),
        ({"languages": "en"}, "languages: 'en', needed: a list of different languages"),
        ({"languages": ["en", "en"]}, "languages: ['en', 'en'], needed: a list of different languages"),
        ({"languages": ["en", "xx"]}, "languages: intents lacks xx; there: af, ar, bg"),
        ({"train_per_language": 0}, "train_per_language: 0, needed: a whole number from 1"),
        ({"dev_per_language": 1.5}, "dev_per_language: 1.5, needed: a whole number from 1"),
        ({"seed": -1}, "seed: -1, needed: a whole number from 0"),
        ({"train_seed": 0.5}, "train_seed: 0.5, needed: a whole number from 0"),
        ({"name": "xnli", "languages": ["ko"]}, "languages: xnli lacks ko; there: ar, bg, de"),
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
