"""Tokenised examples and the batches they are cut into.

Texts of one batch are padded to its longest, so batches are made of texts of like length: random batches
would double the padding, and with it the cost of everything in this study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from modspec.data.vocabulary import to_trimmed


@dataclass(frozen=True)
class Examples:
    """n tokenised examples; every field has length n.

    input_ids: piece ids, special tokens included, not padded. token_types: segment ids, or None where the
    encoder has none. labels: int64. languages, ids, groups: strings (group: template or translated pair).
    """

    input_ids: tuple[np.ndarray, ...]
    token_types: tuple[np.ndarray, ...] | None
    labels: np.ndarray
    languages: np.ndarray
    ids: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> np.ndarray:
        """Number of pieces of each example: int64 of shape (n,)."""
        return np.fromiter((len(ids) for ids in self.input_ids), dtype=np.int64, count=len(self))

    def take(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """The examples at these positions, in this order."""
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
        """The examples of one language."""
        return self.take(np.flatnonzero(self.languages == language))


def encode(rows: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Examples:
    """Tokenise the rows of one split (see ``modspec.data.tasks``), truncated to ``max_length`` pieces."""
    pairs = rows["text_pair"]
    encoded = tokenizer(
        list(rows["text"]),
        list(pairs) if any(pairs) else None,
        truncation=True,
        max_length=max_length,
        padding=False,
    )
    token_types = encoded.get("token_type_ids")
    return Examples(
        tuple(np.asarray(ids, dtype=np.int64) for ids in encoded["input_ids"]),
        None if token_types is None else tuple(np.asarray(t, dtype=np.int64) for t in token_types),
        np.asarray(rows["label"], dtype=np.int64),
        np.asarray(rows["language"], dtype=str),
        np.asarray(rows["id"], dtype=str),
        np.asarray(rows["group"], dtype=str),
    )


def trimmed(examples: Examples, kept_pieces: np.ndarray) -> Examples:
    """The same examples in the ids of a trimmed vocabulary (``modspec.data.vocabulary``)."""
    return Examples(
        tuple(to_trimmed(examples.input_ids, kept_pieces)),
        examples.token_types,
        examples.labels,
        examples.languages,
        examples.ids,
        examples.groups,
    )


def collate(
    examples: Examples, indices: np.ndarray, pad_id: int, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Padded model inputs of shape (batch, longest): input_ids, attention_mask[, token_type_ids]."""
    longest = max(len(examples.input_ids[i]) for i in indices)

    def pad(sequences: Sequence[np.ndarray], value: int) -> Tensor:
        out = np.full((len(indices), longest), value, dtype=np.int64)
        for row, i in enumerate(indices):
            out[row, : len(sequences[i])] = sequences[i]
        return torch.from_numpy(out).to(device)

    batch = {"input_ids": pad(examples.input_ids, pad_id)}
    lengths = torch.from_numpy(examples.lengths[indices]).to(device)
    batch["attention_mask"] = (torch.arange(longest, device=device) < lengths[:, None]).long()
    if examples.token_types is not None:
        batch["token_type_ids"] = pad(examples.token_types, 0)
    return batch


def sorted_batches(lengths: np.ndarray, batch_size: int, tokens: float = math.inf) -> list[np.ndarray]:
    """Positions in batches of like length, shortest first: for passes whose order does not matter.

    At most ``batch_size`` examples and, padded, ``tokens`` pieces a batch, but at least one example.
    """
    order = np.argsort(lengths, kind="stable")
    batches, start = [], 0
    for end in range(1, len(order) + 1):
        size = end + 1 - start
        if end == len(order) or size > batch_size or size * lengths[order[end]] > tokens:
            batches.append(order[start:end])
            start = end
    return batches


def shuffled_batches(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator, pool: int = 20
) -> list[np.ndarray]:
    """Positions in random batches of like length, for one epoch of training.

    Examples are shuffled, cut into pools of ``pool`` batches, sorted by length within a pool, cut into
    batches, and the batches are shuffled: near-random order at a fraction of the padding.
    """
    order = rng.permutation(len(lengths))
    size = pool * batch_size
    batches = []
    for start in range(0, len(order), size):
        chunk = order[start : start + size]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
