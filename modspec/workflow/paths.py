"""Where a study keeps its artefacts, and how masks are stored. Reading them needs no torch."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from modspec.workflow.parameters import Parameters, path

Masks = dict[str, np.ndarray]

_DATA = ("data/tasks", "data/intents", "data/local_files", "data/hub_datasets", "data/examples")
_ENCODER = (
    "models/encoders",
    "models/e5_small",
    "models/charsmap",
    "models/tiny",
    "data/vocabulary",
    "models/device_and_precision",
)
_MODEL = ("models/head_masking", "models/finetuning", "stages/material", "workflow/paths")
_PLOTS = (
    "figures/save",
    "figures/masks",
    "figures/shares",
    "figures/encoder_parts",
    "figures/claims",
    "analysis/by_part",
    "figures/style",
    "figures/frames",
)
_CLAIMS = (
    "analysis/measurements",
    "analysis/membership",
    "analysis/intervals",
    "analysis/permutation",
    "analysis/claims",
    "analysis/claim_tables",
    "analysis/robustness",
)
_BEYOND = ("analysis/head_relation", "analysis/typology", "analysis/translations", "figures/relations")
_INFLUENCE = (
    "__init__",
    "gradients",
    "encoder_parts",
    "gradient_factors",
    "inner_products",
    "contraction",
    "triton_kernel",
    "tracin",
)
# The modules that decide a stage's results: a change in one of them makes the stage run again.
CODE: dict[str, tuple[str, ...]] = {
    "start": (*_DATA, *_ENCODER, *_MODEL, "stages/warm_start"),
    "search": (
        *_DATA,
        *_ENCODER,
        *_MODEL,
        "stages/warm_start",
        "subnetworks/head_importance",
        "subnetworks/search",
        "stages/search",
    ),
    "finetuning": (
        *_DATA,
        *_ENCODER,
        *_MODEL,
        "stages/warm_start",
        "subnetworks/search",
        "stages/finetuning",
    ),
    "scores": (
        *_DATA,
        *_ENCODER,
        *_MODEL,
        "subnetworks/search",
        *(f"influence/{module}" for module in _INFLUENCE),
        "analysis/shares",
        "stages/scoring_plan",
        "stages/scoring",
    ),
    "influence": (
        "analysis/scores",
        "analysis/measures",
        "analysis/measurements",
        "analysis/translations",
        "analysis/shares",
        "stages/scoring",
    ),
    "calibration": (
        *_DATA,
        *_ENCODER,
        *_MODEL,
        "subnetworks/head_importance",
        "subnetworks/search",
        *(f"influence/{module}" for module in _INFLUENCE),
        "analysis/intervals",
        "analysis/permutation",
        "analysis/by_part",
        "analysis/measures",
        "calibration/clones",
        "calibration/models",
        "calibration/experiments",
        "calibration/templates",
        "calibration/planted_heads",
        "calibration/retraining",
    ),
    "figures": (
        "workflow/paths",
        "subnetworks/search",
        "analysis/shares",
        "analysis/study_tables",
        *_CLAIMS,
        *_BEYOND,
        *_PLOTS,
    ),
}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_fingerprint(stage: str) -> str:
    """sha256 over what those modules do: comments, docstrings and formatting have no part in it."""
    digest = hashlib.sha256()
    for module in CODE[stage]:
        tree = ast.parse((Path(__file__).parents[1] / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


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


def parts_dir(directory: Path) -> Path:
    """Finished parts of an unfinished artefact, from which a killed stage resumes."""
    return directory.with_name(directory.name + ".parts")


def checkpoint_file(epoch: int) -> str:
    """File name of an epoch's checkpoint."""
    return f"epoch{epoch:02d}.safetensors"


def save_masks(file: Path, masks: Masks) -> None:
    """{language: bool (layers, heads)} as safetensors (uint8, True = kept)."""
    save_file({k: np.ascontiguousarray(m, dtype=np.uint8) for k, m in masks.items()}, file)


def load_masks(file: Path) -> Masks:
    """The inverse of :func:`save_masks`."""
    return {language: mask.astype(bool) for language, mask in load_file(file).items()}
