"""Full and sparse fine-tuning.

In sparse fine-tuning (SFT) every batch is of one language. The forward pass runs under that language's mask,
and only shared parameters and those of the heads in the mask move. A head outside the mask keeps its query,
key and value rows and biases and its output-projection columns bitwise. A zero gradient does not suffice for
that: AdamW goes on moving such weights through momentum and weight decay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import get_linear_schedule_with_warmup

from modspec.data.examples import Examples, check_label_range, collate, shuffled_batches
from modspec.errors import InputError
from modspec.models.architectures.architecture import Divided
from modspec.models.architectures.registry import layers_of
from modspec.models.device_and_precision import autocast
from modspec.models.head_masking import first_token_only, gated
from modspec.output.progress import tqdm


@dataclass(frozen=True)
class Epoch:
    """The record of one epoch of training."""

    epoch: int  # from 1
    loss: float  # mean training loss, nats
    learning_rate: float  # mean over the epoch's steps


def finetune(
    model: nn.Module,
    train: Examples,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    warmup: float = 0.1,
    clip: float = 1.0,
    seed: int = 0,
    masks: Mapping[str, np.ndarray] | None = None,
    one_language_batches: bool = False,
    precision: torch.dtype = torch.float32,
    after_step: Callable[[int, int], None] = lambda step, steps: None,
    after_epoch: Callable[[Epoch], None] = lambda epoch: None,
    progress: str | None = None,
) -> list[Epoch]:
    """Train ``model`` in place with AdamW, linear warm-up and linear decay.

    The same arguments, machine and thread count give the same weights. The global random state is left as it
    was found. The model ends in evaluation mode.

    Args:
        model: a sequence classifier.
        train: training examples.
        epochs: passes over ``train``.
        batch_size: examples per batch.
        learning_rate: peak, reached after the warm-up.
        weight_decay: of matrices; biases and layer norms have none.
        warmup: share of all steps in which the learning rate rises.
        clip: largest l2 norm of a step's gradient.
        seed: of batches and dropout.
        masks: {language: bool (layers, heads)} for sparse fine-tuning; None for full fine-tuning.
        one_language_batches: every batch is of one language, as always with ``masks``; otherwise batches mix
            languages. With masks that keep every head, training is the same as without masks.
        precision: dtype of matrix products; weights and losses keep the model's.
        after_step: called after each step with its number, from 1, and the number of all steps.
        after_epoch: called after each epoch, to write checkpoints.
        progress: label of a progress bar; None shows none.

    Returns:
        One record per epoch.

    Raises:
        InputError: a label is no class, or a training language has no mask.
        FloatingPointError: a loss or gradient is not finite. The message names the batch, whose step is
            not taken.
    """
    check_label_range("train", train, model.config.num_labels)
    if masks is not None and (missing := set(train.languages.tolist()) - set(masks)):
        raise InputError(f"masks: none for {sorted(missing)}; allowed: one for every training language")
    device = next(model.parameters()).device
    rng = np.random.default_rng(seed)
    one_language = one_language_batches or masks is not None
    plan = [_epoch_batches(train, batch_size, rng, one_language) for _ in range(epochs)]
    steps = sum(map(len, plan))
    fused = all(p.device.type in ("cpu", "cuda") for p in model.parameters())
    optimizer = AdamW(_decay_groups(model, weight_decay), lr=learning_rate, fused=fused)
    schedule = get_linear_schedule_with_warmup(optimizer, round(warmup * steps), steps)

    def train_step(indices: np.ndarray) -> float:
        """Take one optimiser step; return the batch's summed loss."""
        mask = None if masks is None else masks[train.languages[indices[0]]]
        batch = collate(train, indices, model.config.pad_token_id, device)
        labels = torch.from_numpy(train.labels[indices]).to(device)
        optimizer.zero_grad(set_to_none=True)
        with gated(model, mask), first_token_only(model):
            with autocast(device, precision):
                logits = model(**batch).logits
            loss = F.cross_entropy(logits.to(next(model.parameters()).dtype), labels)
            loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise FloatingPointError(
                f"training loss {loss.item()}, gradient norm {norm.item()} "
                f"in the batch of examples {train.ids[indices].tolist()}"
            )
        _step(optimizer, [] if mask is None else dropped_slices(model, mask))
        return loss.item() * len(indices)

    records = []
    bar = tqdm(total=steps, desc=progress, disable=progress is None, mininterval=1.0)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), bar:
        torch.manual_seed(seed)
        model.train()
        step = 0
        for epoch, batches in enumerate(plan, start=1):
            loss_sum, rate_sum = 0.0, 0.0
            for indices in batches:
                rate_sum += schedule.get_last_lr()[0]
                loss_sum += train_step(indices)
                schedule.step()
                bar.update()
                step += 1
                after_step(step, steps)
            records.append(Epoch(epoch, loss_sum / len(train), rate_sum / len(batches)))
            bar.set_postfix(loss=f"{records[-1].loss:.3f}")
            after_epoch(records[-1])
        model.eval()
    return records


def _epoch_batches(
    train: Examples, batch_size: int, rng: np.random.Generator, one_language: bool
) -> list[np.ndarray]:
    """Return one epoch's batches in random order, as positions in ``train``."""
    if not one_language:
        return shuffled_batches(train.lengths, batch_size, rng)
    batches = []
    for language in dict.fromkeys(train.languages.tolist()):
        positions = np.flatnonzero(train.languages == language)
        batches += [positions[b] for b in shuffled_batches(train.lengths[positions], batch_size, rng)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Return parameter groups with weight decay for matrices only, as is usual for BERT."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim == 1], "weight_decay": 0.0},
    ]


def dropped_slices(model: nn.Module, mask: np.ndarray) -> list[tuple[nn.Parameter, tuple]]:
    """Return (parameter, index) of everything that belongs to the heads outside a mask.

    These are rows of the query, key and value weights, entries of their biases, and columns of the output
    projection. The projection's bias is shared by all heads and so belongs to none. Keys and values that
    several heads share belong to the mask as long as one of these heads does.

    Args:
        model: an encoder with head masks.
        mask: bool (layers, heads), True = kept.
    """
    slices: list[tuple[nn.Parameter, tuple]] = []
    for layer, kept in zip(layers_of(model), np.asarray(mask, dtype=bool), strict=True):
        if kept.all():
            continue
        for divided in layer.rows:
            rows = _outside(divided, kept, divided.module.out_features)
            slices += [(parameter, (rows,)) for parameter in divided.module.parameters()]
        columns = _outside(layer.output, kept, layer.output.module.in_features)
        slices.append((layer.output.module.weight, (slice(None), columns)))
    return slices


def _outside(divided: Divided, kept: np.ndarray, size: int) -> Tensor:
    """Return which of a module's ``size`` rows or columns belong to no kept head, as positions."""
    outside = [not kept[list(heads)].any() for heads in divided.heads]
    return torch.from_numpy(np.flatnonzero(np.repeat(outside, size // len(outside))))


@torch.no_grad()
def _step(optimizer: torch.optim.Optimizer, dropped: list[tuple[nn.Parameter, tuple]]) -> None:
    """Take an optimiser step that leaves dropped slices as they were: their weights and their moments.

    Moments are kept too, as in torch.optim.SparseAdam; only Adam's bias correction counts every step.
    """

    def tensors(parameter: nn.Parameter) -> list[Tensor]:
        state = optimizer.state.get(parameter, {}).values()
        return [parameter, *(moment for moment in state if moment.shape == parameter.shape)]

    kept = [[tensor[index].clone() for tensor in tensors(parameter)] for parameter, index in dropped]
    optimizer.step()
    for (parameter, index), values in zip(dropped, kept, strict=True):
        # No moments before the first step: they start from zero.
        for tensor, value in zip_longest(tensors(parameter), values, fillvalue=0.0):
            tensor[index] = value
