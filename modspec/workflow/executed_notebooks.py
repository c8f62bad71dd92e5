"""Executed notebooks as a reader wants them: progress bars at their last state, no paths of a machine.

papermill stores every refresh of a bar, and warnings name files by where they lie.
``python -m modspec.workflow.executed_notebooks RAW TIDY`` is how the workflow puts an executed notebook
in its place, whole or not at all.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat

from modspec.workflow.paths import project_root

# tqdm's advice to install widgets, which a stored notebook could not show; and the line that it quotes.
NO_WIDGETS = re.compile(r"^.*TqdmWarning: IProgress not found.*\n(?:  .*\n)?", re.MULTILINE)


def settled(text: str) -> str:
    """What a terminal shows in the end: of each line, what follows its last carriage return.

    Paths in the project are shown relative to it, and that there are no widgets is not said.
    """
    text = NO_WIDGETS.sub("", text)
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return "\n".join(lines).replace(f"{project_root()}{os.sep}", "")


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Merge each cell's adjacent pieces of one stream and settle them; in place, and returned."""
    for cell in notebook.cells:
        outputs: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            last = outputs[-1] if outputs else None
            if last and output.output_type == last.output_type == "stream" and output.name == last.name:
                last.text += output.text
            else:
                outputs.append(output)
        for output in outputs:
            if output.output_type == "stream":
                output.text = settled(output.text)
        if cell.cell_type == "code":
            cell.outputs = [o for o in outputs if o.output_type != "stream" or o.text]
    return notebook


def main(raw: str, tidied: str) -> None:
    """Read ``raw``, write ``tidied`` atomically, remove ``raw``."""
    part = Path(f"{tidied}.part")
    nbformat.write(tidy(nbformat.read(raw, as_version=4)), part)
    os.replace(part, tidied)
    os.remove(raw)


if __name__ == "__main__":
    main(*sys.argv[1:])
