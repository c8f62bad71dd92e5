"""Exact TracIn influence over all trainable parameters, with head masks.

    score(z, z') = sum over checkpoints k of  eta_k * s(grad L(z; theta_k), grad L(z'; theta_k))

with z a training and z' an evaluation example, and s the dot product or the cosine (Pruthi et al. 2020; the
dot product is theirs). Gradients run over every trainable parameter, embeddings included.

No gradient of a whole model is ever stored. Hooks record what enters each module (X) and the gradient of
the loss with respect to what leaves it (G). An example's gradient of a linear layer is sum_t G_t X_t', and
the inner product of two examples' gradients follows exactly from their factors in either of two forms, of
which the cheaper is taken for each layer and batch (B training examples of T tokens, E evaluation examples
of T' tokens):

    ghost   sum over token pairs (t, t') of (X_t . X'_t') (G_t . G'_t')      2 B T E T' (in + out) operations
    dense   <sum_t G_t X_t', sum_t' G'_t' X'_t''>                            2 in out (B E + B T + E T')

Embeddings are linear layers over one-hot inputs: X_t . X'_t' is 1 where the pieces agree, else 0. Memory
holds the factors of the evaluation examples and of one training batch, however many training examples
there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from modspec.batches import Examples, collate, sorted_batches
from modspec.errors import InputError
from modspec.heads import gated

KNOWN_MODULES = (nn.Linear, nn.Embedding, nn.LayerNorm)


@dataclass(frozen=True)
class Checkpoint:
    """One term of the TracIn sum. load: puts the checkpoint's weights into the model, in place."""

    load: Callable[[nn.Module], None]
    learning_rate: float


@dataclass(frozen=True)
class Scores:
    """Influence of every training on every evaluation example: float32 of shape (train, evaluation)."""

    cosine: np.ndarray
    dot: np.ndarray


@dataclass(frozen=True)
class TokenFactors:
    """A batch's weight gradients of an embedding, or of all linear layers that read one input.

    inputs: (batch, tokens, in), or int64 (batch, tokens): rows of an embedding. grads: (batch, tokens,
    out), zero wherever a token contributes nothing.
    """

    inputs: Tensor
    grads: Tensor


@dataclass(frozen=True)
class Gradients:
    """Per-example gradients of one batch, exact and never multiplied out.

    weights: factors by name of the layers. vectors: (batch, size), all biases and layer norms.
    norms: (batch,), the l2 norm over all trainable parameters.
    """

    weights: dict[str, TokenFactors]
    vectors: Tensor
    norms: Tensor


GradientFunction = Callable[[Examples, np.ndarray, np.ndarray | None], Gradients]


def influence(
    model: nn.Module,
    train: Examples,
    evaluation: Examples,
    *,
    checkpoints: Iterable[Checkpoint] | None = None,
    train_mask: np.ndarray | None = None,
    evaluation_mask: np.ndarray | None = None,
    batch_size: int = 32,
    progress: str | None = None,
) -> Scores:
    """TracIn scores of every training example for every evaluation example.

    ``checkpoints``: None scores the model as it is, with eta = 1. Masks: None, (layers, heads), or
    (n, layers, heads): one for each example. Precision follows the model's dtype. Dropout is off.
    An example whose gradient is zero has cosine 0 with every other.

    Raises InputError for masks that do not fit, for an encoder without trainable parameters or with some
    in a type of module that it does not know, and FloatingPointError naming the first example whose
    gradient is not finite.
    """
    for name, mask, examples in (
        ("train_mask", train_mask, train),
        ("evaluation_mask", evaluation_mask, evaluation),
    ):
        if np.ndim(mask) == 3 and len(mask) != len(examples):
            raise InputError(f"{name}: {len(mask)} masks for {len(examples)} examples; allowed: one for each")
    if checkpoints is None:
        checkpoints = [Checkpoint(lambda model: None, 1.0)]
    cosine, dot = np.zeros((2, len(train), len(evaluation)))
    for checkpoint in checkpoints:
        checkpoint.load(model)
        with per_example_gradients(model) as gradients_of:
            targets = list(_passes(gradients_of, evaluation, evaluation_mask, batch_size))
            for rows, gradients in _passes(gradients_of, train, train_mask, batch_size, progress):
                for columns, target in targets:
                    products = inner_products(gradients, target)
                    scale = torch.outer(gradients.norms, target.norms)
                    cosines = torch.where(scale > 0, products / scale, 0)
                    block = np.ix_(rows, columns)
                    dot[block] += checkpoint.learning_rate * products.cpu().numpy()
                    cosine[block] += checkpoint.learning_rate * cosines.cpu().numpy()
    return Scores(cosine.astype(np.float32), dot.astype(np.float32))


def inner_products(a: Gradients, b: Gradients) -> Tensor:
    """<gradient of a's example i, gradient of b's example j>: float64 (batch a, batch b).

    Summed over layers in float64: a single float32 sum over millions of parameters loses five digits.
    """
    total = (a.vectors @ b.vectors.T).double()
    for name, factors in a.weights.items():
        total += _weight_products(factors, b.weights[name])
    return total


def trainable_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that hold trainable parameters of their own, by name.

    Raises InputError where one is of an unknown type, or shares a parameter with another module: its
    influence would be left out, or counted wrongly.
    """
    modules: dict[str, nn.Module] = {}
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if not own:
            continue
        if type(module) not in KNOWN_MODULES:
            known = ", ".join(kind.__name__ for kind in KNOWN_MODULES)
            raise InputError(
                f"encoder: module {name!r} of type {type(module).__name__} has trainable parameters; "
                f"influence knows {known}"
            )
        for parameter in own:
            if (owner := owners.setdefault(id(parameter), name)) != name:
                raise InputError(f"encoder: modules {owner!r} and {name!r} share a trainable parameter")
        modules[name] = module
    return modules


@contextmanager
def per_example_gradients(model: nn.Module) -> Iterator[GradientFunction]:
    """Within the context, a function (examples, positions, mask) -> their gradients, in one pass.

    The weights themselves take no gradient meanwhile (those products would be thrown away): where none
    of a module's inputs requires one, its output becomes a leaf of the graph instead.
    """
    modules = trainable_modules(model)
    if not modules:
        raise InputError("encoder: no parameter is trainable (requires_grad), so there are no gradients")
    trainable = [p for p in model.parameters() if p.requires_grad]
    trains = {name: {k for k, p in m.named_parameters() if p.requires_grad} for name, m in modules.items()}
    device, training = trainable[0].device, model.training
    recorded: dict[str, tuple[Tensor, Tensor]] = {}
    size = 0

    def recorder(name: str) -> Callable:
        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if name in recorded:
                raise InputError(f"encoder: module {name!r} runs more than once in a forward pass")
            entering = inputs[0].detach()
            if not output.requires_grad:
                output = output.detach()
                if len(output) != size:  # position embeddings: one row for the whole batch
                    entering = entering.expand(size, *entering.shape[1:])
                    output = output.expand(size, *output.shape[1:])
                output.requires_grad_(True)
            recorded[name] = (entering, output)
            return output

        return record

    def gradients_of(examples: Examples, indices: np.ndarray, mask: np.ndarray | None) -> Gradients:
        nonlocal size
        size = len(indices)
        recorded.clear()
        batch = collate(examples, indices, model.config.pad_token_id, device)
        labels = torch.from_numpy(examples.labels[indices]).to(device)
        with torch.enable_grad(), gated(model, mask):
            # Summed, not averaged: an example's gradient must not depend on its batch. In float64, since
            # 1 - p of a confident example is lost in float32, and with it the direction of its gradient.
            loss = F.cross_entropy(model(**batch).logits.double(), labels, reduction="sum")
            grads = torch.autograd.grad(loss, [output for _, output in recorded.values()])
        traced = {
            name: (modules[name], trains[name], entering, grad)
            for (name, (entering, _)), grad in zip(recorded.items(), grads, strict=True)
        }
        recorded.clear()
        with torch.no_grad():
            gradients = _factored(traced)
        if not (finite := gradients.norms.isfinite()).all():
            worst = str(examples.ids[indices[int((~finite).nonzero()[0])]])
            raise FloatingPointError(f"the gradient of example {worst!r} is not finite")
        return gradients

    handles = [module.register_forward_hook(recorder(name)) for name, module in modules.items()]
    try:
        model.eval()
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield gradients_of
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for handle in handles:
            handle.remove()
        model.train(training)


def _passes(
    gradients_of: GradientFunction,
    examples: Examples,
    mask: np.ndarray | None,
    batch_size: int,
    progress: str | None = None,
) -> Iterator[tuple[np.ndarray, Gradients]]:
    """(positions, gradients) of all examples, batch by batch, like lengths together."""
    batches = sorted_batches(examples.lengths, batch_size)
    for indices in tqdm(batches, desc=progress, disable=progress is None, mininterval=1.0):
        own = mask[indices] if np.ndim(mask) == 3 else mask
        yield indices, gradients_of(examples, indices, own)


def _factored(traced: dict[str, tuple[nn.Module, set[str], Tensor, Tensor]]) -> Gradients:
    """Sort what the hooks recorded, (module, its trainable parameters, X, G), into factors and vectors."""
    weights: dict[str, TokenFactors] = {}
    readers: dict[tuple, list[str]] = {}
    vectors = []
    for name, (module, trains, entering, grad) in traced.items():
        grad = grad.reshape(len(grad), -1, grad.shape[-1])
        if isinstance(module, nn.Embedding):
            if module.padding_idx is not None:
                grad = grad * (entering != module.padding_idx)[..., None]
            weights[name] = TokenFactors(entering, grad)
            continue
        if isinstance(module, nn.LayerNorm):
            if "weight" in trains:
                scaled = F.layer_norm(entering, module.normalized_shape, eps=module.eps)
                vectors.append((grad * scaled.reshape(grad.shape)).sum(1))
        elif "weight" in trains:
            # Query, key and value read one input: concatenated, they share its Gram products.
            readers.setdefault((entering.data_ptr(), entering.shape, entering.stride()), []).append(name)
        if "bias" in trains:
            vectors.append(grad.sum(1))
    for names in readers.values():
        entering = traced[names[0]][2]
        grads = [traced[name][3] for name in names]
        weights[" + ".join(names)] = TokenFactors(
            entering.reshape(len(entering), -1, entering.shape[-1]),
            torch.cat([g.reshape(len(g), -1, g.shape[-1]) for g in grads], dim=-1),
        )
    batch = len(next(iter(traced.values()))[3])
    device = next(iter(traced.values()))[3].device
    flat = torch.cat(vectors, dim=1) if vectors else torch.zeros(batch, 0, device=device)
    squares = flat.square().sum(1).double()
    for factors in weights.values():
        squares += _weight_squares(factors)
    return Gradients(weights, flat, squares.sqrt())


def _weight_products(a: TokenFactors, b: TokenFactors) -> Tensor:
    """Inner products of weight gradients: (batch a, batch b), in the cheaper exact form."""
    (n, t, out), (m, u, _) = a.grads.shape, b.grads.shape
    if a.inputs.dtype == torch.int64:
        agree = a.inputs.reshape(-1, 1) == b.inputs.reshape(1, -1)
        return _token_sum(agree * _gram(a.grads, b.grads), n, m)
    size = a.inputs.shape[-1]
    if n * t * m * u * (size + out) <= size * out * (n * m + n * t + m * u):
        return _token_sum(_gram(a.inputs, b.inputs) * _gram(a.grads, b.grads), n, m)
    return _dense(a) @ _dense(b).T


def _weight_squares(a: TokenFactors) -> Tensor:
    """Squared norms of weight gradients: (batch,), in the cheaper exact form."""
    tokens, out = a.grads.shape[1:]
    if a.inputs.dtype == torch.int64:
        agree = a.inputs[:, :, None] == a.inputs[:, None, :]
        squares = (agree * (a.grads @ a.grads.mT)).sum((1, 2))
    elif tokens * (a.inputs.shape[-1] + out) <= a.inputs.shape[-1] * out:
        squares = ((a.inputs @ a.inputs.mT) * (a.grads @ a.grads.mT)).sum((1, 2))
    else:
        squares = _dense(a).square().sum(1)
    return squares.clamp_min(0)  # terms that cancel can round to less than zero


def _gram(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of all tokens of a with all of b: (batch a * tokens a, batch b * tokens b)."""
    return a.flatten(0, 1) @ b.flatten(0, 1).T


def _token_sum(products: Tensor, n: int, m: int) -> Tensor:
    """Sum token products by example: (n * t, m * u) -> (n, m)."""
    return products.reshape(n, len(products) // n, m, products.shape[1] // m).sum((1, 3))


def _dense(a: TokenFactors) -> Tensor:
    """Weight gradients multiplied out: (batch, out * in)."""
    return (a.grads.mT @ a.inputs).flatten(1)
