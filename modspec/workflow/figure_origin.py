"""What made a published figure, and how to make it again: ``make reproduce FIGURE=xnli/questions``."""

import argparse
import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from modspec.errors import InputError
from modspec.workflow.paths import path

# Folder of figures -> its notebook; a study's own folder has notebook 04.
NOTEBOOKS = {"exploration": "07_exploration", "calibration": "00_calibration", "results": "05_results"}
COMMANDS = {"00_calibration": "make calibration PRESET={study}", "05_results": "make results"}
STUDY = "make study PRESET={study}"


def origin(figure: str) -> str:
    """Return which table, notebook, commit and command made a published figure, one line each.

    Args:
        figure: study and name, as ``xnli/questions``; folders between them may be left out.

    Raises:
        InputError: no such figure is published.
    """
    published = {name: file for file in _published() for name in _names(file)}
    if figure not in published:
        close = difflib.get_close_matches(figure, published, n=3) or sorted(published)[:3]
        raise InputError(f"FIGURE: {figure!r} is not published; allowed, for example: {', '.join(close)}")
    file = published[figure]
    study, *folders, _ = file.relative_to(path("figures")).parts
    notebook = NOTEBOOKS.get([study, *folders][-1], "04_figures")
    record = file.with_name("provenance.json")
    content = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    commit = content.get("provenance", {}).get("commit", "not recorded")
    lines = {
        "figure": _short(file),
        "drawn from": _short(file.with_suffix(".csv")),
        "by notebook": f"notebooks/{notebook}.ipynb",
        "executed": f"notebooks/executed/{study}/{notebook}.ipynb",
        "at commit": commit,
    }
    if "redrawn" in content:
        lines["drawn again at"] = content["redrawn"]["commit"]
    lines["make it again"] = COMMANDS.get(notebook, STUDY).format(study=study)
    if notebook in ("04_figures", "07_exploration") and (file.parents[len(folders)] / "artefacts").is_dir():
        lines["from published artefacts"] = f"make restore PRESET={study}, then {STUDY.format(study=study)}"
    lines["draw it from its table"] = "make figures"
    return "\n".join(f"{name + ':':<26}{value}" for name, value in lines.items())


def _published() -> Iterator[Path]:
    yield from sorted(file for file in path("figures").rglob("*.png") if file.with_suffix(".csv").exists())


def _names(file: Path) -> Iterator[str]:
    """Yield the names of a figure: with its folders, and without those between study and name."""
    parts = file.relative_to(path("figures")).with_suffix("").parts
    yield "/".join(parts)
    yield f"{parts[0]}/{parts[-1]}"


def _short(file: Path) -> str:
    return file.relative_to(path(".")).as_posix()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the origin of the figure that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m modspec.workflow.figure_origin")
    parser.add_argument("figure", help="study and name, for example: xnli/questions")
    try:
        print(origin(parser.parse_args(arguments).figure))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
