"""Where everything lies: the project, and the artefacts of a study."""

from __future__ import annotations

from pathlib import Path

from modspec.workflow.parameters import Parameters


def project_root() -> Path:
    """The checkout that relative paths are relative to, wherever a notebook was started."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "pyproject.toml").exists() and (folder / "modspec").is_dir():
            return folder
    return Path.cwd()


def path(value: str | Path) -> Path:
    """A path parameter, relative to the project."""
    return project_root() / Path(value).expanduser()


def search_dir(p: Parameters, seed: int) -> Path:
    """Stage 1's artefact: masks and trajectories of every language."""
    return path(p.study_dir) / "search" / f"seed{seed}"


def checkpoints_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Stage 2's large artefact: the weights, which only stage 3 needs."""
    return path(p.study_dir) / "checkpoints" / f"{condition}-seed{seed}"


def start_dir(p: Parameters, seed: int, origin: str) -> Path:
    """Weights that stages 1 and 2 start from; ``origin``: the fingerprint of what they are made from."""
    return path(p.study_dir) / "checkpoints" / f"start-seed{seed}-{origin[:8]}"


def finetuning_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Stage 2's artefact: masks in force, accuracies, predictions."""
    return path(p.study_dir) / "finetuning" / f"{condition}-seed{seed}"


def scores_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Stage 3's large artefact: scores as they were computed, which stage 4 does without."""
    return path(p.study_dir) / "scores" / f"{condition}-seed{seed}"


def influence_dir(p: Parameters, condition: str, seed: int) -> Path:
    """Stage 3's artefact: what scores say, in tables."""
    return path(p.study_dir) / "influence" / f"{condition}-seed{seed}"


def pieces_dir(directory: Path) -> Path:
    """Finished pieces of an unfinished artefact, from which a killed stage resumes."""
    return directory.with_name(directory.name + ".pieces")


def checkpoint_file(epoch: int) -> str:
    """File name of an epoch's checkpoint."""
    return f"epoch{epoch:02d}.safetensors"
