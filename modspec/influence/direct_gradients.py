"""Gradients that the record of a pass cannot give, so that autograd forms them, one example at a time.

The factors of ``modspec.influence.gradient_factors`` hold for parameters that are used only where a module of
a known type is called, on one row per example. Everything else is as exact, but needs one pass per example:

- parameters of modules of other types
- parameters that are also used past their module, such as DeBERTa's table of relative positions
- all, where a module's output has not one row per example, such as DeBERTa's projections of that table

One pass over two examples tells: the gradient that the record of the calls gives is taken from autograd's.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modspec.influence.layer_types import KNOWN

# Share of a gradient that its parameter's recorded calls may leave unexplained; rounding leaves 1e-5 of it.
UNEXPLAINED = 1e-3


@dataclass(frozen=True)
class Direct:
    """The parameters whose gradients autograd forms."""

    parameters: Mapping[str, nn.Parameter]  # by name
    one_at_a_time: bool  # passes hold one example each


@dataclass(frozen=True)
class _Call:
    module: nn.Module
    inputs: Tensor
    output: Tensor


def known_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of known types that hold trainable parameters of their own, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if type(module) in KNOWN and any(p.requires_grad for p in module.parameters(recurse=False))
    }


def other_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters that no module of a known type holds, by name."""
    known = {p for m in model.modules() if type(m) in KNOWN for p in m.parameters(recurse=False)}
    return {name: p for name, p in model.named_parameters() if p.requires_grad and p not in known}


def find_direct(model: nn.Module, losses: Callable[[], Tensor]) -> Direct:
    """Return the parameters whose gradients the record of a pass cannot give.

    Args:
        model: in evaluation mode; its trainable parameters require gradients.
        losses: runs the model on two examples and returns the loss of each, (2,).
    """
    calls: list[_Call] = []
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append(_Call(module, inputs[0].detach(), output))

    with ExitStack() as undo, torch.enable_grad():
        for module in known_modules(model).values():
            undo.callback(module.register_forward_hook(record).remove)
        losses_of_both = losses()
        size, loss = len(losses_of_both), losses_of_both.sum()
    outputs = [call.output for call in calls]
    grads = torch.autograd.grad(loss, [*trainable.values(), *outputs], allow_unused=True)
    rest = {p: g for p, g in zip(trainable.values(), grads, strict=False) if g is not None}
    scale = {p: g.norm() for p, g in rest.items()}
    called: set[nn.Parameter] = set()
    for call, grad in zip(calls, grads[len(trainable) :], strict=True):
        own = [p for p in call.module.parameters(recurse=False) if p in rest]
        if grad is None or not own:
            continue
        called.update(own)
        with torch.enable_grad():
            parts = torch.autograd.grad(call.module(call.inputs), own, grad)
        for parameter, part in zip(own, parts, strict=True):
            rest[parameter], scale[parameter] = rest[parameter] - part, scale[parameter] + part.norm()
    unexplained = {p for p, g in rest.items() if p not in called or g.norm() > UNEXPLAINED * scale[p]}
    direct = other_parameters(model) | {name: p for name, p in trainable.items() if p in unexplained}
    return Direct(direct, bool(direct) or not all(_has_rows(call, size) for call in calls))


def _has_rows(call: _Call, size: int) -> bool:
    """Return whether a module read one row per example, or one row of positions for all of them."""
    if call.inputs.is_floating_point():
        return len(call.output) == size
    return call.inputs.ndim == 2 and len(call.output) in (1, size)
