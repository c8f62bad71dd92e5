"""What scores need at least: against sums by hand, and against what torch multiplies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

from modspec.benchmark.operation_counts import need


def test_the_bound_counts_every_product_once() -> None:
    """Layer by layer and pair by pair, for two layers of which the last reads <s> alone."""
    config = BertConfig(hidden_size=6, intermediate_size=10, num_hidden_layers=2, num_labels=3)
    train, evaluation = np.array([3, 5, 9]), np.array([4, 7])
    expected = 0.0
    first = [(6, 18, False), (6, 6, False), (6, 10, False), (10, 6, False)]
    last = [(6, 12, False), (6, 6, True), (6, 6, True), (6, 10, True), (10, 6, True)]
    for size, width, only_first in [*first, *last, (6, 6, True), (6, 3, True)]:
        own, other = ([1 if only_first else t for t in lengths] for lengths in (train, evaluation))
        expected += sum(4 * size * width * t for t in own + other)
        formed = sum(2 * size * width * t for t in own + other)
        contracted = 2 * size * width * len(own) * len(other)
        expected += min(formed + contracted, sum(2 * t * u * (size + width) for t in own for u in other))
    expected += sum(12 * 6 * (t * t + t) for t in [*train, *evaluation])
    assert need(config, train, evaluation)[0] == pytest.approx(expected)


def test_the_bound_of_an_encoder_layer_is_what_torch_multiplies() -> None:
    """One more layer, whose tokens all lead to the loss: forward, and backward without weight gradients."""
    length, counted, needed = 11, [], []
    for layers in (2, 3):
        config = BertConfig(
            vocab_size=30,
            hidden_size=12,
            intermediate_size=20,
            num_attention_heads=3,
            num_hidden_layers=layers,
        )
        model = BertForSequenceClassification(config).eval().requires_grad_(False)
        model.set_attn_implementation("eager")
        inputs = torch.zeros(1, length, 12, requires_grad=True)
        with FlopCounterMode(display=False) as counter:
            model(inputs_embeds=inputs).logits.sum().backward()
        counted.append(counter.get_total_flops())
        needed.append(need(config, np.array([length]), np.array([], dtype=int))[0])
    assert needed[1] - needed[0] == counted[1] - counted[0]
