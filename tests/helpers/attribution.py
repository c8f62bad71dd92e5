"""Stage 3's artefacts with planted scores, as ``modspec.analysis.scores`` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from modspec.analysis.scores import KeptScores, read_scores, score_name
from modspec.workflow import artifacts

LANGUAGES = ("de", "en", "fr")


def train_frame(per_language: int = 10, parallel: bool = False) -> pd.DataFrame:
    """Training examples, two labels; with ``parallel``, the i-th of all languages are translations."""
    rows = [
        (f"{t}-{i}", t, ("yes", "no")[i % 2], f"pair{i}" if parallel else f"{t}{i}")
        for t in LANGUAGES
        for i in range(per_language)
    ]
    return pd.DataFrame(rows, columns=["id", "language", "label", "group"])


def written(
    directory: Path,
    condition: str,
    seed: int,
    scores: dict[str, np.ndarray],
    columns: pd.DataFrame,
    train: pd.DataFrame,
    rates: tuple[float, ...] = (0.5,),
    top_k: int = 6,
) -> KeptScores:
    """An artefact of one run. scores: {scoring pass: (train, columns)}, the same cosine at every checkpoint;
    the dot product is ten times it."""
    epochs = range(1, len(rates) + 1)
    parameters = {"condition": condition, "seed": seed, "top_k": top_k, "eta": "learning_rate"}
    gradients = ["test_example"] if condition == "full" else ["test_example", "own_language"]
    parameters["train_gradient_masks"] = gradients
    with artifacts.writing(directory, {"stage": "influence", "parameters": parameters}) as building:
        arrays = {
            f"{scoring_pass}/{score_name(score, epoch)}": (times * values).astype(np.float32)
            for scoring_pass, values in scores.items()
            for score, times in (("cosine", 1), ("dot", 10))
            for epoch in epochs
        }
        save_file(arrays, building / "scores.safetensors")
        train.to_parquet(building / "train.parquet", index=False)
        columns.to_parquet(building / "columns.parquet", index=False)
        table = pd.DataFrame({"epoch": list(epochs), "learning_rate": list(rates)})
        table.to_parquet(building / "checkpoints.parquet", index=False)
    return read_scores(directory)


def columns_frame(
    scoring_pass: str,
    kind: str,
    per_language: int,
    *,
    languages=LANGUAGES,
    mask_language="",
    draw=0,
    gradient="test_example",
) -> pd.DataFrame:
    """Columns of one pass: the first test sentences of each of ``languages``."""
    rows = [
        (f"test-{t}-{i}", t, ("yes", "no")[i % 2], f"test{i}") for t in languages for i in range(per_language)
    ]
    frame = pd.DataFrame(rows, columns=["id", "language", "label", "group"])
    return frame.assign(
        predicted="yes",
        scoring_pass=scoring_pass,
        mask_kind=kind,
        mask_language=mask_language,
        draw=draw,
        train_gradient_mask=gradient,
    )


def study(
    directory: Path,
    gains: dict[tuple[str, str], float],
    *,
    seeds: int = 3,
    per_language: int = 8,
    train: pd.DataFrame | Sequence[pd.DataFrame] | None = None,
    noise: float = 1.0,
    **options,
) -> list[KeptScores]:
    """Runs whose scores are noise plus, for training examples of the own language, a gain: {(condition,
    mask kind): gain}. train: the training examples of all seeds, or of each."""
    train = train_frame(20) if train is None else train
    samples = [train] * seeds if isinstance(train, pd.DataFrame) else train
    runs = []
    for condition in dict.fromkeys(c for c, _ in gains):
        for seed in range(seeds):
            rng, train = np.random.default_rng([seed, len(condition)]), samples[seed]
            scores, columns = {}, []
            for kind in (k for c, k in gains if c == condition):
                draws = 2 if kind == "random" else 1
                names = [("none", "", 0)] if kind == "none" else []
                if not names:
                    prefix = {"other_language": "own"}.get(kind, kind)
                    names = [
                        (f"{prefix}{d if kind == 'random' else ''}-{t}", t, d)
                        for d in range(draws)
                        for t in LANGUAGES
                    ]
                for name, mask, draw in names:
                    spoken = LANGUAGES if kind == "none" else (mask,)
                    if kind == "other_language":
                        spoken = tuple(t for t in LANGUAGES if t != mask)
                    frame = columns_frame(
                        name, kind, per_language, languages=spoken, mask_language=mask, draw=draw
                    )
                    if kind == "other_language":  # masks take turns over examples, which mixes their order
                        frame = frame[::-1].reset_index(drop=True)
                    own = train["language"].to_numpy()[:, None] == frame["language"].to_numpy()[None]
                    values = noise * rng.normal(size=own.shape) + gains[condition, kind] * own
                    scores[name] = np.concatenate(
                        [scores.get(name, np.empty((len(train), 0))), values], axis=1
                    )
                    columns.append(frame)
            table = pd.concat(columns, ignore_index=True)
            runs.append(
                written(
                    directory / f"{condition}-seed{seed}", condition, seed, scores, table, train, **options
                )
            )
    return runs
