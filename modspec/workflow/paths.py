"""The places of files: the project, and the artefacts of a study."""

import os
from pathlib import Path

from modspec.workflow.parameters import Parameters


def project_root() -> Path:
    """Return the checkout, which relative paths start from, wherever a notebook was started."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "pyproject.toml").exists() and (folder / "modspec").is_dir():
            return folder
    return Path.cwd()


def path(value: str | Path) -> Path:
    """Return a path parameter as a path; a relative one starts from the project."""
    return project_root() / os.path.expanduser(value)


def search_dir(p: Parameters, seed: int) -> Path:
    """Return the place of stage 1's artefact: masks and trajectories of every language."""
    return path(p.study_dir) / "search" / f"seed{seed}"


def checkpoints_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Return the place of stage 2's large artefact: the weights, which only stage 3 needs."""
    return path(p.study_dir) / "checkpoints" / f"{condition}-seed{seed}"


def start_dir(p: Parameters, seed: int, origin: str) -> Path:
    """Return the place of the weights that stages 1 and 2 start from.

    Args:
        origin: fingerprint of everything that decides these weights.
    """
    return path(p.study_dir) / "checkpoints" / f"start-seed{seed}-{origin[:8]}"


def finetuning_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Return the place of stage 2's artefact: masks in force, accuracies, predictions."""
    return path(p.study_dir) / "finetuning" / f"{condition}-seed{seed}"


def scores_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Return the place of stage 3's large artefact: the scores, which stage 4 does not need."""
    return path(p.study_dir) / "scores" / f"{condition}-seed{seed}"


def influence_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Return the place of stage 3's artefact: tables made from the scores."""
    return path(p.study_dir) / "influence" / f"{condition}-seed{seed}"


def texts_dir(study: Path, data: str) -> Path:
    """Return the place of the texts that a study's pages show.

    Args:
        study: directory of the study's artefacts, by stage.
        data: fingerprint of the data.
    """
    return study / "texts" / data[:8]


def leave_one_out_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Return the place of notebook 06's artefact: margins of classifiers trained without a language."""
    return path(p.study_dir) / "leave_one_out" / f"{condition}-seed{seed}"


def pieces_dir(directory: Path) -> Path:
    """Return the place of an unfinished artefact's finished pieces, from which a killed stage resumes."""
    return directory.with_name(directory.name + ".pieces")


def training_checkpoint_file(progress: float) -> str:
    """Return the file name of the checkpoint after a share of training, above 0, at most 1."""
    return f"progress{progress:.3f}.safetensors"


def checkpoint_file(epoch: int) -> str:
    """Return the file name of an epoch's checkpoint; epochs count from 1."""
    return f"epoch{epoch:02d}.safetensors"
