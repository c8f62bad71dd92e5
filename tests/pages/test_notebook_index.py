"""The index of executed notebooks."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from modspec.pages import notebook_index
from modspec.terms import CONDITIONS

ROOT = Path(__file__).parents[2]


def test_notebooks_stand_in_the_order_stage_condition_seed(tmp_path: Path) -> None:
    stems = [
        "00_calibration",
        "01_subnetwork_search-seed2",
        "01_subnetwork_search-seed10",
        *(f"02_finetuning-{condition}-seed0" for condition in CONDITIONS),
        "06_leave_one_out-full-seed0",
    ]
    for stem in [*reversed(stems), "notes"]:
        (tmp_path / f"{stem}.ipynb").touch()
    found = notebook_index.executed(tmp_path)
    assert [notebook.file.stem for notebook in found] == stems
    assert [notebook.what for notebook in found][:4] == ["", "seed 2", "seed 10", "full fine-tuning, seed 0"]


def test_every_executed_notebook_is_named_by_a_template() -> None:
    templates = {file.stem for file in notebook_index.templates(ROOT / "notebooks")}
    for folder in (ROOT / "notebooks" / "executed").iterdir():
        files = list(folder.glob("*.ipynb"))
        found = notebook_index.executed(folder)
        assert len(found) == len(files) and {notebook.template for notebook in found} <= templates


def test_minutes_are_the_mean_of_the_recorded_stage() -> None:
    record = {"stages": {"search": {"wall_seconds": 360.0, "runs": 3}}, "provenance": {"wall_seconds": 30.0}}
    assert notebook_index.minutes(record, "01_subnetwork_search") == "2.0"
    assert notebook_index.minutes(record, "04_figures") == "0.5"
    assert notebook_index.minutes(record, "02_finetuning") == "–"
    assert notebook_index.minutes({}, "04_figures") == "–"


@pytest.mark.parametrize("question", ["", "**Question.** Why so\nmany?\n\n**Method.** None."])
def test_title_and_question_are_read_from_the_opening(question: str, tmp_path: Path) -> None:
    file = tmp_path / "01_a.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell(f"# 1 · A title\n\n{question}")]), file)
    assert notebook_index.title(file) == "1 · A title"
    assert notebook_index.purpose(file) == ("Why so many?" if question else "")
