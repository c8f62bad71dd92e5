"""Scores by part of the encoder, against autograd's gradients cut up by parameter name."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2ForSequenceClassification

from modspec.errors import InputError
from modspec.influence import EncoderPart, influence
from tests.helpers.models import HEADS, KINDS, LAYERS, random_encoder, random_examples, reference_gradients
from tests.helpers.references import FLOAT32, MASK, OTHER


def part_of(name: str, shape: torch.Size) -> np.ndarray:
    """For every number of a parameter, what it belongs to, as text."""
    out = np.empty(shape, dtype=object)
    layer = re.search(r"encoder\.layer\.(\d+)\.(.*)", name)
    if layer is None:
        out[...] = "embeddings 0 0" if ".embeddings." in name else f"classifier {LAYERS + 1} 0"
        return out
    number, rest = int(layer[1]) + 1, layer[2]
    if rest.startswith("attention.self"):
        for head, rows in enumerate(np.split(np.arange(shape[0]), HEADS)):
            out[rows] = f"head {number} {head + 1}"
    elif rest == "attention.output.dense.weight":
        for head, columns in enumerate(np.split(np.arange(shape[1]), HEADS)):
            out[:, columns] = f"head {number} {head + 1}"
    elif "LayerNorm" in rest or rest == "attention.output.dense.bias":
        out[...] = f"norms {number} 0"
    else:
        out[...] = f"feed-forward {number} 0"
    return out


@pytest.mark.parametrize("form", ["dense", "ghost", "cheaper"])
@pytest.mark.parametrize("masks", [(None, None), (MASK, OTHER)], ids=["no mask", "masks"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_part_equals_autograd(kind, masks, form, monkeypatch):
    if form != "cheaper":
        monkeypatch.setattr("modspec.influence.inner_products.cheaper_form", lambda *_: form)
    model, train, evaluation = random_encoder(kind), random_examples(7, seed=1), random_examples(5, seed=2)
    scores = influence(
        model, train, evaluation, by_part=True, train_mask=masks[0], evaluation_mask=masks[1], batch_size=3
    )
    owners = np.concatenate([part_of(n, p.shape).ravel() for n, p in model.named_parameters()])
    model.eval()
    a, b = reference_gradients(model, train, masks[0]), reference_gradients(model, evaluation, masks[1])
    norms = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    assert scores.dot_by_part.shape == (len(scores.parts), 7, 5) == scores.cosine_by_part.shape
    assert len(scores.parts) == 1 + LAYERS * (HEADS + 2) + 1 == len(set(scores.parts)) == len(set(owners))
    for part, dot, cosine in zip(scores.parts, scores.dot_by_part, scores.cosine_by_part, strict=True):
        own = owners == f"{part.part} {part.layer} {part.head}"
        expected = a[:, own] @ b[:, own].T
        assert own.any() and (masks[0] is not None or np.abs(expected).max() > 0)
        np.testing.assert_allclose(dot, expected, rtol=0, atol=1e-6 * norms.max(), err_msg=str(part))
        np.testing.assert_allclose(cosine, expected / norms, rtol=0, atol=FLOAT32 + 1e-9, err_msg=str(part))
    np.testing.assert_allclose(scores.dot_by_part.sum(0), scores.dot, rtol=1e-5, atol=1e-6 * norms.max())
    np.testing.assert_allclose(scores.cosine_by_part.sum(0), scores.cosine, rtol=0, atol=1e-6)


def test_masked_heads_have_no_influence():
    model, examples = random_encoder(), random_examples(6)
    scores = influence(model, examples, examples, by_part=True, train_mask=MASK)
    for part, dot in zip(scores.parts, scores.dot_by_part, strict=True):
        if part.part == "head":
            assert (dot != 0).any() == MASK[part.layer - 1, part.head - 1]


def test_parts_change_no_score():
    model = random_encoder(dtype=torch.float32)
    train, evaluation = random_examples(7, seed=1), random_examples(5, seed=2)
    whole = influence(model, train, evaluation)
    resolved = influence(model, train, evaluation, by_part=True)
    np.testing.assert_allclose(resolved.cosine, whole.cosine, rtol=0, atol=1e-6)
    assert whole.parts == () and whole.cosine_by_part is None and whole.dot_by_part is None
    assert resolved.parts[:2] == (EncoderPart("embeddings", 0), EncoderPart("head", 1, 1))


def test_an_encoder_without_known_heads_has_scores_but_no_parts():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=24, n_embd=12, n_layer=2, n_head=3, num_labels=3, pad_token_id=1)
        model = GPT2ForSequenceClassification(config).double()
    examples = random_examples(5)
    model.eval()
    rows = reference_gradients(model, examples)
    np.testing.assert_allclose(influence(model, examples, examples).dot, rows @ rows.T, rtol=1e-5, atol=1e-9)
    with pytest.raises(InputError, match="encoder: heads of model type 'gpt2'"):
        influence(model, examples, examples, by_part=True)


def test_parameters_of_no_known_part_are_refused():
    model, examples = random_encoder(), random_examples(3)
    model.base_model.encoder.layer[1].attention.adapter = nn.Linear(12, 12).double()
    with pytest.raises(InputError, match="by_part: .*'bert.encoder.layer.1.attention.adapter'"):
        influence(model, examples, examples, by_part=True)
