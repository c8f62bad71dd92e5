"""Forms of one and the same inner product, against explicit matrices, on random shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modspec.influence.contraction import Contraction
from modspec.influence.gradient_factors import GradientFactors, Matrix, Table, joined, multiplied_out
from modspec.influence.inner_products import (
    _matrix_squares,
    _table_squares,
    cheaper_form,
    inner_products,
    make_target,
)

CPU = torch.device("cpu")
PARTS = 3


def random_matrix(
    rng: np.random.Generator, batch: int, tokens: int, size: int, out: int, cut: str, tiles: int
):
    """A matrix whose tiles belong to random parts, some of them masked and therefore zero."""
    inputs = rng.normal(size=(batch, tokens, tiles if cut == "columns" else 1, size))
    grads = rng.normal(size=(batch, tokens, tiles if cut == "rows" else 1, out))
    grads[rng.random((batch, tokens)) < 0.2] = 0  # padding
    active = tuple(np.flatnonzero(rng.random(tiles) < 0.8).tolist())
    dropped = [tile for tile in range(tiles) if tile not in active]
    (inputs if cut == "columns" else grads)[:, :, dropped if cut != "none" else []] = 0
    parts = tuple(int(part) for part in np.random.default_rng(0).integers(0, PARTS, tiles))
    return Matrix(*map(torch.from_numpy, (inputs, grads)), parts, active if cut != "none" else (0,))


def explicit(matrix: Matrix) -> np.ndarray:
    """(tiles, batch, out * in), multiplied out token by token."""
    x, g = matrix.inputs.numpy(), matrix.grads.numpy()
    tiles = max(x.shape[2], g.shape[2])
    x, g = (np.broadcast_to(v, (*v.shape[:2], tiles, v.shape[3])) for v in (x, g))
    outer = g[..., :, None] * x[..., None, :]  # (batch, tokens, tiles, out, in)
    return outer.sum(1).reshape(len(x), tiles, -1).swapaxes(0, 1)


def gradients(matrix: Matrix) -> GradientFactors:
    return GradientFactors({"m": (matrix,)}, {}, {}, len(matrix.inputs), CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_rows_that_are_multiplied_out_never_lie_a_power_of_two_apart(dtype, size, out, seed):
    matrix = random_matrix(np.random.default_rng(seed), 3, 2, size, out, "none", 1)
    matrix = replace(matrix, inputs=matrix.inputs.to(dtype), grads=matrix.grads.to(dtype))
    buffer = torch.full((7,), torch.nan, dtype=dtype)
    for memory in (None, buffer, buffer):
        rows = multiplied_out([matrix], 0, memory)
        assert rows.stride(0) * dtype.itemsize % 128 == 64 and rows.stride(1) == 1
        expected = matrix.grads.squeeze(2).mT @ matrix.inputs.squeeze(2)
        assert torch.equal(rows, expected.flatten(1))


SHAPES = st.tuples(*[st.integers(1, top) for top in (4, 12, 4, 12, 8, 8, 4)])


@settings(max_examples=150)
@given(SHAPES, st.sampled_from(["rows", "columns", "none"]), st.integers(0, 99))
def test_dense_ghost_and_explicit_matrices_agree(shape, cut, seed):
    n, t, m, u, size, out, tiles = shape
    tiles = 1 if cut == "none" else tiles
    rng = np.random.default_rng(seed)
    # Both sides come from two passes, the second of longer texts and with other heads masked.
    sides = ((n, t), (2, t + 1)), ((m, u), (2, u + 3))
    own, other = ([random_matrix(rng, *shape, size, out, cut, tiles) for shape in side] for side in sides)
    weights = [np.concatenate([explicit(matrix) for matrix in side], axis=1) for side in (own, other)]
    expected = np.zeros((PARTS, n + 2, m + 2))
    for tile in range(tiles):
        expected[own[0].parts[tile]] += weights[0][tile] @ weights[1][tile].T
    train, evaluation = (joined([gradients(matrix) for matrix in side]) for side in (own, other))
    for form in ("dense", "ghost"):
        contraction = Contraction(CPU)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("modspec.influence.inner_products.cheaper_form", lambda *_, form=form: form)
            target = make_target(evaluation, [(n, t)], contraction)
        assert set(contraction.counts) == {form}
        (products,), squares = inner_products(train, [target], PARTS, contraction)
        np.testing.assert_allclose(products, expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(squares, (weights[0] ** 2).sum((0, 2)), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(target.norms**2, (weights[1] ** 2).sum((0, 2)), rtol=1e-10, atol=1e-10)


@settings(max_examples=80)
@given(SHAPES, st.integers(1, 30), st.integers(0, 99))
def test_embedding_products_equal_explicit_tables(shape, pieces, seed):
    n, t, m, u, _, out, _ = shape
    rng = np.random.default_rng(seed)
    a, *passes = (
        Table(
            torch.from_numpy(rng.integers(0, pieces, (k, s))),
            torch.from_numpy(rng.normal(size=(k, s, out))),
            1,
        )
        for k, s in ((n, t), (m, u), (2, u + 3))
    )
    tables = []
    for table in (a, *passes):
        whole = np.zeros((len(table.grads), pieces, out))
        for i, t in np.ndindex(*table.ids.shape):
            whole[i, table.ids[i, t]] += table.grads[i, t].numpy()
        tables.append(whole.reshape(len(whole), -1))
    own, *others = [GradientFactors({}, {"e": table}, {}, len(table.ids), CPU) for table in (a, *passes)]
    (products,), squares = inner_products(
        own, [make_target(joined(others), [(n, t)], Contraction(CPU))], PARTS, Contraction(CPU)
    )
    expected = tables[0] @ np.concatenate(tables[1:]).T
    np.testing.assert_allclose(products[1], expected, rtol=1e-10, atol=1e-10)
    assert (products[0] == 0).all() and (products[2] == 0).all()
    np.testing.assert_allclose(squares, (tables[0] ** 2).sum(1), rtol=1e-10, atol=1e-10)


@settings(max_examples=60)
@given(st.integers(0, 999), st.booleans())
def test_squares_of_gradients_that_cancel_are_never_negative(seed, pieces):
    """Tokens of one input whose gradients sum to zero: a rounding error below zero would become NaN."""
    rng = np.random.default_rng(seed)
    grads = rng.normal(size=(1, 3, 8)).astype(np.float32)
    grads -= grads.mean(axis=1, keepdims=True)
    if pieces:
        squares = _table_squares(Table(torch.full((1, 3), 5), torch.from_numpy(grads), 0))
    else:
        inputs = np.repeat(rng.normal(size=(1, 1, 8)), 3, 1).astype(np.float32)
        matrix = Matrix(torch.from_numpy(inputs)[:, :, None], torch.from_numpy(grads)[:, :, None], (0,), (0,))
        squares = _matrix_squares(matrix, [0])
    assert (squares >= 0).all()


def test_short_texts_take_the_ghost_form_and_long_ones_the_dense_one():
    """e5-small's feed-forward, 50 evaluation examples of as many tokens, 1,000 training examples."""
    forms = {
        tokens: cheaper_form(384, 1536, 50, 50 * tokens, [(64, tokens)] * 16) for tokens in (1, 14, 40, 65)
    }
    assert forms == {1: "ghost", 14: "ghost", 40: "dense", 65: "dense"}


@pytest.mark.parametrize("form", ["dense", "ghost"])
def test_the_cheaper_form_needs_fewer_operations(form):
    """Multiplications counted one by one, in the dense form and in the ghost form."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        size, width, examples, tokens, n, t = rng.integers(
            [8, 8, 1, 1, 1, 1], [99, 99, 50, 20, 64, 20]
        ).tolist()
        dense = n * t * size * width + n * examples * size * width
        ghost = n * t * examples * tokens * (size + width)
        if (dense < ghost / 1.5) if form == "dense" else (ghost < dense / 3):  # clear of the overhead
            found += 1
            assert cheaper_form(size, width, examples, examples * tokens, [(n, t)]) == form
    assert found > 10
