"""Per-example gradients of one batch, exact and never multiplied out: what contracts and what it holds.

Linear layers that read one input (query, key, value) are one matrix here, so that they share products of
that input. A matrix falls into tiles: its heads, or, where it has none, equal cuts of its longer side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modspec.influence.encoder_parts import WHOLE, Placement
from modspec.influence.gradients import Trace


@dataclass(frozen=True)
class Matrix:
    """The weight gradients sum_t G_t X_t' of linear layers that read one input.

    inputs: (batch, tokens, tiles or 1, in). grads: (batch, tokens, tiles or 1, out). Cut into tiles is the
    one or the other, or neither. groups: of each tile. active: tiles that are not zero by a head mask.
    """

    inputs: Tensor
    grads: Tensor
    groups: tuple[int, ...]
    active: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(in, out) of a tile."""
        return self.inputs.shape[-1], self.grads.shape[-1]

    def factors(self, tile: int) -> tuple[Tensor, Tensor]:
        """X (batch, tokens, in) and G (batch, tokens, out) of one tile."""
        inputs = self.inputs[:, :, tile if self.inputs.shape[2] > 1 else 0]
        return inputs, self.grads[:, :, tile if self.grads.shape[2] > 1 else 0]

    def dense(self, tile: int, out: Tensor | None = None) -> Tensor:
        """One tile of every example's gradient: (batch, out * in)."""
        inputs, grads = self.factors(tile)
        return torch.bmm(grads.mT, inputs, out=out).flatten(1)


@dataclass(frozen=True)
class Table:
    """The gradient of an embedding: row ids_t is the sum of its G_t.

    ids: (batch, tokens). grads: (batch, tokens, size), zero at padding.
    """

    ids: Tensor
    grads: Tensor
    group: int


@dataclass(frozen=True)
class Gradients:
    """Per-example gradients of one batch. vectors: biases and layer norms by group, (batch, size)."""

    matrices: dict[str, Matrix]
    tables: dict[str, Table]
    vectors: dict[int, Tensor]
    batch: int
    device: torch.device


def factored(
    traces: list[Trace],
    places: Mapping[str, Placement],
    trains: Mapping[nn.Parameter, bool],
    mask: np.ndarray | None,
    tile: int,
) -> Gradients:
    """Sort what a pass recorded into matrices, tables and vectors.

    ``trains``: whether a parameter is trainable. ``mask``: the pass's head mask. ``tile``: number of weights
    that a tile should not exceed. A weight that several modules share has one gradient: over the tokens of
    all of them, in turn.
    """
    runs: dict[nn.Parameter, list[Trace]] = {}
    tables: dict[str, Table] = {}
    vectors: dict[tuple[int, nn.Parameter, int], Tensor] = {}

    def add(group: int, parameter: nn.Parameter, part: int, value: Tensor) -> None:
        key = (group, parameter, part)
        vectors[key] = vectors[key] + value if key in vectors else value

    owners: dict[nn.Parameter, Placement] = {}
    for trace in traces:
        module = trace.module
        place = owners.setdefault(module.weight, places.get(trace.name, WHOLE))
        if trains[module.weight]:
            if isinstance(module, nn.LayerNorm):
                scaled = F.layer_norm(
                    trace.inputs.to(trace.grads.dtype), module.normalized_shape, eps=module.eps
                )
                add(place.weight[0], module.weight, 0, (trace.grads * scaled).sum(1))
            else:
                runs.setdefault(module.weight, []).append(trace)
        if getattr(module, "bias", None) is not None and trains[module.bias]:
            parts = trace.grads.sum(1, dtype=_summed(trace.grads)).chunk(len(place.bias), dim=1)
            for part, (group, value) in enumerate(zip(place.bias, parts, strict=True)):
                add(group, module.bias, part, value)

    readers: dict[tuple, list[Trace]] = {}
    for weight, of in runs.items():
        kinds = {type(trace.module) for trace in of}
        if nn.Embedding in kinds:
            tables[of[0].name] = _table(of, owners[weight].weight[0])
        elif len(of) == 1:  # query, key and value read one tensor
            x = of[0].inputs
            readers.setdefault((x.data_ptr(), x.shape, x.stride(), owners[weight]), []).append(of[0])
        else:
            readers[weight, owners[weight]] = of
    matrices = {}
    for (*key, place), of in readers.items():
        shared = isinstance(key[0], nn.Parameter)
        dim, names = (1, of[0].name) if shared else (-1, " + ".join(trace.name for trace in of))
        inputs = torch.cat([trace.inputs for trace in of], dim=1) if shared else of[0].inputs
        matrices[names] = _matrix(inputs, [trace.grads for trace in of], dim, place, mask, tile)
    by_group: dict[int, list[Tensor]] = {}
    for (group, *_), value in vectors.items():
        by_group.setdefault(group, []).append(value)
    first = traces[0].grads
    joined = {group: torch.cat(values, dim=1) for group, values in by_group.items()}
    return Gradients(matrices, tables, joined, len(first), first.device)


def _matrix(
    inputs: Tensor, grads: list[Tensor], dim: int, place: Placement, mask: np.ndarray | None, tile: int
) -> Matrix:
    """Cut into heads, or into as many tiles as keep each within ``tile`` weights. Under mixed precision
    G is bfloat16, and X, which the layer rounded to it too, follows."""
    inputs = inputs.to(grads[0].dtype)
    if place.axis == "rows":  # of several layers: each head's rows of all of them side by side
        tiles = len(place.weight)
        cut = torch.cat([g.unflatten(-1, (tiles, -1)) for g in grads], dim=dim)
        inputs = inputs.unsqueeze(2)
    else:
        cut = torch.cat(grads, dim=dim).unsqueeze(2)
        size, width = inputs.shape[-1], cut.shape[-1]
        longer = max(size, width)
        tiles = len(place.weight)
        if place.axis is None:
            tiles = next(
                n
                for n in range(1, longer + 1)
                if longer % n == 0 and size * width // n <= tile or n == longer
            )
        if place.axis == "columns" or (tiles > 1 and size == longer):
            inputs = inputs.unflatten(-1, (tiles, -1))
        else:
            inputs, cut = inputs.unsqueeze(2), cut.squeeze(2).unflatten(-1, (tiles, -1))
    groups = place.weight if place.axis else place.weight * tiles
    active = range(tiles)
    if mask is not None and place.layer is not None:
        kept = np.asarray(mask)[..., place.layer, :].reshape(-1, tiles).any(axis=0)
        active = np.flatnonzero(kept).tolist()
    return Matrix(inputs, cut, tuple(groups), tuple(active))


def _table(of: list[Trace], group: int) -> Table:
    grads = []
    for trace in of:
        padding = trace.module.padding_idx
        grads.append(trace.grads if padding is None else trace.grads * (trace.inputs != padding)[..., None])
    return Table(torch.cat([trace.inputs for trace in of], 1), torch.cat(grads, 1), group)


def _summed(values: Tensor) -> torch.dtype:
    """The dtype of sums: float32, or float64 for float64."""
    return torch.promote_types(values.dtype, torch.float32)
