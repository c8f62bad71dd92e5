"""A trimmed encoder gives the same logits and gradients, whatever is left out."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from modspec.data.vocabulary import to_trimmed, used_pieces
from modspec.errors import InputError
from modspec.models import encoders
from modspec.models.encoders import load_classifier
from modspec.models.trimming import trim

load_tokenizer = cache(encoders.load_tokenizer)
FIRST = ["Where is the station?", "今日は", "Не знаю", ""]
SECOND = ["Ask him.", "天気", "Возможно, что да", "b"]


def encode(name: str, pairs: bool):
    tokenizer = load_tokenizer(name)
    texts = (FIRST, SECOND) if pairs else (FIRST,)
    encoding = tokenizer(*texts, padding=True, return_tensors="pt")
    return encoding, used_pieces(encoding["input_ids"].tolist(), tokenizer)


def gradients(model, encoding) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = model(**encoding).logits
    logits.square().sum().backward()
    named = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return logits.detach(), named


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["tiny", "tiny-bert", "e5-small"])
def test_same_logits_and_gradients(request, name: str, attention: str, pairs: bool) -> None:
    if name == "e5-small":
        request.getfixturevalue("e5_small_available")
    encoding, kept = encode(name, pairs)
    assert (encoding["attention_mask"] == 0).any(), "the batch must have padding"
    model = load_classifier(name, num_labels=3, seed=5, attention=attention)
    full_size = model.config.vocab_size
    logits, full = gradients(model, encoding)
    if name == "e5-small":  # what a study does: the other rows are never loaded
        model = load_classifier(name, num_labels=3, seed=5, attention=attention, kept_pieces=kept)
    else:
        assert trim(model, kept) is model
    encoding["input_ids"] = torch.from_numpy(to_trimmed(encoding["input_ids"].numpy(), kept))
    trimmed_logits, trimmed = gradients(model, encoding)

    assert model.config.vocab_size == len(kept) < full_size
    assert torch.equal(logits, trimmed_logits)
    embedding = next(key for key in full if "word_embeddings" in key)
    full[embedding] = full[embedding][torch.from_numpy(kept)]
    assert full.keys() == trimmed.keys()
    for key, gradient in full.items():
        torch.testing.assert_close(gradient, trimmed[key], rtol=1e-4, atol=1e-7, msg=key)


def test_lazy_trimming_of_e5_equals_trimming_the_loaded_model(e5_small_available: None) -> None:
    _, kept = encode("e5-small", pairs=True)
    lazy = load_classifier("e5-small", num_labels=2, seed=0, kept_pieces=kept)
    trimmed = trim(load_classifier("e5-small", num_labels=2, seed=0), kept)
    assert lazy.config.pad_token_id == trimmed.config.pad_token_id == 1
    for (name, ours), (other, theirs) in zip(
        lazy.named_parameters(), trimmed.named_parameters(), strict=True
    ):
        assert name == other and torch.equal(ours, theirs), name


@pytest.mark.parametrize("name", ["tiny", "tiny-bert"])
def test_trimming_on_loading_equals_trimming_afterwards(name: str) -> None:
    _, kept = encode(name, pairs=False)
    at_once = load_classifier(name, num_labels=2, seed=0, kept_pieces=kept)
    afterwards = trim(load_classifier(name, num_labels=2, seed=0), kept)
    theirs = afterwards.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in at_once.state_dict().items())


def test_special_ids_follow() -> None:
    """A BERT's special tokens can lie amid its vocabulary, so that trimming moves them."""
    model = load_classifier("tiny-bert", num_labels=2, seed=0)
    model.config.bos_token_id, model.config.eos_token_id = 101, 102
    trim(model, np.array([0, 1, 7, 102, 200]))
    assert model.config.pad_token_id == 1
    assert model.config.bos_token_id is None
    assert model.config.eos_token_id == 3


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([0, 1, 260], "increasing ids of the 260 pieces"),
        ([0, 1, 1], "strictly increasing"),
        ([-1, 0, 1], "every id up to the padding id 1"),
        ([1, 0], "every id up to"),
        ([], "every id up to"),
    ],
)
def test_impossible_pieces_are_refused(kept: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_classifier("tiny", num_labels=2, seed=0, kept_pieces=np.array(kept, dtype=np.int64))
