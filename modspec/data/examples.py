"""Tokenised examples and the batches they are cut into.

Texts of a batch are padded to its longest one. Therefore batches hold texts of similar length: random batches
would double the padding, and with it the cost of everything in this study.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from modspec.data.vocabulary import to_trimmed
from modspec.errors import InputError, quoted


@dataclass(frozen=True)
class Examples:
    """n tokenised examples; every field has length n."""

    input_ids: tuple[np.ndarray, ...]  # piece ids with special tokens, int64, not padded
    token_types: tuple[np.ndarray, ...] | None  # segment ids; None where the encoder has none
    labels: np.ndarray  # int64
    languages: np.ndarray  # strings
    ids: np.ndarray  # strings
    groups: np.ndarray  # strings: the template, or the pair that translations share

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> np.ndarray:
        """The number of pieces of each example, int64 (n,)."""
        return np.fromiter((len(ids) for ids in self.input_ids), dtype=np.int64, count=len(self))

    def take(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """Return the examples at these positions, in this order."""
        indices = np.asarray(indices, dtype=np.int64)
        return Examples(
            tuple(self.input_ids[i] for i in indices),
            None if self.token_types is None else tuple(self.token_types[i] for i in indices),
            self.labels[indices],
            self.languages[indices],
            self.ids[indices],
            self.groups[indices],
        )

    def of(self, language: str) -> Examples:
        """Return the examples of one language."""
        return self.take(np.flatnonzero(self.languages == language))


def encode(rows: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Examples:
    """Tokenise the rows of one split (see ``modspec.data.tasks``), cut off after ``max_length`` pieces."""
    texts, pairs = list(rows["text"]), list(rows["text_pair"])
    encoded = tokenizer(texts, pairs if any(pairs) else None, truncation=True, max_length=max_length)
    token_types = encoded.get("token_type_ids")
    return Examples(
        tuple(np.asarray(ids, dtype=np.int64) for ids in encoded["input_ids"]),
        None if token_types is None else tuple(np.asarray(t, dtype=np.int64) for t in token_types),
        np.asarray(rows["label"], dtype=np.int64),
        np.asarray(rows["language"], dtype=str),
        np.asarray(rows["id"], dtype=str),
        np.asarray(rows["group"], dtype=str),
    )


def check_label_range(name: str, examples: Examples, classes: int) -> None:
    """Raise InputError for an example whose label is no class: -1 or -100 often stand for "none".

    Args:
        name: of the argument that the examples are.
        examples: to check.
        classes: of the classifier.
    """
    if (wrong := np.flatnonzero((examples.labels < 0) | (examples.labels >= classes))).size:
        label, example = examples.labels[wrong[0]], examples.ids[wrong[0]]
        raise InputError(
            f"{name}: example {quoted(str(example))} has label {label}; allowed: 0 to {classes - 1}"
        )


def trimmed(examples: Examples, kept_pieces: np.ndarray) -> Examples:
    """Return the same examples in the ids of a trimmed vocabulary (``modspec.data.vocabulary``)."""
    return replace(examples, input_ids=tuple(to_trimmed(ids, kept_pieces) for ids in examples.input_ids))


def collate(
    examples: Examples, indices: np.ndarray, pad_id: int, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Return padded model inputs (batch, longest): input_ids, attention_mask[, token_type_ids].

    Raises:
        InputError: the model's config has no padding id.
    """
    if pad_id is None:
        raise InputError(
            "pad_token_id: None in the model's config; allowed: the id of a piece of its vocabulary"
        )

    def pad(sequences: Sequence[np.ndarray], value: int) -> Tensor:
        chosen = [torch.tensor(sequences[i]) for i in indices]
        return pad_sequence(chosen, batch_first=True, padding_value=value).to(device)

    batch = {"input_ids": pad(examples.input_ids, pad_id)}
    lengths = torch.from_numpy(examples.lengths[indices]).to(device)
    positions = torch.arange(batch["input_ids"].shape[1], device=device)
    batch["attention_mask"] = (positions < lengths[:, None]).long()
    if examples.token_types is not None:
        batch["token_type_ids"] = pad(examples.token_types, 0)
    return batch


def sorted_batches(lengths: np.ndarray, batch_size: int, tokens: float = math.inf) -> list[np.ndarray]:
    """Return batches of similar length, shortest first, for computations whose order does not matter.

    There are as few batches as possible, and as even as that allows: a batch of three examples that were left
    over would take a third of the time of a full one.

    Args:
        lengths: int64 (n,), pieces per example.
        batch_size: the most examples per batch.
        tokens: the most pieces per batch, padding included; a batch holds at least one example.

    Returns:
        Positions in ``lengths``, one array per batch.
    """
    order = np.argsort(lengths, kind="stable")

    def cut(most: int) -> list[np.ndarray]:
        batches, start = [], 0
        for end in range(1, len(order) + 1):
            size = end + 1 - start
            if end == len(order) or size > most or size * lengths[order[end]] > tokens:
                batches.append(order[start:end])
                start = end
        return batches

    fewest = len(cut(batch_size))
    sizes = range(1, batch_size + 1)
    return cut(sizes[bisect_left(sizes, -fewest, key=lambda most: -len(cut(most)))])


def shuffled_batches(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator, pool: int = 20
) -> list[np.ndarray]:
    """Return random batches of similar length, for one epoch of training.

    Examples are shuffled, cut into pools of ``pool`` batches, sorted by length within a pool and cut into
    batches; then the batches are shuffled. The order is nearly random, at a fraction of the padding.

    Returns:
        Positions in ``lengths``, one array per batch.
    """
    order = rng.permutation(len(lengths))
    size = pool * batch_size
    batches = []
    for start in range(0, len(order), size):
        chunk = order[start : start + size]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
