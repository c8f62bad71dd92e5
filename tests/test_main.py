"""``python -m modspec data check`` tells what a study would make of a directory."""

from pathlib import Path

import pytest

from modspec.__main__ import main


def write(folder: Path, languages: dict[str, str]) -> str:
    for language, labels in languages.items():
        rows = [f"{i}\ttext {i}\t{labels[i % len(labels)]}" for i in range(100)]
        (folder / f"{language}.tsv").write_text("\n".join(["nr\ttext\ttopic", *rows]), encoding="utf-8")
    return str(folder)


def test_files_labels_and_translations_are_shown(tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("x")
    main(["data", "check", write(tmp_path, {"en": "ab", "de": "ab"}), "--columns", "id=nr", "label=topic"])
    out = capsys.readouterr().out
    files, counts, ending = out.split("\n\n")
    assert files.split()[:5] == ["file", "language", "rows", "used", "for"]
    assert "notes.txt" in files and "not read" in files and "train 60, dev 20, test 20" in files
    assert [line.split()[-2:] for line in counts.splitlines()[:1]] == [["a", "b"]]
    assert ending == (
        "2 labels; local files; train, dev, test are disjoint parts (60/20/20 %) of *.tsv\n"
        "translations that all languages have (same id): 60 for train, 20 for dev, 20 for test\n"
    )


def test_without_ids_nothing_is_said_of_translations(tmp_path: Path, capsys) -> None:
    main(["data", "check", write(tmp_path, {"en": "ab", "de": "ba"}), "--columns", "id=", "label=topic"])
    assert capsys.readouterr().out.endswith("of *.tsv\n")


def test_what_a_study_would_refuse_ends_with_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path, {"en": "ab", "de": "ba"})
    with pytest.raises(SystemExit, match="^error: .* for the same pair "):
        main(["data", "check", folder, "--columns", "id=nr", "label=topic"])


def test_a_setting_that_is_blank_is_named() -> None:
    with pytest.raises(SystemExit, match="error: a value is blank among .*top_k=#"):
        main(["study", "check", "preset=embedded", "top_k=#"])
