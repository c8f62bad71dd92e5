"""DeBERTa-v2 and -v3, and so mDeBERTa: attention to relative positions.

The table of relative positions and its norm count as embeddings. Its queries and keys are made by the
content's projections (``share_att_key``) or by two of their own, whose rows belong to heads just the same.
"""

from modspec.models.architectures.architecture import Architecture

_ATTENTION = ("query_proj", "key_proj", "value_proj", "pos_query_proj", "pos_key_proj")

DEBERTA_V2 = Architecture(
    model_types=("deberta-v2",),
    layers="encoder.layer",
    output="attention.output.dense",
    rows=tuple(f"attention.self.{name}" for name in _ATTENTION),
    feed_forward=("intermediate.dense", "output.dense"),
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
    embeddings=("embeddings", "encoder.rel_embeddings", "encoder.LayerNorm", "encoder.conv"),
    first_token="attention.output",
    other_heads=("lm_predictions.", "mask_predictions."),
)
