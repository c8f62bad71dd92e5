"""The in-language share over training: scores without mask at each of several checkpoints.

The last of them is the end of training, which the pass without mask scores anyway.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from modspec.analysis.scores import SCORES, KeptScores
from modspec.analysis.shares import example_statistics, share_statistics
from modspec.analysis.training_slope import share_column
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.influence import Scores
from modspec.stages.checkpoint_scores import WHOLE, ShardBlocks, score_checkpoint
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
    """Score test examples without mask at stage 2's ``training_checkpoints``, the last one left out.

    Args:
        model: whose weights are replaced.
        train: training examples that are scored.
        evaluation: test examples.
        origin: what decides the scores.

    Returns:
        A directory with ``over_training.safetensors``: "cosine" and "dot", float32 (checkpoints, train,
        evaluation), and "progress", the share of training before each checkpoint.
    """
    p = parameters
    piece = pieces_dir(scores_dir(p, p.condition, p.seed)) / PIECE

    def make(building: Path) -> None:
        scored = list(scores_over_training(material, p, model, train, evaluation, origin))
        scores = {name: np.stack([getattr(one, name) for one in scored]) for name in SCORES}
        save_file({**scores, "progress": np.array(training_progress(p)[:-1])}, building / FILE)

    return resumable(piece, {**origin, "piece": PIECE}, make)


def scores_over_training(
    material: Material,
    parameters: InfluenceParameters,
    model: PreTrainedModel,
    train: Examples,
    evaluation: Examples,
    origin: Mapping[str, Any],
    part: ShardBlocks = WHOLE,
) -> Iterator[Scores]:
    """Yield the scores at every checkpoint of :func:`score_over_training`, or a part of them."""
    p = parameters
    blocks = pieces_dir(scores_dir(p, p.condition, p.seed)) / f"{PIECE}.blocks"
    for progress in training_progress(p)[:-1]:
        name = training_checkpoint_file(progress)
        yield score_checkpoint(
            material,
            p,
            model,
            train,
            evaluation,
            file=checkpoints_dir(p, p.condition, p.seed) / name,
            shard=part.shard,
            remember=remembering(blocks, origin, name, part.blocks),
            progress=f"after {progress:.0%} of training",
        )


def shares_over_training(run: KeptScores, top_k: int, top_ks: Sequence[int]) -> pd.DataFrame:
    """Return every test example's in-language share at each checkpoint.

    Args:
        run: kept scores, with ``over_training.safetensors``.
        top_k: number of proponents.
        top_ks: others to report; those above the number of training examples are left out.

    Returns:
        Columns language, id, progress; share (cosine, ``top_k``), chance; and the other readings, called as
        :func:`modspec.analysis.training_slope.share_column` says: the share by dot product, the share at
        every other k, and the AUC among training examples of the test example's label (without pairs: 0.5).
    """
    columns = run.columns_of("none")
    languages = run.train["language"].to_numpy(), columns["language"].to_numpy()
    ids, same_label = (
        columns["id"].to_numpy(),
        run.train["label"].to_numpy()[:, None] == columns["label"].to_numpy(),
    )
    earlier = load_file(run.directory / FILE)
    checkpoints = [
        (progress, {name: earlier[name][number] for name in SCORES})
        for number, progress in enumerate(earlier["progress"])
    ]
    last = {name: run.scores("none", name, checkpoints="last", checkpoint_weights="one") for name in SCORES}
    frames = []
    for progress, scores in [*checkpoints, (1.0, last)]:
        table = example_statistics(scores["cosine"], *languages, ids, top_k, same_label)
        table = table.rename(columns={"proponents": share_column()}).fillna({"label_auc": 0.5})
        others = {share_column(score="dot"): ("dot", top_k)}
        others |= {share_column(top_k=k): ("cosine", k) for k in top_ks if k <= len(run.train)}
        for column, (score, k) in others.items():
            table[column] = share_statistics(scores[score], *languages, ids, k)["proponents"]
        own = table[table["language"] == table["train_language"]]
        kept = ["language", "id", share_column(), "chance", *others, share_column(measure="label_auc")]
        frames.append(own[kept].assign(progress=progress))
    return pd.concat(frames, ignore_index=True)
