"""Encoders without weights, for ``python -m modspec encoder check``."""

from __future__ import annotations

import json
from typing import Any

from tests.bad_inputs.answers import BadInput, Content

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 20,
    "pad_token_id": 0,
    "architectures": ["BertModel"],
}


def config(**changes: Any) -> dict[str, Content]:
    """The only file of an encoder's directory."""
    return {"m/config.json": json.dumps(BERT | changes)}


ROWS = [
    BadInput("encoder check", f"encoder: {name}", (path,), ("encoder: ", *answer), files)
    for name, path, files, answer in [
        ("nothing", "", {}, ("encoder: '' is not there; allowed: e5-small, a directory",)),
        ("a path that is not there", "DIR/m", {}, ("is not a directory; looked for",)),
        ("a home that is not there", "~nobody-here/m", {}, ("is not a directory",)),
        ("a file", "DIR/m", {"m": "x"}, ("is not a directory",)),
        ("two slashes", "a/b/c", {}, ("is not there; allowed: e5-small, a directory, or a model id",)),
        ("spaces", "my model", {}, ("is not there; allowed: e5-small, a directory, or a model id",)),
        ("an empty directory", "DIR/m", {"m/notes.txt": "x"}, ("m' has no config.json",)),
        ("an adapter", "DIR/m", {"m/adapter_config.json": "{}"}, ("holds an adapter",)),
        (
            "an adapter beside a config.json",
            "DIR/m",
            config() | {"m/adapter_config.json": "{}"},
            ("holds an adapter",),
        ),
        (
            "a pointer for config.json",
            "DIR/m",
            {"m/config.json": POINTER},
            ("config.json in ", " is a Git LFS pointer"),
        ),
        (
            "a config.json that is cut",
            "DIR/m",
            {"m/config.json": '{"model_type": "be'},
            ("config.json is no JSON",),
        ),
        (
            "a config.json in UTF-16",
            "DIR/m",
            {"m/config.json": "{}".encode("utf-16")},
            ("config.json is no JSON in UTF-8",),
        ),
        ("a model_type that is unknown", "DIR/m", config(model_type="berd"), ("berd",)),
        (
            "an architecture without gates",
            "DIR/m",
            config(model_type="gpt2"),
            ("has model_type 'gpt2'; allowed are",),
        ),
        ("a decoder", "DIR/m", config(is_decoder=True), ("has is_decoder = True", "allowed: False")),
        (
            "relative positions",
            "DIR/m",
            config(position_embedding_type="relative_key"),
            ("position_embedding_type = 'relative_key'",),
        ),
        ("an activation that is unknown", "DIR/m", config(hidden_act="gelo"), ("hidden_act = 'gelo'",)),
        ("code of its own", "DIR/m", config(auto_map={"AutoModel": "m.M"}), ("auto_map",)),
        (
            "quantized weights",
            "DIR/m",
            config(quantization_config={"load_in_8bit": True}),
            ("quantization_config",),
        ),
        ("padding beyond the vocabulary", "DIR/m", config(pad_token_id=20), ("pad_token_id = 20",)),
        ("no tokenizer", "DIR/m", config(), ("has no tokenizer files; allowed: one of tokenizer.json",)),
        (
            "a pointer for the tokenizer",
            "DIR/m",
            config() | {"m/tokenizer.json": POINTER},
            ("tokenizer.json in ", " is a Git LFS pointer"),
        ),
        (
            "a tokenizer that is cut",
            "DIR/m",
            config() | {"m/tokenizer.json": '{"version'},
            ("tokenizer.json is no JSON",),
        ),
    ]
]
