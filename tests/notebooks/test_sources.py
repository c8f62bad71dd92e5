"""Notebooks are stored without outputs, and their parameters cells show the defaults."""

import ast
from pathlib import Path

import nbformat
import pytest

from modspec.workflow.parameters import STAGES, ResultsParameters

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ("calibration", "search", "finetuning", "influence", "figures")
MODELS = {f"{number:02}": STAGES[name] for number, name in enumerate(NAMES)} | {"05": ResultsParameters}
MODELS["06"] = STAGES["leave_one_out"]


def test_all_are_here() -> None:
    assert [n.name[:2] for n in NOTEBOOKS] == list(MODELS)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_stored_without_outputs(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, cell.source


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_one_parameters_cell_shows_every_default(file: Path) -> None:
    cells = nbformat.read(file, as_version=4).cells
    tagged = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    shown = {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(tagged[0].source).body
    }
    defaults = MODELS[file.name[:2]]()
    assert shown == {k: v for k, v in defaults.model_dump(mode="json").items()}


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_prose_first_provenance_last_and_no_definitions(file: Path) -> None:
    cells = nbformat.read(file, as_version=4).cells
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert "provenance" in cells[-1].source
    lines = [line for c in cells if c.cell_type == "code" for line in c.source.splitlines()]
    code = "\n".join(line for line in lines if not line.startswith("%"))
    assert not any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in ast.walk(ast.parse(code)))
