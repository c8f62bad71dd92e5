"""What a stage's results depend on: the code that decides them, as a fingerprint."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

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
_FIGURES = Path(__file__).parents[1] / "figures"
_PLOTS = ("analysis/by_part", *sorted(f"figures/{file.stem}" for file in _FIGURES.glob("*.py")))
_CLAIMS = (
    "analysis/measurements",
    "analysis/membership",
    "analysis/intervals",
    "analysis/permutation",
    "analysis/claims",
    "analysis/claim_tables",
    "analysis/robustness",
)
_BEYOND = ("analysis/head_relation", "analysis/typology", "analysis/translations")
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
