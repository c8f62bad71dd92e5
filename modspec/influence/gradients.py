"""One batched forward and backward pass that records each layer's inputs X and output gradients G.

Hooks record the input X of each module that has trainable parameters, and the gradient G of the loss with
respect to its output. The gradient of one example is sum_t G_t X_t' for a linear layer, with t running over
its tokens; an embedding has the same with one-hot X_t. The loss is summed over the batch, so that an
example's gradient does not depend on the other examples of its batch.

Where such a record does not give a parameter's gradient (see ``modspec.influence.direct_gradients``),
autograd forms it, in passes of one example each.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor, nn

from modspec.data.examples import Examples, collate
from modspec.errors import InputError
from modspec.influence.direct_gradients import Direct, find_direct, known_modules
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, gated

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


@dataclass(frozen=True)
class DirectGradient:
    """One example's gradient of a parameter, formed by autograd."""

    name: str  # of the module
    parameter: nn.Parameter
    values: Float[Tensor, " 1 *size"]


# (logits in float64, all examples, the batch's positions among them) -> the loss of each example of the batch
Loss = Callable[[Float64[Tensor, " batch *size"], Examples, Positions], Float64[Tensor, " batch"]]


def cross_entropy(
    logits: Float64[Tensor, "batch labels"], examples: Examples, positions: Positions
) -> Float64[Tensor, " batch"]:
    """Return each example's cross-entropy, in nats."""
    labels = torch.from_numpy(examples.labels[positions]).to(logits.device)
    return F.cross_entropy(logits, labels, reduction="none")


class Tracer:
    """Runs batches forward and backward, with hooks on the model; made by :func:`tracing`."""

    def __init__(self, model: nn.Module, precision: torch.dtype, loss: Loss) -> None:
        self._model, self._precision, self._loss = model, precision, loss
        self.trainable = {p for p in model.parameters() if p.requires_grad}
        self.modules = known_modules(model)
        self._device = next(iter(self.trainable)).device
        self._recorded: list[tuple[str, Tensor, Tensor]] = []
        self._size = 0  # examples of the running pass; 0 while nothing is recorded
        self._direct: Direct | None = None

    def __call__(
        self, examples: Examples, positions: Positions, mask: HeadMask | None
    ) -> list[Trace | DirectGradient]:
        """Return the record of a batch, in the order in which modules ran.

        Args:
            examples: all examples.
            positions: of the batch among them; a single one where ``direct`` says so.
            mask: a head mask, or one for each example of the batch.
        """
        parameters = self.direct(examples).parameters
        self._size = len(positions)
        try:
            with torch.enable_grad():
                loss = self._losses(examples, positions, mask, self._precision).sum()
            outputs = [output for *_, output in self._recorded]
            grads = torch.autograd.grad(loss, [*outputs, *parameters.values()], allow_unused=True)
            traces: list[Trace | DirectGradient] = [
                Trace(name, self.modules[name], _by_token(entering, self._size), _by_token(grad, self._size))
                for (name, entering, _), grad in zip(self._recorded, grads, strict=False)
                if grad is not None
            ]
        finally:
            self._recorded, self._size = [], 0
        for (name, parameter), grad in zip(parameters.items(), grads[len(outputs) :], strict=True):
            values = torch.zeros_like(parameter) if grad is None else grad
            traces.append(DirectGradient(name.rpartition(".")[0], parameter, values[None]))
        return traces

    def direct(self, examples: Examples) -> Direct:
        """Return the parameters whose gradients autograd forms; the first call runs two of the examples."""
        if self._direct is None:
            lengths = examples.lengths
            both = np.array([lengths.argmin(), lengths.argmax()])
            for parameter in self.trainable:
                parameter.requires_grad_(True)
            self._direct = find_direct(self._model, lambda: self._losses(examples, both, None, torch.float32))
            for parameter in self.trainable - set(self._direct.parameters.values()):
                parameter.requires_grad_(False)
        return self._direct

    def record(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Record a module's call; a forward hook."""
        if not self._size:
            return output
        entering = inputs[0].detach()
        if not output.requires_grad:
            output = output.detach()
            if len(output) == 1 != self._size:  # position embeddings: one row for the whole batch
                entering = entering.expand(self._size, *entering.shape[1:])
                output = output.expand(self._size, *output.shape[1:])
            output.requires_grad_(True)
        self._recorded.append((name, entering, output))
        return output

    def _losses(
        self, examples: Examples, positions: Positions, mask: HeadMask | None, precision: torch.dtype
    ) -> Float64[Tensor, " batch"]:
        batch = collate(examples, positions, self._model.config.pad_token_id, self._device)
        with gated(self._model, mask):
            with autocast(self._device, precision):
                logits = self._model(**batch).logits
            # In float64, because float32 loses 1 - p of a confident example, and with it the direction of
            # the gradient.
            return self._loss(logits.double(), examples, positions)


@contextmanager
def tracing(
    model: nn.Module, precision: torch.dtype = torch.float32, loss: Loss = cross_entropy
) -> Iterator[Tracer]:
    """Yield a function that runs one batch forward and backward and returns its record, in eval mode.

    Inside the context the weights do not require gradients, because their summed gradients would be computed
    only to be thrown away. If none of a module's inputs requires a gradient, the module's output becomes a
    leaf of the graph instead.

    Args:
        model: the encoder with its classifier. Mode, hooks and ``requires_grad`` are restored at the end.
        precision: bfloat16 for mixed precision, in which sums and layer norms stay float32.
        loss: of each example.

    Raises:
        InputError: no parameter is trainable.
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise InputError("encoder: no parameter is trainable (requires_grad), so there are no gradients")
    tracer = Tracer(model, precision, loss)
    with ExitStack() as undo:
        undo.callback(model.train, model.training)
        model.eval()
        for parameter in tracer.trainable:
            undo.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        for name, module in tracer.modules.items():
            undo.callback(module.register_forward_hook(partial(tracer.record, name)).remove)
        undo.enter_context(first_token_only(model))
        yield tracer


def _by_token(values: Tensor, size: int) -> Tensor:
    """Give the (batch, size) of a pooler or classifier one token, and a token's heads a token each."""
    if not values.is_floating_point():
        return values.reshape(size, -1)
    return values.reshape(size, -1, values.shape[-1])
