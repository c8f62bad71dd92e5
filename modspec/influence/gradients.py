"""One batched forward and backward pass that records each layer's inputs X and output gradients G.

Hooks record the input X of each module that has trainable parameters, and the gradient G of the loss with
respect to its output. The gradient of one example is sum_t G_t X_t' for a linear layer, with t running over
its tokens; an embedding has the same with one-hot X_t. The loss is summed over the batch, so that an
example's gradient does not depend on the other examples of its batch.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from modspec.data.examples import Examples, collate
from modspec.errors import InputError
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, gated

KNOWN_MODULES = (nn.Linear, nn.Embedding, nn.LayerNorm)
# One head mask for all examples, or one per example.
HeadMask = Bool[np.ndarray, "layers heads"] | Bool[np.ndarray, "_ layers heads"]
Positions = Int[np.ndarray, " batch"]  # positions of the examples of a batch among all examples


@dataclass(frozen=True)
class Trace:
    """The record of one call of one module."""

    name: str
    module: nn.Module
    inputs: Float[Tensor, "batch tokens in"] | Int[Tensor, "batch tokens"]  # an embedding reads piece ids
    grads: Float[Tensor, "batch tokens out"]  # zero for tokens that contribute nothing


# (all examples, the batch's positions among them, head mask) -> traces, in the order in which modules ran
TraceFunction = Callable[[Examples, Positions, HeadMask | None], list[Trace]]


def trainable_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that hold trainable parameters of their own, by name.

    Raises:
        InputError: if no parameter is trainable, or if a module with trainable parameters is of a type that
            is not known here. Leaving that module out would make influence incomplete.
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
    """Yield a function that runs one batch forward and backward and returns its traces, in eval mode.

    Inside the context the weights do not require gradients, because their summed gradients would be computed
    only to be thrown away. If none of a module's inputs requires a gradient, the module's output becomes a
    leaf of the graph instead.

    Args:
        model: the encoder with its classifier. Mode, hooks and ``requires_grad`` are restored at the end.
        precision: bfloat16 for mixed precision, in which sums and layer norms stay float32.

    Raises:
        InputError: see :func:`trainable_modules`.
    """
    modules = trainable_modules(model)
    trainable = [p for p in model.parameters() if p.requires_grad]
    device = trainable[0].device
    recorded: list[tuple[str, Tensor, Tensor]] = []
    size = 0

    def record(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        entering = inputs[0].detach()
        if not output.requires_grad:
            output = output.detach()
            if len(output) != size:  # position embeddings: one row for the whole batch
                entering = entering.expand(size, *entering.shape[1:])
                output = output.expand(size, *output.shape[1:])
            output.requires_grad_(True)
        recorded.append((name, entering, output))
        return output

    def trace(examples: Examples, positions: Positions, mask: HeadMask | None) -> list[Trace]:
        nonlocal size
        size = len(positions)
        recorded.clear()
        batch = collate(examples, positions, model.config.pad_token_id, device)
        labels = torch.from_numpy(examples.labels[positions]).to(device)
        with torch.enable_grad(), gated(model, mask):
            with autocast(device, precision):
                logits = model(**batch).logits
            # In float64, because float32 loses 1 - p of a confident example, and with it the direction of
            # the gradient.
            loss = F.cross_entropy(logits.double(), labels, reduction="sum")
            grads = torch.autograd.grad(loss, [output for *_, output in recorded])
        traces = [
            Trace(name, modules[name], _by_token(entering), _by_token(grad))
            for (name, entering, _), grad in zip(recorded, grads, strict=True)
        ]
        recorded.clear()
        return traces

    with ExitStack() as undo:
        undo.callback(model.train, model.training)
        model.eval()
        for parameter in trainable:
            undo.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        for name, module in modules.items():
            undo.callback(module.register_forward_hook(partial(record, name)).remove)
        undo.enter_context(first_token_only(model))
        yield trace


def _by_token(values: Tensor) -> Tensor:
    """Give the (batch, size) of a pooler or classifier one token; leave an embedding's piece ids alone."""
    if not values.is_floating_point():
        return values
    return values.reshape(len(values), -1, values.shape[-1])
