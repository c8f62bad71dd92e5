"""Every figure and the CSV beside it.

A figure is a function of this folder with the decorator :func:`modspec.figures.style.figure`. Its name is
also the name of its CSV. The function draws its table and touches no file. :func:`save_figure` writes the
table as CSV and draws what a reader of that CSV gets, so that ``python -m modspec.figures.save figures``
(seconds, no torch) draws the same bytes again.
"""

import argparse
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.figures.frames import read
from modspec.figures.style import DOUBLE, FIGURES, SINGLE, STYLE
from modspec.output.files import write_whole
from modspec.workflow.provenance import redrawn

# Kind of file -> fields of its metadata that are left out, because they differ from machine to machine.
UNDATED = {"pdf": ("Creator", "Producer", "CreationDate"), "png": ("Software",)}
WIDTHS = {"column": SINGLE, "page": DOUBLE}  # as the command line names them, of an ACL paper

for _module in sorted(Path(__file__).parent.glob("*.py")):
    if _module.stem not in ("__init__", "save"):
        importlib.import_module(f"modspec.figures.{_module.stem}")  # fills FIGURES


def save_figure(name: str, frame: pd.DataFrame, directory: str | Path) -> Figure:
    """Write ``<name>.csv``, ``.pdf`` and ``.png`` into ``directory``, and return the figure.

    Raises:
        InputError: there is no figure of this name, or it cannot show ``frame``; no file is written.
    """
    fig, files = _drawn(_csv(frame), Path(directory) / f"{name}.csv")
    save_table(name, frame, directory)
    _write(files)
    return fig


def as_png(name: str, frame: pd.DataFrame) -> bytes:
    """Return what :func:`save_figure` would write as ``<name>.png``, and write nothing.

    Raises:
        InputError: as :func:`save_figure`.
    """
    path = Path(f"{name}.csv")
    return _drawn(_csv(frame), path, ("png",))[1][path.with_suffix(".png")]


def save_table(name: str, frame: pd.DataFrame, directory: str | Path) -> pd.DataFrame:
    """Write ``<name>.csv`` into ``directory``, as :func:`save_figure` does, and return ``frame``."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    write_whole(Path(directory) / f"{name}.csv", _csv(frame))
    return frame


def draw(tables: Mapping[str, pd.DataFrame], name: str, directory: str | Path) -> Figure | None:
    """Save one of a study's tables and its figure; where the table is empty, print why and return None.

    Args:
        tables: see :func:`modspec.analysis.study_tables.tables`.
        name: of one of ``tables``.
        directory: where the files go.
    """
    if tables[name].empty:
        print(f"{name}: not in this study, which has too few languages, seeds, conditions or masks for it")
        return None
    return save_figure(name, tables[name], directory)


def redraw(directory: str | Path, to: str | Path | None = None, **look: Any) -> list[Path]:
    """Draw every figure whose CSV lies in ``directory``, at any depth, and return the files written.

    Where figures look different than before, a ``provenance.json`` beside them says so.

    Args:
        directory: of CSVs, which figures are written beside.
        to: another directory for the figures, in folders as in ``directory``; None: beside their CSVs.
        look: ``width``, inches, and ``serif``, see :func:`modspec.figures.style.figure`.

    Raises:
        InputError: there is no CSV of a figure, or a figure cannot show its CSV.
    """
    sources = sorted(path for name in FIGURES for path in Path(directory).rglob(f"{name}.csv"))
    if not sources:
        raise InputError(f"directory: {directory} holds none of {', '.join(sorted(FIGURES))} (.csv)")
    written = []
    for path in sources:
        target = path if to is None else Path(to) / path.relative_to(directory)
        target.parent.mkdir(parents=True, exist_ok=True)
        written += _write(_drawn(path.read_bytes(), target, **look)[1])
    for folder in {path.parent for path in sources} if to is None else ():
        redrawn(folder)
    return written


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def _drawn(
    csv: bytes, path: Path, kinds: Sequence[str] = tuple(UNDATED), **look: Any
) -> tuple[Figure, dict[Path, bytes]]:
    """Return the figure of a CSV, and the bytes of its files beside ``path``, the same every time."""
    if path.stem not in FIGURES:
        raise InputError(f"name: {path.stem!r} is no figure; allowed: {', '.join(sorted(FIGURES))}")
    fig = FIGURES[path.stem](read(csv, str(path)), **look)
    files = {}
    with matplotlib.style.context(["default", STYLE]):
        for kind in kinds:
            buffer = io.BytesIO()
            fig.savefig(buffer, format=kind, dpi=200, metadata=dict.fromkeys(UNDATED[kind]))
            files[path.with_suffix(f".{kind}")] = buffer.getvalue()
    return fig, files


def _write(files: Mapping[Path, bytes]) -> list[Path]:
    """Write ``files`` and return their paths."""
    for path, content in files.items():
        write_whole(path, content)
    return list(files)


def _inches(width: str) -> float | None:
    """Return a width that the command line names in inches; None where it names none."""
    if not width or width in WIDTHS:
        return WIDTHS.get(width)
    try:
        inches = float(width)
    except ValueError:
        inches = 0.0
    if not 1 <= inches <= 40:
        raise InputError(f"width: {width!r}; allowed: column, page, or inches from 1 to 40")
    return inches


def _is_serif(style: str) -> bool:
    """Return whether a style that the command line names has serifs."""
    if style not in ("", "acl"):
        raise InputError(f"style: {style!r}; allowed: acl, or none")
    return style == "acl"


def main(arguments: Sequence[str] | None = None) -> None:
    """Redraw the figures of the folder that the command line names."""
    summary = redraw.__doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m modspec.figures.save", description=summary)
    parser.add_argument("directory", type=Path, help="for example: figures")
    parser.add_argument("--to", type=Path, help="another directory for the figures")
    parser.add_argument(
        "--width", default="", help="column or page of an ACL paper, or inches; default: each its own"
    )
    parser.add_argument("--style", default="", help="acl: text that looks like Times")
    given = parser.parse_args(arguments)
    try:
        look = {"width": _inches(given.width), "serif": _is_serif(given.style)}
        for path in redraw(given.directory, given.to, **look):
            print(path)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
