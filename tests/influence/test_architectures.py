"""Influence of every architecture against autograd, one example at a time, over all trainable parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from modspec.data.examples import Examples
from modspec.influence import influence
from modspec.influence.gradients import Positions, cross_entropy
from tests.helpers.architectures import (
    CASES,
    HEADS,
    MASK,
    OTHER,
    gradients,
    in_double,
    owners,
    random_model,
)
from tests.helpers.models import LABELS, VOCABULARY, random_examples
from tests.helpers.references import FLOAT32

TRAIN = random_examples(7, seed=1, lengths=(2, 12))
EVALUATION = random_examples(5, seed=2, lengths=(2, 12))


def norms_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("masks", [(None, None), (MASK, OTHER)], ids=["no mask", "masks"])
@pytest.mark.parametrize("case", CASES)
def test_equals_one_example_at_a_time_autograd_and_parts_add_up(case, masks, record_property):
    with in_double():
        model = random_model(case)
        a, b = (
            gradients(model, TRAIN, masks[0], cross_entropy),
            gradients(model, EVALUATION, masks[1], cross_entropy),
        )
        scores = influence(
            model,
            TRAIN,
            EVALUATION,
            train_mask=masks[0],
            evaluation_mask=masks[1],
            by_part=True,
            batch_size=3,
        )
    norms = norms_of(a, b)
    errors = {
        "cosine": np.abs(scores.cosine - a @ b.T / norms).max(),
        "dot": (np.abs(scores.dot - a @ b.T) / norms).max(),
        "sum of parts": np.abs(scores.cosine_by_part.sum(0) - scores.cosine).max(),
    }
    record_property("errors", str(errors))  # docs/influence.md shows the largest: pytest --junit-xml
    # Scores come as float32, and each part is rounded by itself.
    assert errors["cosine"] < FLOAT32 + 1e-9 and errors["dot"] < FLOAT32 + 1e-9
    assert errors["sum of parts"] < len(scores.parts) * FLOAT32
    owned = {name: owners(model, name) for name, _ in model.named_parameters()}
    for part, cosine in zip(scores.parts, scores.cosine_by_part, strict=True):
        if part.part in ("head", "key-value"):
            own = np.concatenate([_of_part(part, owned[n], p.shape) for n, p in model.named_parameters()])
            assert own.any()
            np.testing.assert_allclose(cosine, a[:, own] @ b[:, own].T / norms, rtol=0, atol=FLOAT32 + 1e-9)


def _of_part(part, owned, shape: torch.Size) -> np.ndarray:
    """Which numbers of a parameter belong to one head alone, or to a group of heads that share them."""
    if owned is None or owned[0] + 1 != part.layer:
        return np.zeros(shape.numel(), dtype=bool)
    heads = owned[1].reshape(HEADS, -1)
    if part.part == "head":
        return heads[part.head - 1] & (heads.sum(0) == 1)
    return heads[2 * (part.head - 1)] & (heads.sum(0) == 2)


@pytest.mark.parametrize("case", CASES)
def test_float32_of_the_model_itself_is_close(case):
    exact = random_model(case)
    with in_double():
        a, b = (gradients(exact, examples, None, cross_entropy) for examples in (TRAIN, EVALUATION))
    scores = influence(random_model(case, dtype=torch.float32), TRAIN, EVALUATION, batch_size=3)
    np.testing.assert_allclose(scores.cosine, a @ b.T / norms_of(a, b), rtol=0, atol=2e-5)


def token_labels(examples: Examples, i: int, classes: int) -> torch.Tensor:
    """A label of every token, from the pieces alone, so that each example has its own."""
    return torch.from_numpy(examples.input_ids[i] * 7 % classes)


@pytest.mark.parametrize("task", ["TokenClassification", "MaskedLM"])
@pytest.mark.parametrize("case", ["bert", "xlm-roberta", "distilbert", "modernbert", "deberta-v2"])
def test_any_loss_of_an_example(case, task):
    """A mean over tokens, with one label per token; a masked language model's embeddings are tied."""
    classes = LABELS if task == "TokenClassification" else VOCABULARY

    def loss(logits: torch.Tensor, examples: Examples, positions: Positions) -> torch.Tensor:
        labels = [token_labels(examples, i, classes) for i in positions]
        rows = zip(logits, labels, strict=True)
        return torch.stack([F.cross_entropy(row[: len(own)], own) for row, own in rows])

    with in_double():
        model = random_model(case, task=task)
        a, b = gradients(model, TRAIN, MASK, loss), gradients(model, EVALUATION, None, loss)
        scores = influence(model, TRAIN, EVALUATION, loss=loss, train_mask=MASK, batch_size=3)
    assert a.any(0).mean() > 0.5
    np.testing.assert_allclose(scores.cosine, a @ b.T / norms_of(a, b), rtol=0, atol=FLOAT32 + 1e-9)
    assert (np.abs(scores.dot - a @ b.T) <= (FLOAT32 + 1e-9) * norms_of(a, b)).all()
