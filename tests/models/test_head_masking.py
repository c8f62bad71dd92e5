"""Gates against surgery on the weights, one-by-one runs and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
)

from modspec.data.examples import collate
from modspec.errors import InputError
from modspec.models.head_masking import first_token_only, full_mask, gated, head_grid
from tests.helpers.models import (
    HEADS,
    HIDDEN,
    KINDS,
    LABELS,
    LAYERS,
    projection,
    random_encoder,
    random_examples,
)

GRID = (LAYERS, HEADS)
SIZE = HIDDEN // HEADS
ENCODERS = [(kind, attention) for kind in KINDS for attention in ("eager", "sdpa")]


def batch_for(model, count: int = 5) -> dict[str, torch.Tensor]:
    """A padded batch of ``count`` examples of 2 to 9 pieces."""
    return collate(random_examples(count, lengths=(2, 9)), np.arange(count), model.config.pad_token_id)


def hook_count(model) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


def test_grid_and_full_mask():
    model = random_encoder()
    assert head_grid(model) == GRID
    assert full_mask(model).dtype == bool and full_mask(model).shape == GRID and full_mask(model).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind, attention", ENCODERS)
def test_gate_zero_equals_zeroed_projection_columns_exactly(kind, attention, dtype):
    model = random_encoder(kind, attention=attention, dtype=dtype).eval()
    batch = batch_for(model)
    unmasked = model(**batch).logits
    for draw in range(6):
        mask = np.random.default_rng(draw).random(GRID) < 0.5
        with torch.no_grad(), gated(model, mask):
            by_gate = model(**batch).logits
        surgery = random_encoder(kind, attention=attention, dtype=dtype).eval()
        with torch.no_grad():
            for layer, head in zip(*np.nonzero(~mask), strict=True):
                weight = surgery.get_parameter(projection(layer, kind))
                weight[:, head * SIZE : (head + 1) * SIZE] = 0
            by_surgery = surgery(**batch).logits
        assert (by_gate - by_surgery).abs().max() == 0.0
        assert mask.all() or (by_gate - unmasked).abs().max() > 1e-3  # the mask did something


@pytest.mark.parametrize("kind, attention", ENCODERS)
def test_gates_of_one_and_none_change_nothing(kind, attention):
    model = random_encoder(kind, attention=attention).eval()
    batch = batch_for(model)
    plain = model(**batch).logits
    for gates in (np.ones(GRID, bool), np.ones((5, *GRID)), torch.ones(GRID), None):
        with gated(model, gates):
            assert torch.equal(model(**batch).logits, plain)
    with gated(model, None) as nothing:
        assert nothing is None and hook_count(model) == 0


@pytest.mark.parametrize("kind, attention", ENCODERS)
def test_per_example_gates_equal_one_by_one_runs(kind, attention):
    model = random_encoder(kind, attention=attention).eval()
    examples = random_examples(6, lengths=(2, 9))
    pad = model.config.pad_token_id
    gates = np.random.default_rng(0).normal(size=(6, *GRID))
    with torch.no_grad():
        with gated(model, gates):
            together = model(**collate(examples, np.arange(6), pad)).logits
        for i in range(6):
            with gated(model, gates[i]):
                alone = model(**collate(examples, np.array([i]), pad)).logits[0]
            torch.testing.assert_close(together[i], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind, attention", ENCODERS)
def test_gate_gradients_match_finite_differences(kind, attention):
    model = random_encoder(kind, attention=attention).eval()
    examples = random_examples(4, lengths=(2, 7))
    batch = collate(examples, np.arange(4), model.config.pad_token_id)
    labels = torch.from_numpy(examples.labels)
    start = torch.from_numpy(np.random.default_rng(1).normal(1, 0.3, size=(4, *GRID)))

    def losses(values: torch.Tensor) -> torch.Tensor:
        with gated(model, values):
            return F.cross_entropy(model(**batch).logits, labels, reduction="none")

    gates = start.clone().requires_grad_(True)
    (analytic,) = torch.autograd.grad(losses(gates).sum(), gates)
    # Central differences of fourth order: truncation ~1e-14, rounding ~1e-13.
    h, numeric = 1e-3, torch.zeros_like(start)
    with torch.no_grad():
        for index in np.ndindex(GRID):
            shift = torch.zeros_like(start)
            shift[(slice(None), *index)] = h
            numeric[(slice(None), *index)] = (
                8 * (losses(start + shift) - losses(start - shift))
                - (losses(start + 2 * shift) - losses(start - 2 * shift))
            ) / (12 * h)
    torch.testing.assert_close(analytic, numeric, rtol=0, atol=1e-8)
    assert analytic.abs().min() > 1e-6


def test_contexts_nest_and_multiply():
    model = random_encoder().eval()
    batch = batch_for(model)
    rng = np.random.default_rng(2)
    shared, own = rng.normal(size=GRID), rng.normal(size=(5, *GRID))
    with torch.no_grad():
        with gated(model, shared * own):
            product = model(**batch).logits
        with gated(model, shared):
            outer_before = model(**batch).logits
            with gated(model, own):
                torch.testing.assert_close(model(**batch).logits, product, rtol=0, atol=1e-12)
            assert torch.equal(model(**batch).logits, outer_before)


def test_yields_the_gates_in_the_model_dtype():
    model = random_encoder(dtype=torch.float32)
    with gated(model, np.ones(GRID, bool)) as gates:
        assert gates.dtype == torch.float32 and gates.shape == GRID


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_token_alone_decides(kind, attention):
    """Bitwise the same logits, though the last layer's feed-forward sees one token."""
    model, examples = random_encoder(kind, attention=attention).eval(), random_examples(6)
    batch, seen = collate(examples, np.arange(6), model.config.pad_token_id), []
    layers = model.base_model.encoder.layer
    for layer in layers:
        layer.output.dense.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    with torch.no_grad():
        whole = model(**batch).logits
        with first_token_only(model):
            cut = model(**batch).logits
        model.base_model.encoder.layer[-1] = layers[0]
        with first_token_only(model):
            model(**batch)
    assert torch.equal(cut, whole) or torch.allclose(cut, whole, rtol=1e-12, atol=0)
    longest = max(examples.lengths)
    assert seen == [longest, longest, longest, 1, longest, longest]
    with first_token_only(model.base_model):  # no classifier: every token may be read
        assert not model.base_model.encoder.layer[-1].attention.output._forward_pre_hooks


def test_hooks_are_gone_afterwards_and_after_an_exception():
    model = random_encoder().eval()
    batch = batch_for(model)
    plain = model(**batch).logits
    with gated(model, np.zeros(GRID)):
        assert hook_count(model) == LAYERS
    assert hook_count(model) == 0
    with pytest.raises(KeyError, match="inside"), gated(model, np.zeros(GRID)):
        raise KeyError("inside")
    assert hook_count(model) == 0
    assert torch.equal(model(**batch).logits, plain)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_changes_no_gradient(kind, reentrant):
    gates = np.random.default_rng(3).normal(size=(5, *GRID))
    found = []
    for checkpointing in (False, True):
        model = random_encoder(kind)  # training mode, no dropout: checkpointing is live
        runs = []
        layer = model.base_model.encoder.layer[0]
        layer.attention.self.register_forward_hook(lambda *_, runs=runs: runs.append(1))
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        learnt = torch.from_numpy(gates).requires_grad_(True)
        with gated(model, learnt):
            model(**batch_for(model)).logits.square().sum().backward()
        assert len(runs) == (2 if checkpointing else 1)  # the layer really ran again
        found += [model.get_parameter(projection(0, kind)).grad, learnt.grad]
    for plain, recomputed in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "shape", [(), (HEADS,), (LAYERS, HEADS + 1), (LAYERS + 1, HEADS), (HEADS, LAYERS), (1, 1, *GRID)]
)
def test_wrong_shape_is_refused_in_one_line(shape):
    model = random_encoder()
    with pytest.raises(InputError, match="gates: shape") as caught, gated(model, np.ones(shape)):
        pass
    assert str(shape) in str(caught.value) and str(GRID) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hook_count(model) == 0


@pytest.mark.parametrize("grids", [1, 4, 6])
def test_wrong_batch_is_refused_in_the_forward_pass(grids):
    model = random_encoder()
    with pytest.raises(InputError, match=f"{grids} grids for a batch of 5"):
        with gated(model, np.ones((grids, *GRID))):
            model(**batch_for(model))
    assert hook_count(model) == 0


FOREIGN = [
    GPT2ForSequenceClassification(
        GPT2Config(vocab_size=20, n_embd=12, n_layer=LAYERS, n_head=HEADS, num_labels=LABELS)
    ),
    torch.nn.Linear(3, 3),
]


@pytest.mark.parametrize("model", FOREIGN, ids=lambda m: type(m).__name__)
def test_an_architecture_that_cannot_be_gated_is_refused(model):
    with pytest.raises(InputError, match="encoder: .*cannot be gated; allowed: bert"):
        with gated(model, np.ones(GRID)):
            pass
