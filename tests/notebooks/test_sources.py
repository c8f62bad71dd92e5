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
MODELS |= {"06": STAGES["leave_one_out"], "07": STAGES["exploration"]}


def tree(cell: nbformat.NotebookNode) -> ast.Module:
    """The code of a cell, without magics; nothing of a cell of prose."""
    lines = cell.source.splitlines() if cell.cell_type == "code" else []
    return ast.parse("\n".join(line for line in lines if not line.startswith("%")))


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
    nodes = [node for cell in cells for node in ast.walk(tree(cell))]
    assert not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in nodes)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_where_a_text_is_shown_its_pair_is_too(file: Path) -> None:
    for cell in nbformat.read(file, as_version=4).cells:
        constants = {n.value for n in ast.walk(tree(cell)) if isinstance(n, ast.Constant)}
        assert "text" not in constants or "text_pair" in constants, cell.source


def test_the_table_of_proponents_is_not_rounded_again() -> None:
    """Its scores are text in a unit that fits them: rounded to decimals, they would all be 0."""
    cells = nbformat.read(ROOT / "notebooks" / "03_influence_scoring.ipynb", as_version=4).cells
    (last,) = [c.source for c in cells if "strongest_proponents(" in c.source]
    assert last == "None if p.blind else strongest_proponents(material, p, count=3)"
