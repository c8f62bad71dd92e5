"""What is published of the studies together is what notebook 05 makes of what is published of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from modspec.workflow.parameters import ResultsParameters
from tests.notebooks.conftest import ROOT, run

RESULTS = ROOT / "figures" / "results"


@pytest.fixture(scope="module")
def p() -> ResultsParameters:
    """The parameters of the published run."""
    return ResultsParameters(**json.loads((RESULTS / "provenance.json").read_text())["parameters"])


def test_the_notebook_gives_the_published_tables_and_figures(p: ResultsParameters, tmp_path: Path) -> None:
    for study in p.studies:
        shutil.copytree(ROOT / "figures" / study, tmp_path / study)
    arguments = ["-p", "figures_dir", str(tmp_path), "-y", f"studies: {list(p.studies)}"]
    notebook = ROOT / "notebooks" / "05_results.ipynb"
    run(ROOT, "papermill", *arguments, "--kernel", "python3", str(notebook), str(tmp_path / "05.ipynb"))
    made, published = (
        json.loads((folder / "provenance.json").read_text()) for folder in (tmp_path / "results", RESULTS)
    )
    # The simulated verdicts beside them are of notebook 00.
    assert made["inputs"] == published["inputs"] and set(made["files"]) <= set(published["files"])
    assert "questions.csv" in made["files"]
    for name, described in made["files"].items():
        if name.endswith(".csv"):
            assert described == published["files"][name], name
