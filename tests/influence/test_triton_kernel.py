"""The fused kernel in Triton's interpreter, against float64; compiled for GPUs, without one; and on one."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from torch import Tensor

from modspec.errors import InputError
from modspec.influence import triton_kernel
from modspec.influence.triton_kernel import FLOAT32, HALF_LARGE, HALF_SMALL, Blocks, available, fused_products

CPU = torch.device("cpu")
TINY = Blocks(
    batch=2, out=4, in_=2, tokens=2, examples=2, warps=1, stages=1
)  # a GPU needs larger ones, loops do not

needs_triton = pytest.mark.skipif(triton_kernel.triton is None, reason="triton is not installed")
needs_interpreter = pytest.mark.skipif(
    triton_kernel.triton is None or Version(triton_kernel.triton.__version__) < Version("3.9"),
    reason="no triton of 3.9 or newer: interpreters of older ones do not run with today's NumPy",
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

# Of |A_b| |V_e|. float32 sums of some hundred terms; 16 bits: A_b's entries are rounded, by at most one part
# in 2 ** 8 (bfloat16) or 2 ** 11, which bounds the whole by Cauchy and Schwarz. Norms come before rounding.
# The interpreter cuts bfloat16 off where a GPU rounds to the nearest: twice that.
PRODUCTS = {torch.float32: 1e-6, torch.bfloat16: 2**-7, torch.float16: 2**-11}
SQUARES = 3e-6


def interpreted(*tensors: Tensor, slices: int = 128, **options: object) -> tuple[Tensor, Tensor]:
    with (
        mock.patch.dict(os.environ, TRITON_INTERPRET="1"),
        mock.patch.object(triton_kernel, "SLICES", slices),
    ):
        return fused_products(*tensors, **options)


def factors(
    batch: int, tokens: int, out: int, size: int, examples: int, dtype: torch.dtype, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, tokens, size), (batch, tokens, out), (examples, out, size)
    return tuple(torch.randn(shape, generator=generator).to(dtype) for shape in shapes)


def embedded(tensor: Tensor, before: int, after: int) -> Tensor:
    """The same numbers as a slice of a larger tensor, in its first and last dimension, as a head's are."""
    batch, middle, last = tensor.shape
    larger = torch.full((2 * batch, middle, before + last + after), torch.nan, dtype=tensor.dtype)
    view = larger[::2, :, before : before + last]
    view.copy_(tensor)
    return view


def assert_agree(found: tuple[Tensor, Tensor], inputs: Tensor, grads: Tensor, evaluation: Tensor) -> None:
    products, squares = found
    dense = torch.einsum("bto,bti->boi", grads.double(), inputs.double()).flatten(1)
    targets = evaluation.double().flatten(1)
    assert products.dtype == squares.dtype == torch.float32
    assert products.shape == (len(inputs), len(evaluation)) and squares.shape == (len(inputs),)
    scale = torch.outer(dense.norm(dim=1), targets.norm(dim=1))
    assert ((products - dense @ targets.T).abs() <= PRODUCTS[inputs.dtype] * scale).all()
    torch.testing.assert_close(squares.double(), dense.square().sum(1), rtol=SQUARES, atol=0)


sizes = st.tuples(*(st.integers(1, n) for n in (5, 5, 9, 7, 5)))


@needs_interpreter
@settings(max_examples=30, deadline=None)
@given(sizes, st.sampled_from(list(PRODUCTS)), st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**31))
def test_agrees_with_float64(sizes, dtype, slices, margin, seed):
    whole = factors(*sizes, dtype, seed)
    views = [embedded(tensor, margin, 3 - margin) for tensor in whole]
    assert_agree(interpreted(*views, blocks=TINY, slices=slices), *whole)


@needs_interpreter
@pytest.mark.parametrize(
    ("blocks", "dtype"),
    [(FLOAT32, torch.float32), (HALF_SMALL, torch.bfloat16), (HALF_LARGE, torch.bfloat16)],
)
def test_agrees_with_float64_in_the_blocks_of_a_gpu(blocks, dtype):
    tensors = factors(3, blocks.tokens + 1, blocks.out + 1, blocks.in_, blocks.examples + 1, dtype)
    assert_agree(interpreted(*tensors, blocks=blocks), *tensors)


@needs_triton
def test_blocks_follow_the_dtype():
    assert triton_kernel._blocks(torch.zeros(1)) == FLOAT32
    assert triton_kernel._blocks(torch.zeros(1, dtype=torch.bfloat16)) == HALF_SMALL


@needs_interpreter
@pytest.mark.parametrize("dtype", PRODUCTS)
def test_results_do_not_depend_on_their_neighbours_or_the_run(dtype):
    inputs, grads, evaluation = factors(5, 3, 6, 5, 5, dtype)
    products, squares = interpreted(inputs, grads, evaluation, blocks=TINY, slices=2)
    again = interpreted(inputs, grads, evaluation, blocks=TINY, slices=2)
    assert torch.equal(products, again[0]) and torch.equal(squares, again[1])
    for rows, columns in (([4], [3]), ([2, 0, 1], [4, 1]), ([3, 3, 3, 1], [0, 1, 2, 3, 4])):
        part = interpreted(inputs[rows], grads[rows], evaluation[columns], blocks=TINY, slices=2)
        assert torch.equal(part[0], products[rows][:, columns])
        assert torch.equal(part[1], squares[rows])


@needs_interpreter
@pytest.mark.parametrize("dtype", PRODUCTS)
def test_padding_contributes_nothing(dtype):
    inputs, grads, evaluation = factors(2, 3, 6, 5, 3, dtype)
    inputs_padded = torch.cat([inputs, torch.full_like(inputs, 7.0)], dim=1)
    grads_padded = torch.cat([grads, torch.zeros_like(grads)], dim=1)
    alone = interpreted(inputs, grads, evaluation, blocks=TINY)
    padded = interpreted(inputs_padded, grads_padded, evaluation, blocks=TINY)
    assert torch.equal(alone[0], padded[0]) and torch.equal(alone[1], padded[1])


@needs_interpreter
@pytest.mark.parametrize("sizes", [(3, 3, 5, 3, 3), (4, 4, 4, 4, 4), (1, 1, 1, 1, 1)])
def test_programs_stay_in_bounds_and_apart(sizes):
    """Where a GPU would fault, or add in an order of its own: no stray access, no sum of two programs."""
    from triton.runtime.interpreter import InterpreterBuilder

    tensors = factors(*sizes, torch.float16)
    spans, writers = [(t.data_ptr(), t.data_ptr() + t.nbytes) for t in tensors], {}
    load, store = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store
    new_zeros = torch.Tensor.new_zeros

    def accessed(pointers, mask) -> list[int]:
        addresses = pointers.data[mask.data]
        width = pointers.get_element_ty().primitive_bitwidth // 8
        inside = [(addresses >= start) & (addresses + width <= end) for start, end in spans]
        assert sum(inside).all()
        return addresses.tolist()

    def checked_load(self, pointers, mask, *rest):
        accessed(pointers, mask)
        return load(self, pointers, mask, *rest)

    def checked_store(self, pointers, value, mask, *rest):
        for address in accessed(pointers, mask):
            assert writers.setdefault(address, self.grid_idx) == self.grid_idx
        return store(self, pointers, value, mask, *rest)

    def recorded_zeros(self, *shape, **options):
        buffer = new_zeros(self, *shape, **options)
        spans.append((buffer.data_ptr(), buffer.data_ptr() + buffer.nbytes))
        return buffer

    with (
        mock.patch.object(InterpreterBuilder, "create_masked_load", checked_load),
        mock.patch.object(InterpreterBuilder, "create_masked_store", checked_store),
        mock.patch.object(torch.Tensor, "new_zeros", recorded_zeros),
    ):
        assert_agree(interpreted(*tensors, blocks=TINY, slices=2), *tensors)
    assert len(spans) == 5 and writers


@needs_interpreter
@pytest.mark.parametrize("empty", range(5))
def test_empty_dimensions(empty):
    sizes = [3, 4, 5, 6, 2]
    sizes[empty] = 0
    tensors = factors(*sizes, torch.float32)
    products, squares = interpreted(*tensors, blocks=TINY)
    assert products.shape == (sizes[0], sizes[4]) and squares.shape == (sizes[0],)
    if empty == 4:
        assert_agree((products, squares), *tensors)
    else:
        assert not products.any() and not squares.any()


@needs_interpreter
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.zeros(2, 6)}, r"^inputs: shape \(2, 6\); allowed: three dimensions$"),
        ({"inputs": torch.zeros(2, 3, 6).double()}, r"^inputs: torch.float64; allowed: float32"),
        ({"grads": torch.zeros(2, 3, 5).bfloat16()}, r"^grads: torch.bfloat16; allowed: .*same for all"),
        ({"grads": torch.zeros(2, 3, 5, device="meta")}, r"^grads: on meta; allowed: cpu"),
        ({"grads": torch.zeros(2, 4, 5)}, r"^grads: shape \(2, 4, 5\); allowed: \(2, 3\) and out"),
        ({"evaluation": torch.zeros(4, 6, 5)}, r"^evaluation: shape \(4, 6, 5\); .*= \(5, 6\)$"),
        ({"evaluation": torch.zeros(4, 6, 5).mT}, r"^evaluation: stride 5; allowed: 1"),
    ],
)
def test_bad_input_is_named(change, message):
    named = dict(zip(("inputs", "grads", "evaluation"), factors(2, 3, 5, 6, 4, torch.float32), strict=True))
    with pytest.raises(InputError, match=message):
        interpreted(*(named | change).values())


@needs_triton
def test_the_cpu_is_refused_outside_the_interpreter(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not available(CPU)
    with pytest.raises(InputError, match="^inputs: on cpu"):
        fused_products(*factors(1, 1, 1, 1, 1, torch.float32))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert available(CPU)


def test_without_triton_the_module_imports_and_nothing_is_available(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(sys.modules, "triton", None)
    spec = importlib.util.spec_from_file_location("without_triton", triton_kernel.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "without_triton", module)
    spec.loader.exec_module(module)
    assert not module.available(CPU)
    with pytest.raises(InputError, match="no Triton kernel runs"):
        module.fused_products(*factors(1, 1, 1, 1, 1, torch.float32))


@needs_triton
@pytest.mark.parametrize(
    ("blocks", "dtype", "capability", "shared", "multiplies"),
    [
        (HALF_LARGE, "bf16", 90, 227, {"mma.sync", "wgmma.mma_async"}),
        (HALF_SMALL, "fp16", 80, 99, {"mma.sync"}),
        (FLOAT32, "fp32", 80, 99, set()),
        (FLOAT32, "fp32", 90, 99, set()),
    ],
)
def test_compiles_for_gpus(monkeypatch, tmp_path, blocks, dtype, capability, shared, multiplies):
    """Needs no GPU. All but float32 multiplies on tensor cores; nothing is spilled; shared memory fits."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if not isinstance(triton_kernel._add, triton.JITFunction):
        pytest.skip("triton was imported with its interpreter on")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = triton_kernel._kernel(False)
    constants = {
        "BATCH": blocks.batch,
        "OUT": blocks.out,
        "IN": blocks.in_,
        "TOKENS": blocks.tokens,
        "EXAMPLES": blocks.examples,
        "STAGES": blocks.stages,
        "INTERPRETED": False,
    }
    pointers = {"inputs": dtype, "grads": dtype, "evaluation": dtype, "products": "fp32", "squares": "fp32"}
    unaligned = {"batch", "tokens", "examples", "share"}
    signature, attributes = {}, {}
    for position, name in enumerate(kernel.arg_names):
        signature[name] = (
            "constexpr" if name in constants else f"*{pointers[name]}" if name in pointers else "i32"
        )
        if name not in constants and name not in unaligned:
            attributes[(position,)] = [["tt.divisibility", 16]]
    compiled = triton.compile(
        ASTSource(kernel, signature, constants, attributes),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": blocks.warps, "enable_fp_fusion": True},
    )
    assert compiled.metadata.shared <= shared * 1024
    found = set(re.findall(r"\b(wgmma\.mma_async|mma\.sync)\b", compiled.asm["ptx"]))
    assert found == multiplies and ".tf32" not in compiled.asm["ptx"]

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not tool.is_file():
        pytest.skip("no cuobjdump beside triton: registers are not counted")
    (tmp_path / "kernel.cubin").write_bytes(compiled.asm["cubin"])
    usage = subprocess.check_output([tool, "-res-usage", tmp_path / "kernel.cubin"], text=True)
    # A few addresses at most; none with Triton 3.9.
    assert sum(map(int, re.findall(r"(?:STACK|LOCAL):(\d+)", usage))) <= 32, usage


@needs_triton
@needs_gpu
@pytest.mark.parametrize("dtype", PRODUCTS)
@pytest.mark.parametrize("sizes", [(70, 33, 96, 80, 67), (1, 1, 3, 7, 1), (64, 16, 768, 768, 64)])
def test_on_a_gpu(monkeypatch, sizes, dtype):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    tensors = [tensor.cuda() for tensor in factors(*sizes, dtype)]
    found = fused_products(*tensors)
    assert_agree(found, *tensors)
    again = fused_products(*tensors)
    assert torch.equal(found[0], again[0]) and torch.equal(found[1], again[1])
