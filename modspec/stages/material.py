"""What the stages of a study share: the material they start from, resuming, masks and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_model, save_model
from transformers import PreTrainedModel

from modspec.data.examples import Examples, encode, trimmed
from modspec.data.tasks import Task, load_task
from modspec.data.vocabulary import used_pieces
from modspec.errors import InputError
from modspec.models.device_and_precision import choose_attention, choose_device, choose_precision
from modspec.models.encoders import encoder_fingerprint, load_classifier, load_tokenizer
from modspec.subnetworks.condition_masks import condition_masks
from modspec.subnetworks.masks import Masks, load_masks
from modspec.workflow import artifacts
from modspec.workflow.fingerprints import code_fingerprint
from modspec.workflow.parameters import DataParameters
from modspec.workflow.paths import path, search_dir


@dataclass(frozen=True)
class Material:
    """Task and tokenised examples in a trimmed vocabulary, and where to compute with them.

    examples: the splits "train", "dev" and "test". kept_pieces: sorted ids of the full vocabulary that
    the task's text uses, int64. fingerprints: of the data and of the encoder's weights.
    """

    parameters: DataParameters
    task: Task
    examples: Mapping[str, Examples]
    kept_pieces: np.ndarray
    device: torch.device
    precision: torch.dtype
    fingerprints: Mapping[str, str]

    def new_classifier(self) -> PreTrainedModel:
        """The pretrained encoder with a classification head that the seed alone decides."""
        model = load_classifier(
            self.parameters.encoder,
            num_labels=len(self.task.labels),
            seed=self.parameters.seed,
            kept_pieces=self.kept_pieces,
            attention=choose_attention(self.device),
        )
        return model.to(self.device)


def load_material(p: DataParameters) -> Material:
    """Load the task and the tokenizer that the parameters name, and tokenise all splits."""
    device = choose_device(p.device)
    precision = choose_precision(p.precision, device)
    task = load_task(
        p.task,
        p.languages,
        train_per_language=p.train_per_language,
        dev_per_language=p.dev_per_language,
        test_per_language=p.test_per_language,
        seed=p.data_seed,
        data_dir=None if p.data_dir is None else path(p.data_dir),
        parallel=p.parallel,
    )
    tokenizer = load_tokenizer(p.encoder)
    full = {name: encode(rows, tokenizer, p.max_length) for name, rows in task.data.items()}
    kept = used_pieces((ids for split in full.values() for ids in split.input_ids), tokenizer)
    return Material(
        p,
        task,
        {name: trimmed(split, kept) for name, split in full.items()},
        kept,
        device,
        precision,
        {"data": task.fingerprint, "encoder": encoder_fingerprint(p.encoder)},
    )


def describe(material: Material) -> pd.DataFrame:
    """What there is of each language and split: examples, labels, mean number of pieces."""
    rows = [
        (split, language, len(of), len(set(of.labels.tolist())), of.lengths.mean())
        for split, examples in material.examples.items()
        for language in material.task.languages
        for of in [examples.of(language)]
    ]
    table = pd.DataFrame(rows, columns=["split", "language", "examples", "labels", "mean pieces"])
    return table.set_index(["split", "language"]).unstack("split").round(1).reindex(material.task.languages)


def made_by(stage: str, material: Material, inputs: Mapping[str, Path], **part: str) -> dict[str, Any]:
    """What decides an artefact's content: parameters, data, encoder, code, and the artefacts it reads."""
    return {
        "stage": stage,
        "parameters": material.parameters.identity(),
        **material.fingerprints,
        "code": code_fingerprint(stage),
        "inputs": {name: artifacts.content_fingerprint(d) for name, d in inputs.items()},
        **part,
    }


def check_origin(material: Material, directory: Path) -> None:
    """Raises InputError if an earlier stage's artefact is absent or damaged, or of other data or encoder."""
    origin = artifacts.read_manifest(directory)["made_by"]
    for name, value in material.fingerprints.items():
        if origin[name] != value:
            raise InputError(
                f"{directory}: was made from another {name} (task, languages, sizes, data_seed or encoder "
                "differ); run its stage again with these parameters"
            )


# Masks.


def searched_masks(material: Material, seed: int, importance: str = "exact") -> Masks:
    """Every language's mask as stage 1 found it with this seed, by the exact or the inherited importance.

    Raises InputError where stage 1 has not run, or ran on other data, another encoder, or without the
    inherited importance.
    """
    directory = search_dir(material.parameters, seed)
    check_origin(material, directory)
    file = directory / {"exact": "masks.safetensors", "inherited": "inherited.safetensors"}[importance]
    if not file.exists():
        reason = "stage 1 ran with inherited_importance=False"
        raise InputError(f"mask_kinds: {importance!r}, but {reason}; allowed: others")
    masks = load_masks(file)
    return {language: masks[language] for language in material.parameters.languages}


def masks_in_force(material: Material, condition: str, seed: int) -> Masks:
    """Return the masks that a condition trains, and is evaluated, under; see :func:`condition_masks`."""
    return condition_masks(condition, searched_masks(material, seed), seed)


# Checkpoints.


def save_checkpoint(model: PreTrainedModel, file: Path) -> None:
    """All weights as safetensors."""
    save_model(model, str(file))


def load_checkpoint(model: PreTrainedModel, file: Path) -> None:
    """Weights written by :func:`save_checkpoint`, into the model in place."""
    load_model(model, str(file), device=str(model.device))
