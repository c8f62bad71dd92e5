"""A tiny random model of every architecture, and what belongs to which head, said without the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from modspec.data.examples import Examples
from tests.helpers.models import LABELS, VOCABULARY

LAYERS, HEADS, KEY_VALUE_HEADS, HIDDEN = 2, 4, 2, 16
GRID = (LAYERS, HEADS)
# Heads 0 and 1 share keys and values where queries are grouped, and so do 2 and 3. In layer 0, MASK keeps one
# head of each pair; in layer 1, none of the first.
MASK = np.array([[True, False, False, True], [False, False, True, True]])
OTHER = np.array([[False, False, True, True], [True, False, True, False]])

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 20,
    "max_position_embeddings": 48,
    "initializer_range": 0.3,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "cls_token_id": 0,
    "sep_token_id": 2,
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MDEBERTA = {
    "relative_attention": True,
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
OWN_POSITIONS = {"share_att_key": False, "position_biased_input": True, "type_vocab_size": 2}
MODERN = {"global_attn_every_n_layers": 2, "local_attention": 8}
BIASES = {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True}
GROUPED = {"num_key_value_heads": KEY_VALUE_HEADS, "head_dim": 6}
# name -> (class of the config, its settings)
CASES = {
    "bert": ("Bert", NO_DROPOUT),
    "roberta": ("Roberta", NO_DROPOUT),
    "xlm-roberta": ("XLMRoberta", NO_DROPOUT),
    "camembert": ("Camembert", NO_DROPOUT),
    "xlm-roberta-xl": ("XLMRobertaXL", NO_DROPOUT),
    "distilbert": ("DistilBert", {"hidden_dim": 20, "dropout": 0.0, "attention_dropout": 0.0}),
    "electra": ("Electra", NO_DROPOUT | {"embedding_size": 10}),
    "modernbert": ("ModernBert", MODERN | {"classifier_pooling": "cls"}),
    "modernbert, mean of tokens": ("ModernBert", MODERN | BIASES | {"classifier_pooling": "mean"}),
    "deberta-v2": ("DebertaV2", NO_DROPOUT | MDEBERTA),
    "deberta-v2, own positions": ("DebertaV2", NO_DROPOUT | MDEBERTA | OWN_POSITIONS),
    "deberta-v2, convolution": ("DebertaV2", NO_DROPOUT | MDEBERTA | {"conv_kernel_size": 3}),
    "llama": ("Llama", GROUPED),
    "llama, not grouped": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "qwen3": ("Qwen3", GROUPED),
    "gemma3": (
        "Gemma3Text",
        GROUPED | {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]},
    ),
}
PROJECTIONS = r"attention\.output\.dense|attention\.out_lin|attn\.Wo|self_attn\.o_proj"
QUERIES = r"self\.query|q_lin|query_proj|pos_query_proj|q_proj|self\.key|k_lin|key_proj|pos_key_proj"
QUERIES += r"|self\.value|v_lin|value_proj"
KEYS_AND_VALUES = r"self_attn\.[kv]_proj"


def random_model(
    case: str, *, dtype: torch.dtype = torch.float64, task: str = "", **others: int
) -> PreTrainedModel:
    """A tiny model in evaluation mode; every parameter, norms and biases too, is random and not small."""
    family, settings = CASES[case]
    config = getattr(transformers, f"{family}Config")(**SIZES | {"num_labels": LABELS} | settings | others)
    config._attn_implementation = "eager"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        auto = getattr(transformers, f"AutoModelFor{task}") if task else AutoModelForSequenceClassification
        model = auto.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.to(dtype).eval()


class _InDouble(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = {key: _double(value) for key, value in (kwargs or {}).items()}
        function = torch.Tensor.double if function is torch.Tensor.float else function
        return function(*map(_double, args), **kwargs)


def _double(value: object) -> object:
    return torch.float64 if value is torch.float32 else value


@contextmanager
def in_double() -> Iterator[None]:
    """Lift the float32 that some models compute norms, rotations and softmax in, whatever their own dtype."""
    with _InDouble():
        yield


def owners(model: PreTrainedModel, name: str) -> tuple[int, np.ndarray] | None:
    """Which heads a parameter's numbers belong to: (layer, bool (heads, *shape)); None where to none."""
    found = re.search(r"layers?\.(\d+)\.", name)
    parameter = model.get_parameter(name)
    if found is None:
        return None
    out = np.zeros((HEADS, *parameter.shape), dtype=bool)
    if re.search(rf"({PROJECTIONS})\.weight$", name):
        for head, columns in enumerate(np.split(np.arange(parameter.shape[1]), HEADS)):
            out[head][:, columns] = True
    elif re.search(rf"({KEYS_AND_VALUES})\.", name):
        groups = getattr(model.config, "num_key_value_heads", HEADS)
        for group, rows in enumerate(np.split(np.arange(len(parameter)), groups)):
            for head in range(group * HEADS // groups, (group + 1) * HEADS // groups):
                out[head][rows] = True
    elif ".attn.Wqkv." in name:
        for part in np.split(np.arange(len(parameter)), 3):
            for head, rows in enumerate(np.split(part, HEADS)):
                out[head][rows] = True
    elif re.search(rf"({QUERIES})\.", name):
        for head, rows in enumerate(np.split(np.arange(len(parameter)), HEADS)):
            out[head][rows] = True
    return (int(found[1]), out) if out.any() else None


def with_zeroed_columns(model: PreTrainedModel, mask: np.ndarray | None) -> dict[str, Tensor]:
    """The parameters, with those columns of output projections zeroed that belong to heads outside a mask."""
    parameters = dict(model.named_parameters())
    for name in parameters if mask is not None else ():
        if re.search(rf"({PROJECTIONS})\.weight$", name) and (owned := owners(model, name)):
            layer, heads = owned
            kept = (heads & mask[layer][:, None, None]).any(0)
            parameters[name] = parameters[name] * torch.from_numpy(kept)
    return parameters


def logits_of_one(
    model: PreTrainedModel, examples: Examples, i: int, parameters: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Logits of one example alone, without padding or hooks."""
    inputs = {"input_ids": torch.from_numpy(examples.input_ids[i])[None]}
    parameters = dict(model.named_parameters()) if parameters is None else dict(parameters)
    return functional_call(model, parameters, kwargs=inputs).logits


def gradients(model: nn.Module, examples: Examples, mask: np.ndarray | None, loss) -> np.ndarray:
    """One example at a time: gradients over all trainable parameters, (n, parameters)."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for i in range(len(examples)):
        value = loss(
            logits_of_one(model, examples, i, with_zeroed_columns(model, mask)), examples, np.array([i])
        )
        grads = torch.autograd.grad(value.sum(), trainable, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([g.flatten() for g in grads]).numpy())
    return np.array(rows)
