"""Read stage 3's scores, kept checkpoint by checkpoint, and sum them in any way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from modspec.workflow import artifacts

SCORES = ("cosine", "dot")


def score_name(score: str, epoch: int) -> str:
    """Return the name of one checkpoint's scores in a scoring pass."""
    return f"{score}/epoch{epoch:02d}"


@dataclass(frozen=True)
class KeptScores:
    """The scores of one run of stage 3: one condition and seed."""

    directory: Path
    parameters: Mapping[str, Any]  # of the run
    train: pd.DataFrame  # one row per training example: id, language, label, group
    columns: pd.DataFrame  # one row per scored test example and mask, with its ``scoring_pass``
    checkpoints: pd.Series  # learning rate by epoch, as scored

    def scores(
        self,
        scoring_pass: str,
        score: str = "cosine",
        *,
        checkpoints: str = "all",
        checkpoint_weights: str = "learning_rate",
    ) -> np.ndarray:
        """Return the TracIn scores of a pass: float64 (train, columns of the pass).

        Args:
            scoring_pass: name of the pass.
            score: one of ``SCORES``.
            checkpoints: "all" that were scored, or "last".
            checkpoint_weights: "learning_rate" or "one", what each checkpoint counts in the sum.
        """
        rates = self.checkpoints.iloc[-1:] if checkpoints == "last" else self.checkpoints
        weights = rates if checkpoint_weights == "learning_rate" else pd.Series(1.0, rates.index)
        with safe_open(self.directory / "scores.safetensors", framework="numpy") as file:
            tensors = [file.get_tensor(f"{scoring_pass}/{score_name(score, epoch)}") for epoch in rates.index]
        return sum(
            weight * scores.astype(np.float64) for weight, scores in zip(weights, tensors, strict=True)
        )

    def columns_of(self, scoring_pass: str) -> pd.DataFrame:
        """Return the rows of ``columns`` that belong to a pass, in the order of its scores."""
        return self.columns[self.columns["scoring_pass"] == scoring_pass].reset_index(drop=True)


def read_scores(directory: Path) -> KeptScores:
    """Return the scores of one run, checking the artefact's files.

    Args:
        directory: ``modspec.workflow.paths.scores_dir`` of the run.

    Raises:
        InputError: a file is missing or damaged.
    """
    parameters = artifacts.read_manifest(directory)["made_by"]["parameters"]
    train, columns, checkpoints = (
        pd.read_parquet(directory / f"{name}.parquet") for name in ("train", "columns", "checkpoints")
    )
    rates = checkpoints.set_index("epoch")["learning_rate"]
    return KeptScores(directory, parameters, train, columns, rates)
