"""Inner products of per-example gradients, exact, in whichever of two forms costs less.

For a linear layer, B training examples of T tokens and E evaluation examples of T' tokens:

    dense   <sum_t G_t X_t', sum_t' G'_t' X'_t''>                    2 in out (B E + B T) operations
    ghost   sum over token pairs (t, t') of (X_t . X'_t')(G_t . G'_t')     2 B T E T' (in + out + 16)

In the dense form the evaluation examples' gradients are multiplied out once and kept: in * out numbers each.
A training example's gradient is multiplied out tile by tile; each tile is contracted with all evaluation
gradients while it is in cache, and then overwritten by the next tile. The 16 stands for multiplying and
summing the two Gram matrices, which costs about as much as 32 operations of a matrix product for every pair
of tokens. So short texts take the ghost form and long ones the dense form: in e5-small's feed-forward layers
from T T' of about 300 on.

Embedding tables: only rows that occur on both sides have an inner product, and only their gradients are
formed. Biases and layer norms are formed outright. Every product is rounded to no less than its inputs'
precision, and sums over tiles are float64: one float32 sum over millions of weights would lose five digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from modspec.influence.contraction import Contraction
from modspec.influence.gradient_factors import GradientFactors, Matrix, Table, multiplied_out, sum_dtype

GRAM_OVERHEAD = 16
Shapes = Sequence[tuple[int, int]]  # (examples, tokens per example) of each training batch


@dataclass(frozen=True)
class Packed:
    """The tokens of a matrix that have a gradient, without the padding between them."""

    inputs: Float[Tensor, " tokens #tiles in"]
    grads: Float[Tensor, " tokens #tiles out"]
    owners: Int[Tensor, " tokens"]  # the position of the example that a token belongs to
    active: tuple[int, ...]  # the tiles that are not zero by a head mask


@dataclass(frozen=True)
class Target:
    """The gradients of a batch of evaluation examples, prepared for inner products with training examples."""

    dense: dict[str, dict[int, Float[Tensor, "examples _"]]]  # matrix -> tile -> gradients, multiplied out
    ghost: dict[str, Packed]  # the other matrices
    tables: dict[str, Table]
    vectors: dict[int, Float[Tensor, "examples _"]]  # part -> gradients of its biases and layer norms
    norms: Float64[Tensor, " examples"]


def cheaper_form(size: int, width: int, examples: int, tokens: int, batches: Shapes) -> str:
    """Return "dense" or "ghost", whichever costs less for one layer by the cost model above.

    Args:
        size: number of the layer's inputs.
        width: number of the layer's outputs.
        examples: number of evaluation examples.
        tokens: number of tokens of all evaluation examples together.
        batches: the shapes of all training batches.
    """
    dense = sum(size * width * n * (examples + t) for n, t in batches)
    ghost = sum(n * t * tokens * (size + width + GRAM_OVERHEAD) for n, t in batches)
    return "dense" if dense < ghost else "ghost"


def make_target(factors: GradientFactors, batches: Shapes, contraction: Contraction) -> Target:
    """Prepare the gradients of evaluation examples, each layer in the form that is cheaper for all batches.

    Args:
        factors: the evaluation examples' gradients, the longest texts last.
        batches: the shapes of all training batches.
        contraction: counts the weights by form.
    """
    dense, ghost = {}, {}
    longest = max((passes[-1].inputs.shape[1] for passes in factors.matrices.values()), default=1)
    for name, passes in factors.matrices.items():
        packed = _packed(passes)
        # The last layer and the classifier see one token of every text, however long the text is.
        seen = batches if passes[-1].inputs.shape[1] == longest else [(n, 1) for n, _ in batches]
        size, width = (values[0, 0].numel() for values in (passes[-1].inputs, passes[-1].grads))
        form = cheaper_form(size, width, factors.batch, len(packed.owners), seen)
        contraction.counts[form] += size * width
        if form == "dense":
            dense[name] = {tile: multiplied_out(passes, tile) for tile in packed.active}
        else:
            ghost[name] = packed
    _, squares = inner_products(factors, [], 1, contraction)
    return Target(dense, ghost, factors.tables, factors.vectors, squares.sqrt())


def inner_products(
    factors: GradientFactors, targets: Sequence[Target], parts: int, contraction: Contraction
) -> tuple[list[Float64[Tensor, "parts batch _"]], Float64[Tensor, " batch"]]:
    """Return inner products of a batch's gradients with evaluation gradients, and the batch's squared norms.

    Args:
        factors: the gradients of a batch of examples.
        targets: batches of evaluation examples.
        parts: number of parts of the encoder that products are summed over separately.
        contraction: contracts what has the dense form.

    Returns:
        For each target the products (parts, batch, examples), and the squared norms (batch,) over all parts.
    """
    device = factors.device
    shapes = [(parts, len(target.norms), factors.batch) for target in targets]
    products = [torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes]
    pairs = list(zip(products, targets, strict=True))
    squares = torch.zeros(factors.batch, dtype=torch.float64, device=device)
    for name, passes in factors.matrices.items():
        tiles_without_square = []
        for tile in _active(passes):
            dense = [(total, target) for total, target in pairs if tile in target.dense.get(name, ())]
            if not dense:
                tiles_without_square.append(tile)
                continue
            stacks = [target.dense[name][tile] for _, target in dense]
            tile_products, tile_squares = contraction.contract(passes, tile, stacks)
            squares += tile_squares
            for (total, _), product in zip(dense, tile_products, strict=True):
                total[passes[0].parts[tile]] += product
        ends = np.cumsum([len(matrix.grads) for matrix in passes])
        for matrix, end in zip(passes, ends, strict=True):
            rows = slice(end - len(matrix.grads), end)
            if tiles_without_square:
                squares[rows] += _matrix_squares(matrix, tiles_without_square)
            for total, target in pairs:
                if name in target.ghost:
                    _add_ghost(total[..., rows], matrix, target.ghost[name])
    for name, table in factors.tables.items():
        squares += _table_squares(table)
        for total, target in pairs:
            total[table.part] += _table_products(target.tables[name], table)
    for part, vector in factors.vectors.items():
        squares += vector.square().sum(1)
        for total, target in pairs:
            total[part] += target.vectors[part] @ vector.T
    return [total.mT for total in products], squares


def _packed(matrices: Sequence[Matrix]) -> Packed:
    """Join the tokens of several passes, leaving out those without a gradient."""
    kept, first_owner = [], 0
    for matrix in matrices:
        keep = (matrix.grads != 0).flatten(2).any(2)
        example, _ = keep.nonzero(as_tuple=True)
        kept.append((matrix.inputs[keep], matrix.grads[keep], first_owner + example))
        first_owner += len(keep)
    return Packed(*(torch.cat(values) for values in zip(*kept, strict=True)), _active(matrices))


def _active(passes: Sequence[Matrix]) -> tuple[int, ...]:
    """Return the tiles that are not zero by a head mask in at least one of the passes."""
    return tuple(sorted({tile for matrix in passes for tile in matrix.active}))


def _add_ghost(total: Float64[Tensor, "parts examples batch"], training: Matrix, evaluation: Packed) -> None:
    """Add the inner products of training and evaluation gradients, in the ghost form, to ``total``."""
    batch, tokens = training.grads.shape[:2]
    inputs = evaluation.inputs, training.inputs.flatten(0, 1)
    grads = evaluation.grads, training.grads.flatten(0, 1)
    tiles = [tile for tile in training.active if tile in evaluation.active]
    # One factor is divided into tiles; the products of the other are common to all tiles.
    common, divided = (inputs, grads) if training.grads.shape[2] > 1 else (grads, inputs)
    gram = _gram(*common)
    for part in sorted({training.parts[tile] for tile in tiles}):
        of_part = [tile for tile in tiles if training.parts[tile] == part]
        pairs = _gram(*(_pick(values, of_part) for values in divided)).mul_(gram)
        by_owner = pairs.new_zeros(total.shape[1], pairs.shape[1], dtype=sum_dtype(pairs))
        by_owner.index_add_(0, evaluation.owners, pairs.to(by_owner.dtype))
        total[part] += by_owner.view(-1, batch, tokens).sum(2)


def _pick(values: Float[Tensor, "*batch tiles size"], tiles: list[int]) -> Float[Tensor, "*batch _ size"]:
    """Return the values of some tiles; if these are all, without a copy."""
    return values if values.shape[-2] in (1, len(tiles)) else values[..., tiles, :]


def _gram(a: Float[Tensor, " a *size"], b: Float[Tensor, " b *size"]) -> Float[Tensor, "a b"]:
    """Return the inner products of all tokens of one factor with all tokens of the other."""
    return a.flatten(1) @ b.flatten(1).T


def _matrix_squares(matrix: Matrix, tiles: list[int]) -> Float[Tensor, " batch"]:
    """Return squared norms over some tiles, in the ghost form."""
    inputs, grads = (_pick(values, tiles).flatten(2) for values in (matrix.inputs, matrix.grads))
    products = (inputs @ inputs.mT) * (grads @ grads.mT)
    # Terms that cancel can round to less than zero.
    return products.sum((1, 2), dtype=sum_dtype(products)).clamp_min(0)


def _table_products(a: Table, b: Table) -> Float[Tensor, "batch_a batch_b"]:
    """Return inner products over the rows that both tables use."""
    rows = torch.unique(a.ids)
    rows = rows[torch.isin(rows, b.ids)]
    return _rows(a, rows) @ _rows(b, rows).T


def _rows(table: Table, rows: Int[Tensor, " rows"]) -> Float[Tensor, "batch _"]:
    """Return the gradients of some rows, in ascending order, side by side: (batch, rows * size)."""
    batch, _, size = table.grads.shape
    if not len(rows):
        return table.grads.new_zeros(batch, 0)
    place = torch.searchsorted(rows, table.ids).clamp_max(len(rows) - 1)
    example, token = (rows[place] == table.ids).nonzero(as_tuple=True)
    out = table.grads.new_zeros(batch * len(rows), size)
    out.index_add_(0, example * len(rows) + place[example, token], table.grads[example, token])
    return out.view(batch, -1)


def _table_squares(table: Table) -> Float[Tensor, " batch"]:
    """Return squared norms: tokens of one piece add to the same row."""
    agree = table.ids[:, :, None] == table.ids[:, None, :]
    return (agree * (table.grads @ table.grads.mT)).sum((1, 2)).clamp_min(0)
