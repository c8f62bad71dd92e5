"""Tidy an executed notebook: progress bars at their last state, no paths of a machine.

papermill stores every refresh of a progress bar, and warnings name files by their full path.
"""

import os
import re
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from modspec.files import write_whole
from modspec.workflow.paths import project_root

# A carriage return at the end of a line moves a terminal's cursor and shows nothing.
NOT_SHOWN = re.compile(r"\r+$", re.MULTILINE)


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


def keep_tidied(raw: Path, target: Path) -> None:
    """Write the tidied notebook to ``target``, whole or not at all, and remove ``raw``."""
    write_whole(target, nbformat.writes(tidy(nbformat.read(raw, as_version=4))) + "\n")
    raw.unlink()
