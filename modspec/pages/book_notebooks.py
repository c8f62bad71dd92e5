"""Executed notebooks as pages of the book: folded progress, alternative texts, names, links."""

import html
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FIGURE_NAME = re.compile(r"\.draw\(\w+, \"(\w+)\"|save_figure\(\"(\w+)\"|(?:^|\.)(\w+)\(")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # colours of a terminal


def as_page(notebook: NotebookNode, name: str, navigation: str, note: str = "") -> NotebookNode:
    """Return a copy of a notebook that reads as a page of the book.

    Args:
        notebook: executed or not.
        name: of study, condition and seed, which the title gets where it lacks it; may be empty.
        navigation: Markdown, shown below the title; may be empty.
        note: Markdown, what a reader must know of this notebook; may be empty.
    """
    page = nbformat.from_dict(notebook)
    page.metadata = {**page.metadata, "orphan": True}
    heading = "notebook"
    for cell in page.cells:
        if cell.cell_type == "markdown":
            heading = (HEADING.findall(cell.source) or [heading])[-1]
            continue
        if cell.cell_type != "code":
            continue
        if "parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
        cell.metadata["mystnb"] = {"image": {"alt": alternative_text(heading, cell.source)}}
        cell.outputs = folded(cell.outputs)
    if page.cells and page.cells[0].cell_type == "markdown":
        first, *others = page.cells
        title, _, rest = first.source.partition("\n")
        if name and name.partition(",")[0] not in title:
            title = f"{title} ({name})"
        first.source = "\n\n".join(filter(None, (title, navigation, note, rest.strip())))
        page.cells = [first, *others]
    return page


def has_code_of(executed: NotebookNode, template: NotebookNode) -> bool:
    """Return whether a notebook was executed from a template's code as it is now, parameters aside."""

    def code(notebook: NotebookNode) -> list[str]:
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return [
            c.source
            for c in cells
            if not {"parameters", "injected-parameters"} & {*c.metadata.get("tags", [])}
        ]

    return code(executed) == code(template)


def folded(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return a cell's outputs with its lines of progress in one box that a reader can open, at the top."""
    streams = [output for output in outputs if output.output_type == "stream"]
    text = CONTROL.sub("", "".join(output.text for output in streams)).strip()
    others = [output for output in outputs if output.output_type != "stream"]
    if not text:
        return others
    lines = len(text.splitlines())
    summary = f"Printed while it ran: {lines} line{'s' if lines > 1 else ''}"
    box = f"<details><summary>{summary}</summary><pre>{html.escape(text)}</pre></details>"
    return [v4.new_output("display_data", {"text/html": box}), *others]


def alternative_text(heading: str, source: str) -> str:
    """Return a figure's alternative text: its section's heading, and its name in the cell that drew it."""
    found = FIGURE_NAME.search(source)
    name = next(filter(None, found.groups()), "") if found else ""
    plain = re.sub(r"[`*$\\]", "", heading)
    return f"Figure {name.replace('_', ' ')}: {plain}" if name else f"Figure: {plain}"


def sections(notebook: Path) -> dict[str, tuple[str, str]]:
    """Return, for each figure that a notebook draws, heading and text (Markdown) of its section."""
    found, heading, text = {}, "", ""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            heading = (HEADING.findall(cell.source) or [heading])[-1]
            text = HEADING.sub("", cell.source).strip()
        elif drawn := re.search(r"\.draw\(\w+, \"(\w+)\"", cell.source):
            found[drawn[1]] = heading, text
    return found
