"""Padding, coverage and order of batches, and tokenisation with and without token types."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from modspec.data.examples import collate, encode, shuffled_batches, sorted_batches
from modspec.models.tiny import tiny_tokenizer
from tests.helpers.models import random_examples

LENGTHS = st.lists(st.integers(1, 60), max_size=120).map(lambda x: np.array(x, dtype=np.int64))
SIZES = st.integers(1, 12)


@pytest.mark.parametrize("token_types", [False, True])
@pytest.mark.parametrize("pad", [0, 1])
def test_collate_pads_on_the_right_to_the_longest_of_the_batch(token_types, pad):
    examples = random_examples(12, token_types=token_types)
    indices = np.array([7, 2, 2, 11])
    batch = collate(examples, indices, pad)
    longest = max(len(examples.input_ids[i]) for i in indices)
    assert set(batch) == {"input_ids", "attention_mask"} | ({"token_type_ids"} if token_types else set())
    for name, tensor in batch.items():
        assert tensor.shape == (4, longest) and tensor.dtype == torch.int64, name
    for row, i in enumerate(indices):
        ids = examples.input_ids[i].tolist()
        padding = longest - len(ids)
        assert batch["input_ids"][row].tolist() == ids + [pad] * padding
        assert batch["attention_mask"][row].tolist() == [1] * len(ids) + [0] * padding
        if token_types:
            assert batch["token_type_ids"][row].tolist() == examples.token_types[i].tolist() + [0] * padding


def test_take_and_of_keep_fields_together():
    examples = random_examples(10, token_types=True)
    taken = examples.take([3, 0, 3])
    assert len(taken) == 3 and taken.ids.tolist() == ["x3", "x0", "x3"]
    for field in ("input_ids", "token_types", "labels", "languages", "groups"):
        for row, i in enumerate([3, 0, 3]):
            assert np.array_equal(getattr(taken, field)[row], getattr(examples, field)[i])
    german = examples.of("de")
    assert german.ids.tolist() == ["x1", "x3", "x5", "x7", "x9"]
    assert len(examples.of("xx")) == 0 and len(examples.take([])) == 0
    assert examples.lengths.tolist() == [len(ids) for ids in examples.input_ids]


@given(LENGTHS, SIZES)
def test_sorted_batches_cover_every_index_once_shortest_first(lengths, batch_size):
    batches = sorted_batches(lengths, batch_size)
    order = [int(i) for batch in batches for i in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert order == sorted(order, key=lambda i: (lengths[i], i))
    sizes = [len(batch) for batch in batches]
    assert len(batches) == -(-len(lengths) // batch_size)
    assert sizes == sizes[:1] * (len(sizes) - 1) + sizes[-1:] and all(0 < n <= sizes[0] for n in sizes)
    assert not sizes or sizes[0] == -(-len(lengths) // len(sizes))  # no fuller than they must be


@given(LENGTHS, SIZES, st.integers(1, 200))
def test_sorted_batches_hold_no_more_tokens_than_allowed(lengths, batch_size, tokens):
    batches = sorted_batches(lengths, batch_size, tokens)
    assert [int(i) for batch in batches for i in batch] == np.argsort(lengths, kind="stable").tolist()
    largest = max(map(len, batches), default=0)
    for batch, following in zip_longest(batches, batches[1:]):
        longest = lengths[batch].max()
        assert len(batch) == 1 or (len(batch) <= batch_size and len(batch) * longest <= tokens)
        if following is not None:  # as large as they can be
            grown = len(batch) + 1
            assert grown > largest or grown * lengths[following[0]] > tokens
    if largest > 1:  # smaller batches would be more
        assert len(sorted_batches(lengths, largest - 1, tokens)) > len(batches)


@given(LENGTHS, SIZES, st.integers(0, 9), st.integers(1, 5))
def test_shuffled_batches_cover_every_index_once_and_depend_only_on_the_rng(lengths, size, seed, pool):
    batches = shuffled_batches(lengths, size, np.random.default_rng(seed), pool)
    again = shuffled_batches(lengths, size, np.random.default_rng(seed), pool)
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)  # no needless small batches
    assert [b.tolist() for b in batches] == [b.tolist() for b in again]


def test_shuffled_batches_differ_by_seed_and_by_epoch():
    lengths = np.random.default_rng(0).integers(1, 60, 300)
    rng = np.random.default_rng(0)
    first, second = (shuffled_batches(lengths, 8, rng) for _ in range(2))
    other = shuffled_batches(lengths, 8, np.random.default_rng(1))
    for batches in (second, other):
        assert {frozenset(b.tolist()) for b in batches} != {frozenset(b.tolist()) for b in first}
    # Batches come in random order: lengths do not grow over the epoch.
    means = [lengths[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    return sum(int(lengths[b].max() * len(b) - lengths[b].sum()) for b in batches)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_bucketing_removes_most_of_the_padding(seed):
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(3, 0.5, 1000).astype(int), 3, 128)
    order = rng.permutation(1000)
    at_random = padding(lengths, [order[i : i + 32] for i in range(0, 1000, 32)])
    assert padding(lengths, shuffled_batches(lengths, 32, rng)) < 0.3 * at_random
    assert padding(lengths, sorted_batches(lengths, 32)) < 0.15 * at_random


ROWS = {
    "text": ["ab", "c", "def"],
    "label": [2, 0, 1],
    "language": ["en", "de", "ko"],
    "id": ["1", "2", "3"],
    "group": ["t", "t", "u"],
}


@pytest.mark.parametrize("pairs", [["x", "yz", "w"], ["", "", ""]])
@pytest.mark.parametrize("name", ["tiny", "tiny-bert"])
def test_encode_pairs_and_singles_with_and_without_token_types(name, pairs):
    tokenizer = tiny_tokenizer(name)
    examples = encode(Dataset.from_dict(ROWS | {"text_pair": pairs}), tokenizer, 64)
    assert examples.labels.tolist() == ROWS["label"]
    for field, column in (("languages", "language"), ("ids", "id"), ("groups", "group")):
        assert getattr(examples, field).tolist() == ROWS[column]
    between = "</s>" if name == "tiny-bert" else "</s></s>"
    for ids, text, pair in zip(examples.input_ids, ROWS["text"], pairs, strict=True):
        expected = f"<s>{text}{between}{pair}</s>" if pair else f"<s>{text}</s>"
        assert tokenizer.decode(ids).replace(" ", "") == expected
    if name == "tiny":
        assert examples.token_types is None
    else:
        for types, text, pair in zip(examples.token_types, ROWS["text"], pairs, strict=True):
            expected = [0] * (len(text) + 2) + ([1] * (len(pair) + 1) if pair else [])
            assert types.tolist() == expected


def test_encode_truncates():
    tokenizer = tiny_tokenizer("tiny-bert")
    rows = Dataset.from_dict(ROWS | {"text": ["a" * 50] * 3, "text_pair": ["b" * 50, "b", "b" * 50]})
    examples = encode(rows, tokenizer, 10)
    assert examples.lengths.tolist() == [10, 10, 10]
    assert [len(types) for types in examples.token_types] == [10, 10, 10]
    assert all(ids[-1] == tokenizer.sep_token_id for ids in examples.input_ids)
