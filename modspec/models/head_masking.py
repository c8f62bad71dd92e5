"""Apply head masks: gates on a running encoder.

A head mask is a Boolean array of shape (layers, heads): True = kept. A gate is a real number per head that
multiplies the head's output just before the attention output projection. Gate 0 is therefore the same as
zeroing that head's columns of the projection, gate 1 changes nothing, and the derivative of the loss with
respect to a gate is the xi_h of Michel et al. (2019, eq. 2).

transformers removed its own ``head_mask`` argument and silently ignores it; these gates are hooks, and an
architecture that they cannot reach is refused.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from modspec.errors import InputError
from modspec.models.architectures.registry import (
    blocks_of,
    find_architecture,
    output_projections,
)


def head_grid(model: nn.Module) -> tuple[int, int]:
    """Return (layers, heads) of an encoder that can be gated."""
    return len(output_projections(model)), model.config.num_attention_heads


def full_mask(model: nn.Module) -> np.ndarray:
    """Return the mask that keeps every head: bool (layers, heads)."""
    return np.ones(head_grid(model), dtype=bool)


@contextmanager
def gated(model: nn.Module, gates: np.ndarray | Tensor | None) -> Iterator[Tensor | None]:
    """Multiply every head's output by its gate while the context lasts.

    Contexts nest, and their gates multiply.

    Args:
        model: an encoder, or a classifier on top of one.
        gates: Booleans or real numbers, (layers, heads) for the whole batch or (batch, layers, heads), one
            grid per example. A tensor that requires gradients receives them. None gates nothing.

    Yields:
        The gates as a tensor of the model's dtype and device.

    Raises:
        InputError: the shape does not fit the encoder or, in the forward pass, the batch.
    """
    if gates is None:
        yield None
        return
    projections = output_projections(model)
    grid = (len(projections), model.config.num_attention_heads)
    weight = projections[0].weight
    gates = torch.as_tensor(gates).to(device=weight.device, dtype=weight.dtype)
    if gates.shape[-2:] != grid or gates.ndim not in (2, 3):
        raise InputError(
            f"gates: shape {tuple(gates.shape)} does not fit this encoder; "
            f"allowed: {grid} or (batch, {grid[0]}, {grid[1]})"
        )

    def scale(layer: int, projection: nn.Linear, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        context = inputs[0]
        gate = gates[..., layer, :].repeat_interleave(projection.in_features // grid[1], dim=-1)
        if gate.ndim == 2:
            if len(gate) != len(context):
                raise InputError(f"gates: {len(gate)} grids for a batch of {len(context)}")
            gate = gate[:, None, :]
        return (context * gate.to(context.dtype), *inputs[1:])

    with ExitStack() as hooks:
        for layer, projection in enumerate(projections):
            hooks.enter_context(projection.register_forward_pre_hook(partial(scale, layer)))
        yield gates


@contextmanager
def first_token_only(model: nn.Module) -> Iterator[None]:
    """Let only the first token through those modules of the last layer that need no other token.

    Many classifiers read no other token of that layer: the other tokens' outputs have no use and gradient
    zero. Does nothing for any other model, or where that layer is also an earlier one.
    """
    architecture = find_architecture(getattr(model, "config", None))
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    path = architecture.first_token if architecture and classifies else None
    blocks = blocks_of(model) if path else []
    if not blocks or blocks[-1] in blocks[:-1]:
        yield
        return

    def cut(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(tokens[:, :1] for tokens in inputs)

    with blocks[-1].get_submodule(path).register_forward_pre_hook(cut):
        yield
