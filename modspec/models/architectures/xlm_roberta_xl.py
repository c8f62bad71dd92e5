"""XLM-RoBERTa-XL: RoBERTa with its norms before attention and feed-forward, and one after the last layer."""

from dataclasses import replace

from modspec.models.architectures.roberta import ROBERTA

XLM_ROBERTA_XL = replace(
    ROBERTA,
    model_types=("xlm-roberta-xl",),
    norms=("attention.self_attn_layer_norm", "LayerNorm"),
    final_norms=("encoder.LayerNorm",),
)
