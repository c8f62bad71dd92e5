"""Ciphers re-encode a language one to one; measures of in-language influence rise with their dose."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.analysis.shares import example_statistics
from modspec.calibration.cipher import CIPHERED, PLAIN, Dose, cipher, dose_response, encipher, trend
from modspec.calibration.clones import BOTH, clones, halves
from modspec.errors import InputError
from modspec.workflow.parameters import CalibrationParameters
from tests.calibration.test_clones import TESTED, TESTED_LABELS, TRAIN, TRAIN_LABELS, counts, seeds
from tests.helpers.models import VOCABULARY, random_examples

SPECIAL = [0, 1, 2, 3]


# Ciphers.


def mapping_of(examples, share: float, seed: int = 0, vocabulary: int = 2 * VOCABULARY) -> np.ndarray:
    pieces = np.arange(vocabulary)
    material = SimpleNamespace(encoder="tiny", examples={"train": examples}, kept_pieces=pieces)
    return cipher(material, CalibrationParameters(), share, seed)


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
    coded = encipher(split, "b", mapping)
    pieces = [set(np.concatenate([[0], *coded.of(name).input_ids])) for name in ("a", "b")]
    assert pieces[0] & pieces[1] <= set(SPECIAL)
    assert np.array_equal(coded.lengths, split.lengths) and np.array_equal(coded.labels, split.labels)
    back, moved = np.arange(len(mapping)), np.flatnonzero(mapping != np.arange(len(mapping)))
    back[mapping[moved]] = moved
    for before, after, name in zip(split.input_ids, coded.input_ids, split.languages, strict=True):
        assert np.array_equal(after if name == "a" else back[after], before)


def test_special_pieces_stay_even_where_the_language_uses_them() -> None:
    examples = random_examples(8)
    with_special = replace(examples, input_ids=tuple(np.append(ids, [0, 3]) for ids in examples.input_ids))
    mapping = mapping_of(with_special, 1.0)
    assert np.array_equal(mapping[:4], SPECIAL) and (mapping[4:] != np.arange(4, len(mapping))).any()


def test_what_no_cipher_can_be_made_of() -> None:
    examples = random_examples(60)
    with pytest.raises(
        InputError, match=r"share: 1.0 of the 20 pieces of 'en' need 20 .* what 3 suffice for"
    ):
        mapping_of(examples, 1.0, vocabulary=VOCABULARY + 3)
    assert mapping_of(examples, 0.15, vocabulary=VOCABULARY + 3).max() >= VOCABULARY


# Doses.


def simulated_doses(effect: float, seeds: int = 3) -> list[Dose]:
    rng = np.random.default_rng(4)
    plain = halves(TESTED_LABELS, rng)
    tested = pd.DataFrame({"plain": plain, "label": TESTED_LABELS, "correct": True})
    doses = []
    for seed in range(seeds):
        own = halves(TRAIN_LABELS, rng)
        train = pd.DataFrame({"plain": own, "label": TRAIN_LABELS})
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            scores = rng.normal(size=(TRAIN, TESTED)) + effect * share * (own[:, None] == plain)
            doses.append(Dose(seed, share, scores, train, tested, pieces=share / 2))
    return doses


def responses(doses: list[Dose], top_k: int = 10, resamples: int = 100) -> pd.DataFrame:
    return dose_response(doses, CalibrationParameters(top_k=top_k, level=0.05, resamples=resamples, seed=0))


def test_label_before_language_hides_language_from_all_but_the_auc_within_label() -> None:
    """Ten of each label, k = 10: all of the label are counted, whichever half they are in."""
    (dose,) = [d for d in simulated_doses(3.0, seeds=1) if d.share == 1]
    same_label = 100.0 * (TRAIN_LABELS[:, None] == TESTED_LABELS)
    hidden = replace(dose, scores=dose.scores + same_label)
    response = responses([hidden])
    found = response[response["seed"] == "all"].set_index(["measure", "language"])["value"]
    assert found["share", BOTH] == 0.5 and found["label_auc", BOTH] > 0.95
    assert found["auc", BOTH] < 0.95


def test_a_planted_dose_gives_a_rising_curve_and_none_a_flat_one() -> None:
    for effect in (3.0, 0.0):
        doses = simulated_doses(effect)
        response = responses(doses, resamples=199)
        assert set(response["seed"]) == {"all", "0", "1", "2"} and len(response) == 4 * 5 * 3 * 3
        assert (response["chance"] == 0.5).all() and (response["accuracy"] == 1).all()
        assert (response["pieces"] == response["dose"] / 2).all()
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
    response = responses(doses, top_k=7)
    response = response[response["seed"] == "0"].set_index(["dose", "measure", "language"])["value"]
    for dose in doses:
        names = [np.where(of, PLAIN, CIPHERED) for of in (dose.train["plain"], dose.evaluation["plain"])]
        table = example_statistics(dose.scores, *names, np.arange(TESTED), 7)
        table = table[table["language"] == table["train_language"]]
        for measure, column in (("share", "proponents"), ("auc", "auc")):
            assert response[dose.share, measure, BOTH] == pytest.approx(table[column].mean())
            for half, of in table.groupby("language")[column].mean().items():
                assert response[dose.share, measure, half] == pytest.approx(of)


def test_too_few_seeds_or_doses_have_no_trend() -> None:
    one = trend(responses(simulated_doses(3.0, seeds=1)))
    assert one["p"].isna().all() and (one["seeds"] == 1).all()
    two = [dose for dose in simulated_doses(3.0) if dose.share in (0, 1)]
    assert trend(responses(two))["p"].isna().all()
