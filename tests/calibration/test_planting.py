"""Planting: masks, wrong labels, attempts, and what is said of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.calibration import planting
from modspec.calibration.planting import (
    disjoint_masks,
    plant,
    planting_sentence,
    planting_took,
    separated_by_one_mask,
    with_wrong_labels,
)
from modspec.errors import InputError
from tests.calibration.test_templates import tiny

MASKS = {name: np.eye(3, dtype=bool)[[i]] for i, name in enumerate(("de", "en", "fr"))}


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12), st.integers(0, 9))
def test_planted_masks_are_disjoint_and_even(layers: int, heads: int, count: int, seed: int) -> None:
    languages = tuple(f"l{i}" for i in range(count))
    rng = np.random.default_rng(seed)
    if count > heads:
        with pytest.raises(InputError, match=f"planted_languages: {count}; allowed: at most {heads}"):
            disjoint_masks(languages, (layers, heads), rng)
        return
    masks = disjoint_masks(languages, (layers, heads), rng)
    assert list(masks) == list(languages)
    assert (sum(mask.astype(int) for mask in masks.values()) <= 1).all()
    assert all((mask.sum(axis=1) == heads // count).all() for mask in masks.values())


@pytest.mark.parametrize(
    ("planted", "is_wrong"),
    [
        (with_wrong_labels, lambda language, owner: language != owner),
        # Under the mask of the first language, "de", all others.
        (separated_by_one_mask, lambda language, owner: owner == "de" and language != "de"),
    ],
)
def test_labels_are_wrong_under_the_masks_that_shall_not_read_a_language(planted, is_wrong) -> None:
    material, _ = tiny()
    train = material.examples["train"]
    examples, under = planted(train, MASKS, 3)
    assert len(examples) == 3 * len(train) and len(under) == 9
    for language, owner in product(MASKS, MASKS):
        name, own = f"{language} under the mask of {owner}", train.of(language)
        found = examples.of(name)
        assert under[name] is MASKS[owner] and np.array_equal(found.ids, own.ids)
        assert np.array_equal(found.labels, (own.labels + is_wrong(language, owner)) % 3)


class Planted:
    """A stand-in for training and prediction: how accurate own and other masks make each attempt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, accuracies: list[dict[str, tuple[float, float]]]):
        self.accuracies, self.epochs = accuracies, []
        monkeypatch.setattr(planting, "trained", self.trained)
        monkeypatch.setattr(planting, "mask_accuracy", self.mask_accuracy)

    def trained(self, material, p, train, seed, masks):
        self.epochs.append(p.epochs)
        return f"model {len(self.epochs)}"

    def mask_accuracy(self, model, examples, masks, material):
        of_attempt = self.accuracies[len(self.epochs) - 1]
        return [{"language": t, "own": own, "others": others} for t, (own, others) in of_attempt.items()]


TOOK = {"de": (0.6, 0.25), "en": (0.9, 0.6)}
FAILED = {"de": (0.6, 0.35), "en": (0.9, 0.1)}


def planted(monkeypatch, accuracies: list) -> tuple[str, pd.DataFrame, Planted]:
    material, p = tiny(planted_epochs=5, planted_attempts=3)
    stub = Planted(monkeypatch, accuracies)
    masks = {name: MASKS[name] for name in ("de", "en")}
    model, table = plant(material, p, material.examples["train"], material.examples["dev"], masks, 0)
    return model, table.assign(languages=2, seed=0), stub


def test_attempts_go_on_until_every_language_needs_its_own_mask(monkeypatch) -> None:
    model, table, stub = planted(monkeypatch, [FAILED, TOOK])
    assert model == "model 2" and stub.epochs == [5, 10]
    assert table["took"].tolist() == [False, False, True, True] and table["epochs"].tolist() == [5, 5, 10, 10]
    assert planting_took(table) == {2}
    assert planting_sentence(table) == (
        "Planting for 2 languages took: every language is at least 30 points more accurate under its own "
        "mask than under another language's."
    )


def test_after_the_last_attempt_planting_failed(monkeypatch) -> None:
    model, table, stub = planted(monkeypatch, [FAILED] * 3)
    assert model == "model 3" and stub.epochs == [5, 10, 20] and not table["took"].any()
    assert planting_took(table) == set()
    assert planting_sentence(table) == (
        "Planting for 2 languages failed (the weakest is de in seed 0: 25 points more accurate under its own "
        "mask than under another language's, and 30 are needed), so we conclude nothing from it."
    )


def test_one_seed_that_failed_fails_its_number_of_languages(monkeypatch) -> None:
    _, took, _ = planted(monkeypatch, [TOOK])
    _, failed, _ = planted(monkeypatch, [FAILED] * 3)
    assert planting_took(pd.concat([took, failed.assign(seed=1), took.assign(languages=3)])) == {3}
