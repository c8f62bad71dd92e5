"""Stage 1: search every language's subnetwork. Each language is a resumable part."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modspec.models.finetuning import finetune, predict
from modspec.stages.material import Material, made_by
from modspec.stages.resuming import resumable
from modspec.stages.warm_start import started_classifier, training_options
from modspec.subnetworks.head_importance import head_gradients, importance, inherited_importance
from modspec.subnetworks.masks import load_masks, save_masks
from modspec.subnetworks.search import Search, search
from modspec.workflow.parameters import SearchParameters
from modspec.workflow.paths import parts_dir, search_dir

IMPORTANCES = {"exact": importance, "inherited": inherited_importance}


def search_all(material: Material) -> Path:
    """Search every language's subnetwork; returns stage 1's directory.

    Files: ``masks.safetensors`` {language: mask}, ``inherited.safetensors`` likewise (what the inherited
    importance would have chosen), ``trajectory.parquet`` (one row a step), ``importance.parquet`` (one
    row a step and head).
    """
    p = material.parameters
    assert isinstance(p, SearchParameters)
    directory = search_dir(p, p.seed)

    def make(building: Path) -> None:
        parts = {language: search_language(material, language) for language in p.languages}
        found = {language: load_masks(part / "masks.safetensors") for language, part in parts.items()}
        save_masks(building / "masks.safetensors", {k: m["exact"] for k, m in found.items()})
        if p.inherited_importance:
            inherited = {k: m["inherited"] for k, m in found.items()}
            save_masks(building / "inherited.safetensors", inherited)
        for name in ("trajectory.parquet", "importance.parquet"):
            tables = [pd.read_parquet(part / name) for part in parts.values()]
            pd.concat(tables, ignore_index=True).to_parquet(building / name, index=False)

    resumable(directory, made_by("search", material, {}), make)
    shutil.rmtree(parts_dir(directory), ignore_errors=True)
    return directory


def search_language(material: Material, language: str) -> Path:
    """Fine-tune on one language, then search its subnetwork; returns the part's directory.

    Files as in :func:`search_all`, for one language; ``masks.safetensors`` holds {importance: mask}.
    """
    p = material.parameters
    part = parts_dir(search_dir(p, p.seed)) / language

    def make(building: Path) -> None:
        model = started_classifier(material)
        train, dev = (material.examples[split].of(language) for split in ("train", "dev"))
        finetune(
            model,
            train,
            epochs=p.epochs,
            **training_options(material),
            progress=f"{language}: fine-tuning",
        )
        chosen = np.random.default_rng(p.seed).permutation(len(train))[: p.importance_examples]
        sample = train.take(chosen)

        # Both searches start from the same masks: what is known of a mask is not computed again.
        @_by_mask
        def gradients(mask: np.ndarray) -> np.ndarray:
            return head_gradients(model, sample, mask, precision=material.precision)

        @_by_mask
        def score(mask: np.ndarray) -> float:
            predicted = predict(model, dev, mask, precision=material.precision)
            return float((predicted == dev.labels).mean())

        grid = (model.config.num_hidden_layers, model.config.num_attention_heads)
        searches = {
            name: search(gradients, score, grid, threshold=p.threshold, step=p.step, importance=measure)
            for name, measure in IMPORTANCES.items()
            if name == "exact" or p.inherited_importance
        }
        save_masks(building / "masks.safetensors", {n: s.mask for n, s in searches.items()})
        trajectory = pd.concat(_trajectory(s, n, language, p.seed) for n, s in searches.items())
        trajectory.to_parquet(building / "trajectory.parquet", index=False)
        weights = pd.concat(_importances(s, n, language, p.seed) for n, s in searches.items())
        weights.to_parquet(building / "importance.parquet", index=False)

    return resumable(part, made_by("search", material, {}, language=language), make)


def _by_mask(function: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    known: dict[bytes, Any] = {}

    def remembered(mask: np.ndarray) -> Any:
        key = mask.tobytes()
        if key not in known:
            known[key] = function(mask)
        return known[key]

    return remembered


def _trajectory(found: Search, importance: str, language: str, seed: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "seed": seed,
                "language": language,
                "importance": importance,
                "step": number,
                "heads_left": int(step.mask.sum()),
                "heads": step.mask.size,
                "dev_score": step.score,
                "threshold_score": found.threshold_score,
                "accepted": step.accepted,
                "note": found.note,
            }
            for number, step in enumerate(found.steps)
        ]
    )


def _importances(found: Search, importance: str, language: str, seed: int) -> pd.DataFrame:
    frames = []
    for number, step in enumerate(found.steps):
        layers, heads = np.indices(step.mask.shape) + 1
        weights = np.full(step.mask.shape, np.nan) if step.importance is None else step.importance
        columns = {"layer": layers, "head": heads, "kept": step.mask, "weight": weights}
        frame = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
        frames.append(frame.assign(step=number, importance=importance, language=language, seed=seed))
    return pd.concat(frames)
