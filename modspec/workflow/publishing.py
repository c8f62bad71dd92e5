"""Copy what a study found between ``runs/`` and the repository.

    python -m modspec.workflow.publishing publish STUDY
    python -m modspec.workflow.publishing restore STUDY

Every source is checked before anything is copied. Every directory is then replaced whole or not at all: what
was published stays until the new one is in place. After a kill, the same command does the rest.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from modspec.errors import InputError, quoted
from modspec.output.files import put_back, whole_directory, write_whole
from modspec.workflow.artifacts import MANIFEST, copy_without, describe, finished, read_manifest
from modspec.workflow.paths import path

# What is published: artefacts of the stages, without weights and scores, which are large, and pages' texts.
PUBLISHED = ("search", "finetuning", "influence", "leave_one_out", "texts")
# Published for the study's first seed alone: it is as large as all else that is published of a run.
OF_FIRST_SEED = "strongest_examples.parquet"
PROVENANCE = "provenance.json"
# Folder of figures -> the notebook that makes it.
FOLDERS = {"calibration": "00_calibration.ipynb", "exploration": "07_exploration.ipynb"}


def publish(study: str) -> list[Path]:
    """Copy a study's tables, figures and executed notebooks from ``runs/`` into the repository.

    Of an unfinished study, what is finished is published: complete figures, artefacts and notebooks. What the
    run lacks stays as it was published. What the run has replaces what was published: a stage's artefacts
    replace all artefacts of that stage, the figures all figures.

    Args:
        study: name of the study, which is the name of its folders.

    Returns:
        The directories that were written.

    Raises:
        InputError: there is no such run, or something in it is truncated or altered; nothing was written.
    """
    run, published, executed = _places(study)
    artefacts = {stage: _artefacts(run / stage) for stage in PUBLISHED}
    first = min(map(_seed, artefacts["influence"]), default=0)
    notebooks = _notebooks(run / "notebooks", "*.ipynb")
    figures = _figures(run / "figures")
    executed_names = {notebook.name for notebook in notebooks}
    folders = [
        run / "figures" / folder
        for folder, notebook in FOLDERS.items()
        if notebook in executed_names and (run / "figures" / folder).is_dir()
    ]
    if not (notebooks or figures or any(artefacts.values())):
        raise InputError(f"study: {study}; allowed: a study with finished results, and {run} has none")

    with whole_directory(executed) as building:
        if executed.exists():
            shutil.copytree(executed, building, dirs_exist_ok=True)
        for notebook in notebooks:
            shutil.copy(notebook, building)
    with whole_directory(published) as building:
        if published.exists():
            shutil.copytree(published, building, dirs_exist_ok=True)
        if figures:
            for file in [file for file in building.iterdir() if file.is_file()]:
                file.unlink()
            for file in figures:
                shutil.copy(file, building)
        for folder in folders:
            shutil.rmtree(building / folder.name, ignore_errors=True)
            shutil.copytree(folder, building / folder.name)
        for stage, directories in artefacts.items():
            place = building / "artefacts" / stage
            if directories and place.exists():
                for gone in sorted({old.name for old in place.iterdir()} - {new.name for new in directories}):
                    print(f"no longer published, because {run / stage} lacks it: {stage}/{gone}")
                shutil.rmtree(place)
            for directory in directories:
                is_later = stage == "influence" and _seed(directory) > first
                copy_without(directory, place / directory.name, [OF_FIRST_SEED] if is_later else [])
    return [executed, published]


def restore(study: str) -> list[Path]:
    """Copy published artefacts and notebooks into ``runs/``, to continue without weights and scores.

    Notebooks are written in the order of the stages and after the artefacts: what a notebook depends on must
    not be newer than the notebook, else Snakemake runs it again.

    Args:
        study: name of the study, which is the name of its folders.

    Returns:
        The directories of artefacts that were written; those that are there already are left alone.

    Raises:
        InputError: nothing is published, something published is truncated or altered, or the run has other
            results, which would be lost; nothing was written.
    """
    run, published, executed = _places(study)
    sources = [source for stage in PUBLISHED for source in _artefacts(published / "artefacts" / stage)]
    if not sources:
        raise InputError(f"study: {study}; allowed: a published one, and {published}/artefacts has nothing")
    notebooks = _notebooks(executed, "0[1236]_*.ipynb")
    missing = []
    for source in sources:
        target = run / source.parent.name / source.name
        put_back(target)
        if not (target / MANIFEST).exists():
            missing.append((source, target))
        elif read_manifest(target)["files"] != read_manifest(source)["files"]:
            raise InputError(
                f"{target}: has other results than {published.name}'s published ones; move or delete it first"
            )
    for source, target in missing:
        with whole_directory(target) as building:
            shutil.copytree(source, building, dirs_exist_ok=True)
    (run / "notebooks").mkdir(parents=True, exist_ok=True)
    for notebook in notebooks:
        write_whole(run / "notebooks" / notebook.name, notebook.read_bytes())
    return [target for _, target in missing]


def _places(study: str) -> tuple[Path, Path, Path]:
    """Return the directories of the run, of its published results and of its published notebooks.

    A published directory is put back first, if a process was killed while it put a new one in its place.
    """
    if Path(study).name != study or study.startswith("."):
        raise InputError(f"study: {quoted(study)}; allowed: the name of a folder in runs/ or figures/")
    published, executed = path(f"figures/{study}"), path(f"notebooks/executed/{study}")
    for place in (published, executed):
        put_back(place)
    return path(f"runs/{study}"), published, executed


def _artefacts(stage: Path) -> list[Path]:
    """Return the finished artefacts in a stage's directory, after checking their files."""
    directories = finished(stage)
    for directory in directories:
        read_manifest(directory)
    return directories


def _seed(run: Path) -> int:
    """Return the seed of an artefact of stage 3."""
    return read_manifest(run)["made_by"]["parameters"]["seed"]


def _notebooks(directory: Path, pattern: str) -> list[Path]:
    """Return notebooks in the order of their stages, after checking that they can be read."""
    notebooks = sorted(directory.glob(pattern))
    for notebook in notebooks:
        try:
            json.loads(notebook.read_bytes())["cells"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{notebook}: truncated or altered; delete it and run its stage again") from None
    return notebooks


def _figures(directory: Path) -> list[Path]:
    """Return the files of complete figures, after comparing them with the record of their checksums."""
    record = directory / PROVENANCE
    if not record.exists():
        return []
    remedy = f"delete {record} and run the study again"
    try:
        files = json.loads(record.read_bytes())["files"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{record}: truncated or altered; {remedy}") from None
    for name, described in files.items():
        file = directory / name
        if not file.exists() or describe(file) != described:
            raise InputError(f"{file}: missing, truncated or altered ({PROVENANCE} differs); {remedy}")
    return [*(directory / name for name in files), record]


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish or restore the study that the command line names."""
    actions = {"publish": publish, "restore": restore}
    parser = argparse.ArgumentParser(prog="python -m modspec.workflow.publishing")
    parser.add_argument("action", choices=actions)
    parser.add_argument("study", help="name of the study, for example: embedded")
    given = parser.parse_args(arguments)
    try:
        for directory in actions[given.action](given.study):
            print(directory)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
