"""Language specificity across seeds: against plain enumeration; level, power, and no fooling by seeds."""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from modspec.analysis.language_specificity import (
    importance_similarity,
    overlap_similarity,
    pooled_specificity,
    specificity,
)
from modspec.analysis.study_tables import mask_overlap


def maps(rng: np.random.Generator, seeds: int, languages: int, *, language: float, seed: float) -> np.ndarray:
    """Maps of 60 heads that share what is common, what is their seed's, and what is their language's."""
    common, own = rng.normal(size=60), rng.normal(size=(1, languages, 60))
    of_seed = rng.normal(size=(seeds, 1, 60))
    return common + seed * of_seed + language * own + rng.normal(size=(seeds, languages, 60))


def table(values: np.ndarray) -> pd.DataFrame:
    """The maps as stage 1's importances, with a pruned step and inherited importances that must not count."""
    rows = [
        {"seed": 10 + s, "language": f"l{t}", "layer": h // 12, "head": h % 12, "weight": v}
        for (s, t, h), v in np.ndenumerate(values)
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=0)
    other = frame.assign(weight=0.5)
    return pd.concat(
        [
            frame.assign(step=0, importance="exact"),
            other.assign(step=1, importance="exact"),
            other.assign(step=0, importance="inherited"),
        ]
    )


def test_against_enumeration_in_plain_python() -> None:
    similarity = importance_similarity(table(maps(np.random.default_rng(1), 3, 3, language=0.3, seed=2)))

    def difference(orders: tuple[tuple[int, ...], ...]) -> float:
        same, other = [], []
        for a, b in combinations(range(3), 2):
            for t, u in product(range(3), repeat=2):
                (same if t == u else other).append(similarity[a, orders[a][t], b, orders[b][u]])
        return float(np.mean(same) - np.mean(other))

    everything = [difference(orders) for orders in product(permutations(range(3)), repeat=3)]
    observed = difference(3 * ((0, 1, 2),))
    found = specificity(similarity)
    assert found.differences[0] == pytest.approx(observed)
    assert len(found.differences) == 36
    above, below = (np.mean(sign * np.array(everything) >= sign * observed - 1e-12) for sign in (1, -1))
    assert found.p == pytest.approx(min(1, 2 * min(above, below)))


@pytest.mark.parametrize(("seeds", "languages"), [(3, 3), (4, 5)])
def test_level_and_power(seeds: int, languages: int) -> None:
    """Seeds that differ strongly, with and without languages that differ."""
    rng = np.random.default_rng(0)
    runs = 300 if languages == 3 else 20
    for language, at_most, at_least in ((0.0, binom.ppf(1 - 1e-4, runs, 0.1), 0), (1.0, runs, 0.9 * runs)):
        rejected = sum(
            specificity(
                importance_similarity(table(maps(rng, seeds, languages, language=language, seed=3)))
            ).p
            <= 0.1
            for _ in range(runs)
        )
        assert at_least <= rejected <= at_most


def test_what_one_seed_has_in_common_does_not_count() -> None:
    """Masks of one seed that are alike do not hide that masks of one language are more alike than others."""
    rng = np.random.default_rng(2)
    languages = {t: rng.random(144) for t in "abcde"}
    masks = {}
    for s in range(3):
        of_seed = rng.random(144)
        for t, own in languages.items():
            masks[s, t] = (own + 3 * of_seed > 2).reshape(12, 12)
    similarity = overlap_similarity(mask_overlap(masks))
    found = specificity(similarity)
    within = np.nanmean([similarity[s, :, s] for s in range(3)])
    assert within > found.same > found.other
    assert found.p < 0.01 and len(found.differences) == 120**2


def test_one_seed_or_language_says_nothing() -> None:
    for shape in ((1, 5, 1, 5), (3, 1, 3, 1)):
        assert np.isnan(specificity(np.ones(shape)).p)
    assert np.isnan(pooled_specificity([np.ones((1, 5, 1, 5))]).p)


def test_one_task_pooled_is_that_task_and_two_are_their_mean() -> None:
    rng = np.random.default_rng(3)
    tasks = [importance_similarity(table(maps(rng, 3, 3, language=0.3, seed=2))) for _ in range(2)]
    alone = [specificity(task) for task in tasks]
    single, both = pooled_specificity(tasks[:1]), pooled_specificity(tasks)
    assert (single.value, single.p) == (alone[0].differences[0], alone[0].p)
    assert both.value == pytest.approx(np.mean([task.differences[0] for task in alone]))
    everything = np.array([(a + b) / 2 for a, b in product(*(task.differences for task in alone))])
    tails = [np.mean(sign * everything >= sign * both.value - 1e-12) for sign in (1, -1)]
    assert both.p == pytest.approx(min(1, 2 * min(tails))) and both.seeds == 3 and both.examples == 18


def test_pooled_tasks_of_many_arrangements_hold_their_level() -> None:
    rng, runs = np.random.default_rng(4), 20
    rejected, values, detectable = 0, [], []
    for _ in range(runs):
        tasks = [importance_similarity(table(maps(rng, 3, 5, language=0, seed=3))) for _ in range(2)]
        found = pooled_specificity(tasks)
        rejected += found.p <= 0.1
        values.append(found.value)
        detectable.append(found.minimum_detectable)
    assert rejected <= binom.ppf(1 - 1e-4, runs, 0.1)
    assert np.mean(detectable) == pytest.approx(2.8 * np.std(values), rel=0.4)
