"""Decoders whose classifier reads the last token: Llama, Qwen3, and Gemma 3 without images.

Several query heads may share a head of keys and values. The norms of queries and keys (Qwen3, Gemma 3) are
shared by all heads of a layer.
"""

from dataclasses import replace

from modspec.models.architectures.architecture import Architecture

LLAMA = Architecture(
    model_types=("llama",),
    layers="layers",
    output="self_attn.o_proj",
    rows=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    feed_forward=("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    norms=("input_layernorm", "post_attention_layernorm"),
    embeddings=("embed_tokens",),
    final_norms=("norm",),
    classifier_reads="last token",
)
QWEN3 = replace(LLAMA, model_types=("qwen3",), norms=(*LLAMA.norms, "self_attn.q_norm", "self_attn.k_norm"))
GEMMA3 = replace(
    QWEN3,
    model_types=("gemma3_text",),
    norms=(*QWEN3.norms, "pre_feedforward_layernorm", "post_feedforward_layernorm"),
    activation="hidden_activation",
)
