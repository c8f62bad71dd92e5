"""The start of fine-tuning: the pretrained encoder, or one that has learnt the task from some languages.

A small encoder may learn a task neither from one language's examples nor from all languages mixed, but from
the easiest language first and the others after it. PAWS-X is such a task: all of its conditions start from
epochs of English. Every condition starts in the same way, without masks.
"""

from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from transformers import PreTrainedModel

from modspec.models.finetuning import finetune
from modspec.stages.material import Material, load_checkpoint, made_by, save_checkpoint
from modspec.stages.resuming import resumable
from modspec.workflow import artifacts
from modspec.workflow.parameters import TrainingParameters
from modspec.workflow.paths import start_dir

WEIGHTS = "weights.safetensors"


def training_options(material: Material, parameters: TrainingParameters) -> dict[str, Any]:
    """Return the arguments of :func:`finetune` that all training of stages 1 and 2 has in common."""
    names = ("batch_size", "learning_rate", "weight_decay", "seed")
    return {name: getattr(parameters, name) for name in names} | {"precision": material.precision}


def started_classifier(material: Material, parameters: TrainingParameters) -> PreTrainedModel:
    """Return a new classifier, fine-tuned for ``start_epochs`` on ``start_languages``, if there are any.

    The start has the batch size, learning rate and weight decay of the stage that it starts. It is made once
    per seed of a study and kept with the checkpoints: stages and conditions that start alike share it.
    """
    model = material.new_classifier(parameters.seed)
    if parameters.start_languages:
        load_checkpoint(model, make_start(material, parameters) / WEIGHTS)
    return model


def make_start(material: Material, parameters: TrainingParameters) -> Path:
    """Fine-tune on ``start_languages`` unless that has been done; return the artefact's directory."""
    origin = made_by("start", material, parameters.start_identity(), {})
    directory = start_dir(parameters, parameters.seed, artifacts.fingerprint(origin))

    def make(building: Path) -> None:
        model, train = material.new_classifier(parameters.seed), material.examples["train"]
        finetune(
            model,
            train.take(np.flatnonzero(np.isin(train.languages, parameters.start_languages))),
            epochs=parameters.start_epochs,
            **training_options(material, parameters),
            progress=f"start: {' '.join(parameters.start_languages)}",
        )
        save_checkpoint(model, building / WEIGHTS)

    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):  # of jobs that run at the same time, one makes it
        return resumable(directory, origin, make)
