"""Every figure and the CSV beside it.

A figure function (in ``modspec.figures.masks`` and the other modules named ``…plots``) draws its frame's
rows and touches no file. :func:`save` writes the frame as CSV and draws what a reader of that CSV gets, so
that ``python -m modspec.figures.save figures`` (seconds, no torch) draws the same bytes again.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure

from modspec.errors import InputError

# Importing these registers their figures.
from modspec.figures.frames import read
from modspec.figures.style import FIGURES, STYLE
from modspec.workflow.provenance import redrawn


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(content)
    os.replace(partial, path)


def _draw(csv: bytes, path: Path) -> tuple[Figure, dict[str, bytes]]:
    """The figure of a CSV, and its files' bytes by suffix: the same bytes every time."""
    fig = FIGURES[path.stem](read(csv, str(path)))
    undated = {"pdf": ["Creator", "Producer", "CreationDate"], "png": ["Software"]}
    files = {}
    with matplotlib.style.context(["default", STYLE]):
        for kind, fields in undated.items():
            buffer = io.BytesIO()
            fig.savefig(buffer, format=kind, dpi=200, metadata=dict.fromkeys(fields))
            files[f".{kind}"] = buffer.getvalue()
    return fig, files


def save(name: str, frame: pd.DataFrame, directory: str | Path) -> Figure:
    """Write ``<name>.csv``, ``.pdf`` and ``.png``; return the figure, which is drawn from that CSV.

    Raises ``InputError`` before any file is written.
    """
    if name not in FIGURES:
        raise InputError(f"name: {name!r} is no figure; allowed: {', '.join(FIGURES)}")
    path = Path(directory) / f"{name}.csv"
    csv = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    fig, files = _draw(csv, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in {".csv": csv, **files}.items():
        _write(path.with_suffix(suffix), content)
    return fig


def redraw(directory: str | Path) -> list[Path]:
    """Draw every figure whose CSV lies in ``directory``, at any depth; return the files written.

    Of figures that look otherwise than before, a ``provenance.json`` beside them says so.
    """
    sources = sorted(path for name in FIGURES for path in Path(directory).rglob(f"{name}.csv"))
    if not sources:
        raise InputError(f"directory: {directory} holds none of {', '.join(FIGURES)} (.csv)")
    written = []
    for path in sources:
        _, files = _draw(path.read_bytes(), path)
        for suffix, content in files.items():
            _write(path.with_suffix(suffix), content)
            written.append(path.with_suffix(suffix))
    for folder in {path.parent for path in sources}:
        redrawn(folder)
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m modspec.figures.save", description=redraw.__doc__.splitlines()[0]
    )
    parser.add_argument("directory", type=Path, help="for example: figures")
    try:
        for path in redraw(parser.parse_args(arguments).directory):
            print(path)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
