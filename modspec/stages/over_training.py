"""The in-language share over training: scores without mask at each of several checkpoints."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from modspec.analysis.scores import KeptScores
from modspec.analysis.shares import share_statistics
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.influence import Scores
from modspec.stages.checkpoint_scores import WHOLE, Share, score_checkpoint
from modspec.stages.material import Material
from modspec.stages.resuming import remembering, resumable
from modspec.workflow.parameters import InfluenceParameters
from modspec.workflow.paths import checkpoints_dir, pieces_dir, scores_dir, training_checkpoint_file

FILE = "over_training.safetensors"
PIECE = "over-training"


def training_progress(parameters: InfluenceParameters) -> list[float]:
    """Return the shares of training after which a classifier was kept, ascending, the last of them 1.

    Raises:
        InputError: stage 2 kept none.
    """
    directory = checkpoints_dir(parameters, parameters.condition, parameters.seed)
    file = directory / "over_training.parquet"
    if not file.exists():
        raise InputError(
            f"over_training: True, but {directory} has no training_checkpoints; "
            "allowed: False, or stage 2 with training_checkpoints = 2 or more"
        )
    return pd.read_parquet(file)["progress"].tolist()


def score_over_training(
    material: Material,
    parameters: InfluenceParameters,
    model: PreTrainedModel,
    train: Examples,
    evaluation: Examples,
    origin: Mapping[str, Any],
) -> Path:
    """Score test examples without mask at every checkpoint of stage 2's ``training_checkpoints``.

    Args:
        model: whose weights are replaced.
        train: training examples that are scored.
        evaluation: test examples.
        origin: what decides the scores.

    Returns:
        A directory with ``over_training.safetensors``: "cosine", float32 (checkpoints, train, evaluation),
        and "progress", the share of training before each checkpoint.
    """
    p = parameters
    piece = pieces_dir(scores_dir(p, p.condition, p.seed)) / PIECE

    def make(building: Path) -> None:
        cosines = [s.cosine for s in scores_over_training(material, p, model, train, evaluation, origin)]
        save_file({"cosine": np.stack(cosines), "progress": np.array(training_progress(p))}, building / FILE)

    return resumable(piece, {**origin, "piece": PIECE}, make)


def scores_over_training(
    material: Material,
    parameters: InfluenceParameters,
    model: PreTrainedModel,
    train: Examples,
    evaluation: Examples,
    origin: Mapping[str, Any],
    share: Share = WHOLE,
) -> Iterator[Scores]:
    """Yield the scores at every checkpoint of :func:`score_over_training`, or a share of them."""
    p = parameters
    blocks = pieces_dir(scores_dir(p, p.condition, p.seed)) / f"{PIECE}.blocks"
    for progress in training_progress(p):
        name = training_checkpoint_file(progress)
        yield score_checkpoint(
            material,
            p,
            model,
            train,
            evaluation,
            file=checkpoints_dir(p, p.condition, p.seed) / name,
            shard=share.shard,
            remember=remembering(blocks, origin, name, share.blocks),
            progress=f"after {progress:.0%} of training",
        )


def shares_over_training(run: KeptScores, top_k: int) -> pd.DataFrame:
    """Return every test example's in-language share at each checkpoint: language, id, progress, share,
    chance.

    Args:
        run: kept scores, with ``over_training.safetensors``.
        top_k: number of proponents.
    """
    scores, columns = load_file(run.directory / FILE), run.columns_of("none")
    languages = run.train["language"].to_numpy(), columns["language"].to_numpy()
    frames = []
    for progress, cosine in zip(scores["progress"], scores["cosine"], strict=True):
        table = share_statistics(cosine, *languages, columns["id"].to_numpy(), top_k)
        own = table[table["language"] == table["train_language"]]
        frames.append(own[["language", "id", "proponents", "chance"]].assign(progress=progress))
    return pd.concat(frames, ignore_index=True).rename(columns={"proponents": "share"})
