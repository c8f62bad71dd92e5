"""What made a published figure, and how to make it again: ``make reproduce FIGURE=xnli-v1/questions``."""

import argparse
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from modspec.errors import InputError
from modspec.workflow import provenance
from modspec.workflow.paths import path

# Folder of figures, or folder and figure -> the notebook, "" for none, and the command that make its table.
# A study's own folder has notebook 04.
MAKERS = {
    "exploration": ("07_exploration", "make study PRESET={study}"),
    "calibration": ("00_calibration", "make calibration PRESET={study}"),
    "results": ("05_results", "make results"),
    "results/verdict_rates": ("", ".venv/bin/python -m modspec.calibration.verdict_rates"),
    "benchmark": ("", "make benchmark"),
}
STUDY = ("04_figures", "make study PRESET={study}")
# The published studies of tasks read files; without them `make study` runs another study, on data of the hub.
OF_FILES = ".venv/bin/snakemake --cores 2 --config preset={study} data_dir=DIRECTORY"


def origin(figure: str) -> str:
    """Return which table, notebook, commit and command made a published figure, one line each.

    Args:
        figure: study and name, as ``xnli-v1/questions``; folders between them may be left out.

    Raises:
        InputError: no such figure is published.
    """
    published = {name: file for file in _published() for name in _names(file)}
    if figure not in published:
        close = difflib.get_close_matches(figure, published, n=3) or sorted(published)[:3]
        raise InputError(f"FIGURE: {figure!r} is not published; allowed, for example: {', '.join(close)}")
    file = published[figure]
    study, *folders, _ = file.relative_to(path("figures")).parts
    folder = [study, *folders][-1]
    notebook, command = MAKERS.get(f"{folder}/{file.stem}") or MAKERS.get(folder, STUDY)
    content = provenance.read(file.parent)
    made_by = {} if not notebook else content.get("provenance", {})
    commit = made_by.get("commit", "not recorded")
    lines = {"figure": _short(file), "drawn from": _short(file.with_suffix(".csv"))}
    if notebook:
        executed = Path(f"notebooks/executed/{study}/{notebook}.ipynb")
        if not path(executed).exists():  # published before exploration had a notebook of its own
            executed = executed.with_name(f"{STUDY[0]}.ipynb")
        lines |= {"by notebook": f"notebooks/{executed.name}", "executed": executed.as_posix()}
    lines["at commit"] = commit
    if "redrawn" in content:
        lines["drawn again at"] = content["redrawn"]["commit"]
    is_of_study, of_study = command == STUDY[1], file.parents[len(folders)]
    stages = provenance.read(of_study).get("stages", {})
    if is_of_study and stages.get("search", {}).get("parameters", {}).get("task", "intents") != "intents":
        command = OF_FILES
    lines["make it again"] = command.format(study=study)
    if is_of_study and (of_study / "artefacts").is_dir():
        lines["from published artefacts"] = f"make restore PRESET={study}, then {command.format(study=study)}"
    if command == OF_FILES:
        lines["DIRECTORY"] = "of the files in docs/data.sha256, see docs/cards.md"
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
    parser.add_argument("figure", help="study and name, for example: xnli-v1/questions")
    try:
        print(origin(parser.parse_args(arguments).figure))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
