"""What people call their files: known or named as not read, wherever the directory lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from modspec.data.file_names import find
from modspec.errors import InputError


def test_find_by_name(tmp_path: Path) -> None:
    for name in ("train.en.tsv", "pt-BR.jsonl", "README.md", ".tsv", "extra.dev.en.csv"):
        (tmp_path / name).touch()
    directory = find(tmp_path)
    assert set(directory.files) == {("en", "train"), ("pt-BR", "")}
    assert {path.name for path in directory.not_read} == {"README.md", ".tsv", "extra.dev.en.csv"}
    (tmp_path / "train.en.csv").touch()
    with pytest.raises(InputError, match=r"'train\.en\.csv' and 'train\.en\.tsv' hold the same split"):
        find(tmp_path)
    with pytest.raises(InputError, match=r"data_dir: '.*nowhere' is not a directory"):
        find(tmp_path / "nowhere")


def test_a_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sw.tsv").touch()
    assert find("~").languages == ("sw",)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("train.en.tsv", ("en", "train")),
        ("en.train.tsv", ("en", "train")),
        ("validation-zh-Hant.jsonl", ("zh-Hant", "dev")),
        ("eng_Latn_test.TSV", ("eng_Latn", "test")),
        ("eng_Latn/val.csv", ("eng_Latn", "dev")),
        ("test/de.parquet", ("de", "test")),
        ("nan.tsv", ("nan", "")),
        ("train.tsv", None),
        ("train-00000-of-00002.en.parquet", None),
        ("en.xlsx", None),
        ("deep/er/en.tsv", None),
    ],
)
def test_usual_names_of_files_are_known_and_no_file_is_ignored(
    tmp_path: Path, name: str, place: tuple[str, str] | None
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    directory = find(tmp_path)
    assert list(directory.files) == ([] if place is None else [place])
    assert bool(directory.not_read) == (place is None)
