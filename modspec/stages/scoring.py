"""Stage 3: score the influence of all training examples under every kind of mask, pass by resumable pass."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from modspec.analysis.measurements import measure, write_measured
from modspec.analysis.scores import SCORES, read_scores, score_name
from modspec.analysis.shares import share_statistics
from modspec.analysis.strongest_examples import (
    read_strongest_examples,
    strongest_examples,
    was_not_published,
    with_texts,
    write_strongest_examples,
)
from modspec.analysis.translations import by_example
from modspec.data.examples import Examples
from modspec.influence import Arrays, EncoderPart
from modspec.models.prediction import predict
from modspec.stages import over_training
from modspec.stages.checkpoint_scores import blocks_dir, scored_checkpoints, scores_of_pass
from modspec.stages.control_masks import ACCURACY_MATCHED, mask_sets
from modspec.stages.material import Material, check_origin, load_checkpoint, made_by, texts
from modspec.stages.over_training import score_over_training, shares_over_training
from modspec.stages.resuming import outlives, resumable
from modspec.stages.scoring_plan import MaskSet, ScoringPass, plan_passes, scored_train
from modspec.subnetworks.masks import save_masks
from modspec.workflow.parameters import InfluenceParameters
from modspec.workflow.paths import (
    checkpoints_dir,
    influence_dir,
    pieces_dir,
    scores_dir,
    search_dir,
)

PREDICTIONS = ["split", "id", "language", "label", "predicted", "mask_kind", "mask_language", "draw"]
# Parameters that decide tables made from scores, and no score.
TABLES_ONLY = ("top_ks",)


def score_all(material: Material, parameters: InfluenceParameters) -> Path:
    """Run every pass that the parameters ask for, reduce scores to tables, and return stage 3's directory.

    The scores lie apart, see :func:`keep_scores`; the tables are those of :func:`reduce_scores`. Where the
    classifier's weights are gone, tables that were made from them hold.
    """
    p = parameters
    directory = influence_dir(p, p.condition, p.seed)
    made_before = made_by("influence", material, p.identity(), {})
    if outlives(directory, made_before, checkpoints_dir(p, p.condition, p.seed)):
        return directory
    keep_scores(material, parameters)
    return reduce_scores(material, parameters)


def reduce_scores(material: Material, parameters: InfluenceParameters) -> Path:
    """Make stage 3's tables from its scores; return their directory.

    Files: those of :func:`modspec.analysis.measurements.write_measured`; ``translations.parquet``
    (:func:`modspec.analysis.translations.by_example`); ``strongest_examples.parquet``
    (:func:`modspec.analysis.strongest_examples.strongest_examples`); ``parts.parquet``
    (:func:`part_statistics`, no mask; only with ``by_part``); ``masks.safetensors``,
    ``predictions.parquet`` and ``matching.parquet`` of :func:`keep_scores`; with ``over_training``
    ``over_training.parquet`` (:func:`shares_over_training`).
    """
    p = parameters
    scored = scores_dir(p, p.condition, p.seed)

    def make(building: Path) -> None:
        run = read_scores(scored)
        write_measured(measure(run, p.top_ks), building)
        by_example(run, top_k=p.top_k).to_parquet(building / "translations.parquet", index=False)
        write_strongest_examples(strongest_examples(run), building)
        if p.over_training:
            shares = shares_over_training(run, p.top_k, p.top_ks)
            shares = shares.assign(condition=p.condition, seed=p.seed)
            shares.to_parquet(building / "over_training.parquet", index=False)
        copied = {"parts.parquet": p.by_part, "matching.parquet": "accuracy_matched" in p.mask_kinds}
        copied |= {"predictions.parquet": True, "masks.safetensors": True}
        for name in (name for name, is_there in copied.items() if is_there):
            shutil.copy(scored / name, building / name)

    origin = made_by("influence", material, p.identity(), {"scores": scored})
    return resumable(influence_dir(p, p.condition, p.seed), origin, make)


def keep_scores(material: Material, parameters: InfluenceParameters) -> Path:
    """Score every pass; return the scores' directory, which ``modspec.analysis.scores`` reads.

    Files: ``scores.safetensors`` {pass/score/epochNN}, cosine and dot product at each checkpoint, float32 of
    shape (train, columns); ``checkpoints.parquet`` (their learning rates); ``columns.parquet`` (one row per
    column of every pass, with the label that the last scored checkpoint predicts under the column's mask),
    ``train.parquet`` (one row per training example), ``parts.parquet``; ``masks.safetensors`` {name of mask
    set/language}, ``predictions.parquet`` (one row per dev or test example and mask, where stage 2 has no
    such prediction), and ``matching.parquet`` of :func:`modspec.stages.control_masks.match_accuracy`.
    """
    p = parameters
    directory, origin = scores_dir(p, p.condition, p.seed), scores_origin(material, p)
    checkpoints = scored_checkpoints(p)

    def make(building: Path) -> None:
        model, sets, passes = planned(material, p, origin)
        pieces = {
            one.name: score_pass(
                material,
                p,
                one,
                model,
                checkpoints,
                one.origin(origin),
                progress=f"{one.name} ({number} of {len(passes)})",
            )
            for number, one in enumerate(passes, start=1)
        }
        scores = {
            f"{name}/{score}": values
            for name, piece in pieces.items()
            for score, values in load_file(piece / "scores.safetensors").items()
        }
        save_file(scores, building / "scores.safetensors")
        for name in ("columns", "predictions"):
            tables = [pd.read_parquet(piece / f"{name}.parquet") for piece in pieces.values()]
            pd.concat(tables, ignore_index=True).to_parquet(building / f"{name}.parquet", index=False)
        masks = {f"{s.name}/{language}": mask for s in sets for language, mask in s.masks.items()}
        save_masks(building / "masks.safetensors", masks)
        if "accuracy_matched" in p.mask_kinds:
            matching = pieces_dir(directory) / ACCURACY_MATCHED / "matching.parquet"
            shutil.copy(matching, building / "matching.parquet")
        checkpoints[["epoch", "learning_rate"]].to_parquet(building / "checkpoints.parquet", index=False)
        if p.by_part:
            shutil.copy(pieces["none"] / "parts.parquet", building / "parts.parquet")
        if p.over_training:
            train, evaluation = scored_train(material, p), passes[0].evaluation(material, p)
            piece = score_over_training(material, p, model, train, evaluation, origin)
            shutil.copy(piece / over_training.FILE, building / over_training.FILE)
        train = _described(material, scored_train(material, p))
        train[["id", "language", "label", "group"]].to_parquet(building / "train.parquet", index=False)

    resumable(directory, origin, make)
    shutil.rmtree(pieces_dir(directory), ignore_errors=True)
    return directory


def scores_origin(material: Material, parameters: InfluenceParameters) -> dict[str, Any]:
    """Return what decides the scores.

    Raises:
        InputError: an earlier stage that they are made from has not been run, or was run on other data.
    """
    p = parameters
    check_origin(material, checkpoints_dir(p, p.condition, p.seed))
    decisive = {name: value for name, value in p.identity().items() if name not in TABLES_ONLY}
    inputs = {"checkpoints": checkpoints_dir(p, p.condition, p.seed), "search": search_dir(p, p.seed)}
    if "other_seed" in p.mask_kinds:
        inputs["other_search"] = search_dir(p, p.other_seed)
    return made_by("scores", material, decisive, inputs)


def planned(
    material: Material, parameters: InfluenceParameters, origin: Mapping[str, Any]
) -> tuple[PreTrainedModel, list[MaskSet], list[ScoringPass]]:
    """Return the classifier that is scored, the masks of every kind, and the passes over them."""
    model = material.new_classifier(parameters.seed)
    load_checkpoint(model, scored_checkpoints(parameters)["file"].iloc[-1])
    sets = mask_sets(material, parameters, model, origin)
    return model, sets, plan_passes(material, parameters, sets)


def score_pass(
    material: Material,
    parameters: InfluenceParameters,
    scoring_pass: ScoringPass,
    model: PreTrainedModel,
    checkpoints: pd.DataFrame,
    origin: dict[str, Any],
    progress: str = "",
) -> Path:
    """Score one pass, with a progress bar of this name; return the piece's directory.

    Files as in :func:`keep_scores`: ``scores.safetensors``, ``columns.parquet``, ``predictions.parquet``;
    without masks ``parts.parquet``. Says which form the contraction took. A pass that was killed resumes
    after its last finished block.
    """
    p, name = parameters, scoring_pass.name
    piece = pieces_dir(scores_dir(p, p.condition, p.seed)) / name
    by_part = p.by_part and name == "none"

    def make(building: Path) -> None:
        train = scored_train(material, p)
        evaluation = scoring_pass.evaluation(material, p)
        kept: Arrays = {}
        parts, cosine_by_part = (), 0.0
        scored = scores_of_pass(material, p, scoring_pass, model, checkpoints, origin, progress)
        for checkpoint, scores in zip(checkpoints.itertuples(), scored, strict=True):
            print(f"{name}, epoch {checkpoint.epoch}: {scores.report}")
            kept |= {score_name(s, checkpoint.epoch): getattr(scores, s) for s in SCORES}
            if by_part:
                parts = scores.parts
                weight = checkpoint.learning_rate if p.eta == "learning_rate" else 1.0
                cosine_by_part = cosine_by_part + weight * scores.cosine_by_part.astype(np.float64)
        save_file(dict(kept), building / "scores.safetensors")
        # What was remembered is not computed again, so that the model may still have other weights.
        load_checkpoint(model, checkpoints["file"].iloc[-1])
        mask, precision = scoring_pass.evaluation_mask, material.precision
        predicted = predict(model, evaluation, mask, batch_size=p.batch_size, precision=precision)
        columns = _described(material, evaluation).assign(
            predicted=[material.task.labels[label] for label in predicted],
            mask_kind=scoring_pass.mask_kinds,
            mask_language=scoring_pass.mask_languages,
            train_gradient_mask=scoring_pass.train_gradient_mask,
            draw=scoring_pass.draw,
            scoring_pass=name,
        )
        columns.to_parquet(building / "columns.parquet", index=False)
        _predictions(material, scoring_pass, model).to_parquet(building / "predictions.parquet", index=False)
        if by_part:
            table = part_statistics(parts, cosine_by_part, train, evaluation, p.top_k)
            table = table.assign(condition=p.condition, seed=p.seed)
            table.to_parquet(building / "parts.parquet", index=False, compression="zstd")

    resumable(piece, origin, make)
    shutil.rmtree(blocks_dir(p, name), ignore_errors=True)
    return piece


def _predictions(material: Material, scoring_pass: ScoringPass, model: PreTrainedModel) -> pd.DataFrame:
    """Return the model's predictions under the pass's mask for all dev and test examples that it is for.

    So the accuracy under every mask that is scored is known; under own masks and without mask by stage 2.
    """
    frames = [pd.DataFrame(columns=PREDICTIONS)]
    for split, (kinds, mask_languages, positions) in scoring_pass.predicted.items():
        examples = material.examples[split].take(positions)
        predicted = predict(model, examples, scoring_pass.evaluation_mask, precision=material.precision)
        columns = (examples.ids, examples.languages, examples.labels, predicted, kinds, mask_languages)
        frame = pd.DataFrame(dict(zip(PREDICTIONS[1:-1], columns, strict=True)))
        frames.append(frame.assign(split=split, draw=scoring_pass.draw)[PREDICTIONS])
    return pd.concat(frames[1:] or frames, ignore_index=True)


def _described(material: Material, examples: Examples) -> pd.DataFrame:
    """One row per example: id, language, label (its name) and group."""
    labels = [material.task.labels[label] for label in examples.labels]
    columns = {"id": examples.ids, "language": examples.languages, "label": labels, "group": examples.groups}
    return pd.DataFrame(columns)


def part_statistics(
    parts: Sequence[EncoderPart],
    cosine_by_part: np.ndarray,
    train: Examples,
    evaluation: Examples,
    top_k: int,
) -> pd.DataFrame:
    """Return statistics of the contribution of each part of the encoder alone to the cosine.

    Args:
        parts: of the encoder, see :class:`modspec.influence.EncoderPart`.
        cosine_by_part: TracIn scores by part, (parts, train, evaluation).
        top_k: number of proponents.

    Returns:
        One row per part, evaluation example and training language: part, layer and head (a layer's heads also
        together, as part "attention"), and the columns of :func:`share_statistics`. Single heads have one row
        per evaluation language, the mean over its examples, with an empty id: they are most of the parts,
        and every later table averages them.
    """
    scores = dict(zip(parts, cosine_by_part, strict=True))
    for layer in sorted({part.layer for part in parts if part.part == "head"}):
        heads = [values for part, values in scores.items() if part.part == "head" and part.layer == layer]
        scores[EncoderPart("attention", layer)] = np.sum(heads, axis=0)
    frames = []
    for part, values in scores.items():
        rows = share_statistics(values, train.languages, evaluation.languages, evaluation.ids, top_k)
        if part.part == "head":
            of_language = rows.drop(columns="id").groupby(["language", "train_language"], sort=False)
            rows = of_language.mean().reset_index().assign(id="")
        frames.append(rows.assign(part=part.part, layer=part.layer, head=part.head))
    return pd.concat(frames, ignore_index=True)


def strongest_proponents(
    material: Material, parameters: InfluenceParameters, *, count: int = 3
) -> pd.DataFrame | None:
    """Return the ``count`` strongest proponents (cosine, no mask) of each language's first test example.

    They are read from stage 3's small artefact, which is published: no scores are needed. Columns and index
    as in :func:`modspec.analysis.strongest_examples.with_texts`. None, and a line that says so, for a seed
    for which they were not published.

    Raises:
        InputError: the artefact is missing, older than this table, or of other data or another encoder.
    """
    directory = influence_dir(parameters, parameters.condition, parameters.seed)
    check_origin(material, directory)
    if was_not_published(directory):
        print("The strongest examples were published for the study's first seed alone.")
        return None
    kept = read_strongest_examples(directory)
    return with_texts(kept, texts(material, "train"), texts(material, "test"), count=count)
