"""Head importance against one-example-at-a-time autograd and a literal copy of the inherited loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modspec.errors import InputError
from modspec.influence.gradients import tracing
from modspec.subnetworks.head_importance import head_gradients, importance, inherited_importance
from tests.helpers.models import (
    HEADS,
    KINDS,
    LAYERS,
    gated_parameters,
    loss_of_one,
    random_encoder,
    random_examples,
)

GRID = (LAYERS, HEADS)
MASKS = [None, np.array([[True, False, True], [False, False, True]]), np.array([[False] * 3, [True] * 3])]


def one_by_one(model, examples, mask) -> np.ndarray:
    """d loss / d gate by scaling the weights' columns, one unpadded example at a time."""
    rows = []
    for i in range(len(examples)):
        gates = torch.ones(GRID) if mask is None else torch.from_numpy(mask)
        gates = gates.to(model.dtype).requires_grad_(True)
        (grad,) = torch.autograd.grad(loss_of_one(model, examples, i, gated_parameters(model, gates)), gates)
        rows.append(grad.numpy() * (1 if mask is None else mask))
    return np.array(rows)


@pytest.mark.parametrize("mask", MASKS, ids=["none", "mixed", "empty layer"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_one_example_at_a_time_autograd(kind, attention, mask):
    model = random_encoder(kind, attention=attention)
    examples = random_examples(11, token_types=kind == "bert")
    expected = one_by_one(model, examples, mask)
    found = head_gradients(model, examples, mask, batch_size=4)
    assert found.shape == (11, *GRID) and found.dtype == np.float64
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    if mask is not None:
        assert (found[:, ~mask] == 0).all()


@pytest.mark.parametrize("label", [-100, -1, 3])
def test_a_label_that_is_no_class_is_an_input_error(label):
    examples = random_examples(5)
    examples.labels[3] = label
    with pytest.raises(InputError, match=rf"^examples: example 'x3' has label {label}; allowed: 0 to 2$"):
        head_gradients(random_encoder(), examples)


@pytest.mark.parametrize("mask", MASKS, ids=["none", "mixed", "empty layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_is_what_influence_knows_of_the_output_projection(kind, mask):
    """dL/dxi_h = <W_h, dL/dW_h> over the head's columns W_h, from the factors that influence contracts."""
    model, examples = random_encoder(kind), random_examples(7)
    found = np.zeros((7, *GRID))
    projections = [layer.attention.output.dense for layer in model.base_model.encoder.layer]
    with tracing(model) as trace:
        for run in trace(examples, np.arange(7), mask):
            if run.module in projections:
                products = (run.grads @ run.module.weight * run.inputs).sum(1).detach()
                found[:, projections.index(run.module)] = products.unflatten(1, (HEADS, -1)).sum(2)
    np.testing.assert_allclose(head_gradients(model, examples, mask), found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_off_and_float32_follows_float64(kind):
    examples = random_examples(9)
    expected = one_by_one(random_encoder(kind), examples, None)
    model = random_encoder(kind, dtype=torch.float32, dropout=0.5)
    np.testing.assert_allclose(head_gradients(model, examples), expected, rtol=0, atol=1e-5)
    half = head_gradients(model, examples, precision=torch.bfloat16)
    assert np.corrcoef(half.ravel(), expected.ravel())[0, 1] > 0.99


def test_does_not_depend_on_batch_size_or_order():
    model, examples = random_encoder(), random_examples(13)
    gradients = head_gradients(model, examples)
    for batch_size in (1, 2, 5, 100):
        np.testing.assert_allclose(
            head_gradients(model, examples, batch_size=batch_size), gradients, rtol=1e-10, atol=1e-13
        )
    order = np.random.default_rng(0).permutation(13)
    shuffled = head_gradients(model, examples.take(order))
    np.testing.assert_allclose(shuffled, gradients[order], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(importance(shuffled), importance(gradients), rtol=1e-10)
    assert np.abs(inherited_importance(shuffled) - inherited_importance(gradients)).max() > 1e-2


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_model_as_it_was(training):
    model = random_encoder(dropout=0.3).train(training)
    frozen = model.base_model.embeddings.word_embeddings.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    head_gradients(model, random_examples(5), MASKS[1])
    assert all(module.training == training for module in model.modules())
    assert all(p.requires_grad == (p is not frozen) for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_leaves_the_model_as_it_was_after_an_error():
    model = random_encoder()
    with pytest.raises(ValueError, match="gates"):
        head_gradients(model, random_examples(5), np.ones((7, 7), bool))
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


@given(arrays(float, (5, 3, 4), elements=st.floats(-10, 10).map(lambda x: round(x, 3))))
def test_importance_is_the_mean_of_absolute_values_with_layers_of_unit_norm(gradients):
    raw = np.zeros((3, 4))
    for example in gradients:
        for layer, head in np.ndindex(3, 4):
            raw[layer, head] += abs(example[layer, head]) / len(gradients)
    found = importance(gradients)
    for layer in range(3):
        norm = sum(x * x for x in raw[layer]) ** 0.5
        np.testing.assert_allclose(found[layer], raw[layer] / norm if norm else 0, rtol=1e-12, atol=1e-15)
        assert not norm or np.linalg.norm(found[layer]) == pytest.approx(1)


def test_examples_do_not_cancel():
    # Two examples that pull head 0 in opposite directions: it matters most, and its batch mean is zero.
    gradients = np.array([[[5.0, 1.0]], [[-5.0, 1.0]]])
    assert importance(gradients)[0].argmax() == 0
    assert np.abs(gradients.mean(0))[0].argmax() == 1
    # The inherited error: |5| + |5 - 5| against |1| + |1 + 1|, so half of head 0's weight is lost.
    np.testing.assert_allclose(inherited_importance(gradients)[0], np.array([5, 3]) / np.hypot(5, 3))
    np.testing.assert_allclose(importance(gradients)[0], np.array([5, 1]) / np.hypot(5, 1))
    assert inherited_importance(np.array([[[3.0, 2]], [[-3, 2]]]))[0].argmax() == 1  # another choice


@pytest.mark.parametrize("kind", KINDS)
def test_inherited_equals_the_loop_that_never_zeroes_the_gradient(kind):
    model, examples = random_encoder(kind), random_examples(10)
    # compute_heads_importance of run_bertology.py, batch size 1; its head_mask scales each head's context.
    head_mask = torch.ones(GRID, dtype=torch.float64).requires_grad_(True)
    head_importance = torch.zeros(GRID, dtype=torch.float64)
    tot_tokens = 0.0
    for i in range(len(examples)):
        loss = loss_of_one(model, examples, i, gated_parameters(model, head_mask))
        loss.backward()
        head_importance += head_mask.grad.abs().detach()
        tot_tokens += len(examples.input_ids[i])
    head_importance /= tot_tokens
    norm_by_layer = torch.pow(torch.pow(head_importance, 2).sum(-1), 0.5)
    head_importance /= norm_by_layer.unsqueeze(-1) + 1e-20

    model.zero_grad(set_to_none=True)
    gradients = head_gradients(model, examples)
    np.testing.assert_allclose(inherited_importance(gradients), head_importance.numpy(), rtol=1e-10)
    assert np.abs(importance(gradients) - head_importance.numpy()).max() > 1e-2


def test_a_layer_without_gradient_stays_zero():
    gradients = np.random.default_rng(0).normal(size=(6, 2, 3))
    gradients[:, 1] = 0
    for measure in (importance, inherited_importance):
        assert (measure(gradients)[1] == 0).all() and np.isfinite(measure(gradients)).all()


def test_gradients_that_are_not_finite_are_not_taken_for_unimportant_heads():
    model = random_encoder(dtype=torch.float32)
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="x"):
        importance(head_gradients(model, random_examples(5)))
