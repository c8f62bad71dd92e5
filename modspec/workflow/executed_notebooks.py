"""Tidy an executed notebook: progress bars at their last state, no paths of a machine, links that lead on.

papermill stores every refresh of a progress bar, and warnings name files by their full path. Prose links to
files as they lie beside the notebook that was executed, which is in another folder.
"""

import os
import re
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from modspec.output.files import write_whole
from modspec.workflow.paths import project_root

# A carriage return at the end of a line moves a terminal's cursor and shows nothing.
NOT_SHOWN = re.compile(r"\r+$", re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#]+)")  # in Markdown, to a file of the repository


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Merge each cell's adjacent pieces of one stream into what a terminal shows in the end.

    Paths in the project become relative to it. The notebook is changed in place, and returned.
    """
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    for cell in notebook.cells:
        streams = [output for output in cell.get("outputs", []) if output.output_type == "stream"]
        for stream in streams:
            stream.text = NOT_SHOWN.sub("", stream.text).replace(f"{project_root()}{os.sep}", "")
        if streams:
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]
    return notebook


def with_links(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Return the notebook, with links in its prose leading from ``folder`` to where they led before.

    Before, it lay in ``notebooks/``. A study's notebooks in ``runs/`` and the published ones are equally
    deep, so links stay right when they are published.
    """
    source = project_root() / "notebooks"

    def moved(link: re.Match[str]) -> str:
        return "](" + Path(os.path.relpath(source / link[1], folder.absolute())).as_posix()

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(moved, cell.source)
    return notebook


def keep_tidied(raw: Path, target: Path) -> None:
    """Write the tidied notebook to ``target``, whole or not at all, and remove ``raw``."""
    notebook = with_links(tidy(nbformat.read(raw, as_version=4)), target.parent)
    write_whole(target, nbformat.writes(notebook) + "\n")
    raw.unlink()
