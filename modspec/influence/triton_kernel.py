"""Inner products of per-example gradients that are never written to memory: a Triton kernel.

Training example b has the weight gradient A_b = sum_t grads[b, t, :] inputs[b, t, :]', a matrix (out, in).
The kernel computes its inner products with the gradients of evaluation examples, and its squared norm. One
program of the kernel takes a block of BATCH training examples and walks over a share of the OUT x IN tiles of
the weight matrix. For each tile the program

1. forms the tile of every A_b of its block: a batched product over tokens, TOKENS at a time, in float32;
2. adds the tile's squares to the norms, before any rounding;
3. rounds the tile to the dtype of the inputs, reads it as a matrix (BATCH, OUT * IN), and multiplies it with
   the same tile of EXAMPLES evaluation gradients at a time, so that it is formed once for all of them.

Sums over tiles stay in float32, in a slice of a buffer that no other program touches; the slices are added
up at the end, in a fixed order. Tiles, their order and the number of slices depend on out and in alone. So a
run repeats bitwise (there are no atomics), and the result of an example does not depend on the other
examples or their number. For the same reason nothing is tuned by timing at run time.

Costs, for B training examples of T tokens, E evaluation examples and w bytes a number:

    operations     2 B out in T to form, 2 B out in E to contract
    L2 cache       bytes for each of the B out in numbers of the per-example gradients:
                   w T (OUT + IN) / (OUT IN) to form, w E / BATCH of evaluation, 8 E / (OUT IN) of sums
    memory         the evaluation gradients, once per call; 4 B E min(128, number of tiles) bytes of buffer

On chip, as compiled by Triton 3.9 (HALF_SMALL for compute capability 8.0, the others for 9.0), with no
register spilled where sizes and strides are multiples of 16:

    HALF_LARGE    238 registers x 256 threads, 224 KiB of shared memory, one program a multiprocessor
    HALF_SMALL    231 registers x 128 threads,  64 KiB, two programs
    FLOAT32       128 registers x 256 threads,  68 KiB, two programs

Under HALF_LARGE the tile, in float32, takes half of all registers. It cannot be larger, and this decides
where the kernel pays. With T = 128 and E = 500 the kernel moves 24 + 16 + 8 bytes for 1256 operations:
through an L2 cache of 5 to 10 TB/s, at most 130 to 265 TFLOP/s. Matrix products that write per-example
gradients to a buffer form them in larger tiles, so with fewer bytes, and should win there. With T = 16 and
E = 64 the kernel moves 3 + 2 + 1 bytes, as few as it takes to write those gradients once and read them twice.
"""

from __future__ import annotations  # the kernel's need tl, which may be missing

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from modspec.errors import InputError

try:
    import triton
    import triton.language as tl
except ImportError:  # builds of torch without CUDA do not bring it
    triton = None

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Slices of the buffer, each for one share of the tiles: about as many as an H100 has multiprocessors.
SLICES = 128


@dataclass(frozen=True)
class Blocks:
    """The numbers that one program works on at once, all powers of two but ``stages``."""

    batch: int  # training examples
    out: int  # outputs of a tile
    in_: int  # inputs of a tile
    tokens: int
    examples: int  # evaluation examples
    warps: int
    stages: int  # steps over tokens that are in flight


HALF_LARGE = Blocks(batch=64, out=16, in_=32, tokens=16, examples=64, warps=8, stages=3)
HALF_SMALL = Blocks(batch=32, out=16, in_=16, tokens=16, examples=32, warps=4, stages=3)
FLOAT32 = Blocks(batch=32, out=16, in_=16, tokens=16, examples=32, warps=8, stages=2)


def available(device: torch.device) -> bool:
    """Return whether ``fused_products`` runs on ``device``: NVIDIA since Ampere, or any in the interpreter.

    TRITON_INTERPRET=1 in the environment turns Triton's interpreter on. It is for tests: the CPU takes
    seconds where a GPU takes microseconds.
    """
    if triton is None:
        return False
    if triton.knobs.runtime.interpret:
        return True
    nvidia = device.type == "cuda" and torch.version.cuda is not None
    return nvidia and torch.cuda.get_device_capability(device) >= (8, 0)


def fused_products(
    inputs: Float[Tensor, "batch tokens in"],
    grads: Float[Tensor, "batch tokens out"],
    evaluation: Float[Tensor, "examples out in"],
    *,
    blocks: Blocks | None = None,
) -> tuple[Float[Tensor, "batch examples"], Float[Tensor, " batch"]]:
    """Return inner products of weight gradients with evaluation gradients, and the squared norms.

    All tensors have one dtype: bfloat16, float16 (whose range must hold the weight gradients) or float32
    (never rounded to TF32). Sizes are free, and so are strides, but for stride 1 in the last dimension; no
    tensor is copied. Multiples of 16 are fast.

    Args:
        inputs: what the layer read.
        grads: gradients of the loss with respect to the layer's output.
        evaluation: evaluation examples' weight gradients.
        blocks: None chooses by dtype and device.

    Returns:
        The inner products and the squared norms, both float32.

    Raises:
        InputError: for shapes, dtypes, devices or strides that do not fit, and if :func:`available` is False.
    """
    _check(inputs, grads, evaluation)
    blocks = blocks or _blocks(inputs)
    (batch, tokens, size_in), (examples, size_out, _) = inputs.shape, evaluation.shape
    tiles = triton.cdiv(size_out, blocks.out) * triton.cdiv(size_in, blocks.in_)
    share = max(1, triton.cdiv(tiles, SLICES))
    slices = triton.cdiv(tiles, share)
    # Whole blocks: sums are read and written 16 bytes at a time, without masks.
    rows = triton.cdiv(examples, blocks.examples) * blocks.examples
    columns = triton.cdiv(batch, blocks.batch) * blocks.batch
    products = inputs.new_zeros(slices, rows, columns, dtype=torch.float32)
    squares = inputs.new_zeros(slices, columns, dtype=torch.float32)
    if batch and tokens and tiles:
        interpreted = triton.knobs.runtime.interpret
        with torch.cuda.device_of(inputs):
            # Programs of one share start side by side: they find its evaluation gradients in the L2 cache.
            _kernel(interpreted)[columns // blocks.batch, slices](
                *(inputs, grads, evaluation, products, squares),
                *(batch, tokens, size_in, size_out, examples, rows, columns, share),
                *(*inputs.stride()[:2], *grads.stride()[:2], *evaluation.stride()[:2]),
                *(blocks.batch, blocks.out, blocks.in_, blocks.tokens, blocks.examples, blocks.stages),
                interpreted,
                num_warps=blocks.warps,
                enable_fp_fusion=True,
            )
    return products.sum(0)[:examples, :batch].T, squares.sum(0)[:batch]


def _check(inputs: Tensor, grads: Tensor, evaluation: Tensor) -> None:
    """Raise InputError for arguments that the kernel would misread."""
    device = inputs.device
    if not available(device):
        raise InputError(
            f"inputs: on {device}, where no Triton kernel runs; allowed: NVIDIA, capability >= 8"
        )
    for name, tensor in (("inputs", inputs), ("grads", grads), ("evaluation", evaluation)):
        shape = tuple(tensor.shape)
        if len(shape) != 3:
            raise InputError(f"{name}: shape {shape}; allowed: three dimensions")
        if tensor.dtype not in DTYPES or tensor.dtype != inputs.dtype:
            raise InputError(f"{name}: {tensor.dtype}; allowed: float32, bfloat16, float16, the same for all")
        if tensor.device != device:
            raise InputError(f"{name}: on {tensor.device}; allowed: {device}, where inputs are")
        if shape[2] > 1 and tensor.stride(2) != 1:
            raise InputError(f"{name}: stride {tensor.stride(2)}; allowed: 1 in the last dimension")
    if grads.shape[:2] != inputs.shape[:2]:
        leading = tuple(inputs.shape[:2])
        raise InputError(f"grads: shape {tuple(grads.shape)}; allowed: {leading} and out, as in inputs")
    if evaluation.shape[1:] != (sizes := (grads.shape[2], inputs.shape[2])):
        raise InputError(
            f"evaluation: shape {tuple(evaluation.shape)}; allowed: examples and (out, in) = {sizes}"
        )


def _blocks(inputs: Tensor) -> Blocks:
    """Choose blocks by dtype and by the shared memory of the device."""
    if inputs.dtype == torch.float32:
        return FLOAT32
    if inputs.device.type != "cuda":
        return HALF_SMALL
    shared = torch.cuda.get_device_properties(inputs.device).shared_memory_per_block_optin
    return HALF_LARGE if shared >= 227 * 1024 else HALF_SMALL


@cache
def _kernel(interpreted: bool) -> Any:
    """Return ``_products``, compiled or interpreted: ``triton.jit`` asks the environment when it is called.

    The sizes that change from batch to batch do not cause a new compilation.
    """
    return triton.jit(_products, do_not_specialize=["batch", "tokens", "examples", "share"])


def _products(
    inputs,
    grads,
    evaluation,
    products,
    squares,
    batch,
    tokens,
    size_in,
    size_out,
    examples,
    rows,
    columns,
    share,
    inputs_row,
    inputs_token,
    grads_row,
    grads_token,
    evaluation_row,
    evaluation_out,
    BATCH: tl.constexpr,
    OUT: tl.constexpr,
    IN: tl.constexpr,
    TOKENS: tl.constexpr,
    EXAMPLES: tl.constexpr,
    STAGES: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Run program (n, s): the n-th block of training examples and the s-th share of tiles.

    products: (slices, rows, columns) and squares: (slices, columns) start as zeros. Rows are evaluation
    examples and columns training examples, in whole blocks. ``*_row``, ``*_token``, ``*_out`` are strides.
    """
    dtype: tl.constexpr = inputs.dtype.element_ty
    # Triton's interpreter does not multiply bfloat16.
    factors: tl.constexpr = tl.float32 if INTERPRETED else dtype
    first_b = tl.program_id(0) * BATCH
    part = tl.program_id(1)
    tiles_in = (size_in + IN - 1) // IN
    tiles = tiles_in * ((size_out + OUT - 1) // OUT)
    norms = tl.full((BATCH,), 0.0, tl.float32)
    # Addresses are hoisted out of the inner loops only: too many to keep in registers throughout.
    for tile in tl.range(part * share, tl.minimum((part + 1) * share, tiles), disable_licm=True):
        first_o = tile // tiles_in * OUT
        first_i = tile % tiles_in * IN

        # Past the end of the batch its last example is repeated, and the result never read.
        b = tl.minimum(first_b + tl.arange(0, BATCH), batch - 1).to(tl.int64)[:, None, None]
        t = tl.arange(0, TOKENS)
        o = (first_o + tl.arange(0, OUT))[None, :, None]
        i = (first_i + tl.arange(0, IN))[None, None, :]
        grads_at = grads + b * grads_row + (t[None, None, :] * grads_token + o)
        inputs_at = inputs + b * inputs_row + (t[None, :, None] * inputs_token + i)
        formed = tl.full((BATCH, OUT, IN), 0.0, tl.float32)
        for start in tl.range(0, tokens, TOKENS, num_stages=STAGES):
            skip = tl.cast(start, tl.int64)
            left = t < tokens - start
            g = tl.load(grads_at + skip * grads_token, mask=(o < size_out) & left[None, None, :], other=0.0)
            x = tl.load(inputs_at + skip * inputs_token, mask=(i < size_in) & left[None, :, None], other=0.0)
            formed = tl.dot(g.to(factors), x.to(factors), formed, input_precision="ieee")
        formed = tl.reshape(formed, (BATCH, OUT * IN))
        norms += tl.reduce(formed * formed, 1, _add)
        # On the right: a left factor would be held in registers, once by every four warps.
        formed = tl.trans(formed.to(dtype).to(factors))

        k = tl.arange(0, OUT * IN)
        o = first_o + k // IN
        i = first_i + k % IN
        inside = ((o < size_out) & (i < size_in))[None, :]
        e = tl.arange(0, EXAMPLES)[:, None]
        evaluation_at = (
            evaluation + e.to(tl.int64) * evaluation_row + (o.to(tl.int64) * evaluation_out + i)[None, :]
        )
        products_at = (
            products + (part.to(tl.int64) * rows + e) * columns + (first_b + tl.arange(0, BATCH))[None, :]
        )
        for start in tl.range(0, examples, EXAMPLES, num_stages=2):
            skip = tl.cast(start, tl.int64)
            v = tl.load(
                evaluation_at + skip * evaluation_row, mask=inside & (e < examples - start), other=0.0
            )
            total = tl.load(products_at + skip * columns)
            total = tl.dot(v.to(factors), formed, total, input_precision="ieee")
            tl.store(products_at + skip * columns, total)
        # The sums are read back for the next tile, and not always by the thread that stored them.
        tl.debug_barrier()
    tl.store(squares + part * columns + first_b + tl.arange(0, BATCH), norms)


def _add(a, b):
    return a + b


if triton is not None:
    _add = triton.jit(_add)
