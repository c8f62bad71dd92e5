"""Stage 2: fine-tune one classifier over all languages, and measure its accuracy under every mask."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm
from transformers import PreTrainedModel

from modspec.models.finetuning import Epoch, finetune
from modspec.models.prediction import predict
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
from modspec.terms import MASK_IN_FORCE, SHARED_MASK_CONDITIONS, TRAINS_UNDER
from modspec.workflow.parameters import FinetuningParameters
from modspec.workflow.paths import checkpoint_file, checkpoints_dir, finetuning_dir, search_dir

# Mask kind of a row of accuracies, language that the mask was made for ("" for all), mask.
NamedMask = tuple[str, str, np.ndarray | None]


def finetune_condition(material: Material, parameters: FinetuningParameters) -> Path:
    """Fine-tune on all languages under a condition; return stage 2's directory.

    Files: ``masks.safetensors`` (searched) and ``random.safetensors`` {language: mask}, ``history.parquet``
    (one row per epoch), ``accuracy.parquet`` (one row per mask, evaluation language and split),
    ``predictions.parquet`` (one row per dev or test example: its label, and the predictions without mask and
    under its language's mask in force). The weights lie apart, see :func:`keep_checkpoints`.
    """
    p = parameters
    searched = searched_masks(material, p, p.seed)
    random = random_masks(searched, p.seed)
    in_force = masks_in_force(material, p, p.condition, p.seed)
    trained = keep_checkpoints(material, p, in_force)

    def make(building: Path) -> None:
        model = material.new_classifier(p.seed)
        load_checkpoint(model, trained / checkpoint_file(p.epochs))
        save_masks(building / "masks.safetensors", searched)
        save_masks(building / "random.safetensors", random)
        shutil.copy(trained / "history.parquet", building / "history.parquet")
        masks: list[NamedMask] = [("none", "", None)]
        masks += [("language", language, mask) for language, mask in searched.items()]
        masks += [("random", language, mask) for language, mask in random.items()]
        if p.condition in SHARED_MASK_CONDITIONS:
            masks.append(("shared", "", in_force[p.languages[0]]))
        kind_in_force = MASK_IN_FORCE[TRAINS_UNDER[p.condition]]
        accuracy, predictions = _accuracies(material, model, masks, kind_in_force)
        run = {"seed": p.seed, "condition": p.condition}
        accuracy.assign(**run).to_parquet(building / "accuracy.parquet", index=False)
        predictions.assign(**run).to_parquet(building / "predictions.parquet", index=False)

    inputs = {"search": search_dir(p, p.seed), "checkpoints": trained}
    origin = made_by("finetuning", material, p.identity(), inputs)
    return resumable(finetuning_dir(p, p.condition, p.seed), origin, make)


def keep_checkpoints(material: Material, parameters: FinetuningParameters, in_force: Masks) -> Path:
    """Train; return the directory of ``epochNN.safetensors`` and ``history.parquet``."""
    p = parameters

    def make(building: Path) -> None:
        model = started_classifier(material, p)

        def keep(epoch: Epoch) -> None:
            if p.keep_checkpoints == "all" or epoch.epoch == p.epochs:
                save_checkpoint(model, building / checkpoint_file(epoch.epoch))

        history = finetune(
            model,
            material.examples["train"],
            epochs=p.epochs,
            masks=in_force if TRAINS_UNDER[p.condition] else None,
            **training_options(material, p),
            after_epoch=keep,
            progress="fine-tuning",
        )
        pd.DataFrame(history).to_parquet(building / "history.parquet", index=False)

    inputs = {"search": search_dir(p, p.seed)}
    origin = made_by("finetuning", material, p.identity(), inputs, piece="checkpoints")
    return resumable(checkpoints_dir(p, p.condition, p.seed), origin, make)


def _accuracies(
    material: Material, model: PreTrainedModel, masks: list[NamedMask], kind_in_force: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy under every mask by language and split, and every example's predictions; see
    :func:`finetune_condition`."""
    rows = []
    frames = {
        split: pd.DataFrame(
            {"id": e.ids, "language": e.languages, "split": split, "label": e.labels, "in_force": -1}
        )
        for split, e in material.examples.items()
        if split != "train"
    }
    for kind, mask_language, mask in tqdm(masks, desc="accuracy by mask"):
        for split, frame in frames.items():
            predicted = predict(model, material.examples[split], mask, precision=material.precision)
            if kind == "none":
                frame["no_mask"] = predicted
            elif kind == kind_in_force:
                masked = (frame["language"] == mask_language) | (mask_language == "")
                frame.loc[masked, "in_force"] = predicted[masked]
            right = (predicted == frame["label"]).groupby(frame["language"], sort=False)
            for language, share in right.mean().items():
                rows.append((kind, mask_language, language, split, share, len(right.get_group(language))))
    columns = ["mask_kind", "mask_language", "language", "split", "accuracy", "examples"]
    return pd.DataFrame(rows, columns=columns), pd.concat(frames.values(), ignore_index=True)
