"""Synthetic frames of every figure of a study, and what the tests of figures read off them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path

from modspec.analysis.head_relation import head_relation
from modspec.analysis.typology import language_pairs
from modspec.figures.relations import MEASURES
from modspec.figures.save import FIGURES
from modspec.terms import ALL_LANGUAGES, CONTRASTS

CODES = "de en es fr ru ko zh ja pl it".split()
# Languages and seeds of synthetic studies; the largest takes as long as all others together.
STUDIES = [(2, 1), (5, 2), pytest.param((10, 5), marks=pytest.mark.slow)]
CONDITIONS = ["full", "sft", "sft_random"]
KINDS = ["none", "own", "other_language", "other_seed", "random"]


@functools.cache
def synthetic(languages: int, seeds: int) -> dict[str, pd.DataFrame]:
    """Frames with the columns and rough numbers of a real study, the same on every call."""
    rng = np.random.default_rng(languages * 100 + seeds)
    codes, ids = CODES[:languages], range(seeds)
    chance = 1 / languages
    base = rng.random((12, 12))
    masks = {}
    for language, seed in itertools.product(codes, ids):
        order = np.argsort((base + 0.8 * rng.random((12, 12))).ravel())
        masks[language, seed] = order[: rng.integers(50, 100)]
    heads = [(s, t, h // 12 + 1, h % 12 + 1, h in kept) for (t, s), kept in masks.items() for h in range(144)]
    overlap = []
    for (a, i), (b, j) in itertools.combinations(masks, 2):
        x, y = set(masks[a, i]), set(masks[b, j])
        both = len(x) * len(y) / 144
        jaccard = len(x & y) / len(x | y)
        overlap.append((i, a, j, b, len(x), len(y), 144, jaccard, both / (len(x) + len(y) - both)))
    steps = []
    for (language, seed), kept in masks.items():
        unpruned = 0.7 + 0.1 * rng.random()
        left = [n for n in range(144, 0, -14) if n > len(kept) - 14]
        drop = np.append(np.sort(rng.random(len(left) - 2)) * 0.05, 0.07 + 0.1 * rng.random())
        for step, (n, lost) in enumerate(zip(left, [0, *drop], strict=True)):
            score = unpruned * (1 - lost)
            steps.append((seed, language, step, n, 144, score, 0.95 * unpruned, lost <= 0.05))
    rows = [("none", "")] + [(kind, t) for kind in ("language", "random") for t in codes]
    accuracies = [
        (s, c, kind, mask, t, split, 0.6 + 0.1 * (mask in ("", t)) + 0.05 * rng.random(), 500)
        for s, c, (kind, mask), t, split in itertools.product(ids, CONDITIONS, rows, codes, ["dev", "test"])
    ]
    shares, changes, deltas, influences = [], [], [], []
    for c, kind, g, t in itertools.product(CONDITIONS, KINDS, ["test_example", "own_language"], codes):
        gain = 0.1 * (kind == "own") + 0.05 * rng.random()
        for seed, measure, score in itertools.product(
            [*ids, "all"], ["proponents", "opponents", "auc"], ["cosine", "dot"]
        ):
            value = chance + 0.15 + gain + 0.02 * rng.random()
            row = (seed, c, kind, g, score, t, measure, value, value - 0.03, value + 0.03)
            shares.append((*row, 0.5 if measure == "auc" else chance, 100))
        if kind != "none":
            for score in ["cosine", "dot"]:
                deltas.append(("all", c, kind, t, g, score, gain, gain - 0.03, gain + 0.03))
        for seed, score in itertools.product(ids, ["cosine", "dot"]):
            share = rng.dirichlet([8.0 if u == t else 2.0 for u in codes])
            influences += [
                (seed, c, kind, g, score, t, u, p, 1e-5 * p, chance)
                for u, p in zip(codes, share, strict=True)
            ]
    for c, g, t, b in itertools.product(
        CONDITIONS[1:], ["test_example", "own_language"], codes, ["full, no mask", "full, own mask"]
    ):
        value = 0.1 * rng.standard_normal()
        changes.append((c, g, t, b, value, value - 0.04, value + 0.04, 100))
    layered = [("embeddings", 0), ("classifier", 13)]
    layered += itertools.product(["attention", "feed-forward", "norms"], range(1, 13))
    layer_shares = []
    for c, (part, layer), t in itertools.product(CONDITIONS, layered, ["all languages", *codes]):
        value = chance + 0.08 * (1 - layer / 13) + 0.03 * rng.random()
        layer_shares.append(("all", c, part, layer, t, value, value - 0.02, value + 0.02, chance, 6))
        single = value + 0.02 * rng.standard_normal(seeds)
        layer_shares += [(s, c, part, layer, t, single[s], np.nan, np.nan, chance, 6) for s in ids]
    places = [*itertools.product(ids, codes, codes, range(1, 13), range(1, 13))]
    own = (
        chance + 0.1 * rng.random((len(codes), 1, 144)) + 0.03 * rng.standard_normal((len(codes), seeds, 144))
    )
    head_shares = [
        (s, t, h // 12 + 1, h % 12 + 1, own[i, s, h], chance)
        for (i, t), s, h in itertools.product(enumerate(codes), ids, range(144))
    ]
    typical = np.tile(rng.gamma(1, 1e-9, 144), len(places) // 144)
    contributions = typical + 3e-10 * rng.standard_normal(len(places))
    contributions += [2e-9 * (t == u and (layer, head) == (9, 4)) for _, t, u, layer, head in places]
    contributions_by_head = [
        (*place, contribution) for place, contribution in zip(places, contributions, strict=True)
    ]
    columns = {
        "head_masks": "seed language layer head kept",
        "mask_overlap": "seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance",
        "pruning_trajectories": "seed language step heads_left heads dev_score threshold_score accepted",
        "accuracy": "seed condition mask_kind mask_language language split accuracy examples",
        "in_language_share": "seed condition mask_kind train_gradient_mask score language measure "
        "value low high chance examples",
        "influence_matrix": "seed condition mask_kind train_gradient_mask score language "
        "train_language share influence chance",
        "share_change": "condition train_gradient_mask language baseline value low high examples",
        "specialization": "seed condition mask_kind language train_gradient_mask score value low high",
        "layer_share": "seed condition part layer language value low high chance examples",
        "head_share": "seed language layer head share chance",
        "head_influence": "seed language train_language layer head contribution",
    }
    rows = [heads, overlap, steps, accuracies, shares, influences, changes, deltas]
    rows += [layer_shares, head_shares, contributions_by_head]
    frames = {
        name: pd.DataFrame(found, columns=listed.split())
        for (name, listed), found in zip(columns.items(), rows, strict=True)
    }
    return frames | _frames_of_contrasts(codes, rng) | _frames_of_relations(codes, frames)


def _frames_of_contrasts(codes: list[str], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Frames of questions, sensitivity, share_by_k and share_over_training."""
    settings = ["study's own (cosine, k = 100)", *(f"k = {k}" for k in (10, 20, 30, 50, 200, 500))]
    settings += ["AUC instead of top k", "AUC within label", "opponents", "dot product", "last checkpoint"]
    settings += ["eta = one", "own-mask gradients", "masks by inherited importance"]
    verdicts = ["rises", "falls", "equivalent", "negligible", "undecided"]

    def point() -> tuple:
        value = rng.normal(0, 0.03)
        return value, value - abs(value) / 2, value + abs(value) / 2, rng.choice(verdicts)

    answers = [("one", c.question, c.text, c.primary, *point()) for c in CONTRASTS]
    shares = [c for c in CONTRASTS if c.statistic == "share"]
    changed = [(setting, c.question, c.text, *point()) for setting in settings for c in shares]
    chance = 1 / len(codes)
    by_k = [
        (kind, k, chance + 0.1 / k, chance + 0.05 / k, chance + 0.15 / k, chance)
        for kind in KINDS
        for k in (10, 20, 30, 50, 100, 200, 500)
    ]
    over_training = [
        (t, progress, value, value - 0.04, value + 0.04, chance)
        for t in ("all languages", *codes)
        for progress in (0.2, 0.4, 0.6, 0.8, 1.0)
        for value in [chance + 0.1 - 0.05 * progress + 0.01 * rng.random()]
    ]
    columns = {
        "questions": "study question contrast primary value low high verdict",
        "sensitivity": "setting question contrast value low high verdict",
        "share_by_k": "mask_kind top_k value low high chance",
        "share_over_training": "language progress value low high chance",
    }
    rows = answers, changed, by_k, over_training
    return {
        name: pd.DataFrame(found, columns=listed.split())
        for (name, listed), found in zip(columns.items(), rows, strict=True)
    }


def _frames_of_relations(codes: list[str], frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Frames of head_relation, typology (whose distances take seconds to read) and translations."""
    rng = np.random.default_rng(len(codes))
    masks = frames["head_masks"]
    importance = masks.assign(step=0, importance="exact", weight=rng.random(len(masks)))
    relation = head_relation(frames["head_influence"], frames["head_share"], importance, masks, resamples=50)
    rows = []
    for condition, measure in itertools.product(CONDITIONS, MEASURES):
        for a, b in itertools.product([*codes, ALL_LANGUAGES], repeat=2):
            control = 0.2 + 0.1 * rng.random()
            value = 0.1 * rng.random()
            chance = np.nan if measure == "shared_groups" else 0.1
            result = (control + value, chance, control, value, value - 0.03, value + 0.03)
            rows.append((condition, measure, a, b, *result))
    columns = "condition measure language_a language_b observed chance control value low high"
    return {
        "head_relation": relation.drop(columns="p"),  # which is not drawn
        "typology": language_pairs(frames["mask_overlap"], frames["influence_matrix"], 1000),
        "translations": pd.DataFrame(rows, columns=columns.split()),
    }


SMALL = synthetic(2, 1)


@functools.cache
def drawn(study: tuple[int, int], name: str) -> Figure:
    return FIGURES[name](synthetic(*study)[name])


def arrowheads(ax: Axes) -> list[tuple[float, float]]:
    """Where intervals are marked as going on beyond the frame."""
    return [
        (*line.get_xdata(), *line.get_ydata()) for line in ax.lines if isinstance(line.get_marker(), Path)
    ]


def cells(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]
