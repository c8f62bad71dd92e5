"""Is this the encoder that its user means? What is asked of a directory or hub model before it is used.

transformers loads much without a word that is another model than the files say: settings that it no longer
knows, weights that have no place, a tokenizer that it makes up where there are no tokenizer files.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.activations import ACT2FN

from modspec.data.examples import Examples
from modspec.data.file_formats import POINTER
from modspec.errors import InputError, quoted, quoted_path
from modspec.models.architectures.registry import find_architecture

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # in the order in which transformers looks for them
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
# Weights that a classifier leaves out: heads of other tasks, and poolers that it has its own for.
OTHER_HEADS = ("cls.", "lm_head.", "qa_outputs.", "classifier.", "score.", "pooler.")
BUFFERS = ("position_ids", "token_type_ids")
NUMBERS = {"F64", "F32", "F16", "BF16"}  # of weights, as safetensors names them
# Setting -> the values under which transformers builds the architecture that the study knows.
KNOWN_SETTINGS = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute", None),
    "pruned_heads": ({}, None),
    "chunk_size_feed_forward": (0,),
    "auto_map": (None,),
    "quantization_config": (None,),
}
# Fewer tokens for each row of the embedding are those of another encoder: rows are padded by less than this.
LEAST_TOKENS_PER_ROW = 0.5
MOST_UNKNOWN = 0.5  # share of a language's pieces


def check_directory(directory: Path) -> None:
    """Raise InputError for a directory that holds no encoder, or whose config.json cannot be read."""
    where = f"encoder: directory {quoted_path(directory)}"
    try:
        names = {file.name for file in directory.iterdir()}
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from None
    if "adapter_config.json" in names:
        raise InputError(f"{where} holds an adapter; allowed: an encoder that the adapter is merged into")
    if "config.json" not in names:
        raise InputError(f"{where} has no config.json; allowed: what save_pretrained writes")
    _check_file(directory / "config.json")


def check_files(directory: Path, kind: Literal["tokenizer", "weights"]) -> None:
    """Raise InputError for an encoder's directory without files of a kind, or with damaged ones."""
    patterns = {"tokenizer": TOKENIZER_FILES, "weights": WEIGHTS}[kind]
    files = next(filter(None, (sorted(directory.glob(pattern)) for pattern in patterns)), [])
    if not files:
        raise InputError(
            f"encoder: directory {quoted_path(directory)} has no {kind} files; allowed: "
            f"one of {', '.join(patterns)} beside config.json"
        )
    for file in files:  # of the first pattern that fits: these are read, and not the others
        _check_file(file)


def _check_file(file: Path) -> None:
    """Raise InputError for a file that is not there, unreadable, a pointer, or no whole safetensors file."""
    try:
        with file.open("rb") as handle:
            if handle.read(len(POINTER)) == POINTER:
                raise InputError(
                    f"encoder: {file.name} in {quoted_path(file.parent)} is a Git LFS pointer, not the file; "
                    "fetch it with git lfs pull"
                )
    except FileNotFoundError:  # its directory lists it
        raise InputError(
            f"encoder: {file.name} in {quoted_path(file.parent)} is a link to a file that is not there"
        ) from None
    except OSError as error:
        raise InputError(
            f"encoder: {file.name} in {quoted_path(file.parent)} cannot be read: {error.strerror}"
        ) from None
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="pt") as weights:
            formats = {key: weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(
            f"encoder: {file.name} in {quoted_path(file.parent)} is damaged, or no safetensors file: {error}"
        ) from None
    for key, number_format in formats.items():
        if number_format not in NUMBERS and not key.endswith(BUFFERS):
            raise InputError(
                f"encoder: {file.name} in {quoted_path(file.parent)} has {quoted(key)} in {number_format}; "
                f"allowed: {', '.join(sorted(NUMBERS))}"
            )


def check_config(name: str, config: PreTrainedConfig) -> None:
    """Raise InputError for a setting that changes the architecture and that transformers would ignore."""
    problems = {
        setting: repr(known[0])
        for setting, known in KNOWN_SETTINGS.items()
        if getattr(config, setting, known[0]) not in known
    }
    for setting, value in config.to_dict().items():
        if isinstance(value, float) and not math.isfinite(value):
            problems[setting] = "a finite number"
    if not config.initializer_range > 0:
        problems["initializer_range"] = "more than 0, since the classifier is drawn with it"
    activation = find_architecture(config).activation
    if getattr(config, activation) not in ACT2FN:
        problems[activation] = "a function that transformers has, such as 'gelu'"
    if not isinstance(config.pad_token_id, int) or not 0 <= config.pad_token_id < config.vocab_size:
        problems["pad_token_id"] = "the id of the tokenizer's padding"
    for setting, allowed in problems.items():
        raise InputError(
            f"encoder: {quoted_path(name)} has {setting} = {quoted(getattr(config, setting, None))} in "
            f"config.json; allowed: {allowed}"
        )


def check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Raise InputError for a tokenizer that is not this encoder's.

    Its vocabulary must have words, and about as many as the embedding has rows; its ids must be rows of the
    embedding; it must have, and put in their places, the special tokens that the classifier reads and that
    positions are counted from. A vocabulary of the same size in another order cannot be told from the right
    one.
    """

    def refuse(problem: str, needed: str = "tokenizer and weights of one encoder") -> None:
        raise InputError(f"encoder: {quoted_path(name)}: its tokenizer {problem}; needed: {needed}")

    vocabulary, rows = tokenizer.get_vocab(), config.vocab_size
    if set(vocabulary) <= set(tokenizer.all_special_tokens):
        refuse(f"knows only the {len(vocabulary)} special tokens", "the tokenizer files of this encoder")
    if (last := max(vocabulary.values())) >= rows:
        refuse(f"has ids up to {last}, its embedding {rows} rows")
    if len(vocabulary) < LEAST_TOKENS_PER_ROW * rows:
        refuse(f"has {len(vocabulary)} tokens, its embedding {rows} rows")
    for role in ("unk", "pad", "cls", "sep"):
        if getattr(tokenizer, f"{role}_token") not in vocabulary:
            refuse(f"has no {role}_token", f"a {role}_token in tokenizer_config.json and in the vocabulary")
    for role in ("pad", "bos", "eos"):
        setting = f"{role}_token_id"
        own, configured = getattr(tokenizer, setting), getattr(config, setting, None)
        # Where config.json leaves the padding id at 0, it is not used: padding is not attended to.
        unused = role == "pad" and configured == 0 and not find_architecture(config).positions_after_padding
        if None not in (own, configured) and own != configured and not unused:
            refuse(f"has {setting} {own}, config.json {configured}", "the same")
    single, pair = tokenizer("a"), tokenizer("a", "a")
    if single["input_ids"][0] != tokenizer.cls_token_id:
        refuse(f"does not begin texts with {quoted(tokenizer.cls_token)}", "the template of this encoder")
    if pair["input_ids"].count(tokenizer.sep_token_id) < 2:
        refuse(f"does not end texts with {quoted(tokenizer.sep_token)}", "the template of this encoder")
    types = getattr(config, "type_vocab_size", None)
    if types is None and "token_type_ids" in pair:
        refuse("makes token types, which this architecture does not take")
    if types and max(pair.get("token_type_ids", [0])) >= types:  # with 0 types, they are ignored
        refuse(f"marks two texts by token types, and config.json has {types} of these")


def check_length(name: str, config: PreTrainedConfig, max_length: int) -> None:
    """Raise InputError if the encoder has fewer positions than ``max_length``."""
    if max_length > (most := positions(config)):
        raise InputError(
            f"max_length: {max_length}; allowed: at most {most}, the positions of encoder {quoted_path(name)}"
        )


def positions(config: PreTrainedConfig) -> int:
    """Return the number of tokens that an encoder has positions for."""
    before = config.pad_token_id + 1 if find_architecture(config).positions_after_padding else 0
    return config.max_position_embeddings - before


def check_pieces(name: str, splits: Iterable[Examples], unknown: int) -> None:
    """Raise InputError for an encoder that does not know the pieces that a language is written in.

    Args:
        name: the encoder.
        splits: of the data, in the ids of the full vocabulary.
        unknown: id of the unknown piece.
    """
    counts: dict[str, np.ndarray] = {}
    for examples in splits:
        for language, ids in zip(examples.languages.tolist(), examples.input_ids, strict=True):
            count = np.array([(ids == unknown).sum(), len(ids) - 2])  # without the tokens at its ends
            counts[language] = counts.get(language, 0) + count
    for language, (unknown_pieces, pieces) in counts.items():
        if unknown_pieces > MOST_UNKNOWN * pieces:
            raise InputError(
                f"encoder: {quoted_path(name)} does not know {unknown_pieces / pieces:.0%} of the pieces of "
                f"language {quoted(language)}; allowed: at most {MOST_UNKNOWN:.0%}"
            )


def check_weights(
    name: str,
    model: PreTrainedModel,
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    """Raise InputError where the encoder, without the classifier's head, is not what the weights hold.

    Args:
        name: the encoder.
        model: a classifier with the weights.
        missing: names of parameters that the weights lack, as transformers reports them.
        unexpected: names of weights that the model has no place for.
        mismatched: {name: (shape of the weights, shape of the parameter)}.
    """
    # A pooler that is not there is drawn like the rest of the head.
    prefix = f"{model.base_model_prefix}."
    lacking = sorted(key for key in missing if key.startswith(prefix) and ".pooler." not in key)
    own = (key.removeprefix(prefix) for key in unexpected)
    other_heads = (*OTHER_HEADS, *find_architecture(model.config).other_heads)
    lost = sorted(key for key in own if not key.startswith(other_heads) and not key.endswith(BUFFERS))
    if lacking:
        instead = f"; they have {quoted(lost[0])}" if lost else ""
        raise InputError(
            f"encoder: the weights lack {lacking[0]} ({len(lacking)} in all){instead}; "
            f"needed: all that config.json of {quoted_path(name)} describes"
        )
    for key, (stored, described) in sorted(mismatched.items()):
        if key.startswith(prefix):
            raise InputError(
                f"encoder: {quoted_path(name)} has {key} of shape {tuple(stored)}, and by config.json "
                f"{tuple(described)}; needed: the same"
            )
    if lost:
        raise InputError(
            f"encoder: {quoted_path(name)} has {len(lost)} weights that its architecture has no place for, "
            f"such as {quoted(lost[0])}; allowed: weights that config.json describes"
        )
    for key, parameter in model.base_model.named_parameters():
        if not parameter.isfinite().all():
            raise InputError(f"encoder: {quoted_path(name)} has NaN or infinite values in {key}")
