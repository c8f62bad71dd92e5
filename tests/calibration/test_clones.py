"""Clones are halves of a language; tests on them err as often as the data let them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from modspec.analysis.shares import example_statistics
from modspec.calibration.clones import (
    BOOTSTRAP,
    BOTH,
    HALVES,
    INTERVAL,
    ONE,
    OTHERS,
    PERMUTATION,
    clone_tests,
    clones,
    excess,
    false_positive_rates,
    half_weights,
    halves,
)
from modspec.errors import InputError
from modspec.workflow.parameters import CalibrationParameters
from tests.helpers.models import random_examples

TRAIN, TESTED = 40, 12
TRAIN_LABELS, TESTED_LABELS = np.arange(TRAIN) % 4, np.arange(TESTED) % 4
counts = st.integers(2, 40)
seeds = st.integers(0, 2**32 - 1)


# Clones.


@given(labels=st.lists(st.integers(0, 5), max_size=40), seed=seeds)
def test_a_half_is_half_of_everything_and_of_every_label(labels: list[int], seed: int) -> None:
    labels = np.array(labels, dtype=np.int64)
    chosen = halves(labels, np.random.default_rng(seed))
    assert chosen.shape == labels.shape and chosen.dtype == bool
    for of in (chosen, *(chosen[labels == label] for label in set(labels.tolist()))):
        assert abs(2 * of.sum() - len(of)) <= 1


def test_every_half_is_equally_likely() -> None:
    """Three of one label and two of another: 12 halves, those of 2 and 3 examples alike (chi-square)."""
    rng, runs = np.random.default_rng(0), 6000
    labels = np.array([7, 3, 7, 3, 7])
    found = Counter(halves(labels, rng).tobytes() for _ in range(runs))
    assert len(found) == 12
    assert sum((n - runs / 12) ** 2 / (runs / 12) for n in found.values()) < 24.7  # 99 %, 11 df


@given(count=counts, seed=seeds)
def test_clones_are_the_language_itself_in_its_order(count: int, seed: int) -> None:
    examples = random_examples(2 * count, token_types=True)
    split = clones(examples, "de", np.random.default_rng(seed))
    whole = examples.of("de")
    assert set(split.languages.tolist()) == {"a", "b"}
    for name in ("input_ids", "token_types", "labels", "ids", "groups"):
        assert all(
            np.array_equal(*pair) for pair in zip(getattr(split, name), getattr(whole, name), strict=True)
        )
    assert len(split.of("a")) + len(split.of("b")) == count


def test_one_example_cannot_be_split() -> None:
    with pytest.raises(InputError, match="language: 'ru' has 0 examples to split; allowed: 2 or more"):
        clones(random_examples(9), "ru", np.random.default_rng(0))


# Measures.


@settings(deadline=None)
@given(seed=seeds, tied=st.booleans(), top_k=st.integers(1, 9))
def test_weights_give_the_statistics_of_the_study(seed: int, tied: bool, top_k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (9, 4)) if tied else rng.normal(size=(9, 4))
    own, tested = halves(np.zeros(9), rng), np.array([True, False, True, False])
    names = np.where(tested, "a", "b")
    table = example_statistics(scores, np.where(own, "a", "b"), names, np.arange(4), top_k)
    table = table[table["language"] == table["train_language"]].set_index("id").sort_index()
    labels = np.zeros(9), np.zeros(4)
    share, signed = excess(half_weights(scores, "proponents", top_k, *labels)[None], own, tested)
    # 1/k is a float32.
    np.testing.assert_allclose(share[0], table["proponents"] - table["chance"], atol=1e-6)
    np.testing.assert_allclose(signed[0].T @ own, share[0], atol=1e-6)
    auc, _ = excess(half_weights(scores, "auc", top_k, *labels)[None], own, tested)
    np.testing.assert_allclose(auc[0], table["auc"] - 0.5, atol=1e-12)


def test_auc_within_label_is_the_auc_of_those_examples_alone() -> None:
    rng = np.random.default_rng(6)
    scores, tested = rng.integers(0, 5, (TRAIN, TESTED)), halves(TESTED_LABELS, rng)
    own = halves(TRAIN_LABELS, rng)
    found, _ = excess(half_weights(scores, "label_auc", 1, TRAIN_LABELS, TESTED_LABELS)[None], own, tested)
    for e, label in enumerate(TESTED_LABELS):
        alike = TRAIN_LABELS == label
        mine, others = (scores[alike & (own == side), e] for side in (tested[e], not tested[e]))
        wins = (mine[:, None] > others).mean() + (mine[:, None] == others).mean() / 2
        assert found[0, e] == pytest.approx(wins - 0.5)


# Verdicts on clones.


SCORED = ("none", *HALVES, *(f"{OTHERS} {half}" for half in HALVES))


def simulated(rng: np.random.Generator, hubs: float, planted: float = 0.0, split: int = 0) -> dict:
    """Two seeds' scores: noise, training examples that are proponents of all, and one planted split."""
    own, tested = (
        halves(labels, np.random.default_rng([5, split, part]))
        for part, labels in enumerate((TRAIN_LABELS, TESTED_LABELS))
    )
    base = hubs * rng.normal(size=(TRAIN, 1)) + planted * (own[:, None] == tested)
    return {name: base + rng.normal(size=(2, TRAIN, TESTED)) for name in SCORED}


def verdicts(scores: dict, splits: range) -> pd.DataFrame:
    p = CalibrationParameters(top_k=10, level=0.05, resamples=199, seed=5)
    return clone_tests(scores, TRAIN_LABELS, TESTED_LABELS, splits, p)


def rates(tests: pd.DataFrame) -> pd.DataFrame:
    return false_positive_rates(tests, 0.05).set_index(["measure", "language", "test"])


def test_permutation_holds_its_level_where_intervals_do_not() -> None:
    """New scores for every split, so that splits are independent; 99.9 % binomial bounds."""
    rng, runs = np.random.default_rng(1), 150
    few, many = binom.ppf([0.0005, 0.9995], runs, 0.05) / runs
    found = {
        hubs: rates(pd.concat([verdicts(simulated(rng, hubs), range(i, i + 1)) for i in range(runs)]))
        for hubs in (0.0, 3.0)
    }
    for table in found.values():
        assert (table["splits"] == runs).all() and (table["level"] == 0.05).all()
        for measure, language in {key[:2] for key in table.index}:
            assert few <= table.loc[(measure, language, PERMUTATION), "value"] <= many
    for measure in ("share", "auc"):
        for test in (BOOTSTRAP, INTERVAL):
            assert found[3.0].loc[(measure, ONE, test), "value"] > 0.15 > many
        assert found[3.0].loc[(measure, ONE, PERMUTATION), "sd"] > 0.03
        # What hubs give one half they take from the other.
        assert found[3.0].loc[(measure, BOTH, BOOTSTRAP), "value"] < 0.3


def test_a_planted_difference_is_found_in_its_split_alone() -> None:
    tests = verdicts(simulated(np.random.default_rng(2), 0.3, planted=2.0, split=3), range(6))
    planted = tests[tests["split"] == 3].set_index(["measure", "language", "test"])
    for measure in ("share", "auc"):
        for test in (BOOTSTRAP, PERMUTATION):
            for language in (ONE, BOTH):
                assert planted.loc[(measure, language, test), "rejected"]
        assert planted.loc[(measure, BOTH, INTERVAL), "excess"] > 0.25
    # The same without mask and under every mask: nothing specializes.
    for measure in ("specialization", "own_subnetwork"):
        assert abs(planted.loc[(measure, BOTH, INTERVAL), "excess"]) < 0.1
    others = tests[(tests["split"] != 3) & (tests["test"] == PERMUTATION) & (tests["language"] == BOTH)]
    assert others["excess"].abs().max() < 0.2
    assert len(tests) == 6 * 5 * 2 * 3 and not tests.drop(columns=["low", "high"]).isna().any(axis=None)


def test_specialization_is_read_under_the_mask_of_each_half() -> None:
    """Under half a's mask, a's proponents are a's; under b's nothing changes: only a specializes."""
    scores = simulated(np.random.default_rng(3), 0.0)
    own = halves(TRAIN_LABELS, np.random.default_rng([5, 0, 0]))
    scores["b"] = scores["none"]
    scores["a"] = scores["none"] + 9.0 * own[:, None]
    found = verdicts(scores, range(1)).set_index(["measure", "language", "test"])["excess"]
    for test in (INTERVAL, BOOTSTRAP, PERMUTATION):
        one, both = (found["specialization", language, test] for language in (ONE, BOTH))
        assert one == pytest.approx(0.5 - found["share", ONE, test], abs=1e-6)
        assert both == pytest.approx(one / 2, abs=1e-6)


def test_an_own_subnetwork_is_found_against_pooled_others_alone() -> None:
    """Each half's own mask makes its examples proponents; its pooled-others mask changes nothing."""
    scores = simulated(np.random.default_rng(4), 0.0)
    own = halves(TRAIN_LABELS, np.random.default_rng([5, 0, 0]))
    for half, members in zip(HALVES, (own, ~own), strict=True):
        scores[f"{OTHERS} {half}"] = scores["none"]
        scores[half] = scores["none"] + 9.0 * members[:, None]
    tests = verdicts(scores, range(2)).set_index(["split", "measure", "language", "test"])
    for test in (INTERVAL, BOOTSTRAP, PERMUTATION):
        found = tests.loc[(0, "own_subnetwork", BOTH, test)]
        assert found["rejected"] and found["excess"] == pytest.approx(
            tests.loc[(0, "specialization", BOTH, test), "excess"]
        )
    # Of another split's halves these masks say nothing.
    assert abs(tests.loc[(1, "own_subnetwork", BOTH, INTERVAL), "excess"]) < 0.2


def test_rates_by_hand() -> None:
    tests = pd.DataFrame(
        {
            "split": [1, 2, 3, 4],
            "measure": "share",
            "language": ONE,
            "test": INTERVAL,
            "excess": [0.1, -0.1, 0.3, -0.3],
            "low": [0.0, -0.2, 0.1, -0.5],
            "high": [0.2, 0.0, 0.5, -0.1],
            "rejected": [False, False, True, True],
        }
    )
    (row,) = false_positive_rates(tests, 0.05).itertuples()
    assert (row.value, row.splits, row.level) == (0.5, 4, 0.05)
    # Clopper-Pearson for 2 of 4.
    assert (row.low, row.high) == (pytest.approx(0.0676, abs=1e-4), pytest.approx(0.9324, abs=1e-4))
    assert row.excess == pytest.approx(0) and row.half_width == pytest.approx(0.15)
