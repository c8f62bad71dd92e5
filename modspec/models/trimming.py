"""Encoders with only the word pieces that a study uses.

Rows of the word embedding that are never looked up change no output and no gradient of another parameter
(see ``modspec.data.vocabulary`` for which are kept).
"""

import numpy as np
import torch
from transformers import PreTrainedConfig, PreTrainedModel

from modspec.errors import InputError


def trim(model: PreTrainedModel, kept_pieces: np.ndarray) -> PreTrainedModel:
    """Keep only the given rows of a model's word embedding, in place; return the model.

    ``config.vocab_size`` and the special ids follow. The model then takes ids as
    ``modspec.data.vocabulary.to_trimmed`` makes them, and gives the same logits as before.

    Raises:
        InputError: as for :func:`trim_config`.
    """
    trim_config(model.config, kept_pieces)
    full = model.get_input_embeddings()
    trimmed = torch.nn.Embedding.from_pretrained(
        full.weight.detach()[torch.from_numpy(kept_pieces).to(full.weight.device)],
        freeze=not full.weight.requires_grad,
        padding_idx=full.padding_idx,
    )
    model.set_input_embeddings(trimmed)
    return model


def trim_config(config: PreTrainedConfig, kept_pieces: np.ndarray) -> None:
    """Set ``config.vocab_size`` and the special ids to those of the trimmed vocabulary.

    Args:
        config: of the full vocabulary.
        kept_pieces: int64 (kept,), strictly increasing ids of the pieces to keep.

    Raises:
        InputError: the ids cannot be kept; the padding piece must keep its id.
    """
    always = np.arange(config.pad_token_id + 1)
    if not np.array_equal(kept_pieces[: len(always)], always):
        raise InputError(f"kept_pieces: must have every id up to the padding id {config.pad_token_id}")
    if (np.diff(kept_pieces) <= 0).any() or kept_pieces[-1] >= config.vocab_size:
        raise InputError(f"kept_pieces: must be strictly increasing ids of the {config.vocab_size} pieces")
    config.vocab_size = len(kept_pieces)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        # Encoders do not use the start and end ids; a study need not keep those of an odd config.
        before = getattr(config, name, None)
        row = np.flatnonzero(kept_pieces == before)
        setattr(config, name, int(row[0]) if row.size else None)
