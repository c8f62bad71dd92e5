"""Predictions under head masks, against a plain forward pass."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from modspec.errors import InputError
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, gated
from modspec.models.prediction import accuracy, logits, margins, predict, rows_by_example
from tests.helpers.models import KINDS, random_encoder, random_examples
from tests.models.test_finetuning import MASKS, moving_elements


@pytest.mark.parametrize("kind", KINDS)
def test_predict_equals_a_plain_forward_pass(kind):
    model, examples = random_encoder(kind, dropout=0.5).eval(), random_examples(17)
    with torch.no_grad():  # no label is far ahead of the others
        logits = [model(input_ids=torch.from_numpy(ids)[None]).logits for ids in examples.input_ids]
        getattr(model.classifier, "out_proj", model.classifier).bias -= torch.cat(logits).mean(0)
    model.train()
    for mask in (None, MASKS["en"]):
        surgery = copy.deepcopy(model).eval()
        if mask is not None:
            with torch.no_grad():
                for name, may in moving_elements(surgery, mask).items():
                    if name.endswith("attention.output.dense.weight"):
                        surgery.get_parameter(name)[~may] = 0
        with torch.no_grad():
            logits = [surgery(input_ids=torch.from_numpy(ids)[None]).logits for ids in examples.input_ids]
        expected = torch.cat(logits).argmax(-1).numpy()
        assert len(set(expected)) > 1
        for batch_size in (1, 5, 64):
            found = predict(model, examples, mask, batch_size=batch_size)
            assert found.dtype == np.int64 and found.tolist() == expected.tolist()
        assert model.training and not any(m._forward_pre_hooks for m in model.modules())


def test_rows_come_in_the_order_of_the_examples_from_batches_of_similar_length():
    model, examples = random_encoder(), random_examples(11)
    sizes = []

    def rows_of(batch, positions):
        assert not model.training
        sizes.append(len(positions))
        lengths = batch["attention_mask"].sum(1)
        assert lengths.tolist() == sorted(examples.lengths[positions])
        return torch.stack([batch["input_ids"][:, 0], lengths], dim=1)

    rows = rows_by_example(model, examples, rows_of, (2,), batch_size=4)
    assert rows.tolist() == [[ids[0], len(ids)] for ids in examples.input_ids]
    assert sizes == [4, 4, 3] and model.training


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_logits_are_the_models_own_numbers_and_accuracy_counts_their_maxima(precision):
    model, examples = random_encoder(dtype=torch.float32), random_examples(9, lengths=(5, 5))
    found = logits(model, examples, MASKS["en"], precision=precision)
    assert found.shape == (9, model.config.num_labels) and found.dtype == np.float64
    own_mask, in_precision = gated(model.eval(), MASKS["en"]), autocast(torch.device("cpu"), precision)
    with torch.no_grad(), own_mask, first_token_only(model), in_precision:
        expected = model(input_ids=torch.from_numpy(np.stack(examples.input_ids))).logits
    assert np.array_equal(found, expected.double().numpy())
    right = [int(row.argmax()) == label for row, label in zip(found, examples.labels, strict=True)]
    assert accuracy(model, examples, MASKS["en"], precision=precision) == np.mean(right)


def test_each_example_can_have_its_own_mask():
    model, examples = random_encoder(), random_examples(11)
    masks = np.random.default_rng(0).random((11, *MASKS["en"].shape)) < 0.5
    alone = [logits(model, examples.take([i]), mask) for i, mask in enumerate(masks)]
    np.testing.assert_allclose(logits(model, examples, masks, batch_size=4), np.concatenate(alone))
    assert not np.allclose(logits(model, examples), np.concatenate(alone))
    with pytest.raises(InputError, match="^mask: 10 masks for 11 examples; allowed: one for each$"):
        logits(model, examples, masks[:10])


def test_predict_of_nothing_is_nothing_and_errors_restore_the_mode():
    model = random_encoder()
    assert predict(model, random_examples(3).take([])).shape == (0,)
    with pytest.raises(InputError):
        predict(model, random_examples(3), np.ones((7, 7)))
    assert model.training


def test_margins_are_log_odds_of_the_right_label():
    rng = np.random.default_rng(0)
    outputs, labels = 3 * rng.standard_normal((20, 4)), rng.integers(0, 4, 20)
    probabilities = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    p = probabilities[np.arange(20), labels]
    np.testing.assert_allclose(margins(outputs, labels), np.log(p / (1 - p)), atol=1e-12)
    # Where p is 1 to the last digit, the margin still tells one example from another.
    np.testing.assert_allclose(margins(np.array([[60.0, 0.0], [0.0, 90.0]]), np.array([0, 1])), [60, 90])
