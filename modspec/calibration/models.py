"""The models that the calibration trains again and again, and what identifies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from modspec.data.examples import Examples
from modspec.models.finetuning import Epoch, finetune
from modspec.stages.material import Material, made_by
from modspec.subnetworks.masks import Masks
from modspec.workflow.parameters import DataParameters


def trained(
    material: Material,
    train: Examples,
    seed: int,
    masks: Masks | None = None,
    after_epoch: Callable[[PreTrainedModel, Epoch], None] = lambda model, epoch: None,
    progress: str | None = None,
) -> tuple[PreTrainedModel, list[Epoch]]:
    """A new classifier, initialised and fine-tuned with ``seed``, and its history."""
    p = material.parameters
    model = replace(material, parameters=p.model_copy(update={"seed": seed})).new_classifier()
    history = finetune(
        model,
        train,
        epochs=p.epochs,
        batch_size=p.batch_size,
        learning_rate=p.learning_rate,
        weight_decay=p.weight_decay,
        seed=seed,
        masks=masks,
        precision=material.precision,
        after_epoch=partial(after_epoch, model),
        progress=progress,
    )
    return model, history


def origin_of(
    material: Material, names: Sequence[str], inputs: Mapping[str, Path], **part: str
) -> dict[str, Any]:
    """:func:`modspec.stages.material.made_by` with the parameters that matter: a further seed leaves others valid."""
    identity = material.parameters.identity()
    kept = {name: identity[name] for name in (*DataParameters.model_fields, *names) if name in identity}
    return made_by("calibration", material, inputs, **part) | {"parameters": kept}
