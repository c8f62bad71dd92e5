"""Random encoders, random examples and slow, obvious references that the kernels' tests share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from modspec.data.examples import Examples
from modspec.models.encoders import load_tokenizer

KINDS = {
    "bert": (BertConfig, BertForSequenceClassification, 0),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaForSequenceClassification, 1),
}
LAYERS, HEADS, HIDDEN, LABELS, VOCABULARY = 2, 3, 12, 3, 24


def random_encoder(
    kind: str = "bert",
    *,
    dtype: torch.dtype = torch.float64,
    attention: str = "eager",
    dropout: float = 0.0,
    hidden: int = HIDDEN,
    seed: int = 0,
) -> PreTrainedModel:
    """A tiny classifier in training mode; every parameter, norms and biases too, is random and not small."""
    config_of, model_of, pad = KINDS[kind]
    config = config_of(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=2 * hidden,
        max_position_embeddings=80,
        type_vocab_size=2 if kind == "bert" else 1,
        initializer_range=0.3,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=LABELS,
        pad_token_id=pad,
    )
    config._attn_implementation = attention
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_of(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.to(dtype).train()


def save_encoder(directory: Path, config_class: type = BertConfig, *, head: bool = False, **settings) -> Path:
    """Write a random encoder and the tokenizer of the tiny ones, as save_pretrained does; return its place.

    Args:
        directory: to write.
        config_class: of the family.
        head: also write a classifier's head.
        settings: of config.json, where they are not the usual ones.
    """
    is_bert = config_class is BertConfig
    tokenizer = load_tokenizer("tiny-bert" if is_bert else "tiny")
    usual = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 130,
        "type_vocab_size": 2 if is_bert else 1,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        auto = AutoModelForSequenceClassification if head else AutoModel
        auto.from_config(config_class(**usual | settings)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def random_examples(
    count: int,
    *,
    seed: int = 0,
    lengths: tuple[int, int] = (1, 9),
    languages: tuple[str, ...] = ("en", "de"),
    token_types: bool = False,
) -> Examples:
    """Random pieces, labels and languages; so few pieces that texts repeat them and share them."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(lengths[0], lengths[1] + 1, count)
    return Examples(
        tuple(rng.integers(4, VOCABULARY, size) for size in sizes),
        tuple(np.sort(rng.integers(0, 2, size)) for size in sizes) if token_types else None,
        rng.integers(0, LABELS, count),
        np.array([languages[i % len(languages)] for i in range(count)]),
        np.array([f"x{i}" for i in range(count)]),
        np.array([f"g{i}" for i in range(count)]),
    )


def projection(layer: int, kind: str) -> str:
    """Name of the weight whose columns belong to a layer's heads."""
    return f"{kind.replace('xlm-', '')}.encoder.layer.{layer}.attention.output.dense.weight"


def gated_parameters(model: PreTrainedModel, gates: Tensor | None) -> dict[str, Tensor]:
    """The parameters, with the columns of the output projections scaled by gates (layers, heads)."""
    parameters = dict(model.named_parameters())
    if gates is not None:
        size = model.config.hidden_size // HEADS
        for layer in range(LAYERS):
            name = projection(layer, model.config.model_type)
            parameters[name] = parameters[name] * gates[layer].repeat_interleave(size)
    return parameters


def loss_of_one(
    model: PreTrainedModel, examples: Examples, i: int, parameters: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Cross-entropy of one example alone, without padding or hooks, in whatever mode the model is."""
    inputs = {"input_ids": torch.from_numpy(examples.input_ids[i])[None]}
    if examples.token_types is not None:
        inputs["token_type_ids"] = torch.from_numpy(examples.token_types[i])[None]
    parameters = dict(model.named_parameters()) if parameters is None else dict(parameters)
    logits = functional_call(model, parameters, kwargs=inputs).logits
    return F.cross_entropy(logits, torch.tensor([int(examples.labels[i])]))


def reference_gradients(
    model: PreTrainedModel, examples: Examples, mask: np.ndarray | None = None
) -> np.ndarray:
    """One example at a time: gradients over all trainable parameters, (n, parameters)."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for i in range(len(examples)):
        own = mask[i] if np.ndim(mask) == 3 else mask
        gates = None if own is None else torch.from_numpy(np.asarray(own)).to(trainable[0].dtype)
        loss = loss_of_one(model, examples, i, gated_parameters(model, gates))
        grads = torch.autograd.grad(loss, trainable, allow_unused=True)
        flat = [
            torch.zeros(p.numel(), dtype=p.dtype) if g is None else g.flatten()
            for p, g in zip(trainable, grads, strict=True)
        ]
        rows.append(torch.cat(flat).numpy())
    return np.array(rows)
