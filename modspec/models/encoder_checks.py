"""Is this the encoder that its user means? What is asked of a directory or hub model before it is used.

transformers loads much without a word that is another model than the files say: settings that it no longer
knows, weights that have no place, a tokenizer that it makes up where there are no tokenizer files.
"""

from collections.abc import Iterable
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from modspec.errors import InputError, quoted

POINTER = b"version https://git-lfs"
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
# Weights that a classifier leaves out: heads of other tasks, buffers, and poolers that it has its own for.
OTHER_HEADS = ("cls.", "lm_head.", "qa_outputs.", "classifier.", "score.", "pooler.", "position_ids")
# Setting -> the values under which transformers builds the architecture that the study knows.
KNOWN_SETTINGS = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "position_embedding_type": ("absolute", None),
    "pruned_heads": ({}, None),
    "auto_map": (None,),
    "quantization_config": (None,),
}
# Families whose positions count from the padding id.
POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert")


def check_files(directory: Path) -> None:
    """Raise InputError for a directory without tokenizer, or with files that are pointers to others."""
    for file in sorted(directory.iterdir()):
        if file.is_file():
            with file.open("rb") as handle:
                if handle.read(len(POINTER)) == POINTER:
                    raise InputError(
                        f"encoder: {quoted(str(file))} is a Git LFS pointer, not the file itself; "
                        "fetch it with git lfs pull"
                    )
    if not any(file for pattern in TOKENIZER_FILES for file in directory.glob(pattern)):
        raise InputError(
            f"encoder: {quoted(str(directory))} has no tokenizer files; allowed: one of "
            f"{', '.join(TOKENIZER_FILES)} beside config.json"
        )


def check_config(name: str, config: PreTrainedConfig) -> None:
    """Raise InputError for a setting that changes the architecture and that transformers would ignore."""
    for setting, known in KNOWN_SETTINGS.items():
        value = getattr(config, setting, known[0])
        if value not in known:
            raise InputError(
                f"encoder: {quoted(name)} has {setting} = {quoted(value)} in config.json; "
                f"allowed: {known[0]!r}"
            )


def check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Raise InputError for a tokenizer that is not this encoder's.

    Its vocabulary must have words, its ids must be rows of the embedding, and it must have the special
    tokens that batches and positions are built from.
    """
    vocabulary = tokenizer.get_vocab()
    if set(vocabulary) <= set(tokenizer.all_special_tokens):
        raise InputError(
            f"encoder: {quoted(name)}: its tokenizer knows only the {len(vocabulary)} special tokens; "
            "needed: the tokenizer files of this encoder"
        )
    if (last := max(vocabulary.values())) >= config.vocab_size:
        raise InputError(
            f"encoder: {quoted(name)}: its tokenizer has ids up to {last}, its embedding "
            f"{config.vocab_size} rows; needed: tokenizer and weights of one encoder"
        )
    for token in ("unk_token", "pad_token", "cls_token", "sep_token"):
        if getattr(tokenizer, token) is None:
            raise InputError(f"encoder: {quoted(name)}: its tokenizer has no {token}")
    if tokenizer.pad_token_id != config.pad_token_id:
        raise InputError(
            f"encoder: {quoted(name)}: padding has id {tokenizer.pad_token_id} in the tokenizer, "
            f"{config.pad_token_id} in config.json; needed: the same"
        )


def check_length(name: str, config: PreTrainedConfig, max_length: int) -> None:
    """Raise InputError if the encoder has fewer positions than ``max_length``."""
    if max_length > (most := positions(config)):
        raise InputError(
            f"max_length: {max_length}; allowed: at most {most}, the positions of encoder {quoted(name)}"
        )


def positions(config: PreTrainedConfig) -> int:
    """Return the number of tokens that an encoder has positions for."""
    before = config.pad_token_id + 1 if config.model_type in POSITIONS_AFTER_PADDING else 0
    return config.max_position_embeddings - before


def check_weights(name: str, unexpected: Iterable[str], prefix: str) -> None:
    """Raise InputError for weights of the encoder itself that the architecture has no place for.

    Args:
        name: the encoder.
        unexpected: names of weights, as transformers reports them.
        prefix: of the encoder's own weights, such as "bert".
    """
    own = [key.removeprefix(f"{prefix}.") for key in unexpected]
    lost = [key for key in own if not key.startswith(OTHER_HEADS) and not key.endswith("position_ids")]
    if lost:
        raise InputError(
            f"encoder: {quoted(name)} has {len(lost)} weights that its architecture has no place for, "
            f"such as {quoted(sorted(lost)[0])}; allowed: weights that config.json describes"
        )
