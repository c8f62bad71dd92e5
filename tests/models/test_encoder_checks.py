"""Encoders as people have them: what is taken as it is meant, and what is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, CamembertConfig, RobertaConfig, XLMRobertaConfig

from modspec import __main__ as command_line
from modspec.errors import LONGEST, InputError
from modspec.models.encoder_checks import check_length, check_pieces, positions
from modspec.models.encoders import load_classifier, load_config, load_tokenizer
from tests.helpers.models import random_examples, save_encoder

WEIGHTS = "model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 231508\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("saved"), head=True)


@pytest.fixture
def directory(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "encoder")


def load(directory: Path) -> None:
    load_tokenizer(str(directory))
    load_classifier(str(directory), num_labels=3, seed=0)


def set_json(name: str, **settings) -> Callable[[Path], None]:
    """A change of a JSON file's entries; None leaves one out."""

    def change(directory: Path) -> None:
        file = directory / name
        content = json.loads(file.read_text(encoding="utf-8")) | settings
        file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")

    return change


def written(name: str, content: bytes | str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        (directory / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def change_weights(change: Callable[[dict], dict]) -> Callable[[Path], None]:
    def changed(directory: Path) -> None:
        weights = change(load_file(directory / WEIGHTS))
        (directory / WEIGHTS).unlink()
        save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})

    return changed


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return change_weights(lambda weights: {key.replace(old, new): w for key, w in weights.items()})


def added(key: str, *shape: int, dtype: torch.dtype = torch.float32) -> Callable[[Path], None]:
    return change_weights(lambda weights: weights | {key: torch.ones(shape, dtype=dtype)})


def truncate(directory: Path) -> None:
    content = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).write_bytes(content[: len(content) // 2])


def in_shards(directory: Path, lost: int) -> None:
    model = load_classifier(str(directory), num_labels=3, seed=0)
    (directory / WEIGHTS).unlink()
    model.save_pretrained(directory, max_shard_size="4KB")
    for file in sorted(directory.glob("model-*.safetensors"))[:lost]:
        file.unlink()


class Code:
    """What a pickle may hold: a call of any function."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.trace),)


def as_pickle(directory: Path, **others: object) -> None:
    torch.save(load_file(directory / WEIGHTS) | others, directory / "pytorch_model.bin")
    (directory / WEIGHTS).unlink()


def with_tokens(*tokens: str) -> Callable[[Path], None]:
    def add(directory: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        tokenizer.add_tokens(list(tokens))
        tokenizer.save_pretrained(directory)

    return add


def without_tokenizer(directory: Path) -> None:
    for file in directory.glob("*token*"):
        file.unlink()


def other_vocabulary(directory: Path) -> None:
    without_tokenizer(directory)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(200))]
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


QUERY = "bert.encoder.layer.0.attention.self.query.weight"
REFUSED = {
    # files; others are refused in tests/bad_inputs/encoders.py
    "config of nothing": (written("config.json", "{}"), "model_type"),
    "broken tokenizer_config": (written("tokenizer_config.json", "{"), "tokenizer_config.json is no JSON"),
    "no weights": (lambda d: (d / WEIGHTS).unlink(), "has no weights files"),
    "weights pointer": (written(WEIGHTS, POINTER), r"model\.safetensors in .* is a Git LFS pointer"),
    "truncated weights": (truncate, r"model\.safetensors in .* is damaged"),
    "empty weights": (written(WEIGHTS, ""), r"model\.safetensors in .* is damaged"),
    "a web page": (written(WEIGHTS, "<!DOCTYPE html>" * 9), r"model\.safetensors in .* is damaged"),
    "a shard is missing": (lambda d: in_shards(d, lost=1), r"model-00001-of-\d+\.safetensors"),
    "broken pickle": (
        lambda d: (as_pickle(d), written("pytorch_model.bin", "pickle" * 9)(d)),
        "damaged|allowed",
    ),
    # settings
    "cross-attention": (set_json("config.json", add_cross_attention=True), "add_cross_attention = True"),
    "pruned": (set_json("config.json", pruned_heads={"0": [1]}), "pruned_heads"),
    "chunks": (set_json("config.json", chunk_size_feed_forward=3), "chunk_size_feed_forward = 3"),
    "NaN": (set_json("config.json", layer_norm_eps=float("nan")), "layer_norm_eps = nan"),
    "head without spread": (set_json("config.json", initializer_range=0.0), "initializer_range = 0.0"),
    "text for a number": (set_json("config.json", hidden_size="16"), "hidden_size"),
    "heads": (set_json("config.json", num_attention_heads=3), "attention heads"),
    # weights
    "more layers": (
        set_json("config.json", num_hidden_layers=3),
        r"the weights lack bert\.encoder\.layer\.2",
    ),
    "a weight, without prefix": (
        change_weights(lambda w: {key.removeprefix("bert."): w[key] for key in w if key != QUERY}),
        rf"the weights lack {QUERY} \(1 in all\)",
    ),
    "fewer layers": (set_json("config.json", num_hidden_layers=1), "no place for, such as 'encoder.layer.1"),
    "another prefix": (renamed("bert.", "module.bert."), "the weights lack .*they have 'module.bert"),
    "another family": (renamed("bert.", "roberta."), "the weights lack .*they have 'roberta"),
    "more rows": (
        change_weights(lambda w: w | {"bert.embeddings.word_embeddings.weight": torch.ones(300, 16)}),
        r"word_embeddings\.weight of shape \(300, 16\), and by config.json \(260, 16\)",
    ),
    "other pooler": (
        change_weights(lambda w: w | {"bert.pooler.dense.weight": torch.ones(8, 16)}),
        r"pooler\.dense\.weight of shape \(8, 16\)",
    ),
    "adapter weights": (added("bert.encoder.layer.0.adapter.down.weight", 4, 16), "adapter.down"),
    "position code": (
        added("bert.encoder.layer.0.attention.self.distance_embedding.weight", 127, 8),
        "distance_embedding",
    ),
    "integers": (added(QUERY, 16, 16, dtype=torch.int8), "in I8; allowed: BF16, F16, F32, F64"),
    "not finite": (change_weights(lambda w: w | {QUERY: w[QUERY] * np.nan}), "NaN or infinite values in"),
    # tokenizers
    "added token": (with_tokens("<new>"), "ids up to 260, its embedding 260 rows"),
    "other padding": (set_json("tokenizer_config.json", pad_token="</s>"), "pad_token_id 2, config.json 1"),
    "other end": (set_json("config.json", eos_token_id=3), "eos_token_id 2, config.json 3"),
    "other vocabulary": (other_vocabulary, "pad_token_id 0, config.json 1"),
    "no unknown": (set_json("tokenizer_config.json", unk_token=None), "has no unk_token"),
    "no separator": (set_json("tokenizer_config.json", sep_token=None), "has no sep_token"),
    "no template": (set_json("tokenizer.json", post_processor=None), "does not begin texts with '<s>'"),
    "token types": (
        lambda d: (
            set_json("config.json", type_vocab_size=1)(d),
            change_weights(lambda w: w | {"bert.embeddings.token_type_embeddings.weight": torch.ones(1, 16)})(
                d
            ),
        ),
        "marks two texts by token types",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_encoder_that_would_be_another_is_refused(directory: Path, case: str) -> None:
    spoil, message = REFUSED[case]
    spoil(directory)
    with pytest.raises(InputError, match=message) as caught:
        load(directory)
    text = str(caught.value)
    assert text.startswith("encoder: ") and "\n" not in text and len(text) <= LONGEST


def with_stale_pickle(directory: Path) -> None:
    (directory / "pytorch_model.bin").write_text(POINTER)
    (directory / "vocab.txt").write_text(POINTER)
    (directory / "notes.txt").symlink_to(directory / "gone")


STORED_LENGTHS = {
    "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
    "padding": {
        "strategy": {"Fixed": 20},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 1,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    },
}
TAKEN = {
    "as saved": lambda d: None,
    "without prefix": renamed("bert.", ""),
    "old names": renamed("LayerNorm.weight", "LayerNorm.gamma"),
    "pickled tensors": as_pickle,
    "shards": lambda d: in_shards(d, lost=0),
    "pointers that are not read": with_stale_pickle,
    "a head of other tasks": added("cls.predictions.bias", 260),
    "buffers": added("bert.embeddings.position_ids", 1, 130, dtype=torch.int64),
    "a head of more labels": change_weights(
        lambda w: w | {"classifier.weight": torch.ones(9, 16), "classifier.bias": torch.ones(9)}
    ),
    "a padding id that BERT does not use": set_json("config.json", pad_token_id=0),
    "stored lengths": set_json("tokenizer.json", **STORED_LENGTHS),
}


@pytest.mark.parametrize("case", TAKEN)
def test_an_encoder_is_taken_as_its_files_say(directory: Path, case: str) -> None:
    expected = load_classifier(str(directory), num_labels=3, seed=0).base_model.state_dict()
    ids = load_tokenizer(str(directory))(["a long text", "b"], truncation=True, max_length=8)["input_ids"]
    TAKEN[case](directory)
    loaded = load_classifier(str(directory), num_labels=3, seed=0).base_model.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.items())
    tokenizer = load_tokenizer(str(directory))
    assert tokenizer(["a long text", "b"], truncation=True, max_length=8)["input_ids"] == ids


def test_half_precision_is_read_as_float32(directory: Path) -> None:
    expected = load_classifier(str(directory), num_labels=3, seed=0).base_model.state_dict()
    change_weights(lambda weights: {key: w.half() for key, w in weights.items()})(directory)
    for key, value in load_classifier(str(directory), num_labels=3, seed=0).base_model.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[key], atol=1e-3, rtol=1e-3)


def test_pickled_code_is_never_run(directory: Path, tmp_path: Path) -> None:
    as_pickle(directory, code=Code(tmp_path / "ran"))
    with pytest.raises(InputError, match="holds code, which is never run"):
        load_classifier(str(directory), num_labels=3, seed=0)
    assert not (tmp_path / "ran").exists()


def test_a_link_to_nothing_is_named(directory: Path) -> None:
    (directory / WEIGHTS).unlink()
    (directory / WEIGHTS).symlink_to(directory / "blobs" / "00")
    with pytest.raises(InputError, match="is a link to a file that is not there"):
        load(directory)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["", "config.json", "tokenizer.json", WEIGHTS])
def test_what_may_not_be_read_is_named(directory: Path, name: str) -> None:
    mode = (directory / name).stat().st_mode
    (directory / name).chmod(0)
    try:
        with pytest.raises(InputError, match=f"{name}.*Permission denied"):
            load(directory)
    finally:
        (directory / name).chmod(mode)


def test_an_embedding_far_larger_than_the_vocabulary_is_refused(tmp_path: Path) -> None:
    load(save_encoder(tmp_path / "padded", vocab_size=300))  # as multiples of 64 or 128 often are
    with pytest.raises(InputError, match="has 260 tokens, its embedding 700 rows"):
        load(save_encoder(tmp_path / "other", vocab_size=700))


def test_a_vocabulary_may_leave_ids_out(tmp_path: Path) -> None:
    directory = save_encoder(tmp_path / "encoder", CamembertConfig, vocab_size=264)
    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {piece: i + (i > 3) for piece, i in vocabulary.items()}
    (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert max(load_tokenizer(str(directory)).get_vocab().values()) == 260


@pytest.mark.parametrize(
    ("config_class", "most"), [(BertConfig, 130), (RobertaConfig, 128), (XLMRobertaConfig, 128)]
)
def test_texts_are_as_long_as_there_are_positions(tmp_path: Path, config_class: type, most: int) -> None:
    name = str(save_encoder(tmp_path / "encoder", config_class))
    config = load_config(name)
    assert positions(config) == most
    check_length(name, config, most)
    with pytest.raises(InputError, match=f"max_length: {most + 1}; allowed: at most {most}"):
        check_length(name, config, most + 1)
    ids = load_tokenizer(name)("x" * 999, truncation=True, max_length=most, return_tensors="pt")
    model = load_classifier(name, num_labels=2, seed=0)
    assert model(**ids).logits.isfinite().all() and ids["input_ids"].shape[1] == most


def test_an_encoder_that_does_not_know_a_language_is_refused() -> None:
    examples = random_examples(20, lengths=(6, 6))
    check_pieces("mine", [examples], unknown=3)
    pairs = zip(examples.languages, examples.input_ids, strict=True)
    unknown = replace(examples, input_ids=tuple(np.full(6, 3) if t == "de" else ids for t, ids in pairs))
    with pytest.raises(InputError, match="'mine' does not know .* of language 'de'"):
        check_pieces("mine", [unknown], unknown=3)


def test_the_command_line_describes_and_refuses(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    command_line.main(["encoder", "check", "encoder"])  # by a path relative to the project
    printed = capsys.readouterr().out
    assert f"encoder: {directory} (bert)\nlayers x heads, width: 2 x 2, 16\n" in printed
    assert "260 tokens; the embedding has 260 rows\nlongest text: 130 tokens\n" in printed
    for name, message in {
        "encoder/config.json": "is not a directory",
        "./none": "is not a directory; looked for",
        "none/": "is not a directory",
        "": "is not there",
    }.items():
        with pytest.raises(SystemExit, match=f"error: encoder: '{name}' {message}"):
            command_line.main(["encoder", "check", name])
    with pytest.raises(SystemExit, match="error: max_length: 131; allowed: at most 130"):
        command_line.main(["encoder", "check", "encoder", "--max-length", "131"])
