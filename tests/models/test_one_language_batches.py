"""Batches of one language without masks: the baseline of sparse fine-tuning, and how steps are announced."""

from __future__ import annotations

import numpy as np
import torch

from modspec.models.finetuning import finetune
from tests.helpers.models import HEADS, LAYERS, random_encoder, random_examples

LANGUAGES = ("en", "de", "ko")
EXAMPLES = random_examples(18, lengths=(4, 9), languages=LANGUAGES)
USUAL = dict(epochs=2, batch_size=4, learning_rate=0.01, weight_decay=0.1, seed=3)


def test_they_are_sparse_fine_tuning_under_full_masks_bitwise():
    full = dict.fromkeys(LANGUAGES, np.ones((LAYERS, HEADS), bool))
    unmasked, masked, mixed = models = [random_encoder(dtype=torch.float32) for _ in range(3)]
    for model, options in zip(models, ({"one_language_batches": True}, {"masks": full}, {}), strict=True):
        finetune(model, EXAMPLES, **options, **USUAL)
    for found, expected in zip(unmasked.parameters(), masked.parameters(), strict=True):
        assert torch.equal(found, expected)
    pairs = zip(unmasked.parameters(), mixed.parameters(), strict=True)
    assert not all(torch.equal(found, other) for found, other in pairs)


def test_every_step_is_announced_once():
    announced = []
    finetune(random_encoder(), EXAMPLES, after_step=lambda *step: announced.append(step), **USUAL)
    steps = USUAL["epochs"] * -(-len(EXAMPLES) // USUAL["batch_size"])
    assert announced == [(step, steps) for step in range(1, steps + 1)]
