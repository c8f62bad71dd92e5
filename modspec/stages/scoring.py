"""Stage 3: score the influence of all training examples under every kind of mask, pass by resumable pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from modspec.analysis.measurements import measure, write_measured
from modspec.analysis.scores import read_scores, score_name
from modspec.analysis.shares import example_statistics
from modspec.analysis.translations import by_example
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.influence import Arrays, Checkpoint, Group, Remember, influence
from modspec.models.device_and_precision import choose_precision
from modspec.stages.material import Material, check_origin, load_checkpoint, made_by
from modspec.stages.resuming import resumable
from modspec.stages.scoring_plan import Pass, plan_passes, scored_train
from modspec.workflow import artifacts
from modspec.workflow.parameters import InfluenceParameters
from modspec.workflow.paths import (
    checkpoint_file,
    checkpoints_dir,
    influence_dir,
    parts_dir,
    scores_dir,
    search_dir,
)


def score_all(material: Material) -> Path:
    """Run every pass that the parameters ask for; returns stage 3's directory.

    Files: ``statistics.parquet`` (of TracIn scores, see :func:`modspec.analysis.shares.example_statistics`),
    ``parts.parquet`` (the same for every part of the encoder alone, no mask; only with ``by_part``),
    ``translations.parquet`` (:func:`modspec.analysis.translations.by_example`), and what
    :func:`modspec.analysis.measurements.write_measured` writes. The scores lie apart, see :func:`keep_scores`.
    """
    p = material.parameters
    scored = keep_scores(material)

    def make(building: Path) -> None:
        run = read_scores(scored)
        write_measured(measure(run, p.top_ks), building)
        by_example(run, top_k=p.top_k).to_parquet(building / "translations.parquet", index=False)
        if (scored / "parts.parquet").exists():
            shutil.copy(scored / "parts.parquet", building / "parts.parquet")

    origin = made_by("influence", material, {"scores": scored})
    return resumable(influence_dir(p, p.condition, p.seed), origin, make)


def keep_scores(material: Material) -> Path:
    """Every pass's scores; returns their directory, read through ``modspec.analysis.scores``.

    Files: ``scores.safetensors`` {pass/score/epochNN}, cosine and dot product at each checkpoint, float32 of
    shape (train, columns); ``checkpoints.parquet`` (their learning rates); ``columns.parquet`` (what a
    pass's columns are), ``train.parquet`` (what the rows are), ``statistics.parquet``, ``parts.parquet``.
    """
    p = material.parameters
    directory = scores_dir(p, p.condition, p.seed)
    check_origin(material, checkpoints_dir(p, p.condition, p.seed))
    origin = made_by("scores", material, _inputs(p))
    del origin["parameters"]["top_ks"]  # of what is made from scores alone
    passes = plan_passes(material)
    checkpoints = _checkpoints(material)

    def make(building: Path) -> None:
        model = material.new_classifier()
        parts = {
            plan.name: score_pass(material, plan, model, checkpoints, origin | {"unit": plan.name})
            for plan in passes
        }
        scores = {
            f"{name}/{score}": values
            for name, part in parts.items()
            for score, values in load_file(part / "scores.safetensors").items()
        }
        save_file(scores, building / "scores.safetensors")
        for table in ("columns.parquet", "statistics.parquet"):
            files = {name: part / table for name, part in parts.items() if (part / table).exists()}
            frames = [pd.read_parquet(file).assign(scoring_pass=name) for name, file in files.items()]
            pd.concat(frames, ignore_index=True).to_parquet(building / table, index=False)
        rates = [(c.epoch, c.learning_rate) for c in checkpoints]
        pd.DataFrame(rates, columns=["epoch", "learning_rate"]).to_parquet(
            building / "checkpoints.parquet", index=False
        )
        if p.by_part:
            shutil.copy(parts["none"] / "parts.parquet", building / "parts.parquet")
        train = scored_train(material)
        labels = [material.task.labels[i] for i in train.labels]
        rows = {"id": train.ids, "language": train.languages, "label": labels, "group": train.groups}
        pd.DataFrame(rows).to_parquet(building / "train.parquet", index=False)

    resumable(directory, origin, make)
    shutil.rmtree(parts_dir(directory), ignore_errors=True)
    return directory


def _inputs(p: InfluenceParameters) -> dict[str, Path]:
    inputs = {"checkpoints": checkpoints_dir(p, p.condition, p.seed), "search": search_dir(p, p.seed)}
    if "other_seed" in p.mask_kinds:
        inputs["other_search"] = search_dir(p, p.other_seed)
    return inputs


def score_pass(
    material: Material,
    plan: Pass,
    model: PreTrainedModel,
    checkpoints: list[Scored],
    origin: dict[str, Any],
) -> Path:
    """TracIn scores of one pass; returns the part's directory.

    Files as in :func:`keep_scores`: ``scores.safetensors``, ``columns.parquet``; of test examples
    ``statistics.parquet``; without masks ``parts.parquet``. Says which path the contraction took. A pass
    that was killed resumes after its last finished unit.
    """
    p = material.parameters
    part = parts_dir(scores_dir(p, p.condition, p.seed)) / plan.name
    units = part.with_name(f"{part.name}.units")
    by_part = p.by_part and plan.name == "none"

    def make(building: Path) -> None:
        train = scored_train(material)
        evaluation = (train if plan.split == "train" else material.examples["test"]).take(plan.positions)
        kept: Arrays = {}
        groups, by_group = (), 0.0
        for checkpoint in checkpoints:
            scores = influence(
                model,
                train,
                evaluation,
                checkpoints=[Checkpoint(checkpoint.load, 1.0)],
                train_mask=plan.train_mask,
                evaluation_mask=plan.evaluation_mask,
                groups=by_part,
                precision=choose_precision(p.score_precision, material.device),
                batch_size=p.batch_size,
                memory=None if p.memory_gib is None else p.memory_gib * 2**30,
                remember=_remembering(units, origin, checkpoint.epoch),
                progress=f"{plan.name}, epoch {checkpoint.epoch}",
            )
            print(f"{plan.name}, epoch {checkpoint.epoch}: {scores.report}")
            kept |= {score_name(s, checkpoint.epoch): getattr(scores, s) for s in ("cosine", "dot")}
            if by_part:
                groups, by_group = scores.groups, by_group + checkpoint.eta(p) * scores.cosine_by_group
        save_file(dict(kept), building / "scores.safetensors")
        _columns_of(plan, material, evaluation).to_parquet(building / "columns.parquet", index=False)
        if plan.split != "test":
            return
        statistics = []
        for name in ("cosine", "dot"):
            values = sum(c.eta(p) * kept[score_name(name, c.epoch)] for c in checkpoints)
            table = example_statistics(values, train.languages, evaluation.languages, evaluation.ids, p.top_k)
            statistics.append(
                table.assign(
                    score=name,
                    mask_kind=np.tile(plan.kinds, len(p.languages)),
                    mask_language=np.tile(plan.mask_languages, len(p.languages)),
                )
            )
        pd.concat(statistics, ignore_index=True).assign(
            train_gradient_mask=plan.train_gradient_mask, draw=plan.draw, condition=p.condition, seed=p.seed
        ).to_parquet(building / "statistics.parquet", index=False)
        if by_part:
            parts = part_statistics(groups, by_group, train, evaluation, p.top_k)
            parts.assign(condition=p.condition, seed=p.seed).to_parquet(
                building / "parts.parquet", index=False
            )

    resumable(part, origin, make)
    shutil.rmtree(units, ignore_errors=True)
    return part


def _columns_of(plan: Pass, material: Material, evaluation: Examples) -> pd.DataFrame:
    columns = {
        "mask_kind": plan.kinds,
        "mask_language": plan.mask_languages,
        "id": evaluation.ids,
        "language": evaluation.languages,
        "label": [material.task.labels[i] for i in evaluation.labels],
        "group": evaluation.groups,
    }
    return pd.DataFrame(columns).assign(train_gradient_mask=plan.train_gradient_mask, draw=plan.draw)


def _remembering(directory: Path, origin: dict[str, Any], epoch: int) -> Remember:
    """Keep every finished unit of a pass as an artefact, and return it where it is already there."""

    def remember(name: str, compute: Callable[[], Arrays]) -> Arrays:
        unit = directory / f"epoch{epoch:02d}-{name}"
        made_by = origin | {"unit": f"{origin['unit']}/{unit.name}"}
        if not artifacts.is_current(unit, made_by):
            with artifacts.writing(unit, made_by) as building:
                save_file(dict(compute()), building / "scores.safetensors")
        return load_file(unit / "scores.safetensors")

    return remember


def part_statistics(
    groups: Sequence[Group], by_group: np.ndarray, train: Examples, evaluation: Examples, top_k: int
) -> pd.DataFrame:
    """Statistics of the cosine's contribution from each part of the encoder alone.

    ``by_group``: TracIn scores by part, (groups, train, evaluation). One row for each part, evaluation
    example and training language: part, layer and head (see :class:`modspec.influence.Group`; a layer's
    heads also together, as part "attention"), and the columns of
    :func:`modspec.analysis.shares.example_statistics` but the AUC.
    """
    parts = dict(zip(groups, by_group, strict=True))
    for layer in sorted({group.layer for group in groups if group.part == "head"}):
        heads = [v for group, v in parts.items() if group.part == "head" and group.layer == layer]
        parts[Group("attention", layer)] = np.sum(heads, axis=0)
    frames = [
        example_statistics(values, train.languages, evaluation.languages, evaluation.ids, top_k)
        .drop(columns="auc")
        .assign(part=group.part, layer=group.layer, head=group.head)
        for group, values in parts.items()
    ]
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Scored:
    """A checkpoint to score: its epoch, and that epoch's mean learning rate."""

    epoch: int
    learning_rate: float
    file: Path

    def load(self, model: PreTrainedModel) -> None:
        """Put its weights into the model, in place."""
        load_checkpoint(model, self.file)

    def eta(self, p: InfluenceParameters) -> float:
        """Its weight in the TracIn sum."""
        return self.learning_rate if p.eta == "learning_rate" else 1.0


def _checkpoints(material: Material) -> list[Scored]:
    """The chosen checkpoints of a fine-tuning run."""
    p = material.parameters
    source, chosen = checkpoints_dir(p, p.condition, p.seed), p.checkpoints
    rates = pd.read_parquet(source / "history.parquet").set_index("epoch")["learning_rate"]
    epochs = {"last": rates.index[-1:], "all": rates.index}.get(chosen, chosen)
    files = {epoch: source / checkpoint_file(epoch) for epoch in epochs}
    if missing := [epoch for epoch, file in files.items() if not file.exists()]:
        kept = [epoch for epoch in rates.index if (source / checkpoint_file(epoch)).exists()]
        raise InputError(f"checkpoints: epoch {missing[0]} is not in {source}; allowed: {kept}, or 'last'")
    return [Scored(epoch, rates[epoch], file) for epoch, file in files.items()]


def strongest(material: Material, *, count: int = 3) -> pd.DataFrame:
    """The ``count`` strongest proponents (cosine, no mask) of the first test example of each language."""
    p = material.parameters
    found = read_scores(scores_dir(p, p.condition, p.seed))
    scores, columns = found.scores("none"), found.columns.query("scoring_pass == 'none'")
    train, test = (material.task.data[split].to_pandas().set_index("id") for split in ("train", "test"))
    texts = test["text"]
    rows = []
    for language in p.languages:
        column = int(np.flatnonzero(columns["language"] == language)[0])
        for rank, row in enumerate(np.argsort(-scores[:, column], kind="stable")[:count], start=1):
            proponent = train.loc[found.train["id"].iloc[row]]
            label = material.task.labels[proponent["label"]]
            score = float(scores[row, column])
            example = texts[columns["id"].iloc[column]]
            rows.append((language, example, rank, proponent["language"], proponent["text"], label, score))
    names = ["language", "test example", "rank", "training language", "training example", "label", "score"]
    return pd.DataFrame(rows, columns=names).set_index(names[:3]).round(3)
