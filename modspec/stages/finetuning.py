"""Stage 2: fine-tune one classifier over all languages, and measure its accuracy under every mask."""

import shutil
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel

from modspec.models.finetuning import Epoch, finetune
from modspec.models.prediction import predict
from modspec.output.progress import tqdm
from modspec.stages.material import (
    Material,
    load_checkpoint,
    made_by,
    masks_in_force,
    save_checkpoint,
)
from modspec.stages.resuming import resumable
from modspec.stages.warm_start import started_classifier, training_options
from modspec.subnetworks.masks import Masks, save_masks
from modspec.terms import MIXED_BATCHES, TRAINS_UNDER
from modspec.workflow.parameters import FinetuningParameters
from modspec.workflow.paths import (
    checkpoint_file,
    checkpoints_dir,
    finetuning_dir,
    search_dir,
    training_checkpoint_file,
)


def finetune_condition(material: Material, parameters: FinetuningParameters) -> Path:
    """Fine-tune on all languages under a condition; return stage 2's directory.

    Files: ``masks.safetensors`` {language: mask in force}, ``history.parquet`` (one row per epoch),
    ``predictions.parquet`` (one row per dev or test example: its label, and the predictions without mask and
    under its language's mask in force), ``accuracy.parquet`` (the share of right predictions by kind of mask,
    language and split). The weights lie apart, see :func:`keep_checkpoints`.
    """
    p = parameters
    in_force = masks_in_force(material, p, p.condition, p.seed)
    trained = keep_checkpoints(material, p, in_force)

    def make(building: Path) -> None:
        model = material.new_classifier(p.seed)
        load_checkpoint(model, trained / checkpoint_file(p.epochs))
        save_masks(building / "masks.safetensors", in_force)
        shutil.copy(trained / "history.parquet", building / "history.parquet")
        predictions = _predictions(material, model, in_force)
        run = {"seed": p.seed, "condition": p.condition}
        accuracies(predictions).assign(**run).to_parquet(building / "accuracy.parquet", index=False)
        predictions.assign(**run).to_parquet(building / "predictions.parquet", index=False)

    inputs = {"search": search_dir(p, p.seed), "checkpoints": trained}
    origin = made_by("finetuning", material, p.identity(), inputs)
    return resumable(finetuning_dir(p, p.condition, p.seed), origin, make)


def keep_checkpoints(material: Material, parameters: FinetuningParameters, in_force: Masks) -> Path:
    """Train; return the directory of ``epochNN.safetensors`` and ``history.parquet``.

    With ``training_checkpoints`` there are also ``progressN.NNN.safetensors``, the weights after so large a
    share of training, and ``over_training.parquet``, which lists these shares.
    """
    p = parameters
    progress = [number / p.training_checkpoints for number in range(1, p.training_checkpoints + 1)]

    def make(building: Path) -> None:
        model = started_classifier(material, p)

        def keep(epoch: Epoch) -> None:
            if p.keep_checkpoints == "all" or epoch.epoch == p.epochs:
                save_checkpoint(model, building / checkpoint_file(epoch.epoch))

        def keep_on_the_way(step: int, steps: int) -> None:
            for share in progress:
                if step == max(1, round(share * steps)):
                    save_checkpoint(model, building / training_checkpoint_file(share))

        history = finetune(
            model,
            material.examples["train"],
            epochs=p.epochs,
            masks=in_force if TRAINS_UNDER[p.condition] else None,
            one_language_batches=p.condition not in MIXED_BATCHES,
            **training_options(material, p),
            after_step=keep_on_the_way,
            after_epoch=keep,
            progress="fine-tuning",
        )
        pd.DataFrame(history).to_parquet(building / "history.parquet", index=False)
        if progress:
            listed = pd.DataFrame({"progress": progress})
            listed.to_parquet(building / "over_training.parquet", index=False)

    inputs = {"search": search_dir(p, p.seed)}
    origin = made_by("finetuning", material, p.identity(), inputs, piece="checkpoints")
    return resumable(checkpoints_dir(p, p.condition, p.seed), origin, make)


def _predictions(material: Material, model: PreTrainedModel, in_force: Masks) -> pd.DataFrame:
    """Return every dev and test example's predictions; see :func:`finetune_condition`."""
    frames = []
    for split in ("dev", "test"):
        for language, mask in tqdm(in_force.items(), desc=f"predictions, {split}"):
            examples = material.examples[split].of(language)
            columns = {"id": examples.ids, "language": language, "split": split, "label": examples.labels}
            for name, masked in (("no_mask", None), ("in_force", mask)):
                columns[name] = predict(model, examples, masked, precision=material.precision)
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def accuracies(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the share of right predictions by kind of mask, language and split.

    Args:
        predictions: columns language, split, label, and the predictions no_mask and in_force.
    """
    kinds = {"none": "no_mask", "own": "in_force"}
    rows = [
        (kind, "", language, split, (group[name] == group["label"]).mean(), len(group))
        for kind, name in kinds.items()
        for (split, language), group in predictions.groupby(["split", "language"], sort=False)
    ]
    columns = ["mask_kind", "mask_language", "language", "split", "accuracy", "examples"]
    return pd.DataFrame(rows, columns=columns)
