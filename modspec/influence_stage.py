"""Stage 3: score the influence of all training examples under every kind of mask, pass by resumable pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from modspec import artifacts
from modspec.batches import Examples
from modspec.errors import InputError
from modspec.influence import Arrays, Checkpoint, Group, Remember, Scores, influence
from modspec.layout import checkpoint_file, finetuning_dir, influence_dir, parts_dir, search_dir
from modspec.parameters import InfluenceParameters
from modspec.specialization import example_statistics
from modspec.study import (
    Material,
    check_origin,
    load_checkpoint,
    made_by,
    masks_in_force,
    random_masks,
    resumable,
)

# Added to the seed for random masks that are not those that sft_random trains under.
RANDOM_DRAW = 1000


def score_all(material: Material) -> Path:
    """Run every pass that the parameters ask for; returns stage 3's directory.

    Files: ``scores.safetensors`` {pass/cosine, pass/dot}, float32 of shape (train, columns);
    ``columns.parquet`` (what a pass's columns are), ``train.parquet`` (what the rows are),
    ``statistics.parquet`` (see :func:`modspec.specialization.example_statistics`), ``parts.parquet`` (the
    same for every part of the encoder alone, no mask; only with ``by_part``).
    """
    p = material.parameters
    directory = influence_dir(p, p.condition, p.seed)
    check_origin(material, finetuning_dir(p, p.condition, p.seed))
    origin = made_by("influence", material, _inputs(p))
    passes = plan_passes(material)
    checkpoints = _checkpoints(material, finetuning_dir(p, p.condition, p.seed))

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
            frames = [pd.read_parquet(part / table).assign(unit=name) for name, part in parts.items()]
            pd.concat(frames, ignore_index=True).to_parquet(building / table, index=False)
        if p.by_part:
            shutil.copy(parts["none"] / "parts.parquet", building / "parts.parquet")
        train = material.examples["train"]
        labels = [material.task.labels[i] for i in train.labels]
        rows = {"id": train.ids, "language": train.languages, "label": labels, "group": train.groups}
        pd.DataFrame(rows).to_parquet(building / "train.parquet", index=False)

    resumable(directory, origin, make)
    shutil.rmtree(parts_dir(directory), ignore_errors=True)
    return directory


def _inputs(p: InfluenceParameters) -> dict[str, Path]:
    inputs = {"finetuning": finetuning_dir(p, p.condition, p.seed), "search": search_dir(p, p.seed)}
    if "other_seed" in p.mask_kinds:
        inputs["other_search"] = search_dir(p, p.other_seed)
    return inputs


@dataclass(frozen=True)
class Pass:
    """One pass over the training examples: their masks, and the evaluation examples scored in it.

    train_mask: None, (layers, heads) or (train, layers, heads). targets: for every evaluation column its
    mask kind, the language that the mask was made for, its position in the test split, and its mask.
    """

    name: str
    train_gradient: str
    train_mask: np.ndarray | None
    kinds: tuple[str, ...]
    mask_languages: tuple[str, ...]
    positions: np.ndarray
    evaluation_mask: np.ndarray | None


def plan_passes(material: Material) -> list[Pass]:
    """The passes that the parameters ask for; a training pass costs far more than a further column.

    Under ``evaluation`` gradients, training examples are scored under the evaluation example's mask: one
    pass a mask. Under ``own`` gradients each is scored under its own language's mask: one pass in all.
    """
    p = material.parameters
    assert isinstance(p, InfluenceParameters)
    own = masks_in_force(material, p.condition, p.seed)
    train, test = material.examples["train"], material.examples["test"]
    of = {
        language: np.flatnonzero(test.languages == language)[: p.evaluation_per_language]
        for language in p.languages
    }
    everything = np.concatenate(list(of.values()))
    blank = ("",) * len(everything)
    passes = [Pass("none", "evaluation", None, ("none",) * len(everything), blank, everything, None)]
    sets = {}
    if {"own", "other_language"} & set(p.mask_kinds):
        sets["own"] = own
    if "random" in p.mask_kinds:
        sets["random"] = random_masks(own, p.seed + RANDOM_DRAW)
    if "other_seed" in p.mask_kinds:
        sets["other_seed"] = masks_in_force(material, p.condition, p.other_seed)
    if "evaluation" in p.train_gradients:
        for kind, masks in sets.items():
            for language, mask in masks.items():
                columns = _columns(p, kind, language, of)
                passes.append(Pass(f"{kind}-{language}", "evaluation", mask, *columns, mask))
    if "own" in p.train_gradients and "own" in sets:
        train_mask = np.stack([own[language] for language in train.languages])
        columns = [_columns(p, "own", language, of) for language in own]
        kinds, mask_languages, positions = ([x for c in columns for x in c[part]] for part in range(3))
        mask = np.stack([own[language] for language in mask_languages])
        passes.append(
            Pass(
                "own-gradients",
                "own",
                train_mask,
                tuple(kinds),
                tuple(mask_languages),
                np.array(positions),
                mask,
            )
        )
    return passes


def _columns(
    p: InfluenceParameters, kind: str, language: str, of: dict[str, np.ndarray]
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Kinds, mask languages and positions of the test examples to score under one language's mask."""
    wanted = {language: kind} if kind in p.mask_kinds else {}
    if kind == "own" and "other_language" in p.mask_kinds:
        wanted |= {other: "other_language" for other in of if other != language}
    kinds = tuple(wanted[other] for other in of if other in wanted for _ in of[other])
    positions = np.concatenate([of[other] for other in of if other in wanted])
    return kinds, (language,) * len(kinds), positions


def score_pass(
    material: Material,
    plan: Pass,
    model: PreTrainedModel,
    checkpoints: list[Checkpoint],
    origin: dict[str, Any],
) -> Path:
    """TracIn scores of one pass; returns the part's directory.

    Files: ``scores.safetensors`` (cosine and dot, float32 of shape (train, columns)),
    ``columns.parquet``, ``statistics.parquet`` and, without masks, ``parts.parquet``. Says which path the
    contraction took. A pass that was killed resumes after its last finished unit.
    """
    p = material.parameters
    part = parts_dir(influence_dir(p, p.condition, p.seed)) / plan.name
    units = part.with_name(f"{part.name}.units")
    by_part = p.by_part and plan.name == "none"

    def make(building: Path) -> None:
        train = material.examples["train"]
        evaluation = material.examples["test"].take(plan.positions)
        scores = influence(
            model,
            train,
            evaluation,
            checkpoints=checkpoints,
            train_mask=plan.train_mask,
            evaluation_mask=plan.evaluation_mask,
            groups=by_part,
            precision=torch.bfloat16 if p.score_precision == "bfloat16" else torch.float32,
            batch_size=p.batch_size,
            memory=None if p.memory_gib is None else p.memory_gib * 2**30,
            remember=_remembering(units, origin),
            progress=plan.name,
        )
        print(f"{plan.name}: {scores.report}")
        by_name = {"cosine": scores.cosine, "dot": scores.dot}
        save_file(by_name, building / "scores.safetensors")
        columns = pd.DataFrame(
            {
                "mask_kind": plan.kinds,
                "mask_language": plan.mask_languages,
                "id": evaluation.ids,
                "language": evaluation.languages,
            }
        ).assign(train_gradient=plan.train_gradient)
        columns.to_parquet(building / "columns.parquet", index=False)
        statistics = [
            example_statistics(values, train.languages, evaluation.languages, evaluation.ids, p.top_k).assign(
                score=name,
                mask_kind=np.tile(plan.kinds, len(p.languages)),
                mask_language=np.tile(plan.mask_languages, len(p.languages)),
            )
            for name, values in by_name.items()
        ]
        pd.concat(statistics, ignore_index=True).assign(
            train_gradient=plan.train_gradient, condition=p.condition, seed=p.seed
        ).to_parquet(building / "statistics.parquet", index=False)
        if by_part:
            parts = part_statistics(scores, train, evaluation, p.top_k)
            parts.assign(condition=p.condition, seed=p.seed).to_parquet(
                building / "parts.parquet", index=False
            )

    resumable(part, origin, make)
    shutil.rmtree(units, ignore_errors=True)
    return part


def _remembering(directory: Path, origin: dict[str, Any]) -> Remember:
    """Keep every finished unit of a pass as an artefact, and return it where it is already there."""

    def remember(name: str, compute: Callable[[], Arrays]) -> Arrays:
        unit = directory / name
        made_by = origin | {"unit": f"{origin['unit']}/{name}"}
        if not artifacts.is_current(unit, made_by):
            with artifacts.writing(unit, made_by) as building:
                save_file(dict(compute()), building / "scores.safetensors")
        return load_file(unit / "scores.safetensors")

    return remember


def part_statistics(scores: Scores, train: Examples, evaluation: Examples, top_k: int) -> pd.DataFrame:
    """Statistics of the cosine's contribution from each part of the encoder alone.

    One row for each part, evaluation example and training language: part, layer and head (see
    :class:`modspec.influence.Group`; a layer's heads also together, as part "attention"), and the columns of
    :func:`modspec.specialization.example_statistics` but the AUC.
    """
    parts = dict(zip(scores.groups, scores.cosine_by_group, strict=True))
    for layer in sorted({group.layer for group in scores.groups if group.part == "head"}):
        heads = [v for group, v in parts.items() if group.part == "head" and group.layer == layer]
        parts[Group("attention", layer)] = np.sum(heads, axis=0)
    frames = [
        example_statistics(values, train.languages, evaluation.languages, evaluation.ids, top_k)
        .drop(columns="auc")
        .assign(part=group.part, layer=group.layer, head=group.head)
        for group, values in parts.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _checkpoints(material: Material, source: Path) -> list[Checkpoint]:
    """The chosen checkpoints of a fine-tuning run, with their epoch's mean learning rate as eta."""
    chosen = material.parameters.checkpoints
    rates = pd.read_parquet(source / "history.parquet").set_index("epoch")["learning_rate"]
    epochs = {"last": rates.index[-1:], "all": rates.index}.get(chosen, chosen)
    files = {epoch: source / checkpoint_file(epoch) for epoch in epochs}
    if missing := [epoch for epoch, file in files.items() if not file.exists()]:
        kept = [epoch for epoch in rates.index if (source / checkpoint_file(epoch)).exists()]
        raise InputError(f"checkpoints: epoch {missing[0]} is not in {source}; allowed: {kept}, or 'last'")
    return [Checkpoint(partial(load_checkpoint, file=file), rates[epoch]) for epoch, file in files.items()]


def strongest(material: Material, directory: Path, *, count: int = 3) -> pd.DataFrame:
    """The ``count`` strongest proponents (cosine, no mask) of the first test example of each language."""
    scores = load_file(directory / "scores.safetensors")["none/cosine"]
    columns = pd.read_parquet(directory / "columns.parquet").query("unit == 'none'")
    train, test = (material.task.data[split].to_pandas() for split in ("train", "test"))
    texts = test.set_index("id")["text"]
    rows = []
    for language in material.parameters.languages:
        column = int(np.flatnonzero(columns["language"] == language)[0])
        for rank, row in enumerate(np.argsort(-scores[:, column], kind="stable")[:count], start=1):
            found = train.iloc[row]
            label = material.task.labels[found["label"]]
            score = float(scores[row, column])
            example = texts[columns["id"].iloc[column]]
            rows.append((language, example, rank, found["language"], found["text"], label, score))
    names = ["language", "test example", "rank", "training language", "training example", "label", "score"]
    return pd.DataFrame(rows, columns=names).set_index(names[:3]).round(3)
