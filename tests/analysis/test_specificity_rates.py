"""The simulated permutation test of importances is the analysis's own, and holds its level."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import binom

from modspec.analysis import specificity_rates
from modspec.analysis.language_specificity import specificity
from modspec.analysis.specificity_rates import (
    MapSize,
    assignments,
    differences,
    draw_maps,
    map_size,
    similarities,
    simulate_specificity,
    two_sided_p,
)
from modspec.terms import QUESTIONS

QUESTION = replace(QUESTIONS["Q1"], margin=None)


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_it_is_the_analysis_own_test(effect):
    rng = np.random.default_rng(0)
    drawn = similarities(*draw_maps(MapSize(3, 10), 3, 5, rng), effect)
    orders = list(permutations(range(3)))
    every = np.array([(orders[0], *others) for others in product(orders, repeat=2)])
    found = differences(drawn, every)
    for similarity, of_draw in zip(drawn, found, strict=True):
        expected = specificity(similarity.astype(float))
        assert of_draw[0] == pytest.approx(expected.same - expected.other, abs=1e-6)
        assert two_sided_p(of_draw[None]) == pytest.approx(expected.p)


def test_assignments_permute_the_languages_of_all_seeds_but_the_first():
    drawn = assignments(4, 5, np.random.default_rng(0))
    assert (drawn[0] == np.arange(5)).all() and (drawn[:, 0] == np.arange(5)).all()
    assert (np.sort(drawn, axis=2) == np.arange(5)).all() and len(np.unique(drawn[:, 1], axis=0)) > 60


def test_maps_have_the_effect_and_their_number_of_heads_is_found_again():
    rng = np.random.default_rng(0)
    for effect in (0.0, 0.3):
        drawn = similarities(*draw_maps(MapSize(5, 60), 3, 300, rng), effect)
        values = differences(drawn, assignments(3, 5, rng)[:1])
        assert values.mean() == pytest.approx(effect, abs=0.015)
    none = similarities(*draw_maps(MapSize(5, 60), 40, 1, rng), 0.0)[0]
    size = map_size(none)
    assert size.languages == 5 and 50 <= size.heads <= 70


@pytest.mark.parametrize("seeds", [3, 6])
def test_the_test_holds_its_level_and_finds_an_effect(seeds, monkeypatch):
    monkeypatch.setattr(specificity_rates, "ASSIGNMENTS", 200)
    draws, tasks = 1000, [MapSize(5, 60), MapSize(4, 40)]
    effects, rng = np.array([0.0, 0.4]), np.random.default_rng(0)
    simulated = simulate_specificity(QUESTION, tasks, seeds, effects, draws, rng)
    low, high = binom.ppf([0.0005, 0.9995], draws, 0.05)
    assert low <= np.count_nonzero(simulated.p[0] <= 0.05) <= high
    assert (simulated.p[1] <= 0.05).mean() > 0.9
    assert simulated.values[1].mean() == pytest.approx(0.4, abs=0.03)
