"""Progress bars end as one line, and nothing else of an executed notebook is touched."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from modspec.workflow.executed_notebooks import keep_tidied, tidy, with_links
from modspec.workflow.paths import project_root


def shown(*texts: str) -> str:
    """Return the text that remains of pieces of one stream."""
    outputs = [new_output("stream", name="stderr", text=text) for text in texts]
    (output,) = tidy(new_notebook(cells=[new_code_cell("1", outputs=outputs)])).cells[0].outputs
    return output.text


def test_a_line_shows_what_follows_its_last_carriage_return() -> None:
    assert shown("a\r  0%\r 50%\r100%\nnext\r\n\rdone\r") == "100%\nnext\ndone"
    assert shown("\r  0%", "\r 50", "%\r", "100%\n") == "100%\n"
    assert shown("no bars\n") == "no bars\n"


def test_files_are_named_by_their_place_in_the_project() -> None:
    file = project_root() / ".venv" / "lib" / "module.py"
    assert shown(f"{file}:21: Warning: look\n") == ".venv/lib/module.py:21: Warning: look\n"


def test_a_notebook_is_tidied_and_moved(tmp_path: Path) -> None:
    bar = [new_output("stream", name="stderr", text=f"\r{i}%") for i in (0, 50, 100)]
    table = new_output("display_data", data={"text/plain": "table"})
    said = new_output("stream", name="stdout", text="said\n")
    outputs = [said, *bar, new_output("stream", name="stderr", text="\n"), said, table, said]
    cells = [new_markdown_cell("text"), new_code_cell("1", outputs=outputs, execution_count=1)]
    raw, tidied = tmp_path / "raw.ipynb", tmp_path / "tidy.ipynb"
    nbformat.write(new_notebook(cells=cells), raw)
    keep_tidied(raw, tidied)
    kept = nbformat.read(tidied, as_version=4).cells[1].outputs
    texts = [o.get("text") or o.data["text/plain"] for o in kept]
    assert texts == ["said\n", "100%\n", "said\n", "table", "said\n"]
    assert [p.name for p in tmp_path.iterdir()] == ["tidy.ipynb"]


def test_links_lead_from_the_executed_notebook_to_where_they_led_from_its_source() -> None:
    prose = "[a](../docs/methods.md#glossary) [b](00_calibration.ipynb) [c](https://x.org) [d](#here) $[e](f$"
    folder = project_root() / "runs" / "mine" / "notebooks"
    notebook = new_notebook(cells=[new_markdown_cell(prose), new_code_cell("x = '[a](b)'")])
    moved, code = with_links(notebook, folder).cells
    assert moved.source.startswith(
        "[a](../../../docs/methods.md#glossary) [b](../../../notebooks/00_calibration.ipynb) "
        "[c](https://x.org) [d](#here)"
    )
    assert code.source == "x = '[a](b)'"
    for link in ("../../../docs/methods.md", "../../../notebooks/00_calibration.ipynb"):
        assert (folder / link).resolve().exists()
