"""Every condition's masks in force."""

from __future__ import annotations

import numpy as np
import pytest

from modspec.errors import InputError
from modspec.subnetworks.condition_masks import condition_masks
from modspec.subnetworks.masks import permuted_masks
from modspec.terms import CONDITIONS

SEARCHED = {
    "en": np.array([[True, True, False], [False, True, False]]),
    "de": np.array([[True, False, False], [True, True, False]]),
}
INTERSECTION = np.array([[True, False, False], [False, True, False]])
UNION = np.array([[True, True, False], [True, True, False]])
EXPECTED = {
    "full": SEARCHED,
    "one_language_batches": SEARCHED,
    "sft": SEARCHED,
    "sft_random": permuted_masks(SEARCHED, 7),
    "sft_intersection": dict.fromkeys(SEARCHED, INTERSECTION),
    "sft_union": dict.fromkeys(SEARCHED, UNION),
}


def test_every_condition_is_tested_here() -> None:
    assert set(EXPECTED) == set(CONDITIONS)


@pytest.mark.parametrize("condition", EXPECTED)
def test_masks_in_force(condition: str) -> None:
    masks = condition_masks(condition, SEARCHED, 7)
    assert masks.keys() == SEARCHED.keys()
    for language, mask in EXPECTED[condition].items():
        assert masks[language].dtype == bool and np.array_equal(masks[language], mask), language


def test_an_empty_intersection_is_refused_and_its_union_is_not() -> None:
    apart = {"en": np.array([[True, False]]), "de": np.array([[False, True]])}
    with pytest.raises(InputError, match="'sft_intersection', but no head .* of seed 5; allowed: "):
        condition_masks("sft_intersection", apart, 5)
    assert all(mask.all() for mask in condition_masks("sft_union", apart, 5).values())


def test_an_unknown_condition_is_an_error() -> None:
    with pytest.raises(KeyError, match="sparse"):
        condition_masks("sparse", SEARCHED, 0)
