"""Exact head importance (Michel et al. 2019, eq. 2).

    I_h = mean over examples x of |dL(x)/dxi_h|  at xi_h = 1

A mean of per-example absolute values: the absolute value of a batch mean would let examples cancel. One grid
of gates per example gives every example's own derivative in a single backward pass.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from modspec.data.examples import Examples, collate, sorted_batches
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, full_mask, gated


def head_gradients(
    model: nn.Module,
    examples: Examples,
    mask: np.ndarray | None = None,
    *,
    batch_size: int = 32,
    precision: torch.dtype = torch.float32,
) -> np.ndarray:
    """d(cross-entropy of example x)/d(gate h), for every example and head, under a head mask.

    Returns float64 of shape (n, layers, heads), in the order of ``examples``; dropped heads have gate 0
    and derivative 0 here, since they take no part in what follows. Dropout is off. The weights get no
    gradients, so the pass costs a forward and the activations' half of a backward.

    Raises FloatingPointError naming the first example whose gradient is not finite.
    """
    mask = full_mask(model) if mask is None else np.asarray(mask, dtype=bool)
    parameter = next(model.parameters())
    frozen = [p for p in model.parameters() if p.requires_grad]
    training = model.training
    gradients = np.zeros((len(examples), *mask.shape))
    model.eval()
    for p in frozen:
        p.requires_grad_(False)
    try:
        for indices in sorted_batches(examples.lengths, batch_size):
            batch = collate(examples, indices, model.config.pad_token_id, parameter.device)
            labels = torch.from_numpy(examples.labels[indices]).to(parameter.device)
            gates = torch.from_numpy(np.repeat(mask[None], len(indices), axis=0))
            gates = gates.to(parameter.device, parameter.dtype).requires_grad_(True)
            with gated(model, gates), first_token_only(model), autocast(parameter.device, precision):
                logits = model(**batch).logits
            # Summed, so that no example's derivative is scaled by the batch it happens to sit in.
            # In float64, since 1 - p of a confident example is lost in float32.
            loss = F.cross_entropy(logits.double(), labels, reduction="sum")
            (grad,) = torch.autograd.grad(loss, gates)
            if not (finite := grad.flatten(1).isfinite().all(1)).all():
                worst = str(examples.ids[indices[int((~finite).nonzero()[0])]])
                raise FloatingPointError(f"the head gradient of example {worst!r} is not finite")
            gradients[indices] = grad.double().cpu().numpy()
    finally:
        for p in frozen:
            p.requires_grad_(True)
        model.train(training)
    return gradients * mask


def importance(gradients: np.ndarray) -> np.ndarray:
    """I_h, with each layer scaled to unit l2 norm: (n, layers, heads) -> (layers, heads), non-negative.

    A layer whose heads all have zero derivative stays zero.
    """
    return _normalised(np.abs(gradients).mean(axis=0))


def inherited_importance(gradients: np.ndarray) -> np.ndarray:
    """What the widely copied code computes instead; kept here only to measure what its error changes.

    transformers' old ``run_bertology.py`` and its descendants never zero ``head_mask.grad`` between
    batches (of one example, by default), so example i adds |g_1 + ... + g_i| instead of |g_i|.
    Same shapes as :func:`importance`; depends on the order of the examples.
    """
    return _normalised(np.abs(np.cumsum(gradients, axis=0)).mean(axis=0))


def _normalised(raw: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    return np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0)
