"""Which word pieces a study keeps, and ids in the trimmed vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.data.vocabulary import to_trimmed, used_pieces
from modspec.errors import InputError
from modspec.models.encoders import load_tokenizer


def test_used_pieces_keeps_specials_and_everything_up_to_the_padding() -> None:
    tokenizer = load_tokenizer("tiny")
    kept = used_pieces([[0, 50, 2], [0, 9, 50, 2]], tokenizer)
    assert kept.dtype == np.int64
    assert kept.tolist() == [0, 1, 2, 3, 9, 50]
    assert used_pieces([], tokenizer).tolist() == [0, 1, 2, 3]


@given(st.lists(st.integers(0, 99)), st.sets(st.integers(0, 99), min_size=1))
def test_to_trimmed_numbers_the_kept_pieces(ids: list[int], others: set[int]) -> None:
    kept = np.array(sorted({*ids, *others}))
    rows = to_trimmed(np.array(ids), kept)
    assert kept[rows].tolist() == ids and rows.dtype == np.int64


def test_to_trimmed_keeps_the_shape() -> None:
    assert to_trimmed(np.array([[5, 9], [0, 1]]), np.array([0, 1, 5, 9])).tolist() == [[2, 3], [0, 1]]


@pytest.mark.parametrize("missing", [4, 10])
def test_to_trimmed_names_a_piece_that_was_not_kept(missing: int) -> None:
    with pytest.raises(InputError, match=f"piece {missing} was not kept"):
        to_trimmed(np.array([[0, 5], [0, missing]]), np.array([0, 1, 5, 9]))
