"""Encoders by name: what loads, from what the head is drawn, what is refused and how fast."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, RobertaConfig, XLMRobertaConfig

from modspec.downloads import hub
from modspec.errors import InputError
from modspec.models import encoders
from modspec.models.encoders import (
    encoder_fingerprint,
    fetch,
    is_here,
    load_classifier,
    load_tokenizer,
    unloaded_classifier,
)
from modspec.models.tiny import TINY
from tests.helpers.models import save_encoder

TEXTS = ["Wo ist der Bahnhof?", "駅", "", "Я не знаю, когда он придёт"]


def logits(name: str, model) -> torch.Tensor:
    with torch.inference_mode():
        return model(**load_tokenizer(name)(TEXTS, padding=True, return_tensors="pt")).logits


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A local XLM-R without a head, as it is published for fine-tuning."""
    return save_encoder(tmp_path / "encoder", XLMRobertaConfig)


# --- tiny --------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_tiny_tokenizer_takes_any_text(text: str) -> None:
    tokenizer = load_tokenizer("tiny")
    ids = tokenizer(text)["input_ids"]
    special = any(token in text for token in tokenizer.all_special_tokens)
    assert special or len(ids) == len(text.encode()) + 2
    assert 3 not in ids[1:-1] or special
    assert max(ids) < 260 and (ids[0], ids[-1]) == (0, 2)


def test_pairs_follow_each_architectures_template() -> None:
    a, b = 4 + 64, 4 + 65  # the bytes "a" and "b" in the byte alphabet's order
    xlmr, bert = load_tokenizer("tiny")("a", "b"), load_tokenizer("tiny-bert")("a", "b")
    assert xlmr["input_ids"] == [0, a, 2, 2, b, 2]
    assert set(xlmr.keys()) == {"input_ids", "attention_mask"}
    assert bert["input_ids"] == [0, a, 2, b, 2]
    assert bert["token_type_ids"] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("name", TINY)
def test_the_longest_text_fits(name: str) -> None:
    model = load_classifier(name, num_labels=2, seed=0)
    batch = load_tokenizer(name)(["x" * 2000], truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (1, 512)
    assert model(**batch).logits.isfinite().all()


@pytest.mark.parametrize("name", TINY)
def test_the_heads_of_tiny_encoders_differ(name: str) -> None:
    """Tests of importance and pruning need heads that matter, each differently."""
    model = load_classifier(name, num_labels=2, seed=0)
    output = model.base_model.encoder.layer[1].attention.output.dense
    whole, effects = logits(name, model), []
    for head in range(4):
        with torch.no_grad():
            kept = output.weight[:, head * 4 : head * 4 + 4].clone()
            output.weight[:, head * 4 : head * 4 + 4] = 0
            effects.append((logits(name, model) - whole).abs().mean().item())
            output.weight[:, head * 4 : head * 4 + 4] = kept
    assert min(effects) > 1e-3 and len({round(effect, 5) for effect in effects}) == 4


# --- the classifier ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TINY, "directory"])
def test_the_head_comes_from_the_seed_alone(name: str, directory: Path) -> None:
    name = str(directory) if name == "directory" else name
    torch.manual_seed(0)
    first = load_classifier(name, num_labels=3, seed=7).state_dict()
    torch.manual_seed(1)
    kept = np.arange(200)
    same = load_classifier(name, num_labels=3, seed=7, kept_pieces=kept).state_dict()
    other = load_classifier(name, num_labels=3, seed=8).state_dict()
    for key in first:
        if key.startswith("classifier."):
            assert torch.equal(first[key], same[key]), key
            assert first[key].ndim == 1 or not torch.equal(first[key], other[key]), key
        else:
            rows = kept if "word_embeddings" in key else slice(None)
            assert torch.equal(first[key], other[key]), key
            assert torch.equal(first[key][rows], same[key]), key


@pytest.mark.parametrize("name", TINY)
def test_the_encoder_does_not_depend_on_the_number_of_labels(name: str) -> None:
    two = load_classifier(name, num_labels=2, seed=0).base_model.encoder.state_dict()
    nine = load_classifier(name, num_labels=9, seed=0).base_model.encoder.state_dict()
    assert all(torch.equal(value, nine[key]) for key, value in two.items())


@pytest.mark.parametrize("name", [*TINY, "directory", "e5-small"])
def test_the_global_random_state_is_left_alone(request, name: str, directory: Path) -> None:
    if name == "e5-small":
        request.getfixturevalue("e5_small_available")
    torch.manual_seed(11)
    before = torch.get_rng_state()
    name = str(directory) if name == "directory" else name
    load_classifier(name, num_labels=2, seed=0, kept_pieces=np.arange(100))
    assert torch.equal(before, torch.get_rng_state())


def test_the_new_head_has_the_configs_spread(e5_small_available: None) -> None:
    model = load_classifier("e5-small", num_labels=50, seed=0, kept_pieces=np.arange(100))
    for weight in (model.bert.pooler.dense.weight, model.classifier.weight):
        assert weight.std().item() == pytest.approx(model.config.initializer_range, rel=0.03)
        assert abs(weight.mean().item()) < 1e-3
    assert not model.classifier.bias.any() and not model.bert.pooler.dense.bias.any()


def test_float32_evaluation_mode_and_labels() -> None:
    model = load_classifier("tiny", num_labels=5, seed=0)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert logits("tiny", model).shape == (len(TEXTS), 5)


@pytest.mark.parametrize("name", TINY)
def test_attention_is_switchable(name: str) -> None:
    eager = load_classifier(name, num_labels=3, seed=0)
    sdpa = load_classifier(name, num_labels=3, seed=0, attention="sdpa")
    assert eager.config._attn_implementation == "eager"
    assert sdpa.config._attn_implementation == "sdpa"
    torch.testing.assert_close(logits(name, eager), logits(name, sdpa), atol=1e-5, rtol=1e-5)


def test_the_size_of_e5_small(e5_small_available: None) -> None:
    model = load_classifier("e5-small", num_labels=3, seed=0, kept_pieces=np.arange(100))
    assert (model.config.num_hidden_layers, model.config.num_attention_heads) == (12, 12)
    assert sum(p.numel() for p in model.bert.encoder.parameters()) == 21_293_568
    assert model.config.vocab_size == 100 and model.config.hidden_act == "gelu"


def test_a_trimmed_e5_small_loads_in_little_time(e5_small_available: None) -> None:
    load_classifier("e5-small", num_labels=3, seed=0, kept_pieces=np.arange(5000))
    start = time.process_time()
    load_classifier("e5-small", num_labels=3, seed=0, kept_pieces=np.arange(5000))
    assert time.process_time() - start < 1.5


# --- directories and the hub ---------------------------------------------------------------------


def test_a_trained_head_is_replaced(tmp_path: Path) -> None:
    path = save_encoder(tmp_path / "trained", RobertaConfig, head=True)
    for num_labels in (2, 3):  # the checkpoint's own number, and another one
        model = load_classifier(str(path), num_labels=num_labels, seed=0)
        assert model.classifier.out_proj.out_features == num_labels
        stored = load_file(path / "model.safetensors")["classifier.dense.weight"]
        assert not torch.equal(model.classifier.dense.weight, stored)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    LlamaConfig().save_pretrained(tmp_path)
    for load in (load_tokenizer, lambda name: load_classifier(name, num_labels=2, seed=0)):
        with pytest.raises(InputError, match="'llama'; allowed are bert, roberta") as caught:
            load(str(tmp_path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "no/such/path", "~/none", "/none", "bert base", "a\0b", "x" * 300])
def test_what_is_neither_a_directory_nor_a_model_id_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "hub_is_reachable", lambda: pytest.fail("the hub was asked"))
    for load in (load_tokenizer, lambda name: load_classifier(name, num_labels=2, seed=0)):
        with pytest.raises(InputError, match=r"^encoder: '.* is not there; allowed: e5-small") as caught:
            load(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["FacebookAI/xlm-roberta-base", "no/such", "e5-smal"])
def test_without_the_hub_the_error_is_quick_and_names_an_alternative(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(hub, "hub_is_reachable", lambda: False)
    monkeypatch.chdir(tmp_path)
    start = time.perf_counter()
    for load in (load_tokenizer, lambda name: load_classifier(name, num_labels=2, seed=0)):
        with pytest.raises(InputError, match="hub is not reachable.*e5-small.*directory") as caught:
            load(name)
        assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 5


def test_directories_are_found_however_they_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = save_encoder(tmp_path / "models" / "mein Übersetzer 模型")
    (tmp_path / "link").symlink_to(directory)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "model").symlink_to(directory)  # looks like a model id; the directory comes first
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = [str(directory), f"{directory}/", "link", "./link", "~/link", "org/model"]
    assert len({encoder_fingerprint(name) for name in names}) == 1
    assert all(is_here(name) for name in names) and not is_here("org/other")
    for name in names:
        assert load_tokenizer(name)("a")["input_ids"] == load_tokenizer("tiny")("a")["input_ids"]


def test_a_classifier_without_weights_is_the_same_architecture(directory: Path) -> None:
    for name in (str(directory), "tiny-bert"):
        loaded = load_classifier(name, num_labels=5, seed=0).state_dict()
        unloaded = unloaded_classifier(name, 5).state_dict()
        assert {key: value.shape for key, value in loaded.items()} == {
            k: v.shape for k, v in unloaded.items()
        }


# --- fingerprints and the command line -----------------------------------------------------------


def test_fingerprints_identify_the_weights(directory: Path) -> None:
    before = encoder_fingerprint(str(directory))
    assert before == encoder_fingerprint(str(directory))
    weights = load_file(directory / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"][0] += 1
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    names = ["tiny", "tiny-bert", "e5-small", str(directory)]
    assert len({before, *map(encoder_fingerprint, names)}) == 5


def test_fetch_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, directory: Path
) -> None:
    fetch("tiny")
    monkeypatch.setattr(sys, "argv", ["encoders", "fetch", str(directory)])
    encoders.main()
    assert encoder_fingerprint(str(directory)) in capsys.readouterr().out
    monkeypatch.setattr(hub, "hub_is_reachable", lambda: False)
    monkeypatch.setattr(sys, "argv", ["encoders", "fetch", "no/such"])
    with pytest.raises(SystemExit, match="'no/such' cannot be loaded"):
        encoders.main()
