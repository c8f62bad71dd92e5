"""Scorers of training examples: TracIn, and what it is compared with.

Their scores are judged by templates (``modspec.calibration.templates``) and by retraining
(``modspec.calibration.retraining``).
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path

import bm25s
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from modspec.calibration.models import TRAINING, Content, kept, trained
from modspec.data.examples import Examples
from modspec.influence import Checkpoint, influence
from modspec.models.device_and_precision import autocast
from modspec.models.finetuning import Epoch
from modspec.models.prediction import rows_by_example
from modspec.stages.material import Material
from modspec.workflow.parameters import CalibrationParameters
from modspec.workflow.paths import pieces_dir

ENCODER, BM25, RANDOM = "encoder cosine", "BM25", "random"
TRACIN = tuple(
    f"{score}, {which}"
    for score in ("cosine", "dot")
    for which in ("all checkpoints", "last checkpoint", "classifier alone")
)
SCORERS = (*TRACIN, ENCODER, BM25, RANDOM)
# The parameters that decide models and scores, beside data, encoder and seeds.
SCORING = (*TRAINING, "judged_train", "judged_per_language")


def all_scores(
    material: Material, p: CalibrationParameters, train: Examples, evaluation: Examples, directory: Path
) -> Mapping[str, np.ndarray]:
    """Return the scores of every scorer, kept in the artefact ``directory/scores``.

    Each seed is a resumable part.

    Args:
        material: the task.
        p: the parameters of notebook 00.
        train: the training examples, from :func:`modspec.calibration.templates.judged`.
        evaluation: the evaluation examples, from there too.
        directory: where the experiments are kept.

    Returns:
        {scorer: float32 (seeds, train, evaluation)}, with one "seed" where a scorer has none.
    """
    target, pieces = directory / "scores", pieces_dir(directory / "scores")

    def make_seed(seed: int) -> Content:
        return {"scores": tracin(material, p, train, evaluation, seed)}

    def make() -> Content:
        seeds = [
            kept(pieces / f"seed{seed}", material, p, SCORING, partial(make_seed, seed), experiment="scores")
            for seed in p.seeds
        ]
        scores = {name: np.stack([of_seed["scores"][name] for of_seed in seeds]) for name in TRACIN}
        scores[ENCODER] = encoder_cosine(material, train, evaluation)[None]
        scores[BM25] = bm25(train, evaluation)[None]
        shape = (1, len(train), len(evaluation))
        scores[RANDOM] = np.random.default_rng(p.data_seed).standard_normal(shape, dtype=np.float32)
        return {"scores": scores}

    return kept(target, material, p, (*SCORING, "seeds"), make, experiment="scores")["scores"]


def tracin(
    material: Material, p: CalibrationParameters, train: Examples, evaluation: Examples, seed: int
) -> dict[str, np.ndarray]:
    """Return the TracIn scores of one fine-tuning: {one of TRACIN: float32 (train, evaluation)}."""
    checkpoints = []

    def keep(model: PreTrainedModel, epoch: Epoch) -> None:
        weights = deepcopy(model.state_dict())
        checkpoints.append(Checkpoint(lambda model: model.load_state_dict(weights), epoch.learning_rate))

    model = trained(material, p, train, seed, after_epoch=keep)
    score = partial(influence, model, train, evaluation)
    scores = {
        "all checkpoints": score(checkpoints=checkpoints),
        "last checkpoint": score(checkpoints=checkpoints[-1:]),
    }
    for below in (model.base_model.embeddings, model.base_model.encoder):
        below.requires_grad_(False)
    scores["classifier alone"] = score(checkpoints=checkpoints)
    return {f"{kind}, {which}": getattr(s, kind) for which, s in scores.items() for kind in ("cosine", "dot")}


def encoder_cosine(material: Material, train: Examples, evaluation: Examples) -> np.ndarray:
    """Return cosines of mean last hidden states of the pretrained encoder: float32 (train, evaluation)."""
    model = material.new_classifier(seed=0)  # the seed decides the head alone, which is not used

    @torch.no_grad()
    def mean_state(batch: dict[str, Tensor], positions: np.ndarray) -> Tensor:
        with autocast(material.device, material.precision):
            states = model.base_model(**batch).last_hidden_state.float()
            weights = batch["attention_mask"][:, :, None]
            return (states * weights).sum(1) / weights.sum(1)

    size = (model.config.hidden_size,)
    rows, columns = (
        F.normalize(torch.from_numpy(rows_by_example(model, examples, mean_state, size)).float())
        for examples in (train, evaluation)
    )
    return (rows @ columns.T).numpy()


def bm25(train: Examples, evaluation: Examples) -> np.ndarray:
    """Return BM25 (Lucene's, k1 = 1.5, b = 0.75) over pieces, without the first and last: float32 (train,
    evaluation)."""

    def pieces(examples: Examples) -> list[list[str]]:
        return [[str(piece) for piece in ids[1:-1]] for ids in examples.input_ids]

    index = bm25s.BM25()
    index.index(pieces(train), show_progress=False)
    columns = [index.get_scores(query) for query in pieces(evaluation)]
    return np.stack(columns, axis=1).astype(np.float32)
