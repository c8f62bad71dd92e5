"""Influence against the gradients of one example at a time, over all trainable parameters, in float64."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import modspec.influence as module_under_test
from modspec.errors import InputError
from modspec.influence import (
    Checkpoint,
    Scores,
    TokenFactors,
    _dense,
    _weight_products,
    _weight_squares,
    influence,
    inner_products,
    per_example_gradients,
    trainable_modules,
)
from tests.models import (
    HEADS,
    KINDS,
    LAYERS,
    loss_of_one,
    projection,
    random_encoder,
    random_examples,
    reference_gradients,
)

GRID = (LAYERS, HEADS)
MASK = np.array([[True, False, True], [False, False, True]])
OTHER = np.array([[False, True, True], [True, True, False]])
# Scores come as float32: half a unit in its last place.
FLOAT32 = 2.0**-24


def reference(model, train, evaluation, train_mask=None, evaluation_mask=None):
    """(cosine, dot, norms_i x norms_j), each (train, evaluation), in float64 from a float64 copy."""
    exact = copy.deepcopy(model).double().eval()
    a, b = (
        reference_gradients(exact, train, train_mask),
        reference_gradients(exact, evaluation, evaluation_mask),
    )
    norms = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    dot = a @ b.T
    return np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0), dot, norms


def check(scores: Scores, expected, tolerance: float, dot_tolerance: float | None = None) -> None:
    """Cosines within the tolerance; dot products too (or their own), relative to the product of norms."""
    cosine, dot, norms = expected
    assert scores.cosine.shape == scores.dot.shape == cosine.shape
    assert scores.cosine.dtype == scores.dot.dtype == np.float32
    np.testing.assert_allclose(scores.cosine, cosine, rtol=0, atol=tolerance)
    assert (np.abs(scores.dot - dot) <= (dot_tolerance or tolerance) * norms).all()


PER_EXAMPLE = [np.random.default_rng(seed).random((n, *GRID)) < 0.6 for seed, n in ((0, 9), (1, 6))]
MASKS = {
    "none": (None, None),
    "shared": (MASK, MASK),
    "different": (MASK, OTHER),
    "train only": (OTHER, None),
    "evaluation only": (None, MASK),
    "per example": tuple(PER_EXAMPLE),
    "per example and shared": (PER_EXAMPLE[0], OTHER),
    "none and per example": (None, PER_EXAMPLE[1]),
}


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_one_example_at_a_time_autograd(kind, masks):
    train_mask, evaluation_mask = MASKS[masks]
    train = random_examples(9, seed=1, token_types=kind == "bert")
    evaluation = random_examples(6, seed=2, token_types=kind == "bert")
    for dtype, tolerance in ((torch.float64, FLOAT32 + 1e-9), (torch.float32, 1e-5)):
        model = random_encoder(kind, dtype=dtype, dropout=0.5)
        scores = influence(
            model,
            train,
            evaluation,
            train_mask=train_mask,
            evaluation_mask=evaluation_mask,
            batch_size=4,
        )
        expected = reference(model, train, evaluation, train_mask, evaluation_mask)
        assert expected[0].std() > 0.1  # proponents and opponents, not all alike
        check(scores, expected, tolerance)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(1, 1), (1, 2), (5, 5), (2, 40)], ids=str)
def test_any_length_with_and_without_padding(kind, attention, lengths):
    """The float64 products before they are rounded to float32, to 1e-9."""
    model = random_encoder(kind, attention=attention)
    train, evaluation = (random_examples(5, seed=s, lengths=lengths) for s in (3, 4))
    cosine, dot, norms = reference(model, train, evaluation)
    with per_example_gradients(model) as gradients_of:
        a, b = (gradients_of(e, np.arange(5), None) for e in (train, evaluation))
        products = inner_products(a, b).numpy()
    np.testing.assert_allclose(products / norms, cosine, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.outer(a.norms, b.norms), norms, rtol=1e-9)


def test_repeated_pieces_and_an_example_with_itself():
    examples = random_examples(4, seed=5)
    same = tuple(np.full(n, 7) for n in (1, 2, 6, 9))
    examples = replace(examples, input_ids=same)
    model = random_encoder("xlm-roberta")
    scores = influence(model, examples, examples)
    check(scores, reference(model, examples, examples), FLOAT32 + 1e-9)
    np.testing.assert_allclose(np.diag(scores.cosine), 1, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_padding_piece_within_a_text_has_no_gradient_as_in_autograd(kind):
    model, examples = random_encoder(kind), random_examples(6, lengths=(3, 9))
    for ids in examples.input_ids:
        ids[1] = model.config.pad_token_id
    check(influence(model, examples, examples), reference(model, examples, examples), FLOAT32 + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_confident_examples_are_as_exact_as_others(kind):
    """At losses of 1e-3 to 1e-5, usual after fine-tuning, p - 1 in float32 loses the gradient's direction."""
    model = random_encoder(kind, dtype=torch.float32)
    examples = random_examples(16)
    with torch.no_grad():
        getattr(model.classifier, "out_proj", model.classifier).weight *= 10
        model.eval()
        logits = [model(input_ids=torch.from_numpy(ids)[None]).logits for ids in examples.input_ids]
        examples = replace(examples, labels=torch.cat(logits).argmax(-1).numpy())
        losses = [loss_of_one(model.double(), examples, i).item() for i in range(16)]
    assert min(losses) > 1e-6 and np.median(losses) < 1e-2
    model.float()
    # The length of such a gradient is e^-logit: the forward pass's own float32 rounding of logits of tens
    # moves it by some 1e-5, whatever the code. Its direction, and so the cosine, is exact.
    check(influence(model, examples, examples), reference(model, examples, examples), 1e-5, 1e-4)


def test_both_forms_are_taken_in_one_encoder(monkeypatch):
    taken = []
    for name in ("_dense", "_gram"):
        original = getattr(module_under_test, name)
        monkeypatch.setattr(module_under_test, name, lambda *a, f=original, n=name: taken.append(n) or f(*a))
    model = random_encoder(hidden=48)
    for lengths, expected in (((1, 2), "_gram"), ((60, 70), "_dense")):
        examples = random_examples(6, lengths=lengths)
        with per_example_gradients(model) as gradients_of:
            gradients = gradients_of(examples, np.arange(6), None)
        linear = {n: f for n, f in gradients.weights.items() if f.inputs.is_floating_point()}
        for name, factors in linear.items():
            taken.clear()
            _weight_products(factors, factors)
            if "encoder.layer" in name:  # (the pooler and the classifier see one token)
                assert set(taken) == {expected}, name
        check(influence(model, examples, examples), reference(model, examples, examples), FLOAT32 + 1e-9)


SHAPES = st.tuples(*[st.integers(1, top) for top in (4, 12, 4, 12, 8, 8)])


@settings(max_examples=150)
@given(SHAPES, st.integers(0, 99))
def test_weight_products_equal_explicit_matrices(shape, seed):
    n, t, m, u, size, out = shape
    rng = np.random.default_rng(seed)
    a, b = (
        TokenFactors(
            torch.from_numpy(rng.normal(size=(k, s, size))), torch.from_numpy(rng.normal(size=(k, s, out)))
        )
        for k, s in ((n, t), (m, u))
    )
    weights = []
    for f in (a, b):
        outer = f.grads.numpy()[:, :, :, None] * f.inputs.numpy()[:, :, None, :]  # (batch, tokens, out, in)
        weights.append(outer.sum(axis=1).reshape(len(outer), -1))
    np.testing.assert_allclose(_dense(a), weights[0], atol=1e-12)
    np.testing.assert_allclose(_weight_products(a, b), weights[0] @ weights[1].T, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(_weight_squares(a), (weights[0] ** 2).sum(1), rtol=1e-10, atol=1e-10)


@settings(max_examples=60)
@given(SHAPES, st.integers(0, 99))
def test_embedding_products_equal_explicit_matrices(shape, seed):
    n, t, m, u, pieces, out = shape
    rng = np.random.default_rng(seed)
    a, b = (
        TokenFactors(
            torch.from_numpy(rng.integers(0, pieces, (k, s))), torch.from_numpy(rng.normal(size=(k, s, out)))
        )
        for k, s in ((n, t), (m, u))
    )
    tables = []
    for factors in (a, b):
        table = np.zeros((len(factors.grads), pieces, out))
        for i, t in np.ndindex(*factors.inputs.shape):
            table[i, factors.inputs[i, t]] += factors.grads[i, t].numpy()
        tables.append(table.reshape(len(table), -1))
    np.testing.assert_allclose(_weight_products(a, b), tables[0] @ tables[1].T, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(_weight_squares(a), (tables[0] ** 2).sum(1), rtol=1e-10, atol=1e-10)


@settings(max_examples=60)
@given(st.integers(0, 999), st.booleans())
def test_squares_of_gradients_that_cancel_are_never_negative(seed, pieces):
    """Tokens of one input whose gradients sum to zero: a rounding error below zero would become NaN."""
    rng = np.random.default_rng(seed)
    grads = rng.normal(size=(1, 3, 8)).astype(np.float32)
    grads -= grads.mean(axis=1, keepdims=True)
    inputs = np.full((1, 3), 5) if pieces else np.repeat(rng.normal(size=(1, 1, 8)), 3, 1).astype(np.float32)
    assert (_weight_squares(TokenFactors(torch.from_numpy(inputs), torch.from_numpy(grads))) >= 0).all()


def test_gradients_that_cancel_do_not_stop_the_run():
    """Keys of almost equal tokens: almost the same gradient with opposite signs, and nothing else trains."""
    for seed in range(10):
        model = random_encoder("xlm-roberta", dtype=torch.float32, seed=seed, hidden=48).requires_grad_(False)
        with torch.no_grad():
            model.base_model.embeddings.position_embeddings.weight *= 1e-4
        model.base_model.encoder.layer[0].attention.self.key.weight.requires_grad_(True)
        examples = replace(random_examples(8), input_ids=tuple(np.full(3, piece) for piece in range(4, 12)))
        assert np.isfinite(influence(model, examples, examples).cosine).all()


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_sum_with_their_learning_rates(kind):
    model, train, evaluation = random_encoder(kind), random_examples(6, seed=1), random_examples(4, seed=2)
    states = [copy.deepcopy(random_encoder(kind, seed=s).state_dict()) for s in (11, 12, 13)]
    rates = [0.5, 0.25, 0.1]
    cosine = dot = 0.0
    for state, rate in zip(states, rates, strict=True):
        model.load_state_dict(state)
        expected = reference(model, train, evaluation)
        cosine, dot = cosine + rate * expected[0], dot + rate * expected[1]
    checkpoints = (
        Checkpoint(lambda m, s=state: m.load_state_dict(s), rate)
        for state, rate in zip(states, rates, strict=True)
    )
    model.load_state_dict(random_encoder(kind).state_dict())
    scores = influence(model, train, evaluation, checkpoints=checkpoints)  # any iterable: read once
    np.testing.assert_allclose(scores.cosine, cosine, rtol=0, atol=FLOAT32 + 1e-9)
    np.testing.assert_allclose(scores.dot, dot, rtol=1e-6, atol=1e-9 * np.abs(dot).max())


FROZEN = {
    "embeddings": "embeddings",
    "words": "word_embeddings",
    "layer 0": "layer.0",
    "layer 1": "layer.1",
    "all but the classifier": ("bert", "roberta"),
    "all biases": "bias",
    "all weights": "weight",
    "queries": "query",
    "norms": "LayerNorm",
}


@pytest.mark.parametrize("part", FROZEN)
@pytest.mark.parametrize("kind", KINDS)
def test_frozen_parameters_do_not_count(kind, part):
    model, train, evaluation = random_encoder(kind), random_examples(5, seed=1), random_examples(4, seed=2)
    everything = reference(model, train, evaluation)
    names = FROZEN[part]
    for name, parameter in model.named_parameters():
        if name.startswith(names) if isinstance(names, tuple) else names in name:
            parameter.requires_grad_(False)
    before = {n: p.requires_grad for n, p in model.named_parameters()}
    expected = reference(model, train, evaluation, MASK, None)
    assert np.abs(expected[1] - everything[1]).max() > 1e-3
    check(influence(model, train, evaluation, train_mask=MASK), expected, FLOAT32 + 1e-9)
    assert {n: p.requires_grad for n, p in model.named_parameters()} == before


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


class Scale(nn.Module):
    """A module of a kind that influence does not know, with a parameter of its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.scale = inner, nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        return self.inner(x) * self.scale


class OtherLinear(nn.Linear):
    """A subclass may compute anything."""


def test_a_module_of_an_unknown_type_is_refused_unless_it_is_frozen():
    model, examples = random_encoder(), random_examples(4)
    model.classifier = Scale(model.classifier)
    with pytest.raises(
        InputError, match="module 'classifier' of type Scale.*knows Linear, Embedding, LayerNorm"
    ):
        influence(model, examples, examples)
    assert not any(m._forward_hooks for m in model.modules()) and model.training
    model.classifier.scale.requires_grad_(False)
    check(influence(model, examples, examples), reference(model, examples, examples), FLOAT32 + 1e-9)
    model.base_model.pooler.dense = OtherLinear(12, 12).double()
    with pytest.raises(InputError, match="'bert.pooler.dense' of type OtherLinear"):
        trainable_modules(model)


def test_shared_parameters_are_refused():
    model, examples = random_encoder(), random_examples(4)
    layers = model.base_model.encoder.layer
    layers[1].output.dense.weight = layers[0].output.dense.weight
    with pytest.raises(InputError, match="layer.0.output.dense' and '.*layer.1.output.dense' share"):
        influence(model, examples, examples)


def test_a_module_that_runs_twice_is_refused():
    model, examples = random_encoder(), random_examples(4)
    layers = model.base_model.encoder.layer
    layers[1] = layers[0]
    with pytest.raises(InputError, match="runs more than once"):
        influence(model, examples, examples)


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


def test_an_example_without_gradient_has_cosine_zero():
    model, train, evaluation = (
        random_encoder(dtype=torch.float32),
        random_examples(5),
        random_examples(3, seed=1),
    )
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([200.0, 0, 0]))  # certain of label 0 beyond any rounding
    train = replace(train, labels=np.array([0, 1, 0, 1, 2]))
    evaluation = replace(evaluation, labels=np.array([0, 1, 2]))
    scores = influence(model, train, evaluation)
    certain = np.logical_or.outer(train.labels == 0, evaluation.labels == 0)
    assert (scores.cosine[certain] == 0).all() and (scores.dot[certain] == 0).all()
    assert (scores.cosine[~certain] != 0).all() and np.isfinite(scores.cosine).all()


def test_nothing_to_score():
    model, examples, nothing = random_encoder(), random_examples(4), random_examples(4).take([])
    for train, evaluation in ((examples, nothing), (nothing, examples), (nothing, nothing)):
        scores = influence(model, train, evaluation)
        assert scores.cosine.shape == scores.dot.shape == (len(train), len(evaluation))


def test_masked_heads_take_no_part():
    """A gradient under a mask is zero for what belongs to heads outside it."""
    model, examples = random_encoder(), random_examples(3)
    rows = reference_gradients(model.eval(), examples, MASK)
    sizes = [p.numel() for p in model.parameters()]
    by_name = dict(
        zip([n for n, _ in model.named_parameters()], np.split(rows, np.cumsum(sizes)[:-1], 1), strict=True)
    )
    columns = by_name[projection(0, "bert")].reshape(3, 12, HEADS, -1)
    assert (columns[:, :, 1] == 0).all() and (columns[:, :, 0] != 0).any()


def live_bytes() -> int:
    gc.collect()
    tensors = [x for x in gc.get_objects() if type(x) in (torch.Tensor, nn.Parameter)]
    return sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())


def test_memory_does_not_grow_with_the_number_of_training_examples():
    """Live tensors when an early training batch enters the encoder, and when the last one does."""
    model, evaluation = random_encoder(dtype=torch.float32), random_examples(4, lengths=(8, 8))
    train, calls, live = random_examples(80, lengths=(8, 8)), [], []

    def see(*_):
        calls.append(1)
        if len(calls) in (4, 21):
            live.append(live_bytes())

    model.register_forward_pre_hook(see)
    influence(model, train, evaluation, batch_size=4)
    assert len(calls) == 21 and live[0] == live[1]
