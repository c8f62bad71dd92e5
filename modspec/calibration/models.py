"""The common parts of notebook 00's experiments: examples, trained classifiers, masks, artefacts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from modspec.data.examples import Examples
from modspec.models.finetuning import Epoch, finetune
from modspec.models.head_masking import head_grid
from modspec.models.prediction import accuracy
from modspec.stages.material import Material, load_material, made_by
from modspec.stages.resuming import resumable
from modspec.subnetworks.head_importance import head_gradients
from modspec.subnetworks.masks import Masks
from modspec.subnetworks.search import search
from modspec.workflow.parameters import CalibrationParameters, DataParameters
from modspec.workflow.paths import path

# The parameters that decide a trained classifier and a searched mask, beside data, encoder and seed.
TRAINING = ("epochs", "batch_size", "learning_rate", "weight_decay")
SEARCH = ("threshold", "step")

# Of an artefact's files, by name without suffix: tables (parquet), and arrays by name (safetensors).
Content = dict[str, pd.DataFrame | Mapping[str, np.ndarray]]


def calibration_dir(p: CalibrationParameters) -> Path:
    """Return the directory that holds the experiments' artefacts."""
    return path(p.study_dir) / "calibration"


def load_sentences(p: CalibrationParameters) -> Material:
    """Load the task with ``sentences`` training examples per language, more than notebooks 01 to 03 take."""
    return load_material(p.model_copy(update={"train_per_language": p.sentences}))


def evaluated(material: Material, p: CalibrationParameters) -> Examples:
    """Return the test examples of ``language`` that are scored."""
    return material.examples["test"].of(p.language).take(range(p.evaluation_per_language))


def trained(
    material: Material,
    p: CalibrationParameters,
    train: Examples,
    seed: int,
    masks: Masks | None = None,
    after_epoch: Callable[[PreTrainedModel, Epoch], None] = lambda model, epoch: None,
    progress: str | None = None,
) -> PreTrainedModel:
    """Return a new classifier, initialised and fine-tuned with ``seed``.

    Args:
        material: where the encoder comes from, and where to compute.
        p: epochs, batch size, learning rate and weight decay.
        train: the examples that it is trained on.
        seed: of initialisation, batches and dropout.
        masks: of sparse fine-tuning, bool (layers, heads) by language; None trains in full.
        after_epoch: called with the classifier and the record of each epoch.
        progress: label of the progress bar; None shows none.
    """
    model = material.new_classifier(seed)
    finetune(
        model,
        train,
        **{name: getattr(p, name) for name in TRAINING},
        seed=seed,
        masks=masks,
        precision=material.precision,
        after_epoch=partial(after_epoch, model),
        progress=progress,
    )
    return model


def searched_mask(
    model: PreTrainedModel, train: Examples, dev: Examples, p: CalibrationParameters, precision: torch.dtype
) -> np.ndarray:
    """Return the subnetwork of a trained classifier, searched as notebook 01 does: bool (layers, heads).

    Args:
        model: the trained classifier.
        train: the examples whose gradients decide the importance of heads.
        dev: the examples whose accuracy ends the search.
        p: threshold and step of the search.
        precision: of all passes.
    """
    return search(
        partial(head_gradients, model, train, precision=precision),
        partial(accuracy, model, dev, precision=precision),
        head_grid(model),
        **{name: getattr(p, name) for name in SEARCH},
    ).mask


def kept(
    directory: Path,
    material: Material,
    p: CalibrationParameters,
    names: Sequence[str],
    make: Callable[[], Content],
    inputs: Sequence[Path] = (),
    *,
    experiment: str,
) -> Content:
    """Return the content of an artefact, made unless it is there, intact and made from the same.

    Args:
        directory: where the artefact is kept; its name tells the artefact from others of the experiment.
        material: whose data and encoder identify the artefact.
        p: the experiment's parameters.
        names: the parameters that decide the content, beside those of the data; others may change.
        make: returns the content.
        inputs: the artefacts that ``make`` reads.
        experiment: its code decides the content, see ``modspec.workflow.fingerprints``.

    Returns:
        What ``make`` returned, as read from ``directory``.
    """
    decisive = {*DataParameters.model_fields, *names}
    parameters = {name: value for name, value in p.identity().items() if name in decisive}
    named = {"stage": "calibration", "experiment": experiment, "part": directory.name}
    read = {directory.name: directory for directory in inputs}
    origin = made_by(f"calibration/{experiment}", material, parameters, read, **named)

    def write(building: Path) -> None:
        for name, content in make().items():
            if isinstance(content, pd.DataFrame):
                content.to_parquet(building / f"{name}.parquet", index=False)
            else:
                save_file(content, building / f"{name}.safetensors")

    resumable(directory, origin, write)
    tables = {file.stem: pd.read_parquet(file) for file in directory.glob("*.parquet")}
    return tables | {file.stem: load_file(file) for file in directory.glob("*.safetensors")}
