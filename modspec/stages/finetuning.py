"""Stage 2: fine-tune one classifier over all languages, and measure it under every mask."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm
from transformers import PreTrainedModel

from modspec.models.finetuning import Epoch, finetune, predict
from modspec.stages.material import (
    Material,
    load_checkpoint,
    made_by,
    masks_in_force,
    save_checkpoint,
    searched_masks,
)
from modspec.stages.resuming import resumable
from modspec.stages.warm_start import started_classifier, training_options
from modspec.subnetworks.masks import Masks, random_masks, save_masks
from modspec.terms import SHARED_MASK_CONDITIONS
from modspec.workflow.parameters import FinetuningParameters
from modspec.workflow.paths import checkpoint_file, checkpoints_dir, finetuning_dir, search_dir


def finetune_condition(material: Material) -> Path:
    """Fine-tune on all languages under a condition; returns stage 2's directory.

    Files: ``masks.safetensors`` (searched) and ``random.safetensors`` {language: mask}, ``history.parquet``
    (one row an epoch), ``accuracy.parquet`` (one row a mask, evaluation language and split),
    ``predictions.parquet`` (one row a dev or test example: its label, what is predicted without mask and
    under its language's mask in force). The weights lie apart, see :func:`keep_checkpoints`.
    """
    p = material.parameters
    assert isinstance(p, FinetuningParameters)
    own = searched_masks(material, p.seed)
    random = random_masks(own, p.seed)
    in_force = masks_in_force(material, p.condition, p.seed)
    trained = keep_checkpoints(material, in_force)

    def make(building: Path) -> None:
        model = material.new_classifier()
        load_checkpoint(model, trained / checkpoint_file(p.epochs))
        save_masks(building / "masks.safetensors", own)
        save_masks(building / "random.safetensors", random)
        shutil.copy(trained / "history.parquet", building / "history.parquet")
        masks = [("none", "", None)]
        masks += [("language", language, mask) for language, mask in own.items()]
        masks += [("random", language, mask) for language, mask in random.items()]
        if p.condition in SHARED_MASK_CONDITIONS:
            masks.append(("shared", "", in_force[p.languages[0]]))
        accuracy, predictions = _measured(material, model, masks)
        run = {"seed": p.seed, "condition": p.condition}
        accuracy.assign(**run).to_parquet(building / "accuracy.parquet", index=False)
        predictions.assign(**run).to_parquet(building / "predictions.parquet", index=False)

    inputs = {"search": search_dir(p, p.seed), "checkpoints": trained}
    directory = finetuning_dir(p, p.condition, p.seed)
    return resumable(directory, made_by("finetuning", material, inputs), make)


def keep_checkpoints(material: Material, in_force: Masks) -> Path:
    """Train; returns the directory of ``epochNN.safetensors`` and ``history.parquet``."""
    p = material.parameters

    def make(building: Path) -> None:
        model = started_classifier(material)

        def keep(epoch: Epoch) -> None:
            if p.keep_checkpoints == "all" or epoch.epoch == p.epochs:
                save_checkpoint(model, building / checkpoint_file(epoch.epoch))

        history = finetune(
            model,
            material.examples["train"],
            epochs=p.epochs,
            masks=None if p.condition == "full" else in_force,
            **training_options(material),
            after_epoch=keep,
            progress=p.condition,
        )
        pd.DataFrame(history).to_parquet(building / "history.parquet", index=False)

    origin = made_by("finetuning", material, {"search": search_dir(p, p.seed)}, part="checkpoints")
    return resumable(checkpoints_dir(p, p.condition, p.seed), origin, make)


def _measured(
    material: Material, model: PreTrainedModel, masks: list[tuple[str, str, np.ndarray | None]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy under every mask, (kind, language it was made for, mask), by language and split; and every
    example's predictions, see :func:`finetune_condition`."""
    p = material.parameters
    in_force = {"sft_random": "random"}.get(
        p.condition, "shared" if p.condition in SHARED_MASK_CONDITIONS else "language"
    )
    rows = []
    kept = {
        split: {"id": e.ids, "language": e.languages, "split": split, "label": e.labels, "in_force": -1}
        for split, e in material.examples.items()
        if split != "train"
    }
    frames = {split: pd.DataFrame(columns) for split, columns in kept.items()}
    for kind, owner, mask in tqdm(masks, desc="accuracy by mask"):
        for split, frame in frames.items():
            predicted = predict(model, material.examples[split], mask, precision=material.precision)
            if kind == "none":
                frame["no_mask"] = predicted
            elif kind == in_force:
                own = (frame["language"] == owner) | (owner == "")
                frame.loc[own, "in_force"] = predicted[own]
            right = predicted == frame["label"]
            for language in p.languages:
                of = right[frame["language"] == language]
                rows.append((kind, owner, language, split, of.mean(), len(of)))
    columns = ["mask_kind", "mask_language", "language", "split", "accuracy", "examples"]
    return pd.DataFrame(rows, columns=columns), pd.concat(frames.values(), ignore_index=True)
