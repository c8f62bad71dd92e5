"""Head importance (Michel et al. 2019, eq. 2), exactly:

    I_h = mean over examples x of |dL(x)/dxi_h|  at xi = 1

This is a mean of absolute values of single examples: in the absolute value of a batch's mean, examples would
cancel. One grid of gates per example gives every example's own derivative in a single backward pass.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modspec.data.examples import Examples, check_label_range
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, full_mask, gated
from modspec.models.prediction import rows_by_example


def head_gradients(
    model: nn.Module,
    examples: Examples,
    mask: np.ndarray | None = None,
    *,
    batch_size: int = 32,
    precision: torch.dtype = torch.float32,
) -> np.ndarray:
    """Return d(cross-entropy of example x)/d(gate h) for every example and head, with dropout off.

    The weights get no gradients, so that the pass costs a forward and the activations' half of a backward.

    Args:
        model: a sequence classifier.
        examples: n tokenised examples with labels.
        mask: bool (layers, heads), the head mask in force; None keeps every head.
        batch_size: examples per batch.
        precision: dtype of matrix products; losses are float64.

    Returns:
        float64 (n, layers, heads), nats, in the order of ``examples``. Dropped heads have derivative 0 here.

    Raises:
        InputError: a label is no class.
        FloatingPointError: a gradient is not finite; the message names the first such example.
    """
    check_label_range("examples", examples, model.config.num_labels)
    mask = full_mask(model) if mask is None else np.asarray(mask, dtype=bool)

    def gradients_of(batch: dict[str, Tensor], positions: np.ndarray) -> Tensor:
        device = batch["input_ids"].device
        labels = torch.from_numpy(examples.labels[positions]).to(device)
        gates = torch.from_numpy(np.repeat(mask[None], len(positions), axis=0))
        gates = gates.to(device, next(model.parameters()).dtype).requires_grad_(True)
        with gated(model, gates), first_token_only(model), autocast(device, precision):
            logits = model(**batch).logits
        # Summed, so that no example's derivative depends on the batch that the example is in.
        # In float64, since 1 - p of a confident example is lost in float32.
        loss = F.cross_entropy(logits.double(), labels, reduction="sum")
        (gradients,) = torch.autograd.grad(loss, gates)
        if not (finite := gradients.flatten(1).isfinite().all(1)).all():
            worst = str(examples.ids[positions[int((~finite).nonzero()[0])]])
            raise FloatingPointError(f"the head gradient of example {worst!r} is not finite")
        return gradients

    trainable = [p for p in model.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        return mask * rows_by_example(model, examples, gradients_of, mask.shape, batch_size=batch_size)
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def importance(gradients: np.ndarray) -> np.ndarray:
    """Return I_h with each layer scaled to unit l2 norm.

    Args:
        gradients: (n, layers, heads), from :func:`head_gradients`.

    Returns:
        (layers, heads), non-negative. A layer whose heads all have derivative zero stays zero.
    """
    return _normalised(np.abs(gradients).mean(axis=0))


def inherited_importance(gradients: np.ndarray) -> np.ndarray:
    """Return what the widely copied code computes instead; kept only to measure what its error changes.

    transformers' old ``run_bertology.py`` and its descendants never zero ``head_mask.grad`` between batches
    (of one example, by default). Example i therefore adds |g_1 + ... + g_i| instead of |g_i|, and the result
    depends on the order of the examples. Shapes as in :func:`importance`.
    """
    return _normalised(np.abs(np.cumsum(gradients, axis=0)).mean(axis=0))


def _normalised(raw: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    return np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0)
