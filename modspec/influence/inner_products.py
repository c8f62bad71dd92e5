"""Inner products of per-example gradients, exact, in whichever form costs less.

For a linear layer, B training examples of T tokens and E evaluation examples of T' tokens:

    dense   <sum_t G_t X_t', sum_t' G'_t' X'_t''>                    2 in out (B E + B T) operations
    ghost   sum over token pairs (t, t') of (X_t . X'_t')(G_t . G'_t')     2 B T E T' (in + out + 16)

In the dense form the evaluation examples' gradients are multiplied out once and kept: in * out numbers each.
A training example's are multiplied out tile by tile, contracted with all of those while the tile is in
cache, and overwritten by the next. The 16 stands for multiplying and summing the two Gram matrices, which
costs about as much as 32 operations of a matrix product for every pair of tokens. So short texts take the
ghost form and long ones the dense one: of e5-small's feed-forward, where T T' exceeds some 300.

Embedding tables: gradients of the rows that occur on both sides, and only those. Biases and layer norms are
formed outright. Every product is rounded to no less than its inputs and summed over tiles in float64: a
single float32 sum over millions of weights would lose five digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from modspec.influence.contraction import Paths
from modspec.influence.gradient_factors import Gradients, Matrix, Table

GRAM_OVERHEAD = 16


@dataclass(frozen=True)
class Packed:
    """The tokens of a matrix that have a gradient, without padding between them.

    inputs: (tokens, tiles or 1, in). grads: (tokens, tiles or 1, out). owners: (tokens,), whose they are.
    """

    inputs: Tensor
    grads: Tensor
    owners: Tensor
    active: tuple[int, ...]


@dataclass(frozen=True)
class Target:
    """A batch of evaluation examples, ready to be contracted with.

    dense: by matrix, tile -> (examples, out * in). ghost: the other matrices. norms: (examples,) float64.
    """

    dense: dict[str, dict[int, Tensor]]
    ghost: dict[str, Packed]
    tables: dict[str, Table]
    vectors: dict[int, Tensor]
    norms: Tensor


def cheaper_form(
    size: int, width: int, examples: int, tokens: int, batches: Sequence[tuple[int, int]]
) -> str:
    """``dense`` or ``ghost`` for a layer of ``size`` inputs and ``width`` outputs, by the cost model above.

    examples, tokens: of the evaluation batch, all its tokens. batches: (examples, tokens of each) of all
    training batches.
    """
    dense = sum(size * width * n * (examples + t) for n, t in batches)
    ghost = sum(n * t * tokens * (size + width + GRAM_OVERHEAD) for n, t in batches)
    return "dense" if dense < ghost else "ghost"


def target(passes: Sequence[Gradients], batches: Sequence[tuple[int, int]], paths: Paths) -> Target:
    """Evaluation gradients of one or more passes, the longest texts last, stacked.

    In the form that is cheaper over all training ``batches``, (examples, tokens).
    Passes of texts of like length compute less padding; stacked, they still meet training examples in one
    matrix product.
    """
    dense, ghost = {}, {}
    examples = sum(gradients.batch for gradients in passes)
    longest = max((m.inputs.shape[1] for m in passes[-1].matrices.values()), default=1)
    for name, matrix in passes[-1].matrices.items():
        every = [gradients.matrices[name] for gradients in passes]
        packed = _packed(every)
        # The last layer and the classifier see one token of every text, however long.
        seen = batches if matrix.inputs.shape[1] == longest else [(n, 1) for n, _ in batches]
        cuts = matrix.inputs.shape[2], matrix.grads.shape[2]
        size, width = (whole * cut for whole, cut in zip(matrix.size, cuts, strict=True))
        form = cheaper_form(size, width, examples, len(packed.owners), seen)
        paths.count(form, size * width)
        if form == "dense":
            dense[name] = {tile: _stacked(every, tile) for tile in packed.active}
        else:
            ghost[name] = packed
    tables = {name: _joined([g.tables[name] for g in passes]) for name in passes[0].tables}
    vectors = {group: torch.cat([g.vectors[group] for g in passes]) for group in passes[0].vectors}
    squares = torch.cat([inner_products(gradients, [], 1, paths)[1] for gradients in passes])
    return Target(dense, ghost, tables, vectors, squares.sqrt())


def inner_products(
    gradients: Gradients, targets: Sequence[Target], groups: int, paths: Paths
) -> tuple[list[Tensor], Tensor]:
    """For each target float64 (groups, batch, examples), and the squared norms, float64 (batch,)."""
    device = gradients.device
    shapes = [(groups, len(t.norms), gradients.batch) for t in targets]
    products = [torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes]
    squares = torch.zeros(gradients.batch, dtype=torch.float64, device=device)
    for name, matrix in gradients.matrices.items():
        left = []
        for tile in matrix.active:
            held = [
                (p[matrix.groups[tile]], t.dense[name][tile])
                for p, t in zip(products, targets, strict=True)
                if tile in t.dense.get(name, ())
            ]
            if not held:
                left.append(tile)
                continue
            found, square = paths.contract(matrix, tile, [dense for _, dense in held])
            squares += square
            for (total, _), product in zip(held, found, strict=True):
                total += product
        squares += _matrix_squares(matrix, left)
        for total, other in zip(products, targets, strict=True):
            if name in other.ghost:
                _add_ghost(total, matrix, other.ghost[name])
    for name, table in gradients.tables.items():
        squares += _table_squares(table)
        for total, other in zip(products, targets, strict=True):
            total[table.group] += _table_products(other.tables[name], table)
    for group, vector in gradients.vectors.items():
        squares += vector.square().sum(1)
        for total, other in zip(products, targets, strict=True):
            total[group] += other.vectors[group] @ vector.T
    return [total.mT for total in products], squares


def _packed(every: Sequence[Matrix]) -> Packed:
    kept, start = [], 0
    for a in every:
        keep = (a.grads != 0).flatten(2).any(2)
        owners = torch.arange(start, start + len(keep), device=keep.device)[:, None].expand_as(keep)
        kept.append((a.inputs[keep], a.grads[keep], owners[keep]))
        start += len(keep)
    active = tuple(sorted({tile for a in every for tile in a.active}))
    return Packed(*(torch.cat(parts) for parts in zip(*kept, strict=True)), active)


def _stacked(every: Sequence[Matrix], tile: int) -> Tensor:
    """One tile of every example's gradient: (examples, out * in)."""
    first = every[0].grads
    rows = sum(len(a.grads) for a in every)
    out = torch.empty(rows, *reversed(every[0].size), dtype=first.dtype, device=first.device)
    start = 0
    for a in every:
        a.dense(tile, out[start : start + len(a.grads)])
        start += len(a.grads)
    return out.flatten(1)


def _joined(every: Sequence[Table]) -> Table:
    """Tables of several passes as one, padded to the longest: padding has no gradient."""
    longest = max(table.ids.shape[1] for table in every)
    short = [longest - table.ids.shape[1] for table in every]
    ids = [F.pad(table.ids, (0, n)) for table, n in zip(every, short, strict=True)]
    grads = [F.pad(table.grads, (0, 0, 0, n)) for table, n in zip(every, short, strict=True)]
    return Table(torch.cat(ids), torch.cat(grads), every[0].group)


def _add_ghost(total: Tensor, a: Matrix, b: Packed) -> None:
    """Add the products of a's and b's gradients by group to ``total`` (groups, examples of b, batch)."""
    tiles = [tile for tile in a.active if tile in b.active]
    inputs, grads = a.inputs.flatten(0, 1), a.grads.flatten(0, 1)
    batch, tokens = a.grads.shape[:2]
    whole = None  # the side that is not cut is common to all groups
    for group in sorted({a.groups[tile] for tile in tiles}):
        own = [tile for tile in tiles if a.groups[tile] == group]
        if grads.shape[1] > 1:
            whole = _gram(b.inputs, inputs) if whole is None else whole
            part = _gram(_pick(b.grads, own), _pick(grads, own))
        else:
            whole = _gram(b.grads, grads) if whole is None else whole
            part = _gram(_pick(b.inputs, own), _pick(inputs, own))
        part *= whole
        by_owner = part.new_zeros(total.shape[1], part.shape[1], dtype=total_dtype(part))
        by_owner.index_add_(0, b.owners, part.to(by_owner.dtype))
        total[group] += by_owner.view(-1, batch, tokens).sum(2)


def _pick(values: Tensor, tiles: list[int]) -> Tensor:
    """(…, tiles, size) -> some of the tiles; all of them without a copy."""
    return values if values.shape[-2] in (1, len(tiles)) else values[..., tiles, :]


def _gram(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of all tokens of a with all of b: (tokens a, tokens b)."""
    return a.flatten(1) @ b.flatten(1).T


def _matrix_squares(a: Matrix, tiles: list[int]) -> Tensor | float:
    """Squared norms over some tiles, in the ghost form: (batch,)."""
    if not tiles:
        return 0.0
    inputs, grads = (_pick(values, tiles).flatten(2) for values in (a.inputs, a.grads))
    products = (inputs @ inputs.mT) * (grads @ grads.mT)
    # Terms that cancel can round to less than zero.
    return products.sum((1, 2), dtype=total_dtype(products)).clamp_min(0)


def _table_products(a: Table, b: Table) -> Tensor:
    """(batch a, batch b), over the rows that both sides use."""
    rows, there = torch.unique(a.ids), torch.unique(b.ids)
    rows = rows[torch.isin(rows, there)]
    return _rows(a, rows) @ _rows(b, rows).T


def _rows(table: Table, rows: Tensor) -> Tensor:
    """The gradients of some rows, sorted: (batch, rows * size)."""
    batch, _, size = table.grads.shape
    if not len(rows):
        return table.grads.new_zeros(batch, 0)
    place = torch.searchsorted(rows, table.ids).clamp_max(len(rows) - 1)
    example, token = (rows[place] == table.ids).nonzero(as_tuple=True)
    out = table.grads.new_zeros(batch * len(rows), size)
    out.index_add_(0, example * len(rows) + place[example, token], table.grads[example, token])
    return out.view(batch, -1)


def _table_squares(a: Table) -> Tensor:
    agree = a.ids[:, :, None] == a.ids[:, None, :]
    return (agree * (a.grads @ a.grads.mT)).sum((1, 2)).clamp_min(0)


def total_dtype(values: Tensor) -> torch.dtype:
    """What to sum values in: float32, or float64 for float64."""
    return torch.promote_types(values.dtype, torch.float32)
