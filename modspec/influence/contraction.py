"""How a tile of per-example gradients is contracted on this device, and a record of what was done.

In PyTorch the tile is multiplied out into a buffer that every tile reuses (a fresh allocation would cost more
page faults than arithmetic) and contracted by one matrix product per evaluation batch. On a GPU the Triton
kernel of ``modspec.influence.triton_kernel`` never writes the tile to memory: it is used for tiles of those shapes of
which the first was contracted faster by it. The two round differently, in the last digits, and so do runs on
a GPU that decide differently; a CPU knows one path only, and repeats bitwise.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from modspec.influence import triton_kernel
from modspec.influence.gradient_factors import Matrix


class Paths:
    """Contracts tiles; counts which path did, and which form evaluation gradients took, in weights."""

    def __init__(self, device: torch.device) -> None:
        self._fused = device.type == "cuda" and triton_kernel.available(device)
        self._buffer = torch.empty(0, device=device)
        self._chosen: dict[tuple, Callable] = {}
        self.counts: Counter[str] = Counter()

    def count(self, what: str, weights: int) -> None:
        """Add ``weights`` to a count."""
        self.counts[what] += weights

    def contract(self, matrix: Matrix, tile: int, dense: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """<tile of example b, dense_e>: (examples, batch) for each of ``dense``; squared norms: (batch,)."""
        if not self._fused:
            return self._contract_torch(matrix, tile, dense)
        inputs, grads = matrix.factors(tile)
        shape = (inputs.shape, grads.shape, *(len(d) for d in dense))
        if shape not in self._chosen:
            plain, kernel = self._contract_torch, self._contract_fused
            gain = _seconds(plain, matrix, tile, dense) / _seconds(kernel, matrix, tile, dense)
            self._chosen[shape] = kernel if gain > 1 else plain
        path = self._chosen[shape]
        self.count("triton" if path == self._contract_fused else "pytorch", inputs.numel() * grads.shape[-1])
        return path(matrix, tile, dense)

    def _contract_torch(self, matrix: Matrix, tile: int, dense: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        inputs, grads = matrix.factors(tile)
        batch, size, width = len(inputs), inputs.shape[-1], grads.shape[-1]
        needed = batch * size * width
        if self._buffer.numel() < needed or self._buffer.dtype != grads.dtype:
            self._buffer = torch.empty(needed, dtype=grads.dtype, device=grads.device)
        out = self._buffer[:needed].view(batch, width, size)
        formed = matrix.dense(tile, out)
        squares = torch.linalg.vector_norm(formed, dim=1).double().square()
        return [d @ formed.T for d in dense], squares

    def _contract_fused(self, matrix: Matrix, tile: int, dense: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        inputs, grads = matrix.factors(tile)
        width, size = grads.shape[-1], inputs.shape[-1]
        found = [triton_kernel.fused_products(inputs, grads, d.view(-1, width, size)) for d in dense]
        return [products.T for products, _ in found], found[0][1].double()


def _seconds(path: Callable, *arguments: object) -> float:
    """Time of one call on a GPU, after one to warm up."""
    path(*arguments)
    torch.cuda.synchronize()
    start = time.perf_counter()
    path(*arguments)
    torch.cuda.synchronize()
    return time.perf_counter() - start
