"""Influence against the gradients of one example at a time, over all trainable parameters, in float64."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from modspec.influence import Checkpoint, influence, triton_kernel
from modspec.influence.contraction import Contraction
from modspec.influence.gradient_factors import Matrix
from tests.helpers.models import (
    HEADS,
    KINDS,
    loss_of_one,
    projection,
    random_encoder,
    random_examples,
    reference_gradients,
)
from tests.helpers.references import FLOAT32, GRID, MASK, OTHER, check, reference

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


@pytest.mark.parametrize("form", ["dense", "ghost"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(1, 1), (1, 2), (5, 5), (2, 40)], ids=str)
def test_any_length_in_both_forms(kind, attention, lengths, form, monkeypatch):
    """With padding and without. The dense form of everything, then the ghost form of everything."""
    monkeypatch.setattr("modspec.influence.inner_products.cheaper_form", lambda *_: form)
    model = random_encoder(kind, attention=attention)
    train, evaluation = (random_examples(5, seed=s, lengths=lengths) for s in (3, 4))
    scores = influence(model, train, evaluation, batch_size=3)
    check(scores, reference(model, train, evaluation), FLOAT32 + 1e-9)
    assert scores.report.shares == {form: 1.0}


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


def test_a_weight_that_several_modules_share_has_one_gradient():
    """Feed-forward layers, and position and token-type tables, that are one and the same."""
    model, train, evaluation = random_encoder(), random_examples(5, seed=1), random_examples(4, seed=2)
    layers, embeddings = model.base_model.encoder.layer, model.base_model.embeddings
    layers[1].output.dense.weight = layers[0].output.dense.weight
    layers[1].intermediate.dense.bias = layers[0].intermediate.dense.bias
    layers[1].output.LayerNorm = layers[0].attention.output.LayerNorm
    embeddings.token_type_embeddings.weight = embeddings.position_embeddings.weight
    check(influence(model, train, evaluation), reference(model, train, evaluation), FLOAT32 + 1e-9)


def test_a_layer_that_runs_twice_counts_twice():
    model, train, evaluation = random_encoder(), random_examples(5, seed=1), random_examples(4, seed=2)
    layers = model.base_model.encoder.layer
    layers[1] = layers[0]
    assert not np.allclose(
        reference(model, train, evaluation)[1], reference(random_encoder(), train, evaluation)[1]
    )
    check(influence(model, train, evaluation), reference(model, train, evaluation), FLOAT32 + 1e-9)


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


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_keeps_the_scores(kind):
    """Three decimal digits come in, and errors average out: within 0.03 of a cosine on any of these pairs."""
    model = random_encoder(kind, dtype=torch.float32, hidden=48)
    train, evaluation = random_examples(12, seed=1, lengths=(3, 30)), random_examples(8, seed=2)
    exact = reference(model, train, evaluation)[0]
    for form in (
        influence(model, train, evaluation, precision=torch.bfloat16, by_part=b) for b in (False, True)
    ):
        assert 1e-6 < np.abs(form.cosine - exact).max() < 0.03
        assert np.corrcoef(form.cosine.ravel(), exact.ravel())[0, 1] > 0.9995


@pytest.mark.skipif(triton_kernel.triton is None, reason="triton is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_kernel_gives_the_same_scores(kind, monkeypatch):
    """Dense work of a whole encoder through Triton's interpreter, masks included."""
    monkeypatch.setattr("modspec.influence.inner_products.cheaper_form", lambda *_: "dense")
    model = random_encoder(kind, dtype=torch.float32)
    train, evaluation = random_examples(4, seed=1), random_examples(3, seed=2)
    expected = reference(model, train, evaluation, MASK, OTHER)
    used = []

    def through_triton(contraction: Contraction, matrix: Matrix, tile: int, dense: list[torch.Tensor]):
        used.append(tile)
        return contraction._contract_fused(matrix, tile, dense)

    monkeypatch.setattr(Contraction, "contract", through_triton)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    if not triton_kernel.available(torch.device("cpu")):
        pytest.skip("this version of Triton has no interpreter that runs here")
    scores = influence(model, train, evaluation, train_mask=MASK, evaluation_mask=OTHER)
    assert used
    check(scores, expected, 1e-5)
