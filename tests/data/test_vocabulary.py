"""Which word pieces a study keeps, and ids in the trimmed vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
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


nested = st.recursive(
    st.lists(st.integers(0, 99), max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


def flatten(nest) -> list[int]:
    return [nest] if isinstance(nest, int) else [i for part in nest for i in flatten(part)]


def shape_of(nest):
    return 0 if isinstance(nest, int) else [shape_of(part) for part in nest]


@given(nested, st.sets(st.integers(0, 99), min_size=1))
def test_to_trimmed_numbers_the_kept_pieces(ids, others: set[int]) -> None:
    kept = np.array(sorted(set(flatten(ids)) | others))
    rows = to_trimmed(ids, kept)
    assert kept[flatten(rows)].tolist() == flatten(ids) if flatten(ids) else flatten(rows) == []
    assert shape_of(rows) == shape_of(ids)


def test_to_trimmed_keeps_arrays_and_tensors() -> None:
    kept = np.array([0, 1, 5, 9])
    array = to_trimmed(np.array([[5, 9], [0, 1]]), kept)
    tensor = to_trimmed(torch.tensor([[5, 9], [0, 1]]), kept)
    assert array.tolist() == tensor.tolist() == [[2, 3], [0, 1]]
    assert array.dtype == np.int64 and tensor.dtype == torch.int64


@pytest.mark.parametrize("missing", [4, 10])
def test_to_trimmed_names_a_piece_that_was_not_kept(missing: int) -> None:
    with pytest.raises(InputError, match=f"piece {missing} was not kept"):
        to_trimmed([[0, 5], [missing]], np.array([0, 1, 5, 9]))
