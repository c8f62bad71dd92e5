"""Vocabulary trimming: a study needs only the word pieces that its data use.

The word embedding is 80 % of a multilingual encoder's parameters and most of its rows are never
looked up. Leaving those rows out changes no output and no gradient of any other parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from modspec.errors import InputError


def used_pieces(input_ids: Iterable[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Sorted unique ids, int64 (pieces,), of everything in ``input_ids`` and of what must stay.

    What must stay: all special tokens, and every id up to the padding id, so that the padding id,
    from which RoBERTa-family encoders count positions, keeps its value.
    """
    always = chain(tokenizer.all_special_ids, range(tokenizer.pad_token_id + 1))
    # Sentence by sentence: the ids of a whole corpus as Python integers would fill the memory.
    used = np.zeros(len(tokenizer), dtype=bool)
    used[list(always)] = True
    for ids in input_ids:
        used[np.asarray(ids, dtype=np.int64)] = True
    return np.flatnonzero(used)


def to_trimmed(input_ids, kept_pieces: np.ndarray):
    """Ids of the full vocabulary as row numbers of the trimmed one, in the same nested structure.

    Lists (of lists …) of integers, integer arrays and tensors are accepted.
    Raises ``InputError`` naming the first piece that was not kept.
    """
    if isinstance(input_ids, torch.Tensor):
        trimmed = to_trimmed(input_ids.cpu().numpy(), kept_pieces)
        return torch.from_numpy(trimmed).to(input_ids.device)
    if isinstance(input_ids, (list, tuple)) and any(np.iterable(ids) for ids in input_ids[:1]):
        return type(input_ids)(to_trimmed(ids, kept_pieces) for ids in input_ids)
    ids = np.asarray(input_ids, dtype=np.int64)
    rows = np.searchsorted(kept_pieces, ids).clip(max=len(kept_pieces) - 1)
    missing = ids[kept_pieces[rows] != ids]
    if missing.size:
        raise InputError(
            f"input_ids: piece {missing.flat[0]} was not kept; the trimmed vocabulary has"
            f" {len(kept_pieces)} pieces, so trim to all the data that will be used"
        )
    return rows if isinstance(input_ids, np.ndarray) else type(input_ids)(rows.tolist())


def check_kept(kept_pieces: np.ndarray, vocab_size: int, pad_token_id: int) -> np.ndarray:
    """``kept_pieces`` as int64 (pieces,) if it can trim such a vocabulary, else ``InputError``."""
    kept = np.asarray(kept_pieces)
    if kept.ndim != 1 or kept.dtype.kind not in "iu" or not kept.size or (np.diff(kept) <= 0).any():
        raise InputError("kept_pieces: must be a non-empty array of strictly increasing ids")
    if kept[0] < 0 or kept[-1] >= vocab_size:
        wrong = kept[0] if kept[0] < 0 else kept[-1]
        raise InputError(f"kept_pieces: {wrong} is not an id of the {vocab_size} pieces")
    if not np.array_equal(kept[: pad_token_id + 1], np.arange(pad_token_id + 1)):
        raise InputError(f"kept_pieces: must have every id up to the padding id {pad_token_id}")
    return kept.astype(np.int64)


def trim(model: PreTrainedModel, kept_pieces: np.ndarray) -> PreTrainedModel:
    """Keep only the given rows of the word embedding; in place, and returned.

    ``config.vocab_size`` and the special ids follow. The model then takes ids as ``to_trimmed``
    makes them and gives the same logits as before.

    Raises ``InputError`` for ids that the model lacks, or that would move the padding id.
    """
    config = model.config
    kept = check_kept(kept_pieces, config.vocab_size, config.pad_token_id)
    full = model.get_input_embeddings()
    trimmed = torch.nn.Embedding.from_pretrained(
        full.weight.detach()[torch.from_numpy(kept).to(full.weight.device)],
        freeze=not full.weight.requires_grad,
        padding_idx=full.padding_idx,
    )
    model.set_input_embeddings(trimmed)
    trim_config(config, kept)
    return model


def trim_config(config, kept_pieces: np.ndarray) -> None:
    """Set ``config.vocab_size`` and the special ids to those of the trimmed vocabulary."""
    config.vocab_size = len(kept_pieces)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        # Encoders do not use the start and end ids; a study need not keep those of an odd config.
        before = getattr(config, name, None)
        row = np.flatnonzero(kept_pieces == before)
        setattr(config, name, int(row[0]) if row.size else None)
