"""Vocabulary trimming: a study needs only the word pieces that its data use.

The word embedding is 80 % of a multilingual encoder's parameters, and most of its rows are never looked up.
``modspec.models.trimming`` leaves these rows out of a model.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from modspec.errors import InputError


def used_pieces(input_ids: Iterable[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Return the ids of all pieces that a study needs.

    These are the pieces of its texts, all special tokens, and every id up to the padding id: RoBERTa-family
    encoders count positions from the padding id, which therefore has to keep its value.

    Args:
        input_ids: piece ids of each text.
        tokenizer: of the full vocabulary.

    Returns:
        int64 (kept,), sorted, unique.
    """
    # A vocabulary may leave ids out, so that its last id is larger than its size.
    used = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=bool)
    used[tokenizer.all_special_ids] = True
    used[: tokenizer.pad_token_id + 1] = True
    # Text by text: the ids of a whole corpus as Python integers would fill the memory.
    for ids in input_ids:
        used[np.asarray(ids, dtype=np.int64)] = True
    return np.flatnonzero(used)


def to_trimmed(input_ids: Sequence[int] | np.ndarray, kept_pieces: np.ndarray) -> np.ndarray:
    """Return ids of the full vocabulary as row numbers of the trimmed one.

    Args:
        input_ids: integers of any shape.
        kept_pieces: int64 (kept,), from :func:`used_pieces`.

    Returns:
        int64 of the same shape.

    Raises:
        InputError: a piece was not kept; the message names the first one.
    """
    ids = np.asarray(input_ids, dtype=np.int64)
    rows = np.searchsorted(kept_pieces, ids).clip(max=len(kept_pieces) - 1)
    missing = ids[kept_pieces[rows] != ids]
    if missing.size:
        raise InputError(
            f"input_ids: piece {missing.flat[0]} was not kept; the trimmed vocabulary has"
            f" {len(kept_pieces)} pieces, so trim to all the data that will be used"
        )
    return rows
