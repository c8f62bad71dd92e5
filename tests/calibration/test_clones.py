"""Clones and ciphers are what they say; tests on them err as often as the data let them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from modspec.analysis.shares import example_statistics
from modspec.calibration.cipher import CIPHERED, PLAIN, Dose, cipher, dose_response, encipher, trend
from modspec.calibration.clones import (
    BOOTSTRAP,
    BOTH,
    INTERVAL,
    ONE,
    PERMUTATION,
    clone_names,
    clone_tests,
    clones,
    excess,
    false_positive_rates,
    half_weights,
    halves,
)
from modspec.errors import InputError
from tests.helpers.models import VOCABULARY, random_examples

SPECIAL = [0, 1, 2, 3]
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
    assert set(split.languages.tolist()) == set(clone_names("de")) == {"de-a", "de-b"}
    for name in ("input_ids", "token_types", "labels", "ids", "groups"):
        assert all(
            np.array_equal(*pair) for pair in zip(getattr(split, name), getattr(whole, name), strict=True)
        )
    assert len(split.of("de-a")) + len(split.of("de-b")) == count


def test_one_example_cannot_be_split() -> None:
    with pytest.raises(InputError, match="language: 'ru' has 0 examples to split; allowed: 2 or more"):
        clones(random_examples(9), "ru", np.random.default_rng(0))


# Ciphers.


def mapping_of(examples, share: float, seed: int = 0, vocabulary: int = 2 * VOCABULARY) -> np.ndarray:
    return cipher([examples], "en", share, vocabulary=vocabulary, special=SPECIAL, seed=seed)


@given(count=counts, data=seeds, seed=seeds, shares=st.tuples(*[st.floats(0, 1)] * 2).map(sorted))
def test_a_cipher_is_one_to_one_into_foreign_pieces_and_nested(count, data, seed, shares) -> None:
    examples = random_examples(count, seed=data % 1000)
    used = np.unique(np.concatenate(examples.of("en").input_ids))
    own = np.setdiff1d(used, SPECIAL)
    less, more = (mapping_of(examples, share, seed) for share in shares)
    for mapping, share in zip((less, more), shares, strict=True):
        moved = np.flatnonzero(mapping != np.arange(len(mapping)))
        assert len(moved) == round(share * len(own)) and set(moved) <= set(own)
        assert len(set(mapping[used])) == len(used)
        assert not set(mapping[moved]) & {*used, *SPECIAL}
    moved = less != np.arange(len(less))
    assert np.array_equal(less[moved], more[moved])


@given(count=counts, seed=seeds)
def test_at_share_one_clones_share_special_pieces_only(count: int, seed: int) -> None:
    examples = random_examples(2 * count)
    mapping = mapping_of(examples, 1.0, seed)
    split = clones(examples, "en", np.random.default_rng(seed))
    coded = encipher(split, "en-b", mapping)
    pieces = [set(np.concatenate([[0], *coded.of(name).input_ids])) for name in ("en-a", "en-b")]
    assert pieces[0] & pieces[1] <= set(SPECIAL)
    assert np.array_equal(coded.lengths, split.lengths) and np.array_equal(coded.labels, split.labels)
    back, moved = np.arange(len(mapping)), np.flatnonzero(mapping != np.arange(len(mapping)))
    back[mapping[moved]] = moved
    for before, after, name in zip(split.input_ids, coded.input_ids, split.languages, strict=True):
        assert np.array_equal(after if name == "en-a" else back[after], before)


def test_special_pieces_stay_even_where_the_language_uses_them() -> None:
    examples = random_examples(8)
    mapping = cipher([examples], "en", 1.0, vocabulary=60, special=range(12), seed=0)
    assert np.array_equal(mapping[:12], np.arange(12))
    assert {int(ids.min()) for ids in examples.input_ids} & set(range(4, 12))


def test_what_no_cipher_can_be_made_of() -> None:
    examples = random_examples(60)
    with pytest.raises(
        InputError, match=r"share: 1.0 of the 20 pieces of 'en' need 20 .* what 3 suffice for"
    ):
        mapping_of(examples, 1.0, vocabulary=VOCABULARY + 3)
    assert mapping_of(examples, 0.15, vocabulary=VOCABULARY + 3).max() >= VOCABULARY
    with pytest.raises(InputError, match="share: 1.5; allowed: 0 to 1"):
        mapping_of(examples, 1.5)
    with pytest.raises(InputError, match="language: 'ru' has no examples"):
        cipher([examples], "ru", 0.5, vocabulary=60, special=SPECIAL, seed=0)


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


def test_label_before_language_hides_language_from_all_but_the_auc_within_label() -> None:
    """Ten of each label, k = 10: all of the label are counted, whichever half they are in."""
    (dose,) = [d for d in simulated_doses(3.0, seeds=1) if d.share == 1]
    same_label = 100.0 * (TRAIN_LABELS[:, None] == TESTED_LABELS)
    hidden = replace(dose, scores=dose.scores + same_label)
    response = dose_response([hidden], top_k=10, level=0.05, resamples=100, seed=0)
    found = response[response["seed"] == "all"].set_index(["measure", "language"])["value"]
    assert found["share", BOTH] == 0.5 and found["label_auc", BOTH] > 0.95
    assert found["auc", BOTH] < 0.95


# Verdicts on clones.


def simulated(rng: np.random.Generator, hubs: float, planted: float = 0.0, split: int = 0) -> dict:
    """Two seeds' scores: noise, training examples that are proponents of all, and one planted split."""
    own, tested = (
        halves(labels, np.random.default_rng([5, split, part]))
        for part, labels in enumerate((TRAIN_LABELS, TESTED_LABELS))
    )
    base = hubs * rng.normal(size=(TRAIN, 1)) + planted * (own[:, None] == tested)
    return {name: base + rng.normal(size=(2, TRAIN, TESTED)) for name in ("none", "a", "b")}


def verdicts(scores: dict, splits: range) -> pd.DataFrame:
    return clone_tests(
        scores, TRAIN_LABELS, TESTED_LABELS, splits, top_k=10, level=0.05, resamples=199, seed=5
    )


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
    # The same in all three: nothing specializes.
    assert abs(planted.loc[("specialization", BOTH, INTERVAL), "excess"]) < 0.1
    others = tests[(tests["split"] != 3) & (tests["test"] == PERMUTATION) & (tests["language"] == BOTH)]
    assert others["excess"].abs().max() < 0.2
    assert len(tests) == 6 * 4 * 2 * 3 and not tests.drop(columns=["low", "high"]).isna().any(axis=None)


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


# Doses.


def simulated_doses(effect: float, seeds: int = 3) -> list[Dose]:
    rng = np.random.default_rng(4)
    plain = halves(TESTED_LABELS, rng)
    doses = []
    for seed in range(seeds):
        own = halves(TRAIN_LABELS, rng)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            scores = rng.normal(size=(TRAIN, TESTED)) + effect * share * (own[:, None] == plain)
            doses.append(Dose(seed, share, scores, own, plain, TRAIN_LABELS, TESTED_LABELS))
    return doses


def test_a_planted_dose_gives_a_rising_curve_and_none_a_flat_one() -> None:
    level = {"top_k": 10, "level": 0.05, "resamples": 199, "seed": 0}
    for effect in (3.0, 0.0):
        doses = simulated_doses(effect)
        response = dose_response(doses, **level)
        assert set(response["seed"]) == {"all", "0", "1", "2"} and len(response) == 4 * 5 * 3 * 3
        assert (response["chance"] == 0.5).all()
        every = response[response["seed"] == "all"].set_index(["dose", "measure", "language"])
        found = trend(response).set_index(["measure", "language"])
        for measure in ("share", "auc", "label_auc"):
            assert every.loc[(0.0, measure, BOTH), "p"] > 0.01
            assert abs(every.loc[(0.0, measure, BOTH), "value"] - 0.5) < 0.1
            for language in (PLAIN, CIPHERED, BOTH):
                top = every.loc[(1.0, measure, language)]
                if effect:
                    assert top["p"] == 1 / 200 and top["value"] > 0.9
                    assert found.loc[(measure, language), "p"] < 1e-3
                    assert found.loc[(measure, language), "tau"] > 0.8
                else:
                    assert top["p"] > 0.01 and found.loc[(measure, language), "p"] > 0.01


def test_dose_response_against_the_statistics_of_the_study() -> None:
    doses = simulated_doses(1.0, seeds=1)
    response = dose_response(doses, top_k=7, level=0.05, resamples=100, seed=0)
    response = response[response["seed"] == "0"].set_index(["dose", "measure", "language"])["value"]
    for dose in doses:
        names = [np.where(of, PLAIN, CIPHERED) for of in (dose.train_plain, dose.evaluation_plain)]
        table = example_statistics(dose.scores, *names, np.arange(TESTED), 7)
        table = table[table["language"] == table["train_language"]]
        for measure, column in (("share", "proponents"), ("auc", "auc")):
            assert response[dose.share, measure, BOTH] == pytest.approx(table[column].mean())
            for half, of in table.groupby("language")[column].mean().items():
                assert response[dose.share, measure, half] == pytest.approx(of)


def test_too_few_seeds_or_doses_have_no_trend() -> None:
    level = {"top_k": 10, "level": 0.05, "resamples": 100, "seed": 0}
    one = trend(dose_response(simulated_doses(3.0, seeds=1), **level))
    assert one["p"].isna().all() and (one["seeds"] == 1).all()
    two = [dose for dose in simulated_doses(3.0) if dose.share in (0, 1)]
    assert trend(dose_response(two, **level))["p"].isna().all()
