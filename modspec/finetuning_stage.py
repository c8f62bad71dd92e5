"""Stage 2: fine-tune one classifier over all languages, and measure it under every mask."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm
from transformers import PreTrainedModel

from modspec.finetuning import Epoch, finetune, predict
from modspec.layout import Masks, checkpoint_file, finetuning_dir, save_masks, search_dir
from modspec.parameters import FinetuningParameters
from modspec.study import Material, made_by, random_masks, resumable, save_checkpoint, searched_masks


def finetune_condition(material: Material) -> Path:
    """Fine-tune on all languages under a condition; returns stage 2's directory.

    Files: ``epochNN.safetensors`` checkpoints, ``masks.safetensors`` (searched) and
    ``random.safetensors`` {language: mask}, ``history.parquet`` (one row an epoch),
    ``accuracy.parquet`` (one row a mask, evaluation language and split).
    """
    p = material.parameters
    assert isinstance(p, FinetuningParameters)
    own = searched_masks(material, p.seed)
    random = random_masks(own, p.seed)
    in_force = {"full": None, "sft": own, "sft_random": random}[p.condition]

    def make(building: Path) -> None:
        model = material.new_classifier()

        def keep(epoch: Epoch) -> None:
            if p.keep_checkpoints == "all" or epoch.epoch == p.epochs:
                save_checkpoint(model, building / checkpoint_file(epoch.epoch))

        history = finetune(
            model,
            material.examples["train"],
            epochs=p.epochs,
            batch_size=p.batch_size,
            learning_rate=p.learning_rate,
            weight_decay=p.weight_decay,
            seed=p.seed,
            masks=in_force,
            precision=material.precision,
            after_epoch=keep,
            progress=p.condition,
        )
        save_masks(building / "masks.safetensors", own)
        save_masks(building / "random.safetensors", random)
        pd.DataFrame(history).to_parquet(building / "history.parquet", index=False)
        accuracy = _accuracy(material, model, own, random)
        accuracy.assign(seed=p.seed, condition=p.condition).to_parquet(
            building / "accuracy.parquet", index=False
        )

    inputs = {"search": search_dir(p, p.seed)}
    directory = finetuning_dir(p, p.condition, p.seed)
    return resumable(directory, made_by("finetuning", material, inputs), make)


def _accuracy(material: Material, model: PreTrainedModel, own: Masks, random: Masks) -> pd.DataFrame:
    """Accuracy under no mask, every language's mask and every random mask, by language and split."""
    masks = [("none", "", None)]
    masks += [("language", language, mask) for language, mask in own.items()]
    masks += [("random", language, mask) for language, mask in random.items()]
    rows = []
    for kind, owner, mask in tqdm(masks, desc="accuracy by mask"):
        for split in ("dev", "test"):
            examples = material.examples[split]
            right = predict(model, examples, mask, precision=material.precision) == examples.labels
            for language in material.parameters.languages:
                of = right[examples.languages == language]
                rows.append((kind, owner, language, split, of.mean(), len(of)))
    columns = ["mask_kind", "mask_language", "language", "split", "accuracy", "examples"]
    return pd.DataFrame(rows, columns=columns)
