"""The material that all stages share: task, encoder, origins of artefacts, masks and checkpoints."""

import os
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
from modspec.errors import InputError, quoted, quoted_path
from modspec.models.device_and_precision import choose_attention, choose_device, choose_precision
from modspec.models.encoder_checks import check_length, check_pieces
from modspec.models.encoders import (
    BUILT_IN,
    encoder_fingerprint,
    load_classifier,
    load_config,
    load_tokenizer,
)
from modspec.subnetworks.condition_masks import condition_masks
from modspec.subnetworks.masks import Masks, load_masks
from modspec.workflow import artifacts
from modspec.workflow.fingerprints import code_fingerprint
from modspec.workflow.parameters import DataParameters, Parameters
from modspec.workflow.paths import path, search_dir


@dataclass(frozen=True)
class Material:
    """Task and tokenised examples in a trimmed vocabulary, and where to compute with them."""

    task: Task
    examples: Mapping[str, Examples]  # the splits "train", "dev" and "test"
    encoder: str
    kept_pieces: np.ndarray  # int64, sorted ids of the full vocabulary that the task's text uses
    device: torch.device
    precision: torch.dtype
    fingerprints: Mapping[str, str]  # of the "data" and of the "encoder"'s weights

    def new_classifier(self, seed: int) -> PreTrainedModel:
        """Return the pretrained encoder with a classification head that ``seed`` alone decides."""
        model = load_classifier(
            self.encoder,
            num_labels=len(self.task.labels),
            seed=seed,
            kept_pieces=self.kept_pieces,
            attention=choose_attention(self.device),
        )
        return model.to(self.device)


def load_material(parameters: DataParameters) -> Material:
    """Load the task and the tokenizer that the parameters name, and tokenise all splits.

    Raises:
        InputError: the device, the task or the encoder cannot be had as asked for.
    """
    p = parameters
    device = choose_device(p.device)
    precision = choose_precision(p.precision, device)
    task = load_sample(p)
    encoder = encoder_name(p.encoder)
    check_length(p.encoder, load_config(encoder), p.max_length)
    tokenizer = load_tokenizer(encoder)
    full = {name: encode(rows, tokenizer, p.max_length) for name, rows in task.data.items()}
    check_pieces(p.encoder, full.values(), tokenizer.unk_token_id)
    kept = used_pieces((ids for split in full.values() for ids in split.input_ids), tokenizer)
    examples = {name: trimmed(split, kept) for name, split in full.items()}
    fingerprints = {"data": task.fingerprint, "encoder": encoder_fingerprint(encoder)}
    return Material(task, examples, encoder, kept, device, precision, fingerprints)


def load_sample(parameters: DataParameters) -> Task:
    """Draw the examples that the parameters name.

    Raises:
        InputError: the task cannot be had as asked for.
    """
    p = parameters
    sizes = p.model_dump(include={"train_per_language", "dev_per_language", "test_per_language"})
    return load_task(
        p.task,
        p.languages,
        **sizes,
        seed=p.data_seed,
        train_seed=p.train_sample_seed,
        data_dir=None if p.data_dir is None else path(p.data_dir),
        parallel=p.parallel,
        columns=p.columns,
    )


def encoder_name(value: str) -> str:
    """Return the parameter ``encoder`` as models know it: a directory by its path, from wherever it is named.

    ``e5-small`` and ``tiny`` are the encoders of these names even where there are such directories.

    Raises:
        InputError: it looks like a directory and is none.
    """
    directory = path(value)
    if value in BUILT_IN or not value:
        return value
    if os.path.isdir(directory):
        return str(directory)
    if os.path.lexists(directory) or value.startswith(("~", ".", "/")) or value.endswith("/"):
        raise InputError(f"encoder: {quoted(value)} is not a directory; looked for {quoted_path(directory)}")
    return value


def describe(material: Material) -> pd.DataFrame:
    """Return the number of examples and labels, and the mean number of pieces, per split and language."""
    rows = []
    for split, examples in material.examples.items():
        for language in material.task.languages:
            chosen = examples.of(language)
            labels = len(set(chosen.labels.tolist()))
            rows.append((split, language, len(chosen), labels, chosen.lengths.mean()))
    table = pd.DataFrame(rows, columns=["split", "language", "examples", "labels", "mean pieces"])
    return table.set_index(["split", "language"]).unstack("split").round(1).reindex(material.task.languages)


def texts(material: Material, split: str) -> pd.DataFrame:
    """Return what readers see of a split's examples, by id: language, text and the label's name.

    The two texts of a pair are shown as one, with " | " between them.
    """
    rows = material.task.data[split].to_pandas().set_index("id")
    pairs = rows["text_pair"].map(lambda text: f" | {text}" if text else "")
    names = rows["label"].map(dict(enumerate(material.task.labels)))
    return rows.assign(text=rows["text"] + pairs, label=names)[["language", "text", "label"]]


def made_by(
    artefact: str, material: Material, parameters: Mapping[str, Any], inputs: Mapping[str, Path], **piece: str
) -> dict[str, Any]:
    """Return what decides an artefact's content: parameters, data, encoder, code, and the artefacts it reads.

    Args:
        artefact: a key of :data:`modspec.workflow.fingerprints.ENTRY_POINTS`.
        parameters: those that decide it, as
            :meth:`modspec.workflow.strict_parameters.Strict.identity` gives them.
        inputs: directories of artefacts, by name.
        piece: which piece of the artefact, where it is made in pieces.
    """
    return {
        "stage": artefact,
        "parameters": dict(parameters),
        **material.fingerprints,
        "code": code_fingerprint(artefact),
        "inputs": {name: artifacts.content_fingerprint(directory) for name, directory in inputs.items()},
        **piece,
    }


def check_origin(material: Material, directory: Path) -> None:
    """Check that an earlier stage's artefact was made from the same data and encoder.

    Raises:
        InputError: it was not, or the artefact is absent or damaged.
    """
    origin = artifacts.read_manifest(directory)["made_by"]
    for name, value in material.fingerprints.items():
        if origin[name] != value:
            raise InputError(
                f"{directory}: was made from another {name} (task, languages, sizes, data_seed, "
                "train_sample_seed or encoder differ); run its stage again with these parameters"
            )


def searched_masks(material: Material, parameters: Parameters, seed: int, importance: str = "exact") -> Masks:
    """Return every language's mask as stage 1 found it with this seed.

    Args:
        importance: by which the mask was found: "exact", "inherited" or "pooled_others".

    Raises:
        InputError: stage 1 has not run, or ran on other data, another encoder, or without this search.
    """
    directory = search_dir(parameters, seed)
    check_origin(material, directory)
    file = directory / f"{'masks' if importance == 'exact' else importance}.safetensors"
    if not file.exists():
        raise InputError(
            f"mask_kinds: {importance!r}, but {directory} was made without it "
            "(inherited_importance, pooled_others); allowed: others"
        )
    masks = load_masks(file)
    return {language: masks[language] for language in material.task.languages}


def masks_in_force(material: Material, parameters: Parameters, condition: str, seed: int) -> Masks:
    """Return the masks that a condition trains, and is evaluated, under; see :func:`condition_masks`."""
    return condition_masks(condition, searched_masks(material, parameters, seed), seed)


def save_checkpoint(model: PreTrainedModel, file: Path) -> None:
    """Write all weights as safetensors."""
    save_model(model, str(file))


def load_checkpoint(model: PreTrainedModel, file: Path) -> None:
    """Read weights written by :func:`save_checkpoint` into the model, in place."""
    load_model(model, str(file), device=str(model.device))
