"""How influence is computed must not change what it is: batches, blocks, shards, resuming, memory, errors."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modspec.errors import InputError
from modspec.influence import influence, merge
from modspec.influence.tracin import TILINGS, _evaluation_blocks
from tests.helpers.models import random_encoder, random_examples
from tests.helpers.references import FLOAT32, GRID, MASK, check, reference

SCORES = ("cosine", "dot", "cosine_by_part", "dot_by_part")


def test_does_not_depend_on_batch_size_or_order():
    model = random_encoder("xlm-roberta", dtype=torch.float32)
    train, evaluation = random_examples(13, seed=1), random_examples(7, seed=2)
    arguments = dict(train_mask=np.random.default_rng(0).random((13, *GRID)) < 0.7, evaluation_mask=MASK)
    scores = influence(model, train, evaluation, **arguments)
    for batch_size in (1, 2, 5, 100):
        again = influence(model, train, evaluation, batch_size=batch_size, **arguments)
        np.testing.assert_allclose(again.cosine, scores.cosine, rtol=0, atol=3e-6)
    rows, columns = np.random.default_rng(1).permutation(13), np.random.default_rng(2).permutation(7)
    arguments["train_mask"] = arguments["train_mask"][rows]
    shuffled = influence(model, train.take(rows), evaluation.take(columns), **arguments)
    np.testing.assert_allclose(shuffled.cosine, scores.cosine[np.ix_(rows, columns)], rtol=0, atol=3e-6)
    np.testing.assert_allclose(shuffled.dot, scores.dot[np.ix_(rows, columns)], rtol=1e-4, atol=1e-4)
    same = influence(model, train, evaluation, train_mask=arguments["train_mask"], evaluation_mask=MASK)
    twice = influence(model, train, evaluation, train_mask=arguments["train_mask"], evaluation_mask=MASK)
    assert np.array_equal(same.cosine, twice.cosine) and np.array_equal(same.dot, twice.dot)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_leaves_the_model_as_it_was(training, fails):
    model, examples = random_encoder(dropout=0.3).train(training), random_examples(5)
    frozen = model.base_model.embeddings.word_embeddings.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if fails:
        with pytest.raises(InputError, match="gates: shape"):
            influence(model, examples, examples, train_mask=np.ones((7, 7), bool))
    else:
        influence(model, examples, examples, train_mask=MASK)
    assert all(module.training == training for module in model.modules())
    assert all(p.requires_grad == (p is not frozen) for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("by_part", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_merge_to_exactly_the_whole(count, by_part):
    model = random_encoder(dtype=torch.float32)
    train, evaluation = random_examples(33, seed=1), random_examples(7, seed=2)
    masks = np.random.default_rng(0).random((33, *GRID)) < 0.7
    arguments = dict(train_mask=masks, evaluation_mask=MASK, batch_size=2, by_part=by_part)
    whole = influence(model, train, evaluation, **arguments)
    shards = [influence(model, train, evaluation, shard=(i, count), **arguments) for i in range(count)]
    merged = merge(shards[::-1])
    assert merged.parts == whole.parts and np.array_equal(merged.rows, np.arange(33))
    assert sum(len(shard.cosine) for shard in shards) == 33
    for name in SCORES if by_part else SCORES[:2]:
        assert np.array_equal(getattr(merged, name), getattr(whole, name)), name
    if count > 1:
        for wrong in (shards[1:], [*shards, shards[0]]):
            with pytest.raises(InputError, match="every shard of one call, once"):
                merge(wrong)


def test_blocks_of_evaluation_examples_give_the_same_scores():
    model = random_encoder(dtype=torch.float32)
    train, evaluation = random_examples(13, seed=1), random_examples(9, seed=2)
    whole = influence(model, train, evaluation, batch_size=4)
    linear = [m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)]
    for examples, blocks in ((9, 1), (8, 2), (3, 3), (1, 9), (0.1, 9)):
        some = influence(model, train, evaluation, batch_size=4, memory=4 * sum(linear) * (examples + 0.5))
        assert some.report.evaluation_blocks == blocks
        np.testing.assert_allclose(some.cosine, whole.cosine, rtol=0, atol=3e-6)
        np.testing.assert_allclose(some.dot, whole.dot, rtol=1e-4, atol=1e-4)
    assert whole.report.evaluation_blocks == 1 and "1 pass of" in str(whole.report)


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(1, 100), st.integers(1, 100))
def test_there_are_no_more_evaluation_blocks_than_needed(lengths, fit, at_once):
    tiling = replace(TILINGS["cpu"], evaluation=at_once, tokens=200)
    blocks = _evaluation_blocks(np.array(lengths, dtype=int), fit, tiling)
    assert len(blocks) == max(1, -(-len(lengths) // fit))
    assert sorted(i for block in blocks for batch in block for i in batch) == [*range(len(lengths))]
    assert max(sum(map(len, block)) for block in blocks) <= fit
    assert max((len(batch) for block in blocks for batch in block), default=0) <= at_once


def test_a_killed_run_resumes_after_its_last_finished_block():
    model = random_encoder(dtype=torch.float32)
    train, evaluation = random_examples(40, seed=1), random_examples(6, seed=2)
    arguments = dict(batch_size=2, by_part=True)
    whole = influence(model, train, evaluation, **arguments)
    kept, passes = {}, []

    def remember(name, compute):
        if name not in kept:
            if len(kept) == 3 and not passes:
                raise KeyboardInterrupt
            kept[name] = compute()
        return kept[name]

    with pytest.raises(KeyboardInterrupt):
        influence(model, train, evaluation, remember=remember, **arguments)
    assert len(kept) == 3
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    passes.append(0)
    resumed = influence(model, train, evaluation, remember=remember, **arguments)
    # Two examples that tell which gradients autograd forms, evaluation examples, two blocks of four batches.
    assert len(kept) == 5 and len(passes) - 1 == 1 + 1 + 2 * 4
    for name in SCORES:
        assert np.array_equal(getattr(resumed, name), getattr(whole, name)), name
    passes.clear()
    again = influence(model, train, evaluation, remember=remember, **arguments)
    assert not passes and np.array_equal(again.cosine, whole.cosine)


class Scale(nn.Module):
    """A module of a kind that influence does not know, with a parameter of its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.scale = inner, nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        return self.inner(x) * self.scale


class OtherLinear(nn.Linear):
    """A subclass may compute anything."""


def test_modules_of_unknown_types_are_exact_and_need_a_pass_per_example():
    model, examples, passes = random_encoder(), random_examples(4), []
    model.classifier = Scale(model.classifier)
    model.base_model.pooler.dense = OtherLinear(12, 12).double()
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    scores = influence(model, examples, examples, by_part=True)
    assert len(passes) == 1 + 4 + 4
    check(scores, reference(model, examples, examples), FLOAT32 + 1e-9)
    np.testing.assert_allclose(scores.dot_by_part.sum(0), scores.dot, rtol=1e-5)
    assert not any(m._forward_hooks for m in model.modules()) and model.training
    passes.clear()
    for frozen in (model.classifier.scale, *model.base_model.pooler.parameters()):
        frozen.requires_grad_(False)
    check(influence(model, examples, examples), reference(model, examples, examples), FLOAT32 + 1e-9)
    assert len(passes) == 1 + 1 + 1 + 8  # batches, then the reference's examples


class ReadsTheTable(nn.Module):
    """A module that uses another module's weight without calling it."""

    def __init__(self, inner: nn.Module, table: nn.Embedding) -> None:
        super().__init__()
        self.inner, self.table = inner, [table]

    def forward(self, x):
        return self.inner(x) + x @ self.table[0].weight[:3].T


def test_a_weight_that_is_used_past_its_module_counts_there_too():
    model, examples = random_encoder(), random_examples(4)
    model.classifier = ReadsTheTable(model.classifier, model.base_model.embeddings.word_embeddings)
    check(influence(model, examples, examples), reference(model, examples, examples), FLOAT32 + 1e-9)


def test_an_encoder_without_trainable_parameters_is_refused():
    model, examples = random_encoder().requires_grad_(False), random_examples(4)
    with pytest.raises(InputError, match="trainable"):
        influence(model, examples, examples)


@pytest.mark.parametrize("side", ["train_mask", "evaluation_mask"])
@pytest.mark.parametrize("grids", [3, 6])
def test_a_grid_for_every_example_means_for_every_example(side, grids):
    model, examples = random_encoder(), random_examples(4)
    with pytest.raises(InputError, match="mask"):
        influence(model, examples, examples, **{side: np.ones((grids, *GRID), bool)})


def test_nan_weights_name_an_example():
    model, examples = random_encoder(dtype=torch.float32), random_examples(6)
    poisoned = [np.where(ids == 4, 5, ids) for ids in examples.input_ids]
    poisoned[3] = np.array([4])
    with torch.no_grad():
        model.base_model.embeddings.word_embeddings.weight[4] = float("nan")
    examples = replace(examples, input_ids=tuple(poisoned))
    with pytest.raises(FloatingPointError, match="example 'x3' is not finite"):
        influence(model, examples, random_examples(2).take([]), batch_size=2)
    assert model.training and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": torch.float16},
        {"batch_size": 0},
        {"memory": 0},
        {"memory": float("nan")},
        {"shard": (2, 2)},
        {"shard": (-1, 2)},
        {"shard": (0, 0)},
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name}: .*allowed: "):
        influence(random_encoder(), random_examples(3), random_examples(2), **wrong)


@pytest.mark.parametrize("name", ["train", "evaluation"])
@pytest.mark.parametrize("label", [-100, -1, 3])
def test_a_label_that_is_no_class(name, label):
    sets = {"train": random_examples(4), "evaluation": random_examples(4)}
    sets[name].labels[2] = label
    with pytest.raises(InputError, match=rf"^{name}: example 'x2' has label {label}; allowed: 0 to 2$"):
        influence(random_encoder(), **sets)


def test_nothing_to_score():
    model, examples, nothing = random_encoder(), random_examples(4), random_examples(4).take([])
    for train, evaluation in ((examples, nothing), (nothing, examples), (nothing, nothing)):
        scores = influence(model, train, evaluation)
        assert scores.cosine.shape == scores.dot.shape == (len(train), len(evaluation))


def live_bytes() -> int:
    gc.collect()
    tensors = [x for x in gc.get_objects() if type(x) in (torch.Tensor, nn.Parameter)]
    return sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())


def test_memory_does_not_grow_with_the_number_of_training_examples():
    """Live tensors when an early training batch enters the encoder, and when a late one does."""
    model, evaluation = random_encoder(dtype=torch.float32), random_examples(4, lengths=(8, 8))
    train, calls, live = random_examples(80, lengths=(8, 8)), [], []

    def see(*_):
        calls.append(1)
        if len(calls) in (5, 21):  # at the same place in a block of four batches
            live.append(live_bytes())

    model.register_forward_pre_hook(see)
    influence(model, train, evaluation, batch_size=4)
    assert len(calls) == 22 and live[0] == live[1]
