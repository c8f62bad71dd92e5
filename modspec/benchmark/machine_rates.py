"""Measure the limits of the machine: its rate of matrix products and its memory bandwidth."""

import timeit
from collections.abc import Callable
from functools import partial

import torch

# Rows, inner and columns of the products that the rate is the best of.
SHAPES = ((1024, 1024, 1024), (2048, 1024, 2048), (1024, 384, 1536), (4096, 512, 512))
COPIED = 2**28  # bytes: more than any cache
# Seconds that hide what a first run alone costs; emulated bfloat16 may take 10 for a product.
LONG = 1.0


def matrix_rate(dtype: torch.dtype) -> float:
    """Return the rate of matrix products, in operations per second, with the threads that torch uses.

    It is the best of several shapes and of the layouts of a linear layer's passes, which differ by a factor
    of twenty where bfloat16 is emulated.
    """
    rates = []
    for rows, inner, columns in SHAPES:
        a, b = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        out = torch.empty(rows, columns, dtype=dtype)
        for left, right in ((a, b), (a, b.T.contiguous().T), (a.T.contiguous().T, b)):
            seconds = best_seconds(partial(torch.mm, left, right, out=out))
            rates.append(2 * rows * inner * columns / seconds)
    return max(rates)


def bandwidth() -> float:
    """Return the bytes per second that a large copy reads and writes."""
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source)
    return 2 * COPIED / best_seconds(lambda: target.copy_(source))


def best_seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Return the seconds of the shortest of several runs after a first one, or of that one if it is LONG."""
    (first,) = timeit.repeat(run, repeat=1, number=1)
    return first if first > LONG else min(timeit.repeat(run, repeat=repeats, number=1))
