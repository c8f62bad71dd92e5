"""Evaluation: one loop over batches, and the logits, labels and accuracy that come out of it."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modspec.data.examples import Examples, collate, sorted_batches
from modspec.errors import InputError
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, gated


def rows_by_example(
    model: nn.Module,
    examples: Examples,
    rows_of: Callable[[dict[str, Tensor], np.ndarray], Tensor],
    shape: tuple[int, ...] = (),
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """Return one row per example, computed batch by batch with dropout off.

    Batches hold examples of similar length. The model's training mode is restored at the end, also after an
    error. The caller decides about head masks, mixed precision and gradients in ``rows_of``.

    Args:
        model: a classifier, or anything else with a ``config`` and parameters.
        examples: n tokenised examples.
        rows_of: called with (model inputs on the model's device, positions of the batch in ``examples``);
            returns a tensor (batch, *shape).
        shape: shape of one example's row.
        batch_size: examples per batch.

    Returns:
        float64 (n, *shape), in the order of ``examples``.
    """
    device = next(model.parameters()).device
    rows = np.empty((len(examples), *shape))
    was_training = model.training
    model.eval()
    try:
        for positions in sorted_batches(examples.lengths, batch_size):
            batch = collate(examples, positions, model.config.pad_token_id, device)
            rows[positions] = rows_of(batch, positions).detach().double().cpu().numpy()
    finally:
        model.train(was_training)
    return rows


@torch.no_grad()
def logits(
    model: nn.Module,
    examples: Examples,
    mask: np.ndarray | None = None,
    *,
    batch_size: int = 64,
    precision: torch.dtype = torch.float32,
) -> np.ndarray:
    """Return the classifier's logits under a head mask, with dropout off.

    Args:
        model: a sequence classifier.
        examples: n tokenised examples.
        mask: bool (layers, heads), or (n, layers, heads), one mask per example; True = kept; None keeps every
            head.
        batch_size: examples per batch.
        precision: dtype of matrix products.

    Returns:
        float64 (n, labels), in the order of ``examples``; exactly the numbers that the model computed in
        its own precision.

    Raises:
        InputError: the mask fits neither the encoder nor the examples.
    """
    if np.ndim(mask) == 3 and len(mask) != len(examples):
        raise InputError(f"mask: {len(mask)} masks for {len(examples)} examples; allowed: one for each")

    def rows_of(batch: dict[str, Tensor], positions: np.ndarray) -> Tensor:
        gates = mask[positions] if np.ndim(mask) == 3 else mask
        with gated(model, gates), first_token_only(model), autocast(batch["input_ids"].device, precision):
            return model(**batch).logits

    return rows_by_example(model, examples, rows_of, (model.config.num_labels,), batch_size=batch_size)


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each example's margin log p / (1 - p), for the probability p of its label (Park et al. 2023).

    The loss is a decreasing function of it. Unlike the loss, it does not level off where p is near 1.

    Args:
        logits: float64 (n, labels).
        labels: int64 (n,), the right labels.

    Returns:
        float64 (n,), in nats; above 0 where the label is more probable than all others together.
    """
    values = torch.from_numpy(logits)
    right = F.one_hot(torch.from_numpy(labels), values.shape[1]).bool()
    return (values[right] - values.masked_fill(right, -torch.inf).logsumexp(1)).numpy()


def predict(model: nn.Module, examples: Examples, mask: np.ndarray | None = None, **options) -> np.ndarray:
    """Return the labels of highest logit, the first of equals: int64 (n,). Arguments as in :func:`logits`."""
    return logits(model, examples, mask, **options).argmax(-1)


def accuracy(model: nn.Module, examples: Examples, mask: np.ndarray | None = None, **options) -> float:
    """Return the share of right predictions, 0 to 1. Arguments as in :func:`logits`."""
    return float((predict(model, examples, mask, **options) == examples.labels).mean())
