"""Contraction of a tile of per-example gradients with evaluation gradients, by PyTorch or by Triton.

PyTorch multiplies the tile out into a buffer that every tile reuses (a fresh allocation would cost more page
faults than arithmetic) and contracts it with one matrix product per evaluation batch. On a GPU, the Triton
kernel of ``modspec.influence.triton_kernel`` never writes the tile to memory. It is used for tiles of those
shapes for which it was faster on the first tile.

The two round differently in the last digits. So do two runs on a GPU whose timings led to different choices.
A CPU has PyTorch alone, and its results repeat bitwise.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from modspec.influence import triton_kernel
from modspec.influence.gradient_factors import Matrix, multiplied_out

# The same tile of the gradients of each batch of evaluation examples, multiplied out.
Stacks = Sequence[Float[Tensor, "_ weights"]]
# Products of a tile with each batch of evaluation gradients, and the squared norms of the tile's gradients.
Products = tuple[list[Float[Tensor, "_ batch"]], Float[Tensor, " batch"]]


class Contraction:
    """Contracts tiles, and counts the weights that each method was used for.

    ``counts``: numbers of weights by form of the inner product (dense, ghost; see
    ``modspec.influence.inner_products``) and, on a GPU, by method (triton, pytorch).
    """

    def __init__(self, device: torch.device) -> None:
        self.counts: Counter[str] = Counter()
        self._fused = device.type == "cuda" and triton_kernel.available(device)
        self._buffer = torch.empty(0, device=device)
        self._faster: dict[tuple, Callable] = {}

    def shares(self) -> dict[str, float]:
        """Return each form's and each method's share of the weights that it could have had."""
        shares = {}
        for names in (("dense", "ghost"), ("triton", "pytorch")):
            total = sum(self.counts[name] for name in names)
            shares |= {name: self.counts[name] / total for name in names if self.counts[name]}
        return shares

    def contract(self, passes: Sequence[Matrix], tile: int, evaluation: Stacks) -> Products:
        """Return the inner products of one tile of each example's gradient with evaluation gradients.

        Args:
            passes: the same matrix of each forward and backward pass over a batch of examples.
            tile: the position of the tile.
            evaluation: the same tile of each batch of evaluation examples, multiplied out.

        Returns:
            For each evaluation batch the products, (evaluation, batch), and the squared norms, (batch,).
        """
        if not self._fused or len(passes) > 1:
            return self._contract_torch(passes, tile, evaluation)
        inputs, grads = passes[0].factors(tile)
        shape = (inputs.shape, grads.shape, *(len(examples) for examples in evaluation))
        if shape not in self._faster:
            methods = self._contract_torch, self._contract_fused
            self._faster[shape] = min(methods, key=lambda method: _seconds(method, passes, tile, evaluation))
        method = self._faster[shape]
        name = "triton" if method == self._contract_fused else "pytorch"
        self.counts[name] += inputs.numel() * grads.shape[-1]
        return method(passes, tile, evaluation)

    def _contract_torch(self, passes: Sequence[Matrix], tile: int, evaluation: Stacks) -> Products:
        grads = passes[0].grads
        if self._buffer.dtype != grads.dtype:
            self._buffer = grads.new_empty(0)
        formed = multiplied_out(passes, tile, self._buffer)
        squares = torch.linalg.vector_norm(formed, dim=1).double().square()
        return [examples @ formed.T for examples in evaluation], squares

    def _contract_fused(self, passes: Sequence[Matrix], tile: int, evaluation: Stacks) -> Products:
        inputs, grads = passes[0].factors(tile)
        shape = grads.shape[-1], inputs.shape[-1]
        results = [triton_kernel.fused_products(inputs, grads, e.unflatten(1, shape)) for e in evaluation]
        return [products.T for products, _ in results], results[0][1].double()


def _seconds(method: Callable[..., Products], *arguments: object) -> float:
    """Return the time of one call on a GPU, after one call to warm up."""
    for _ in range(2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        method(*arguments)
    torch.cuda.synchronize()
    return time.perf_counter() - start
