"""The index of the executed notebooks: study, stage, condition, seed and minutes, with links."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from modspec.terms import CONDITIONS, LABELS
from modspec.workflow import provenance

NAME = re.compile(r"(?P<template>\d\d_\w+?)(?:-(?P<condition>[a-z]\w*))??(?:-seed(?P<seed>\d+))?")
# Notebook -> its stage in a study's record of costs.
STAGE_OF = {
    "01_subnetwork_search": "search",
    "02_finetuning": "finetuning",
    "03_influence_scoring": "influence",
    "06_leave_one_out": "leave_one_out",
}
FIGURES = "04_figures"
RESULTS = "05_results"


@dataclass(frozen=True)
class Executed:
    """An executed notebook, as its file name describes it."""

    file: Path
    template: str  # stem of the notebook that was executed
    condition: str = ""  # empty where a notebook is about all conditions, or about none
    seed: int | None = None

    @property
    def what(self) -> str:
        """Return condition and seed for readers; empty for a notebook about a whole study."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        return ", ".join(filter(None, (LABELS["condition"].get(self.condition, self.condition), seed)))


def executed(folder: Path) -> list[Executed]:
    """Return the notebooks of a folder, in the order stage, condition, seed."""
    notebooks = []
    for file in folder.glob("*.ipynb"):
        if name := NAME.fullmatch(file.stem):
            seed = name["seed"] and int(name["seed"])
            notebooks.append(Executed(file, name["template"], name["condition"] or "", seed))
    known = {condition: place for place, condition in enumerate(CONDITIONS)}
    return sorted(
        notebooks, key=lambda n: (n.template, known.get(n.condition, len(known)), n.condition, n.seed or 0)
    )


def title(template: Path) -> str:
    """Return the title of a notebook: its first heading, without the mark."""
    return _opening(template).partition("\n")[0].removeprefix("# ")


def purpose(template: Path) -> str:
    """Return the question that a notebook opens with, on one line; empty where it asks none."""
    asked = re.search(r"\*\*Question\.\*\* (.*?)(?:\n\n|$)", _opening(template), re.DOTALL)
    return " ".join(asked[1].split()) if asked else ""


def templates(folder: Path) -> list[Path]:
    """Return the notebooks that are executed for every study."""
    return sorted(file for file in folder.glob("*.ipynb") if NAME.fullmatch(file.stem))


def template_table(folder: Path) -> pd.DataFrame:
    """Return a row per notebook of ``folder``: its title, with a link, and its question."""
    found = templates(folder)
    index = [f"[{title(file)}]({file.name})" for file in found]
    return pd.DataFrame({"question": [purpose(file) for file in found]}, index=index)


def index_table(
    notebooks: Sequence[Executed], record: dict[str, Any], templates: Path, link: str
) -> pd.DataFrame:
    """Return a row per notebook and condition of a study: links to its seeds, and minutes.

    Args:
        notebooks: of :func:`executed`.
        record: ``provenance.json`` of the study's figures; may be empty.
        templates: the folder of the notebooks that were executed.
        link: what stands before a notebook's file name in a link.

    Returns:
        Columns: seeds, minutes per notebook (mean of its stage). All of it is text.
    """
    rows: dict[str, dict[str, str]] = {}
    for notebook in notebooks:
        template = templates / f"{notebook.template}.ipynb"
        condition = LABELS["condition"].get(notebook.condition, notebook.condition)
        name = title(template if template.exists() else notebook.file)
        name += f" ({condition})" if condition else ""
        row = rows.setdefault(name, {"seeds": "", "minutes each": minutes(record, notebook.template)})
        shown = "all" if notebook.seed is None else str(notebook.seed)
        row["seeds"] = " ".join(filter(None, (row["seeds"], f"[{shown}]({link}{notebook.file.name})")))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["seeds", "minutes each"], dtype=str)


def minutes(record: dict[str, Any], template: str) -> str:
    """Return the mean minutes of a notebook by a study's record; a dash where nothing is recorded."""
    stage = record.get("stages", {}).get(STAGE_OF.get(template, ""))
    if stage:
        return f"{stage['wall_seconds'] / stage['runs'] / 60:.1f}"
    if template in (FIGURES, RESULTS) and "provenance" in record:
        return f"{record['provenance']['wall_seconds'] / 60:.1f}"
    return "–"


def whole_index(root: Path, studies: Iterable[str]) -> pd.DataFrame:
    """Return :func:`index_table` of all published studies, with links from ``notebooks/``."""
    tables = []
    for study in studies:
        table = index_table(
            executed(root / "notebooks" / "executed" / study),
            provenance.read(root / "figures" / study),
            root / "notebooks",
            f"executed/{study}/",
        )
        tables.append(table.set_index(f"`{study}`, " + table.index))
    return pd.concat(tables)


def _opening(notebook: Path) -> str:
    """Return the text of a notebook's first cell."""
    cells = nbformat.read(notebook, as_version=4).cells
    return cells[0].source if cells else ""
