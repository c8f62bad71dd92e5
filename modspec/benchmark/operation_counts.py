"""What exact TracIn scores need at least: arithmetic operations and bytes, from shapes and lengths.

    seconds >= max(operations / rate of matrix products, bytes / memory bandwidth)

Counted is what the task needs, not what a program spends: no padding, nothing computed twice, each layer in
the cheaper exact form. Embedding rows, norms, biases, softmax and activation functions come on top and are
left out, so the bound is a little too low and a share of it a little too small. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Shape(Protocol):
    """What of an encoder's configuration decides; transformers' configurations have it."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_labels: int


@dataclass(frozen=True)
class Need:
    """What a task needs at least: operations (multiplications and additions) and bytes moved."""

    operations: float
    bytes: float

    def seconds(self, rate: float, bandwidth: float) -> float:
        """``rate``: operations a second of matrix products; ``bandwidth``: bytes a second."""
        return max(self.operations / rate, self.bytes / bandwidth)


@dataclass(frozen=True)
class Layer:
    """Linear layers that read one input. tokens: "all", or "first" where only ``<s>`` leads to the loss."""

    inputs: int
    outputs: int
    tokens: str


def layers(config: Shape) -> list[Layer]:
    """The linear layers of a BERT or XLM-R classifier.

    The classifier reads ``<s>`` alone, so in the last encoder layer only its query, output projection and
    feed-forward lead to the loss, but the keys and values of all tokens. BERT's pooler and XLM-R's dense
    layer are the same size.
    """
    hidden, wide = config.hidden_size, config.intermediate_size
    block = [Layer(hidden, 3 * hidden, "all"), Layer(hidden, hidden, "all")]
    block += [Layer(hidden, wide, "all"), Layer(wide, hidden, "all")]
    last = [Layer(hidden, 2 * hidden, "all"), Layer(hidden, hidden, "first"), Layer(hidden, hidden, "first")]
    last += [Layer(hidden, wide, "first"), Layer(wide, hidden, "first")]
    head = [Layer(hidden, hidden, "first"), Layer(hidden, config.num_labels, "first")]
    return block * (config.num_hidden_layers - 1) + last + head


def need(config: Shape, train: np.ndarray, evaluation: np.ndarray, size: int = 4) -> Need:
    """For training and evaluation examples of these lengths, int64 (n,), with numbers of ``size`` bytes.

    Forward and backward pass of an example of T tokens: 4 in out operations a token for each linear layer,
    12 hidden T^2 for attention (12 hidden T in the last layer). Contraction of a layer, the cheaper of dense,
    2 in out (T + E) for each training example and 2 in out T' for each of E evaluation examples of T'
    tokens, and ghost, 2 T T' (in + out) for each pair. Bytes: weights read in both passes, what enters and
    leaves each linear layer written and read, dense evaluation gradients written and read once.
    """
    every = np.concatenate([train, evaluation])
    operations = (
        12.0 * config.hidden_size * ((config.num_hidden_layers - 1) * np.square(every).sum() + every.sum())
    )
    moved = 0.0
    for layer in layers(config):
        weights, features = layer.inputs * layer.outputs, layer.inputs + layer.outputs
        first = layer.tokens == "first"
        t, u = (len(x) if first else x.sum() for x in (train, evaluation))  # tokens with a gradient
        dense = 2.0 * weights * (t + len(train) * len(evaluation) + u)
        ghost = 2.0 * features * t * u
        operations += 4.0 * weights * (t + u) + min(dense, ghost)
        moved += 2 * size * (weights + features * (t + u))
        if dense < ghost:
            moved += 2 * size * weights * len(evaluation)
    return Need(operations, moved)
