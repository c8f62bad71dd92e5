"""One batched forward and backward pass, and from it every example's own gradient in factors.

Hooks record what enters each module that has trainable parameters (X) and the gradient of the loss with
respect to what leaves it (G). An example's gradient of a linear layer is sum_t G_t X_t', of an embedding the
same with one-hot X_t. The loss is summed over the batch, so that no gradient depends on its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modspec.data.examples import Examples, collate
from modspec.errors import InputError
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, gated

KNOWN_MODULES = (nn.Linear, nn.Embedding, nn.LayerNorm)


@dataclass(frozen=True)
class Trace:
    """One run of one module. inputs: what entered, (batch, tokens, in), or int64 (batch, tokens) of an
    embedding. grads: (batch, tokens, out), zero wherever a token contributes nothing."""

    name: str
    module: nn.Module
    inputs: Tensor
    grads: Tensor


TraceFunction = Callable[[Examples, np.ndarray, np.ndarray | None], list[Trace]]


def trainable_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that hold trainable parameters of their own, by name.

    Raises InputError where one is of an unknown type: its influence would be left out.
    """
    modules = {}
    for name, module in model.named_modules():
        if not any(p.requires_grad for p in module.parameters(recurse=False)):
            continue
        if type(module) not in KNOWN_MODULES:
            known = ", ".join(kind.__name__ for kind in KNOWN_MODULES)
            raise InputError(
                f"encoder: module {name!r} of type {type(module).__name__} has trainable parameters; "
                f"influence knows {known}"
            )
        modules[name] = module
    if not modules:
        raise InputError("encoder: no parameter is trainable (requires_grad), so there are no gradients")
    return modules


@contextmanager
def tracing(model: nn.Module, precision: torch.dtype = torch.float32) -> Iterator[TraceFunction]:
    """Within the context, a function (examples, positions, mask) -> traces of one pass, in eval mode.

    The weights themselves take no gradient meanwhile (those products would be thrown away): where none
    of a module's inputs requires one, its output becomes a leaf of the graph instead. ``precision``:
    bfloat16 for mixed precision, whose sums and layer norms stay float32.
    """
    modules = trainable_modules(model)
    trainable = [p for p in model.parameters() if p.requires_grad]
    device, training = trainable[0].device, model.training
    recorded: list[tuple[str, Tensor, Tensor]] = []
    size = 0

    def recorder(name: str) -> Callable:
        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            entering = inputs[0].detach()
            if not output.requires_grad:
                output = output.detach()
                if len(output) != size:  # position embeddings: one row for the whole batch
                    entering = entering.expand(size, *entering.shape[1:])
                    output = output.expand(size, *output.shape[1:])
                output.requires_grad_(True)
            recorded.append((name, entering, output))
            return output

        return record

    def trace(examples: Examples, indices: np.ndarray, mask: np.ndarray | None) -> list[Trace]:
        nonlocal size
        size = len(indices)
        recorded.clear()
        batch = collate(examples, indices, model.config.pad_token_id, device)
        labels = torch.from_numpy(examples.labels[indices]).to(device)
        with torch.enable_grad(), gated(model, mask):
            with autocast(device, precision):
                logits = model(**batch).logits
            # In float64, since 1 - p of a confident example is lost in float32, and with it the direction
            # of its gradient.
            loss = F.cross_entropy(logits.double(), labels, reduction="sum")
            grads = torch.autograd.grad(loss, [output for *_, output in recorded])
        traces = [
            Trace(name, modules[name], _by_token(entering), _by_token(grad))
            for (name, entering, _), grad in zip(recorded, grads, strict=True)
        ]
        recorded.clear()
        return traces

    with ExitStack() as undo:
        undo.callback(model.train, training)
        for parameter in trainable:
            undo.callback(parameter.requires_grad_, True)
        for name, module in modules.items():
            undo.callback(module.register_forward_hook(recorder(name)).remove)
        undo.enter_context(first_token_only(model))
        model.eval()
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield trace


def _by_token(values: Tensor) -> Tensor:
    """What a pooler or classifier sees, (batch, size), as one token; embeddings' ids stay as they are."""
    if not values.is_floating_point():
        return values
    return values.reshape(len(values), -1, values.shape[-1])
