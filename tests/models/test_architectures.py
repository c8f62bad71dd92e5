"""Gates, importance and sparse fine-tuning of every architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForSequenceClassification

from modspec.data.examples import collate
from modspec.errors import InputError
from modspec.models.architectures.registry import BY_MODEL_TYPE, layers_of
from modspec.models.encoders import load_classifier, load_tokenizer
from modspec.models.finetuning import finetune
from modspec.models.head_masking import gated, head_grid
from modspec.models.prediction import logits
from modspec.subnetworks.head_importance import head_gradients
from tests.helpers.architectures import (
    CASES,
    GRID,
    HEADS,
    HIDDEN,
    LAYERS,
    MASK,
    OTHER,
    in_double,
    logits_of_one,
    owners,
    random_model,
    with_zeroed_columns,
)
from tests.helpers.models import random_examples

LENGTHS = (2, 12)  # so that batches are padded


def test_every_architecture_has_a_case():
    assert {random_model(case).config.model_type for case in CASES} == set(BY_MODEL_TYPE)


@pytest.mark.parametrize("case", CASES)
def test_gates_equal_zeroed_columns_of_one_example_at_a_time(case):
    """In padded batches, for no mask, one mask and one mask per example."""
    model, examples = random_model(case), random_examples(6, lengths=LENGTHS)
    assert head_grid(model) == GRID
    masks = np.random.default_rng(0).random((6, *GRID)) < 0.6
    with in_double(), torch.no_grad():
        for mask in (None, MASK, masks):
            alone = [
                logits_of_one(
                    model, examples, i, with_zeroed_columns(model, mask[i] if mask is masks else mask)
                )
                for i in range(6)
            ]
            batched = logits(model, examples, mask, batch_size=3)
            np.testing.assert_allclose(batched, torch.cat(alone).numpy(), rtol=0, atol=1e-10)
        assert np.abs(batched - logits(model, examples)).max() > 1e-2


@pytest.mark.parametrize("case", CASES)
def test_importance_equals_finite_differences(case):
    """Central differences of fourth order: truncation and rounding below 1e-9."""
    model, examples, step = random_model(case), random_examples(4, lengths=LENGTHS), 1e-3
    batch = collate(examples, np.arange(4), model.config.pad_token_id)
    labels = torch.from_numpy(examples.labels)

    def losses(layer: int, head: int, shift: float) -> np.ndarray:
        gates = np.ones(GRID)
        gates[layer, head] += shift
        with gated(model, gates):
            return F.cross_entropy(model(**batch).logits, labels, reduction="none").numpy()

    numeric = np.empty((4, *GRID))
    with in_double(), torch.no_grad():
        for layer, head in np.ndindex(GRID):
            near, far = (losses(layer, head, s) - losses(layer, head, -s) for s in (step, 2 * step))
            numeric[:, layer, head] = (8 * near - far) / (12 * step)
    with in_double():
        found = head_gradients(model, examples, batch_size=2)
    np.testing.assert_allclose(found, numeric, rtol=0, atol=1e-8)
    assert np.abs(found).max(0).min() > 1e-5


@pytest.mark.parametrize("case", CASES)
def test_sft_leaves_heads_outside_a_mask_bitwise_and_moves_the_others(case):
    """Steps of two languages alternate, so that each has the other's momentum; weight decay is large."""
    model, examples = random_model(case, dtype=torch.float32), random_examples(24, lengths=LENGTHS)
    belongs = {name: owners(model, name) for name, _ in model.named_parameters()}
    seen = [{name: p.detach().clone() for name, p in model.named_parameters()}]
    finetune(
        model,
        examples,
        epochs=2,
        batch_size=4,
        learning_rate=1e-2,
        weight_decay=0.1,
        masks={"en": MASK, "de": OTHER},
        after_step=lambda step, steps: seen.append(
            {n: p.detach().clone() for n, p in model.named_parameters()}
        ),
    )
    steps = {"en": 0, "de": 0}
    for before, after in zip(seen, seen[1:], strict=False):
        moved = {name: (before[name] != after[name]).numpy() for name in before}
        if not any(m.any() for m in moved.values()):
            continue  # the last step's learning rate is 0
        languages = [t for t, mask in (("en", MASK), ("de", OTHER)) if _bitwise(moved, belongs, mask)]
        assert len(languages) == 1, "a step moved what lies outside both masks, or nothing"
        steps[languages[0]] += 1
        mask = {"en": MASK, "de": OTHER}[languages[0]]
        for name, owned in belongs.items():
            if owned is not None:  # of each kept head, shared keys and values too, something moves
                layer, heads = owned
                for head in np.flatnonzero(mask[layer]):
                    assert moved[name][heads[head]].any() or "pos_" in name, (name, head)
    assert min(steps.values()) >= 4


def _bitwise(moved: dict, belongs: dict, mask: np.ndarray) -> bool:
    """Whether no number moved that belongs to heads, but to none in the mask."""
    for name, owned in belongs.items():
        if owned is not None:
            layer, heads = owned
            outside = heads.any(0) & ~heads[mask[layer]].any(0)
            if moved[name][outside].any():
                return False
    return True


def test_shared_keys_and_values_belong_to_all_their_query_heads():
    key = layers_of(random_model("llama"))[0].rows[1]
    assert key.module.out_features == 12 and key.heads == ((0, 1), (2, 3))
    fused = layers_of(random_model("modernbert"))[0].rows[0]
    assert fused.heads == tuple((head,) for head in range(HEADS)) * 3


def test_no_padding_id_and_rows_that_heads_do_not_divide_are_refused():
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=8,
    )
    model = LlamaForSequenceClassification(config)
    with pytest.raises(InputError, match="pad_token_id: None"):
        logits(model, random_examples(3))
    model.model.layers[0].self_attn.k_proj = torch.nn.Linear(HIDDEN, 3 * HIDDEN // HEADS)
    with pytest.raises(
        InputError, match="the 12 rows of a Linear do not belong to 4 heads of size 4; allowed:"
    ):
        layers_of(model)


DIRECTORIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "xlm-roberta-xl")
DIRECTORIES += ("modernbert, mean of tokens", "deberta-v2")


@pytest.mark.parametrize("head", [False, True], ids=["encoder alone", "with a head for other labels"])
@pytest.mark.parametrize("case", DIRECTORIES)
def test_a_directory_of_any_encoder_loads(case, head, tmp_path):
    tokenizer = load_tokenizer("tiny")
    saved = random_model(case, dtype=torch.float32, vocab_size=len(tokenizer))
    (saved if head else saved.base_model).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert len(load_tokenizer(str(tmp_path))) == len(tokenizer)
    models = [load_classifier(str(tmp_path), num_labels=5, seed=seed) for seed in (0, 0, 1)]
    assert models[0].config.model_type == saved.config.model_type
    for name, parameter in models[0].base_model.named_parameters():
        assert torch.equal(parameter, saved.base_model.get_parameter(name)), name
    outputs = [logits(model, random_examples(3, lengths=LENGTHS)) for model in models]
    assert outputs[0].shape == (3, 5) and np.array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-4 and outputs[0].std() > 1e-4
