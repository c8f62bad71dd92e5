"""Per-example gradients of one batch, exact, kept as factors and not multiplied out.

The factors of a linear layer's gradient sum_t G_t X_t' are its inputs X and output gradients G, with one row
per token t. They are not the Kronecker factors of EK-FAC, which approximate a curvature matrix; nothing is
approximated here.

Linear layers that read the same input (query, key, value) become one matrix, so that they share the products
of that input. A matrix is divided into tiles: one per head, or, where it has no heads, equal cuts of its
longer side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from modspec.influence.encoder_parts import Placement, Places
from modspec.influence.gradients import DirectGradient, HeadMask, Trace
from modspec.influence.layer_types import NORMS, TABLES

# Of rows that lie a multiple of 4 KiB apart, a CPU's cache holds only a few at a time: products of such rows
# take 1.2 to 1.5 times as long. Rows an odd number of cache lines apart never do.
CACHE_LINE = 64  # bytes
Factors = tuple[Float[Tensor, "batch tokens in"], Float[Tensor, "batch tokens out"]]  # X and G


@dataclass(frozen=True)
class Matrix:
    """The gradients sum_t G_t X_t' of the weights of linear layers that read one input.

    At most one of ``inputs`` and ``grads`` has more than one tile.
    """

    inputs: Float[Tensor, "batch tokens #tiles in"]  # X
    grads: Float[Tensor, "batch tokens #tiles out"]  # G
    parts: tuple[int, ...]  # each tile's part of the encoder, as a position in the list of parts
    active: tuple[int, ...]  # the tiles whose gradient the head mask does not make zero

    def factors(self, tile: int) -> Factors:
        """Return X and G of one tile."""
        inputs = self.inputs[:, :, tile if self.inputs.shape[2] > 1 else 0]
        return inputs, self.grads[:, :, tile if self.grads.shape[2] > 1 else 0]


@dataclass(frozen=True)
class Table:
    """The gradient of an embedding: row r of the table is the sum of G_t over the tokens t of piece r."""

    ids: Int[Tensor, "batch tokens"]
    grads: Float[Tensor, "batch tokens size"]  # G, zero at padding
    part: int


@dataclass(frozen=True)
class GradientFactors:
    """The gradients of a batch of examples over all trainable parameters, one gradient per example."""

    matrices: dict[str, tuple[Matrix, ...]]  # of each forward and backward pass, one after the other
    tables: dict[str, Table]
    vectors: dict[int, Float[Tensor, "batch _"]]  # part -> gradients of its biases and layer norms
    batch: int
    device: torch.device


def joined(passes: Sequence[GradientFactors]) -> GradientFactors:
    """Join the gradients of several passes into those of one batch, whose examples follow one another.

    Several passes over texts of similar length compute less padding than one, and their activations stay in
    cache.
    """
    first = passes[0]
    matrices = {name: sum((of_pass.matrices[name] for of_pass in passes), ()) for name in first.matrices}
    tables = {}
    for name, table in first.tables.items():
        of_name = [of_pass.tables[name] for of_pass in passes]
        # Padding has no gradient.
        ids, grads = (
            pad_sequence([row for table in of_name for row in getattr(table, field)], batch_first=True)
            for field in ("ids", "grads")
        )
        tables[name] = Table(ids, grads, table.part)
    vectors = {part: torch.cat([of_pass.vectors[part] for of_pass in passes]) for part in first.vectors}
    return GradientFactors(matrices, tables, vectors, sum(of_pass.batch for of_pass in passes), first.device)


def multiplied_out(
    passes: Sequence[Matrix], tile: int, buffer: Tensor | None = None
) -> Float[Tensor, "examples weights"]:
    """Multiply out one tile of each example's gradient.

    Args:
        passes: the same matrix of several forward and backward passes, whose examples follow one another.
        tile: the position of the tile.
        buffer: memory for the result, which grows where it is too small; None for memory of its own.
    """
    factors = [matrix.factors(tile) for matrix in passes]
    inputs, grads = factors[0]
    batches = [len(of_pass) for of_pass, _ in factors]
    size = grads.shape[-1], inputs.shape[-1]
    of_line = CACHE_LINE // grads.element_size()
    lines = math.ceil(math.prod(size) / of_line) | 1
    shape = sum(batches), lines * of_line
    out = grads.new_empty(shape) if buffer is None else buffer.resize_(shape)
    out = out[:, : math.prod(size)].unflatten(1, size)
    for (inputs, grads), rows in zip(factors, out.split(batches), strict=True):
        torch.bmm(grads.mT, inputs, out=rows)
    return out.flatten(1)


def collect_factors(
    record: list[Trace | DirectGradient],
    places: Places,
    trainable: set[nn.Parameter],
    mask: HeadMask | None,
    tile_weights: int,
) -> GradientFactors:
    """Sort the record of one forward and backward pass into matrices, tables and vectors.

    A weight that several modules share has one gradient, over the tokens of all these modules in turn.

    Args:
        record: of the pass.
        places: module name -> the parts that its parameters belong to; part 0 for other modules.
        trainable: the parameters whose gradients count.
        mask: the head mask of the pass.
        tile_weights: the number of weights that a tile should not exceed.
    """
    direct = [entry for entry in record if isinstance(entry, DirectGradient)]
    traces = [entry for entry in record if isinstance(entry, Trace)]
    factored = trainable - {entry.parameter for entry in direct}
    owners: dict[nn.Parameter, Placement] = {}
    traces_of_weight: dict[nn.Parameter, list[Trace]] = {}
    for trace in traces:
        weight = trace.module.weight
        owners.setdefault(weight, places.get(trace.name, Placement()))
        if weight in factored and type(trace.module) not in NORMS:
            traces_of_weight.setdefault(weight, []).append(trace)
    tables: dict[str, Table] = {}
    traces_of_matrix: dict[object, list[Trace]] = {}
    for weight, (first, *others) in traces_of_weight.items():
        are_tables = {type(trace.module) in TABLES for trace in (first, *others)}
        if are_tables == {True}:
            tables[first.name] = _table([first, *others], owners[weight].weight[0])
        elif others:
            traces_of_matrix[weight] = [_as_matrix(trace) for trace in (first, *others)]
        else:  # query, key and value read one tensor
            read = first.inputs.data_ptr(), first.inputs.shape, first.inputs.stride(), owners[weight]
            traces_of_matrix.setdefault(read, []).append(first)
    matrices = {}
    for together in traces_of_matrix.values():
        name = " + ".join(trace.name for trace in together)
        place = owners[together[0].module.weight]
        matrices[name] = (_matrix(together, place, mask, tile_weights),)
    vectors = _vectors(traces, owners, factored)
    for entry in direct:
        _add_direct(vectors, entry, places.get(entry.name, Placement()))
    values = direct[0].values if direct else traces[0].grads
    return GradientFactors(matrices, tables, vectors, len(values), values.device)


def _as_matrix(trace: Trace) -> Trace:
    """Return an embedding whose table is also a linear layer's weight (tied) as such a layer.

    Row r of the table gathers G_t over the tokens of piece r, so G takes the place of X, and one-hot pieces
    that of G.
    """
    if type(trace.module) not in TABLES:
        return trace
    pieces = F.one_hot(trace.inputs, trace.module.num_embeddings).to(trace.grads.dtype)
    return replace(trace, inputs=_table_grads(trace), grads=pieces)


def _matrix(traces: list[Trace], place: Placement, mask: HeadMask | None, tile_weights: int) -> Matrix:
    """Join modules that share one weight (token after token) or read one input (output beside output).

    Under mixed precision G is bfloat16, and X is rounded to it as the layer itself rounded it.
    """
    shared = len({trace.module.weight for trace in traces}) < len(traces)
    inputs = _concatenated([trace.inputs for trace in traces], 1) if shared else traces[0].inputs
    inputs = inputs.to(traces[0].grads.dtype)
    grads = [trace.grads for trace in traces]
    tiles = len(place.weight)
    if place.axis == "rows":  # each head's rows of all modules side by side
        inputs = inputs.unsqueeze(2)
        grads = _concatenated(
            [of_module.unflatten(-1, (tiles, -1)) for of_module in grads], 1 if shared else -1
        )
    else:
        grads = _concatenated(grads, 1 if shared else -1)
        size, width = inputs.shape[-1], grads.shape[-1]
        if place.axis is None:
            longer = max(size, width)
            cuts = (n for n in range(1, longer) if longer % n == 0 and size * width // n <= tile_weights)
            tiles = next(cuts, longer)
        input_tiles = tiles if place.axis == "columns" or size >= width else 1
        inputs = inputs.unflatten(-1, (input_tiles, -1))
        grads = grads.unflatten(-1, (tiles // input_tiles, -1))
    active = range(tiles)
    if mask is not None and place.layer is not None:
        of_layer = np.asarray(mask)[..., place.layer, :]
        active = [tile for tile, heads in enumerate(place.heads) if of_layer[..., heads].any()]
    return Matrix(inputs, grads, place.weight if place.axis else place.weight * tiles, tuple(active))


def _concatenated(tensors: list[Tensor], dim: int) -> Tensor:
    """Concatenate; a single tensor without the copy that ``torch.cat`` makes of it."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


def _table(traces: list[Trace], part: int) -> Table:
    """Join embeddings that share one table, token after token."""
    grads = [_table_grads(trace) for trace in traces]
    return Table(torch.cat([trace.inputs for trace in traces], 1), torch.cat(grads, 1), part)


def _table_grads(trace: Trace) -> Float[Tensor, "batch tokens size"]:
    """Return what an embedding's tokens add to the gradient of their rows; padding adds nothing."""
    padding, scale = trace.module.padding_idx, TABLES[type(trace.module)](trace.module)
    grads = trace.grads if scale == 1 else trace.grads * scale
    return grads if padding is None else grads * (trace.inputs != padding)[..., None]


def _vectors(
    traces: list[Trace], owners: dict[nn.Parameter, Placement], factored: set[nn.Parameter]
) -> dict[int, Float[Tensor, "batch _"]]:
    """Return the gradients of biases and norms, one after the other, by part of the encoder."""
    by_part: dict[int, dict[tuple[nn.Parameter, int], Tensor]] = {}

    def add(parameter: nn.Parameter, parts: tuple[int, ...], values: Tensor) -> None:
        for number, (part, value) in enumerate(zip(parts, values.chunk(len(parts), dim=1), strict=True)):
            sums, key = by_part.setdefault(part, {}), (parameter, number)
            sums[key] = sums[key] + value if key in sums else value

    for trace in traces:
        module, grads, place = trace.module, trace.grads, owners[trace.module.weight]
        if type(module) in NORMS and module.weight in factored:
            normalized = NORMS[type(module)](module, trace.inputs.to(grads.dtype))
            add(module.weight, place.weight, (grads * normalized).sum(1))
        if getattr(module, "bias", None) is not None and module.bias in factored:
            add(module.bias, place.bias, grads.sum(1, dtype=sum_dtype(grads)))
    return {part: torch.cat(list(sums.values()), dim=1) for part, sums in by_part.items()}


def _add_direct(vectors: dict[int, Float[Tensor, "1 _"]], entry: DirectGradient, place: Placement) -> None:
    """Add a gradient that autograd formed to the vectors of the parts that it belongs to."""
    parts, dim = (place.bias, 1) if entry.values.ndim == 2 else (place.weight, -1)
    if place.axis == "rows":
        dim = 1
    for part, values in zip(parts, entry.values.chunk(len(parts), dim), strict=True):
        earlier = [vectors[part]] if part in vectors else []
        vectors[part] = torch.cat([*earlier, values.flatten(1)], dim=1)


def sum_dtype(values: Tensor) -> torch.dtype:
    """Return the dtype to sum ``values`` in: float32, or float64 for float64."""
    return torch.promote_types(values.dtype, torch.float32)
