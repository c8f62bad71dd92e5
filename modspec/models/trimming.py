"""Encoders with only the word pieces that a study uses.

Rows of the word embedding that are never looked up change no output and no gradient of another parameter
(see ``modspec.data.vocabulary`` for which are kept).
"""

import numpy as np
import torch
from transformers import PreTrainedConfig, PreTrainedModel

from modspec.errors import InputError


def check_kept(kept_pieces: np.ndarray, vocab_size: int, pad_token_id: int) -> np.ndarray:
    """Return ``kept_pieces`` as int64 (kept,) if they can trim a vocabulary.

    Args:
        kept_pieces: ids of the pieces to keep, strictly increasing.
        vocab_size: number of pieces of the full vocabulary.
        pad_token_id: id of the padding piece, which must keep its value.

    Raises:
        InputError: the ids cannot be kept.
    """
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
    """Keep only the given rows of a model's word embedding, in place; return the model.

    ``config.vocab_size`` and the special ids follow. The model then takes ids as
    ``modspec.data.vocabulary.to_trimmed`` makes them, and gives the same logits as before.

    Raises:
        InputError: the model lacks one of the ids, or the padding id would change.
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


def trim_config(config: PreTrainedConfig, kept_pieces: np.ndarray) -> None:
    """Set ``config.vocab_size`` and the special ids to those of the trimmed vocabulary."""
    config.vocab_size = len(kept_pieces)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        # Encoders do not use the start and end ids; a study need not keep those of an odd config.
        before = getattr(config, name, None)
        row = np.flatnonzero(kept_pieces == before)
        setattr(config, name, int(row[0]) if row.size else None)
