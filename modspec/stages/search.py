"""Stage 1: search every language's subnetwork, and its pooled-others mask. Each mask is a resumable piece."""

import shutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modspec.data.examples import Examples
from modspec.models.finetuning import finetune
from modspec.models.head_masking import head_grid
from modspec.models.prediction import accuracy
from modspec.output.progress import tqdm
from modspec.stages.material import Material, load_checkpoint, made_by, save_checkpoint
from modspec.stages.resuming import resumable
from modspec.stages.warm_start import WEIGHTS, started_classifier, training_options
from modspec.subnetworks.head_importance import head_gradients, importance, inherited_importance
from modspec.subnetworks.masks import load_masks, save_masks
from modspec.subnetworks.search import Search, search, search_along
from modspec.workflow.parameters import SearchParameters
from modspec.workflow.paths import pieces_dir, search_dir

IMPORTANCES = {"exact": importance, "inherited": inherited_importance}


def search_all(material: Material, parameters: SearchParameters) -> Path:
    """Search every language's subnetwork; return stage 1's directory.

    Files: ``masks.safetensors`` {language: mask}, ``inherited.safetensors`` likewise (the masks that the
    inherited importance would have chosen), ``pooled_others.safetensors`` likewise (see
    :func:`search_pooled_others`), ``trajectory.parquet`` (one row per step), ``importance.parquet`` (one row
    per step and head).
    """
    directory = search_dir(parameters, parameters.seed)

    def make(building: Path) -> None:
        pieces = {t: search_language(material, parameters, t) for t in parameters.languages}
        masks = {t: load_masks(piece / "masks.safetensors") for t, piece in pieces.items()}
        save_masks(building / "masks.safetensors", {t: found["exact"] for t, found in masks.items()})
        if parameters.inherited_importance:
            inherited = {t: found["inherited"] for t, found in masks.items()}
            save_masks(building / "inherited.safetensors", inherited)
        if parameters.searches_pooled_others:
            pooled_others = {}
            for t in parameters.languages:
                piece = search_pooled_others(material, parameters, t, pieces)
                pooled_others |= load_masks(piece / "masks.safetensors")
            save_masks(building / "pooled_others.safetensors", pooled_others)
        for name in ("trajectory.parquet", "importance.parquet"):
            tables = [pd.read_parquet(piece / name) for piece in pieces.values()]
            pd.concat(tables, ignore_index=True).to_parquet(building / name, index=False)

    resumable(directory, made_by("search", material, parameters.identity(), {}), make)
    shutil.rmtree(pieces_dir(directory), ignore_errors=True)
    return directory


def search_language(material: Material, parameters: SearchParameters, language: str) -> Path:
    """Fine-tune on one language, then search its subnetwork; return the piece's directory.

    Files as in :func:`search_all`, for one language; ``masks.safetensors`` holds {importance: mask}. For
    :func:`search_pooled_others` also the fine-tuned weights, and ``accepted.safetensors``, the masks that
    passed, bool (steps, layers, heads).
    """
    piece = pieces_dir(search_dir(parameters, parameters.seed)) / language
    place = f"{language} ({parameters.languages.index(language) + 1} of {len(parameters.languages)})"

    def make(building: Path) -> None:
        model = started_classifier(material, parameters)
        train, dev = (material.examples[split].of(language) for split in ("train", "dev"))
        options = training_options(material, parameters)
        finetune(model, train, epochs=parameters.epochs, **options, progress=f"{place}: fine-tuning")
        sample = _importance_sample(material, parameters, language, parameters.importance_examples)
        grid = head_grid(model)
        # Both searches start from the same masks: what is known of a mask is not computed again.
        gradients = _by_mask(grid, partial(head_gradients, model, sample, precision=material.precision))
        threshold, step = parameters.threshold, parameters.step
        with tqdm(desc=f"{place}: search", unit="mask") as bar:
            score = _by_mask(grid, partial(accuracy, model, dev, precision=material.precision), bar.update)
            searches = {
                name: search(gradients, score, grid, threshold=threshold, step=step, importance=measure)
                for name, measure in IMPORTANCES.items()
                if name == "exact" or parameters.inherited_importance
            }
        save_masks(building / "masks.safetensors", {name: found.mask for name, found in searches.items()})
        if parameters.searches_pooled_others:
            save_checkpoint(model, building / WEIGHTS)
            save_masks(building / "accepted.safetensors", {"masks": np.stack(searches["exact"].accepted)})
        for name, table in (("trajectory", _trajectory), ("importance", _importances)):
            rows = [table(found, name, language, parameters.seed) for name, found in searches.items()]
            pd.concat(rows).to_parquet(building / f"{name}.parquet", index=False)

    origin = made_by("search", material, parameters.identity(), {}, language=language)
    return resumable(piece, origin, make)


def search_pooled_others(
    material: Material, parameters: SearchParameters, language: str, searched: Mapping[str, Path]
) -> Path:
    """Search a language's pooled-others mask: the control of its own mask that is not its language's own.

    The search is the language's own, with importance averaged over the other languages: each has its own
    fine-tuned model, and an equal share of as many training examples in all. Where training examples are
    parallel, the others share out the items of the language's own search, so that both importances are about
    as many items. Every step drops as many heads in every layer as the language's own search did, so that
    both masks keep as many in every layer.

    Args:
        searched: directories that :func:`search_language` returned, by language.

    Returns:
        The piece's directory, with ``masks.safetensors`` {language: mask}.
    """
    piece = pieces_dir(search_dir(parameters, parameters.seed)) / f"pooled_others-{language}"
    others = [t for t in parameters.languages if t != language]
    place = f"{language} ({parameters.languages.index(language) + 1} of {len(parameters.languages)})"

    def make(building: Path) -> None:
        model = material.new_classifier(parameters.seed)
        count = max(1, parameters.importance_examples // len(others))
        samples = {
            t: _importance_sample(material, parameters, t, count, first=number * count)
            for number, t in enumerate(others)
        }
        accepted = load_masks(searched[language] / "accepted.safetensors")["masks"]
        with tqdm(desc=f"{place}: pooled-others search", unit="mask", total=len(accepted) - 1) as bar:

            def pooled(mask: np.ndarray) -> np.ndarray:
                weights = []
                for other, sample in samples.items():
                    load_checkpoint(model, searched[other] / WEIGHTS)
                    gradients = head_gradients(model, sample, mask, precision=material.precision)
                    weights.append(importance(gradients))
                bar.update()
                return np.mean(weights, axis=0)

            save_masks(building / "masks.safetensors", {language: search_along(pooled, accepted)})

    # With what the searches found: on a cluster another kind of processor may have made one of them again.
    origin = made_by(
        "search", material, parameters.identity(), searched, piece="pooled-others mask", language=language
    )
    return resumable(piece, origin, make)


def _importance_sample(
    material: Material, parameters: SearchParameters, language: str, count: int, first: int = 0
) -> Examples:
    """Return ``count`` training examples that a language's importance is averaged over, from the ``first`` on
    in an order that the seed draws. Parallel languages have their items in the same order."""
    train = material.examples["train"].of(language)
    order = np.random.default_rng(parameters.seed).permutation(len(train))
    return train.take(np.roll(order, -first)[:count])


def _by_mask(
    grid: tuple[int, int], function: Callable[[np.ndarray], Any], after: Callable[[], Any] = lambda: None
) -> Callable[[np.ndarray], Any]:
    """Return a function of a mask (layers, heads) that remembers its results; ``after``: called per mask."""

    @cache
    def remembered(kept: bytes) -> Any:
        result = function(np.frombuffer(kept, dtype=bool).reshape(grid).copy())
        after()
        return result

    return lambda mask: remembered(mask.tobytes())


def _trajectory(search: Search, importance: str, language: str, seed: int) -> pd.DataFrame:
    """One row per step."""
    rows = [
        {
            "seed": seed,
            "language": language,
            "importance": importance,
            "step": number,
            "heads_left": int(step.mask.sum()),
            "heads": step.mask.size,
            "dev_score": step.score,
            "threshold_score": search.threshold_score,
            "accepted": step.accepted,
            "note": search.note,
        }
        for number, step in enumerate(search.steps)
    ]
    return pd.DataFrame(rows)


def _importances(search: Search, importance: str, language: str, seed: int) -> pd.DataFrame:
    """One row per step and head; layers and heads count from 1."""
    frames = []
    for number, step in enumerate(search.steps):
        layers, heads = np.indices(step.mask.shape) + 1
        weights = np.full(step.mask.shape, np.nan) if step.importance is None else step.importance
        columns = {"layer": layers, "head": heads, "kept": step.mask, "weight": weights}
        frame = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
        frames.append(frame.assign(step=number, importance=importance, language=language, seed=seed))
    return pd.concat(frames)
