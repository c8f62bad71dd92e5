"""From the stages' artefacts to the tidy tables that every figure is drawn from."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modspec.analysis.by_part import head_influence, head_share, layer_share
from modspec.analysis.claims import Level, claims, exchangeable
from modspec.analysis.head_relation import head_relation
from modspec.analysis.intervals import mean_and_interval
from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns, read_measured
from modspec.analysis.robustness import sensitivity, share_by_k
from modspec.analysis.shares import by_seed_and_example
from modspec.analysis.translations import translations
from modspec.analysis.typology import language_pairs, mantel_tests
from modspec.subnetworks.masks import Masks, chance_jaccard, jaccard, load_masks
from modspec.workflow import artifacts, provenance
from modspec.workflow.parameters import FigureParameters
from modspec.workflow.paths import finetuning_dir, influence_dir, path, search_dir

PARTS = ["condition", "seed", "language", "id", "train_language", "part", "layer", "head", "proponents"]
PARTS += ["influence", "chance"]
MEASURES = ("proponents", "opponents", "auc")
# What distinguishes one way of scoring from another.
SETTING = ["condition", "mask_kind", "train_gradient_mask", "score"]


def tables(p: FigureParameters) -> dict[str, pd.DataFrame]:
    """All tables of a study by figure name; see ``modspec.figures.save`` for what is drawn from each.

    Checks every artefact on the way. Raises InputError naming the first that is missing or damaged.
    """
    searches = [search_dir(p, seed) for seed in p.seeds]
    trained = [finetuning_dir(p, condition, seed) for condition in p.conditions for seed in p.seeds]
    scored = [influence_dir(p, condition, seed) for condition in p.conditions for seed in p.seeds]
    for directory in _sources(p):
        artifacts.read_manifest(directory)
    masks = {
        (seed, language): mask
        for seed in p.seeds
        for language, mask in load_masks(search_dir(p, seed) / "masks.safetensors").items()
    }
    trajectory = pd.concat([pd.read_parquet(d / "trajectory.parquet") for d in searches])
    files = [d / "parts.parquet" for d in scored if (d / "parts.parquet").exists()]  # by_part is a choice
    parts = pd.concat(map(pd.read_parquet, files)) if files else pd.DataFrame(columns=PARTS)
    runs = StudyRuns([read_measured(d) for d in scored])
    training_examples = len(runs.train)  # the same in every run
    tests, strata = Level(p.confidence, p.permutations, p.resamples), exchangeable(runs.train)
    predictions = pd.concat([pd.read_parquet(d / "predictions.parquet") for d in trained])
    found = {
        "head_masks": head_masks(masks),
        "mask_overlap": mask_overlap(masks),
        "pruning_trajectories": trajectory[trajectory["importance"] == "exact"].drop(columns="note"),
        "accuracy": with_majority(
            pd.concat([pd.read_parquet(d / "accuracy.parquet") for d in trained]), predictions
        ),
        "in_language_share": in_language_share(runs.own_statistics, p.confidence),
        "specialization": specialization(runs, p.confidence),
        "influence_matrix": influence_matrix(runs.own_statistics),
        "share_change": share_change(runs, p.confidence),
        "layer_share": layer_share(parts, p.confidence),
        "head_share": head_share(parts),
        "head_influence": head_influence(parts, training_examples),
        "claims": claims(runs, predictions, strata, tests),
        "sensitivity": sensitivity(runs, strata, tests),
        "share_by_k": share_by_k(runs, tests),
    }
    heads = (found[name] for name in ("head_influence", "head_share"))
    pairs = language_pairs(found["mask_overlap"], found["influence_matrix"], training_examples)
    return found | {
        "head_relation": head_relation(*heads, importances(p), found["head_masks"]),
        "typology": pairs,
        "typology_tests": mantel_tests(pairs),  # a table without a figure
        "translations": translations(
            pd.concat([pd.read_parquet(d / "translations.parquet") for d in scored]), p.confidence
        ),
    }


def importances(p: FigureParameters) -> pd.DataFrame:
    """Head importances of all seeds' searches, step by step: stage 1's ``importance.parquet``."""
    return pd.concat([pd.read_parquet(search_dir(p, seed) / "importance.parquet") for seed in p.seeds])


def with_majority(accuracy: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """``accuracy`` with a column ``majority``: the share of the commonest label, by split and language."""
    keys = ["split", "language"]
    # Every run has the same examples.
    labels = predictions.drop_duplicates([*keys, "id"]).groupby(keys)["label"]
    majority = labels.agg(lambda column: column.value_counts(normalize=True).iloc[0])
    return accuracy.join(majority.rename("majority"), on=keys)


def accuracy_summary(accuracy: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """Mean accuracy over seeds without mask: a row a condition and one of the majority class; a column a
    language, and their mean."""
    rows = accuracy[(accuracy["split"] == split) & (accuracy["mask_kind"] == "none")]
    rows = pd.concat([rows, rows.assign(condition="majority class", accuracy=rows["majority"])])
    table = rows.pivot_table(index="condition", columns="language", values="accuracy", sort=False)
    return table.assign(mean=table.mean(axis=1))


def head_masks(masks: dict[tuple[int, str], np.ndarray]) -> pd.DataFrame:
    """One row a seed, language and head; layers and heads count from 1."""
    rows = [
        (seed, language, layer + 1, head + 1, bool(kept))
        for (seed, language), mask in masks.items()
        for (layer, head), kept in np.ndenumerate(mask)
    ]
    return pd.DataFrame(rows, columns=["seed", "language", "layer", "head", "kept"])


def mask_overlap(masks: dict[tuple[int, str], np.ndarray]) -> pd.DataFrame:
    """One row a pair of masks: Jaccard overlap, and what two random masks of these sizes would have."""
    rows = []
    for ((seed_a, language_a), a), ((seed_b, language_b), b) in combinations(masks.items(), 2):
        kept_a, kept_b = int(a.sum()), int(b.sum())
        chance = chance_jaccard(kept_a, kept_b, a.size)
        pair = (seed_a, language_a, seed_b, language_b)
        rows.append((*pair, kept_a, kept_b, a.size, jaccard(a, b), chance))
    columns = ["seed_a", "language_a", "seed_b", "language_b", "kept_a", "kept_b", "heads"]
    return pd.DataFrame(rows, columns=[*columns, "jaccard", "chance"])


def in_language_share(statistics: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """S_t(m), opponents' share and AUC by language and setting: for each seed, and over ``"all"``.

    ``confidence``: of :func:`modspec.analysis.intervals.interval`.
    """
    own = statistics[statistics["language"] == statistics["train_language"]]
    rows = []
    for keys, group in own.groupby([*SETTING, "language"], sort=False):
        for measure in MEASURES:
            chance = 0.5 if measure == "auc" else group["chance"].iloc[0]
            for seed, part in (("all", group), *group.groupby("seed")):
                values = by_seed_and_example(part, measure)
                rows.append(
                    (seed, *keys, measure, *mean_and_interval(values, confidence), chance, values.shape[1])
                )
    columns = ["seed", *SETTING, "language", "measure", "value", "low", "high", "chance", "examples"]
    return pd.DataFrame(rows, columns=columns)


def specialization(runs: StudyRuns, confidence: float = 0.95) -> pd.DataFrame:
    """Return Delta_t = S_t(m) - S_t(no mask), paired by seed and test example, by language and setting."""
    rows = []
    keys = ["condition", "score", "language", "mask_kind", "train_gradient_mask"]
    own = runs.own_statistics[runs.own_statistics["language"] == runs.own_statistics["train_language"]]
    for (condition, score, language), masks in own.groupby(keys[:3], sort=False):
        masked = masks.loc[masks["mask_kind"] != "none", keys[3:]].drop_duplicates()
        for kind, gradient_mask in masked.itertuples(index=False):
            change = runs.specialization(
                condition, language, Setting(score=score), kind, gradient_mask
            ).values
            row = ("all", condition, kind, gradient_mask, score, language)
            rows.append((*row, *mean_and_interval(change, confidence), change.shape[1]))
    columns = ["seed", *SETTING, "language", "value", "low", "high", "examples"]
    return pd.DataFrame(rows, columns=columns)


def share_change(runs: StudyRuns, confidence: float = 0.95) -> pd.DataFrame:
    """Return the change in S_t that sparse fine-tuning brings: own mask under SFT, minus full fine-tuning.

    Cosine scores, paired by seed and test example; against the full model without and with the language's own
    mask. SFT with random masks is the control.
    """
    own = runs.own_statistics.query(
        "mask_kind == 'own' and condition != 'full' and language == train_language"
    )
    keys = ["condition", "train_gradient_mask", "language"]
    rows = []
    for baseline, kind in (("full, no mask", "none"), ("full, own mask", "own")):
        for condition, gradient_mask, language in own[keys].drop_duplicates().itertuples(index=False):
            if runs.has("full", kind):
                change = runs.change(condition, language, DEFAULT, kind, gradient_mask).values
                row = (condition, gradient_mask, language, baseline)
                rows.append((*row, *mean_and_interval(change, confidence), change.shape[1]))
    columns = ["condition", "train_gradient_mask", "language", "baseline", "value", "low", "high", "examples"]
    return pd.DataFrame(rows, columns=columns)


def influence_matrix(statistics: pd.DataFrame) -> pd.DataFrame:
    """Evaluation x training language: mean share of the top-k proponents, and mean summed influence."""
    keys = ["seed", *SETTING, "language", "train_language"]
    matrix = statistics.groupby(keys, sort=False, as_index=False)[
        ["proponents", "influence", "chance"]
    ].mean()
    return matrix.rename(columns={"proponents": "share"})


def inherited_overlap(exact: Masks, inherited: Masks) -> pd.DataFrame:
    """Overlap of each language's exact mask with the one that the inherited importance leads to."""
    rows = []
    for language, a in exact.items():
        b = inherited[language]
        kept_a, kept_b = int(a.sum()), int(b.sum())
        rows.append((language, kept_a, kept_b, jaccard(a, b), chance_jaccard(kept_a, kept_b, a.size)))
    columns = ["language", "heads kept", "heads kept, inherited", "Jaccard overlap", "chance"]
    return pd.DataFrame(rows, columns=columns).set_index("language").round(3)


def overlap_summary(overlap: pd.DataFrame) -> pd.DataFrame:
    """Mean overlap and chance of three kinds of pairs; the first is the seed floor."""
    language = np.where(overlap["language_a"] == overlap["language_b"], "same language", "other language")
    seed = np.where(overlap["seed_a"] == overlap["seed_b"], "same seed", "other seed")
    kinds = pd.Series(language, overlap.index) + ", " + seed
    return overlap.groupby(kinds)[["jaccard", "chance"]].agg(["mean", "min", "max"])


def with_intervals(frame: pd.DataFrame, **only: str) -> pd.DataFrame:
    """Estimates over all seeds by setting and language, as text: ``0.31 [0.25, 0.38]``; cosine scores."""
    for column, value in {"seed": "all", "score": "cosine", **only}.items():
        frame = frame[frame[column] == value] if column in frame else frame
    text = [f"{v:.2f} [{low:.2f}, {high:.2f}]" for v, low, high in frame[["value", "low", "high"]].values]
    index = [c for c in ("baseline", "condition", "mask_kind", "train_gradient_mask") if c in frame]
    table = frame.assign(text=text).pivot(index=index, columns="language", values="text")
    return table[list(dict.fromkeys(frame["language"]))]


def write_provenance(p: FigureParameters, record: dict[str, Any]) -> None:
    """``provenance.json`` beside the figures: parameters, of the stages too; the artefacts drawn from."""
    inputs = {
        str(source.relative_to(path(p.study_dir))): artifacts.content_fingerprint(source)
        for source in _sources(p)
    }
    content = {"parameters": p.identity(), "stages": stages(p), "inputs": inputs, "provenance": record}
    provenance.write(path(p.figures_dir), content)


def stages(p: FigureParameters) -> dict[str, dict[str, Any]]:
    """By stage: its runs, the seconds and most memory (GiB) they took, the parameters common to all."""
    found = {}
    for source in _sources(p):
        found.setdefault(source.parent.name, []).append(artifacts.read_manifest(source))
    return {stage: _stage(manifests) for stage, manifests in found.items()}


def _stage(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    parameters = [manifest["made_by"]["parameters"] for manifest in manifests]
    records = [manifest["provenance"] for manifest in manifests]
    return {
        "runs": len(manifests),
        "threads": max(record["threads"] for record in records),
        "wall_seconds": round(sum(record["wall_seconds"] for record in records), 1),
        "peak_memory_gib": max(record["peak_memory_gib"] for record in records),
        "parameters": {
            name: value
            for name, value in parameters[0].items()
            if all(other.get(name) == value for other in parameters)
        },
    }


def _sources(p: FigureParameters) -> list[Path]:
    """The artefacts of all stages, seeds and conditions."""
    runs = [(condition, seed) for condition in p.conditions for seed in p.seeds]
    return [
        *(search_dir(p, seed) for seed in p.seeds),
        *(finetuning_dir(p, *run) for run in runs),
        *(influence_dir(p, *run) for run in runs),
    ]
