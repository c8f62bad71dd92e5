"""Where fine-tuning starts: the pretrained encoder, or one that some languages have taught the task already.

A small encoder may learn a task neither from one language's examples nor from all languages mixed, but from
the easiest language, and the others after it. Every condition starts in the same way, without masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from transformers import PreTrainedModel

from modspec.models.finetuning import finetune
from modspec.stages.material import Material, load_checkpoint, made_by, save_checkpoint
from modspec.stages.resuming import resumable
from modspec.workflow import artifacts
from modspec.workflow.parameters import FinetuningParameters, SearchParameters
from modspec.workflow.paths import start_dir

WEIGHTS = "weights.safetensors"


def training_options(material: Material) -> dict[str, Any]:
    """What all training of stages 1 and 2 has in common: arguments of :func:`modspec.models.finetuning.finetune`."""
    p = material.parameters
    assert isinstance(p, SearchParameters | FinetuningParameters)
    return {
        "batch_size": p.batch_size,
        "learning_rate": p.learning_rate,
        "weight_decay": p.weight_decay,
        "seed": p.seed,
        "precision": material.precision,
    }


def started_classifier(material: Material) -> PreTrainedModel:
    """A new classifier, fine-tuned for ``start_epochs`` on the examples of ``start_languages``, if any.

    With the batch size, learning rate and weight decay of the stage that it starts. Made once a study for
    every seed, and kept with the checkpoints: stages and conditions that start alike share it.
    """
    p = material.parameters
    assert isinstance(p, SearchParameters | FinetuningParameters)
    model = material.new_classifier()
    if p.start_languages:
        load_checkpoint(model, _start(material, p) / WEIGHTS)
    return model


def _start(material: Material, p: SearchParameters | FinetuningParameters) -> Path:
    origin = made_by("start", material, {}) | {"parameters": p.start_identity()}
    directory = start_dir(p, p.seed, artifacts.fingerprint(origin))

    def make(building: Path) -> None:
        model, train = material.new_classifier(), material.examples["train"]
        finetune(
            model,
            train.take(np.flatnonzero(np.isin(train.languages, p.start_languages))),
            epochs=p.start_epochs,
            **training_options(material),
            progress=f"start: {' '.join(p.start_languages)}",
        )
        save_checkpoint(model, building / WEIGHTS)

    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):  # of jobs that run at once, one makes it
        return resumable(directory, origin, make)
