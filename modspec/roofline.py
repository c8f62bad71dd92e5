"""The bound of the machine: the least time in which exact TracIn scores can be computed on it.

    seconds >= max(operations / measured rate of matrix products, bytes / measured memory bandwidth)

Operations and bytes are those that the task needs, not those that a program spends: no padding, nothing
computed twice, each layer in the cheaper exact form. Embedding rows, norms, biases, softmax and activation
functions come on top and are left out, so the bound is a little too low and a share of it a little too small.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedConfig

# Rows, inner and columns of the products that the rate is the best of.
SHAPES = ((1024, 1024, 1024), (2048, 1024, 2048), (1024, 384, 1536), (4096, 512, 512))
COPIED = 2**28  # bytes: more than any cache


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


def layers(config: PreTrainedConfig) -> list[Layer]:
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


def need(config: PreTrainedConfig, train: np.ndarray, evaluation: np.ndarray, size: int = 4) -> Need:
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


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations a second of matrix products, best of several shapes, with the threads that torch uses."""
    rates = []
    for rows, inner, columns in SHAPES:
        a, b = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        out = torch.empty(rows, columns, dtype=dtype)
        seconds = best_seconds(lambda a=a, b=b, out=out: torch.mm(a, b, out=out))
        rates.append(2 * rows * inner * columns / seconds)
    return max(rates)


def bandwidth() -> float:
    """Bytes a second that a large copy reads and writes."""
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source)
    return 2 * COPIED / best_seconds(lambda: target.copy_(source))


def best_seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """The shortest of several runs, after one that does not count."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
