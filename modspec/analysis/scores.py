"""Stage 3's scores as they were kept, checkpoint by checkpoint, and their TracIn sums in any variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from modspec.errors import InputError
from modspec.workflow import artifacts


def score_name(score: str, epoch: int) -> str:
    """The name of one checkpoint's scores in a pass."""
    return f"{score}/epoch{epoch:02d}"


@dataclass(frozen=True)
class Attributions:
    """One run of stage 3. parameters: of that run. train: a row a training example. columns: a row a scored
    evaluation example, with its pass (``unit``). checkpoints: learning rate by epoch, as scored."""

    directory: Path
    condition: str
    seed: int
    parameters: Mapping[str, Any]
    train: pd.DataFrame
    columns: pd.DataFrame
    checkpoints: pd.Series

    def scores(
        self, unit: str, score: str = "cosine", *, checkpoints: str = "all", eta: str = "learning_rate"
    ) -> np.ndarray:
        """TracIn scores of a pass: float32 (train, columns of the pass).

        ``checkpoints``: "all" that were scored, or "last". ``eta``: "learning_rate" or "one". Raises
        InputError for a pass that was not scored.
        """
        epochs = self.checkpoints.index[-1:] if checkpoints == "last" else self.checkpoints.index
        total = None
        with safe_open(self.directory / "scores.safetensors", framework="numpy") as file:
            for epoch in epochs:
                name = f"{unit}/{score_name(score, epoch)}"
                if name not in file.keys():  # noqa: SIM118 - not a mapping
                    raise InputError(f"unit: {name!r} is not in {self.directory}; allowed: what was scored")
                weight = np.float32(self.checkpoints[epoch] if eta == "learning_rate" else 1)
                values = weight * file.get_tensor(name)
                total = values if total is None else total + values
        return total

    def of(self, unit: str) -> pd.DataFrame:
        """The rows of ``columns`` that belong to a pass, in the order of its scores."""
        return self.columns[self.columns["unit"] == unit].reset_index(drop=True)


def read_attributions(directory: Path) -> Attributions:
    """One run, from the directory of its scores (``modspec.workflow.paths.scores_dir``); checks its files."""
    parameters = artifacts.read_manifest(directory)["made_by"]["parameters"]
    tables = [pd.read_parquet(directory / f"{name}.parquet") for name in ("train", "columns", "checkpoints")]
    rates = tables[2].set_index("epoch")["learning_rate"]
    run = parameters["condition"], parameters["seed"]
    return Attributions(directory, *run, parameters, *tables[:2], rates)
