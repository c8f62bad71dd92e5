"""The scores of one pass at each checkpoint: in one job, or in parts that may run on different machines.

Scores are kept in blocks of training batches. A block has the same name and the same content whichever job
computes it, so that parts need no joining: who asks for all blocks reads those that are there, and computes
those that are not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel

from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.influence import Checkpoint, Remember, Scores, influence
from modspec.models.device_and_precision import choose_precision
from modspec.stages.material import Material, load_checkpoint
from modspec.stages.resuming import remembering
from modspec.stages.scoring_plan import ScoringPass, scored_train
from modspec.workflow.parameters import InfluenceParameters
from modspec.workflow.paths import checkpoint_file, checkpoints_dir, pieces_dir, scores_dir


@dataclass(frozen=True)
class ShardBlocks:
    """A part of a pass, and the places of its blocks."""

    shard: tuple[int, int] = (0, 1)  # (i, n): the i-th of n shards of the training examples
    blocks: list[Path] | None = None  # filled as they are asked for; None: not wanted


WHOLE = ShardBlocks()


def scored_checkpoints(parameters: InfluenceParameters) -> pd.DataFrame:
    """Return the chosen checkpoints of a fine-tuning run: epoch, its mean learning rate, file of weights.

    Raises:
        InputError: stage 2 did not keep one of them.
    """
    p = parameters
    source, chosen = checkpoints_dir(p, p.condition, p.seed), p.checkpoints
    rates = pd.read_parquet(source / "history.parquet").set_index("epoch")["learning_rate"]
    epochs = {"last": rates.index[-1:], "all": rates.index}.get(chosen, chosen)
    files = {epoch: source / checkpoint_file(epoch) for epoch in epochs}
    if missing := [epoch for epoch, file in files.items() if not file.exists()]:
        kept = [epoch for epoch in rates.index if (source / checkpoint_file(epoch)).exists()]
        raise InputError(f"checkpoints: epoch {missing[0]} is not in {source}; allowed: {kept}, or 'last'")
    return rates[list(files)].reset_index().assign(file=list(files.values()))


def blocks_dir(parameters: InfluenceParameters, name: str) -> Path:
    """Return the place of the blocks of the pass of this name."""
    return pieces_dir(scores_dir(parameters, parameters.condition, parameters.seed)) / f"{name}.blocks"


def scores_of_pass(
    material: Material,
    parameters: InfluenceParameters,
    scoring_pass: ScoringPass,
    model: PreTrainedModel,
    checkpoints: pd.DataFrame,
    origin: Mapping[str, Any],
    progress: str = "",
    part: ShardBlocks = WHOLE,
) -> Iterator[Scores]:
    """Yield the scores of a pass at each checkpoint, or a part of them.

    Args:
        model: whose weights are replaced.
        checkpoints: rows of :func:`scored_checkpoints`.
        origin: what decides the scores of this pass.
        progress: begins the titles of progress bars.
    """
    p, name = parameters, scoring_pass.name
    train = scored_train(material, p)
    for checkpoint in checkpoints.itertuples():
        yield score_checkpoint(
            material,
            p,
            model,
            train,
            scoring_pass.evaluation(material, p),
            file=checkpoint.file,
            train_mask=scoring_pass.train_mask,
            evaluation_mask=scoring_pass.evaluation_mask,
            by_part=p.by_part and name == "none",
            shard=part.shard,
            remember=remembering(blocks_dir(p, name), origin, f"epoch{checkpoint.epoch:02d}", part.blocks),
            progress=f"{progress}, epoch {checkpoint.epoch}",
        )


def score_checkpoint(
    material: Material,
    parameters: InfluenceParameters,
    model: PreTrainedModel,
    train: Examples,
    evaluation: Examples,
    *,
    file: Path,
    remember: Remember,
    progress: str,
    **options: Any,
) -> Scores:
    """Return the scores at one checkpoint, without its learning rate, as the parameters ask for them.

    Args:
        model: whose weights are replaced by those of ``file``, unless all blocks are remembered.
        options: further ones of :func:`modspec.influence.influence`.
    """
    p = parameters
    return influence(
        model,
        train,
        evaluation,
        checkpoints=[Checkpoint(partial(load_checkpoint, file=file), 1.0)],
        precision=choose_precision(p.score_precision, material.device),
        batch_size=p.batch_size,
        memory=None if p.memory_gib is None else p.memory_gib * 2**30,
        remember=remember,
        progress=progress,
        **options,
    )
