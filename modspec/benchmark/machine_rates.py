"""Measure the limits of the machine: its rate of matrix products and its memory bandwidth."""

import timeit
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.utils.benchmark import timer

# Rows, inner and columns of the products that the rate is the best of.
SHAPES = ((1024, 1024, 1024), (2048, 1024, 2048), (1024, 384, 1536), (4096, 512, 512))
COPIED = 2**28  # bytes: more than any cache
LONG = 1.0  # seconds that hide what a first run alone costs


def matrix_rate(dtype: torch.dtype, scale: int = 1) -> float:
    """Return the rate of matrix products, in operations per second, with torch's threads and default device.

    It is the best of several shapes and of the layouts of a linear layer's passes. A layout that is far from
    the best on a sixteenth of the rows is not tried on all: where bfloat16 is emulated, layouts differ by a
    factor of twenty, and a product can take ten seconds.

    Args:
        dtype: of the matrices.
        scale: what every side of the products is multiplied by; a GPU needs larger ones.
    """
    rates = []
    for rows, inner, columns in scale * np.array(SHAPES):
        a, b = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        layouts = ((a, b), (a, b.T.contiguous().T), (a.T.contiguous().T, b))
        tried = [product_rate(left[: rows // 16], right) for left, right in layouts]
        close = [layout for layout, rate in zip(layouts, tried, strict=True) if rate > max(tried) / 2]
        rates += [product_rate(*layout) for layout in close]
    return max(rates)


def product_rate(left: torch.Tensor, right: torch.Tensor) -> float:
    """Return the operations per second of one matrix product."""
    out = left.new_empty(left.shape[0], right.shape[1])
    operations = 2 * left.shape[0] * left.shape[1] * right.shape[1]
    return operations / best_seconds(partial(torch.mm, left, right, out=out))


def bandwidth() -> float:
    """Return the bytes per second that a large copy reads and writes."""
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source)
    return 2 * COPIED / best_seconds(lambda: target.copy_(source))


def best_seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Return the seconds of the shortest of several runs after a first one, fewer if they take LONG."""
    # torch's timer waits until a GPU has done its work.
    once = partial(timeit.repeat, run, timer=timer, number=1)
    (first,) = once(repeat=1)
    return min(once(repeat=min(repeats, int(LONG / first))) or [first])
