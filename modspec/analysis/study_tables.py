"""From the stages' artefacts to the tidy tables that every figure is drawn from."""

from collections.abc import Sequence
from itertools import chain, combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modspec.analysis.counterfactual import maps_of_study
from modspec.analysis.damage import share_by_accuracy
from modspec.analysis.intervals import mean_and_interval
from modspec.analysis.measurements import Setting, StudyRuns, read_measured
from modspec.analysis.questions import StudyTables, evidence, question_table
from modspec.analysis.robustness import sensitivity, share_by_k
from modspec.analysis.shares import by_seed_and_example
from modspec.analysis.single_languages import single_languages
from modspec.analysis.training_slope import share_over_training
from modspec.errors import InputError
from modspec.subnetworks.masks import Masks, chance_jaccard, jaccard, load_masks
from modspec.terms import SPARSE_CONDITIONS
from modspec.workflow import artifacts, provenance
from modspec.workflow.parameters import FigureParameters
from modspec.workflow.paths import finetuning_dir, influence_dir, leave_one_out_dir, path, search_dir

STAGES = ("search", "finetuning", "influence", "leave_one_out")  # whose artefacts are read
MEASURES = ("proponents", "opponents", "auc")
# What distinguishes one way of scoring from another.
SETTING = ["condition", "mask_kind", "train_gradient_mask", "score"]
OVERLAP = ["kept_a", "kept_b", "heads", "jaccard", "chance"]


def tables(p: FigureParameters) -> dict[str, pd.DataFrame]:
    """Return the tables that answer the questions, by figure name; checks every artefact on the way.

    Raises:
        InputError: an artefact is missing or damaged; names the first.
    """
    searches, trained, scored = artefacts(p).values()
    found = _read(searches, trained, scored, _left_out(p))
    runs, accuracy, shares = found.runs, found.accuracy, found.over_training
    over_training = pd.DataFrame() if shares is None else share_over_training(shares, p.confidence)
    trajectory = concatenated(searches, "trajectory")
    return {
        "head_masks": head_masks(searched_masks(searches)),
        "mask_overlap": found.overlap,
        "pruning_trajectories": trajectory[trajectory["importance"] == "exact"].drop(columns="note"),
        "accuracy": with_majority(accuracy, found.predictions),
        "in_language_share": in_language_share(runs.own_statistics, p.confidence),
        "specialization": specialization(runs, p.confidence),
        "influence_matrix": influence_matrix(runs.own_statistics),
        "share_by_accuracy": share_by_accuracy(runs.own_statistics, accuracy),
        "share_change": share_change(runs, p.confidence),
        "share_over_training": over_training,
        "questions": question_table({path(p.study_dir).name: evidence(found)}, confidence=p.confidence),
        "single_languages": single_languages(runs, p.confidence),  # a table without a figure
        "sensitivity": sensitivity(runs, shares, p.confidence),
        "share_by_k": share_by_k(runs, p.confidence),
    }


def read_question_tables(study: Path) -> StudyTables:
    """Return the tables that the questions are answered from, of all seeds and conditions of a study.

    Args:
        study: directory of its artefacts, by stage: a run's, or the published ones.

    Raises:
        InputError: an artefact is damaged, or not all conditions have the same seeds: contrasts are paired by
            seed.
    """
    by_stage = [artifacts.finished(study / stage) for stage in STAGES]
    seeds: dict[str, set[int]] = {}
    for directory in chain(*by_stage[:-1]):  # leaving out may have been run for fewer seeds
        p = artifacts.read_manifest(directory)["made_by"]["parameters"]
        job = " ".join(name for name in (directory.parent.name, p.get("condition")) if name)
        seeds.setdefault(job, set()).add(p["seed"])
    for (first, expected), (job, found) in pairwise(seeds.items()):
        if found != expected:
            raise InputError(
                f"{study}: {first} has seeds {sorted(expected)}, but {job} has {sorted(found)}; allowed: the "
                "same in all stages and conditions"
            )
    return _read(*by_stage)


def _read(
    searches: Sequence[Path], trained: Sequence[Path], scored: Sequence[Path], left_out: Sequence[Path]
) -> StudyTables:
    """Return what the questions are answered from; checks every artefact."""
    for directory in (*searches, *trained, *scored, *left_out):
        artifacts.read_manifest(directory)
    runs = StudyRuns([read_measured(directory) for directory in scored])
    return StudyTables(
        runs,
        concatenated(trained, "predictions"),
        _accuracy(trained, scored),
        concatenated(searches, "importance"),
        mask_overlap(searched_masks(searches)),
        _over_training(scored),
        maps_of_study(runs.own_statistics, concatenated(left_out, "margins")) if left_out else None,
    )


def _over_training(scored: Sequence[Path]) -> pd.DataFrame | None:
    """Return the shares over training under full fine-tuning; None where none were scored."""
    table = optional_table(scored, "over_training", ["condition"])
    of_full = table[table["condition"] == "full"]
    return None if of_full.empty else of_full


def searched_masks(searches: Sequence[Path]) -> dict[tuple[int, str], np.ndarray]:
    """Return the masks of searches by seed and language, as the study orders them; checks their artefacts."""
    masks = {}
    for search in searches:
        p = artifacts.read_manifest(search)["made_by"]["parameters"]
        found = load_masks(search / "masks.safetensors")
        masks |= {(p["seed"], language): found[language] for language in p["languages"]}
    return masks


def concatenated(directories: Sequence[Path], name: str) -> pd.DataFrame:
    """Return one table of several artefacts, one below the other."""
    return pd.concat([pd.read_parquet(directory / f"{name}.parquet") for directory in directories])


def optional_table(directories: Sequence[Path], name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return :func:`concatenated` of those artefacts that have the table; no rows where none has it."""
    having = [directory for directory in directories if (directory / f"{name}.parquet").exists()]
    return concatenated(having, name) if having else pd.DataFrame(columns=columns)


def _accuracy(trained: Sequence[Path], scored: Sequence[Path]) -> pd.DataFrame:
    """Return the accuracies of stage 2, and those under the masks that only stage 3 scores."""
    tables = [concatenated(trained, "accuracy")]
    for directory in scored:
        if (directory / "predictions.parquet").exists():  # not in runs of the first version
            made_by = artifacts.read_manifest(directory)["made_by"]["parameters"]
            run = {name: made_by[name] for name in ("seed", "condition")}
            predictions = pd.read_parquet(directory / "predictions.parquet")
            tables.append(accuracy_under_masks(predictions).assign(**run))
    return pd.concat(tables, ignore_index=True)


def accuracy_under_masks(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the share of right predictions by kind of mask, draw, language and split.

    Args:
        predictions: stage 3's, with columns split, language, label, predicted, mask_kind, draw.
    """
    right = (predictions["predicted"] == predictions["label"]).rename("accuracy")
    keys = ["mask_kind", "draw", "language", "split"]
    by_key = right.groupby([predictions[name] for name in keys], sort=False)
    table = by_key.agg(["mean", "size"]).set_axis(["accuracy", "examples"], axis=1)
    return table.reset_index().assign(mask_language="")


def with_majority(accuracy: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return ``accuracy`` with a column ``majority``: the share of the commonest label, by split and
    language."""
    keys = ["split", "language"]
    # Every run has the same examples.
    labels = predictions.drop_duplicates([*keys, "id"]).groupby(keys)["label"]
    majority = labels.agg(lambda column: column.value_counts(normalize=True).iloc[0])
    return accuracy.join(majority.rename("majority"), on=keys)


def accuracy_summary(accuracy: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """Return the mean accuracy over seeds without mask: one row per condition and one of the majority class;
    one column per language, and their mean."""
    rows = accuracy[(accuracy["split"] == split) & (accuracy["mask_kind"] == "none")]
    rows = pd.concat([rows, rows.assign(condition="majority class", accuracy=rows["majority"])])
    table = rows.pivot_table(index="condition", columns="language", values="accuracy", sort=False)
    return table.assign(mean=table.mean(axis=1))


def head_masks(masks: dict[tuple[int, str], np.ndarray]) -> pd.DataFrame:
    """Return one row per seed, language and head; layers and heads count from 1.

    Args:
        masks: by seed and language, bool (layers, heads), True = kept.
    """
    rows = [
        (seed, language, layer + 1, head + 1, bool(kept))
        for (seed, language), mask in masks.items()
        for (layer, head), kept in np.ndenumerate(mask)
    ]
    return pd.DataFrame(rows, columns=["seed", "language", "layer", "head", "kept"])


def mask_overlap(masks: dict[tuple[int, str], np.ndarray]) -> pd.DataFrame:
    """Return one row per pair of masks: Jaccard overlap, and what two random masks of these sizes would have.

    Args:
        masks: by seed and language, bool (layers, heads), True = kept.
    """
    rows = [(*a, *b, *_overlap(masks[a], masks[b])) for a, b in combinations(masks, 2)]
    return pd.DataFrame(rows, columns=["seed_a", "language_a", "seed_b", "language_b", *OVERLAP])


def _overlap(a: np.ndarray, b: np.ndarray) -> tuple[int, int, int, float, float]:
    """Return ``OVERLAP`` of two masks."""
    kept_a, kept_b = int(a.sum()), int(b.sum())
    return kept_a, kept_b, a.size, jaccard(a, b), chance_jaccard(kept_a, kept_b, a.size)


def in_language_share(statistics: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Return S_t(m), opponents' share and AUC by language and way of scoring: for each seed, and over
    ``"all"``.

    Args:
        statistics: ``statistics.parquet`` under the study's own settings.
        confidence: of :func:`modspec.analysis.intervals.interval`.
    """
    rows = []
    for keys, group in _in_language(statistics).groupby([*SETTING, "language"], sort=False):
        for measure in MEASURES:
            chance = 0.5 if measure == "auc" else group["chance"].iloc[0]
            for seed, part in (("all", group), *group.groupby("seed")):
                values = by_seed_and_example(part, measure)
                estimated = mean_and_interval(values, confidence)
                rows.append((seed, *keys, measure, *estimated, chance, values.shape[1]))
    columns = ["seed", *SETTING, "language", "measure", "value", "low", "high", "chance", "examples"]
    return pd.DataFrame(rows, columns=columns)


def _in_language(statistics: pd.DataFrame) -> pd.DataFrame:
    return statistics[statistics["language"] == statistics["train_language"]]


def specialization(runs: StudyRuns, confidence: float = 0.95) -> pd.DataFrame:
    """Return Delta_t = S_t(m) - S_t(no mask), paired by seed and test example, by language and way of
    scoring."""
    rows = []
    keys = ["condition", "score", "language", "mask_kind", "train_gradient_mask"]
    scored = _in_language(runs.own_statistics)[keys].drop_duplicates()
    for (condition, score, language), masks in scored.groupby(keys[:3], sort=False):
        unmasked = runs.cell(condition, "none", language, Setting(score=score))
        for kind, gradient_mask in masks.loc[masks["mask_kind"] != "none", keys[3:]].itertuples(index=False):
            masked = runs.cell(condition, kind, language, Setting(score=score), gradient_mask)
            row = ("all", condition, kind, gradient_mask, score, language)
            values = masked.minus(unmasked).values
            rows.append((*row, *mean_and_interval(values, confidence), values.shape[1]))
    columns = ["seed", *SETTING, "language", "value", "low", "high", "examples"]
    return pd.DataFrame(rows, columns=columns)


def share_change(runs: StudyRuns, confidence: float = 0.95) -> pd.DataFrame:
    """Return the change in S_t that sparse fine-tuning brings: own mask under SFT, minus full fine-tuning.

    Cosine scores, paired by seed and test example; against the full model without mask and with the
    language's own mask. SFT with random masks is the control.
    """
    keys = ["condition", "train_gradient_mask", "language"]
    statistics = _in_language(runs.own_statistics)
    sparse = (statistics["mask_kind"] == "own") & statistics["condition"].isin(SPARSE_CONDITIONS)
    scored = statistics.loc[sparse, keys].drop_duplicates()
    rows = []
    for baseline, kind in (("full, no mask", "none"), ("full, own mask", "own")):
        for condition, gradient_mask, language in scored.itertuples(index=False):
            if runs.has("full", kind):
                own = runs.cell(condition, "own", language, train_gradient_mask=gradient_mask)
                values = own.minus(runs.cell("full", kind, language)).values
                row = (condition, gradient_mask, language, baseline)
                rows.append((*row, *mean_and_interval(values, confidence), values.shape[1]))
    return pd.DataFrame(rows, columns=[*keys, "baseline", "value", "low", "high", "examples"])


def influence_matrix(statistics: pd.DataFrame) -> pd.DataFrame:
    """Return the mean share of the top-k proponents and mean summed influence, by seed, way of scoring,
    language and training language."""
    keys = ["seed", *SETTING, "language", "train_language"]
    columns = ["proponents", "influence", "chance"]
    matrix = statistics.groupby(keys, sort=False, as_index=False)[columns].mean()
    return matrix.rename(columns={"proponents": "share"})


def overlap_with(own: Masks, others: Masks, name: str) -> pd.DataFrame:
    """Return the overlap of each language's own mask with another mask of that language, called ``name``."""
    rows = {language: _overlap(mask, others[language]) for language, mask in own.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=OVERLAP).rename_axis("language")
    names = ("heads kept", f"heads kept, {name}", "Jaccard overlap", "chance")
    return table.drop(columns="heads").set_axis(names, axis=1).round(3)


def overlap_summary(overlap: pd.DataFrame) -> pd.DataFrame:
    """Return the mean overlap and chance by kind of pair; same language, other seed is the seed floor."""
    language = np.where(overlap["language_a"] == overlap["language_b"], "same language", "other language")
    seed = np.where(overlap["seed_a"] == overlap["seed_b"], "same seed", "other seed")
    kinds = pd.Series(language, overlap.index) + ", " + seed
    return overlap.groupby(kinds)[["jaccard", "chance"]].agg(["mean", "min", "max"])


def with_intervals(frame: pd.DataFrame, **only: str) -> pd.DataFrame:
    """Return estimates over all seeds by way of scoring and language, in per cent: ``31.2 [25.0, 38.1]``.

    Args:
        frame: a table of a study with columns value, low, high.
        only: rows to choose, beside those of all seeds and cosine scores.
    """
    for column, value in {"seed": "all", "score": "cosine", **only}.items():
        frame = frame[frame[column] == value] if column in frame else frame
    values = 100 * frame[["value", "low", "high"]].to_numpy()
    text = [f"{v:.1f} [{low:.1f}, {high:.1f}]".replace("-", "−") for v, low, high in values]
    index = [c for c in ("baseline", "condition", "mask_kind", "train_gradient_mask") if c in frame]
    table = frame.assign(text=text).pivot(index=index, columns="language", values="text")
    return table[list(dict.fromkeys(frame["language"]))]


def study_content(p: FigureParameters) -> dict[str, Any]:
    """Return what a study's figures show: its name, parameters, and the stages' parameters and cost."""
    return {"study": path(p.study_dir).name, "parameters": p.identity(), "stages": stages(p)}


def write_provenance(p: FigureParameters, record: dict[str, Any]) -> None:
    """Write ``provenance.json`` beside the figures: parameters, of the stages too, and the artefacts read."""
    inputs = {
        str(directory.relative_to(path(p.study_dir))): artifacts.content_fingerprint(directory)
        for directories in (*artefacts(p).values(), _left_out(p))
        for directory in directories
    }
    content = study_content(p) | {"inputs": inputs, "provenance": record}
    provenance.write(path(p.figures_dir), content)


def stages(p: FigureParameters) -> dict[str, dict[str, Any]]:
    """Return by stage: its runs, the seconds and most memory (GiB) they took, the processors they ran on, the
    parameters common to all."""
    return {stage: _stage([*map(artifacts.read_manifest, of)]) for stage, of in artefacts(p).items()}


def _stage(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the runs of one stage have in common, and what they took in all."""
    parameters = [manifest["made_by"]["parameters"] for manifest in manifests]
    records = [manifest["provenance"] for manifest in manifests]
    return {
        "runs": len(manifests),
        "threads": max(record["threads"] for record in records),
        "wall_seconds": round(sum(record["wall_seconds"] for record in records), 1),
        "peak_memory_gib": max(record["peak_memory_gib"] for record in records),
        "processors": sorted({provenance.computed_on(record) for record in records}),
        "parameters": {
            name: value
            for name, value in parameters[0].items()
            if all(other.get(name) == value for other in parameters)
        },
    }


def _left_out(p: FigureParameters) -> list[Path]:
    """Return the artefacts of trainings without one language, which are made on request."""
    found = [leave_one_out_dir(p, *run) for run in product(p.conditions, p.seeds)]
    return [directory for directory in found if (directory / artifacts.MANIFEST).exists()]


def artefacts(p: FigureParameters) -> dict[str, list[Path]]:
    """Return the artefacts of all seeds and conditions by stage, without those that are made on request."""
    runs = [*product(p.conditions, p.seeds)]
    return {
        "search": [search_dir(p, seed) for seed in p.seeds],
        "finetuning": [finetuning_dir(p, *run) for run in runs],
        "influence": [influence_dir(p, *run) for run in runs],
    }
