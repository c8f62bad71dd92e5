"""The types of modules whose per-example gradients have a form of their own, one function or number per type.

MATRICES   linear layers: sum_t G_t X_t'
TABLES     embeddings: row r is the sum of G_t over the tokens t of piece r, times a scale
NORMS      weight times a normalised input: sum_t G_t * normalised(X_t)

Their biases have the gradient sum_t G_t. A subclass is another type, because it may compute anything. Modules
of any other type are exact too, but slow: see ``modspec.influence.direct_gradients``.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm, Gemma3TextScaledWordEmbedding
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

Tokens = Float[Tensor, "batch tokens size"]


def _layer_norm(module: nn.LayerNorm, inputs: Tokens) -> Tokens:
    return F.layer_norm(inputs, module.normalized_shape, eps=module.eps)


def _rms_norm(inputs: Tokens, eps: float) -> Tokens:
    return inputs * torch.rsqrt(inputs.square().mean(-1, keepdim=True) + eps)


MATRICES = (nn.Linear,)
# The number that an embedding's output is multiplied by.
TABLES: dict[type[nn.Module], Callable[[nn.Module], float]] = {
    nn.Embedding: lambda module: 1.0,
    Gemma3TextScaledWordEmbedding: lambda module: module.embed_scale.item(),
}
NORMS: dict[type[nn.Module], Callable[[nn.Module, Tokens], Tokens]] = {
    nn.LayerNorm: _layer_norm,
    LlamaRMSNorm: lambda module, inputs: _rms_norm(inputs, module.variance_epsilon),
    Qwen3RMSNorm: lambda module, inputs: _rms_norm(inputs, module.variance_epsilon),
    Gemma3RMSNorm: lambda module, inputs: _rms_norm(inputs, module.eps),  # its weight is w in 1 + w
}
KNOWN = (*MATRICES, *TABLES, *NORMS)
