"""Fine-tuning against plain loops, and what sparse fine-tuning must never move.

A forward pre-hook sees the weights and the batch as every step begins: steps are watched from outside.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.models.finetuning import Epoch, finetune
from modspec.models.head_masking import gated
from modspec.models.prediction import predict
from tests.helpers.models import HEADS, HIDDEN, KINDS, LAYERS, projection, random_encoder, random_examples

GRID = (LAYERS, HEADS)
SIZE = HIDDEN // HEADS
LANGUAGES = ("en", "de", "ko")
PARTS = ("query.weight", "query.bias", "key.weight", "key.bias", "value.weight", "value.bias", "columns")
MASKS = {
    "en": np.array([[True, False, False], [False, True, True]]),
    "de": np.array([[False, True, False], [True, True, False]]),
    "ko": np.array([[False, True, False], [False, False, False]]),
}
USUAL = dict(epochs=2, batch_size=4, learning_rate=0.01, weight_decay=0.1, seed=3)


def examples_of(languages: tuple[str, ...] = LANGUAGES, count: int = 18) -> Examples:
    return random_examples(count, lengths=(4, 9), languages=languages)


def head_state(model, layer: int, head: int) -> dict[str, Tensor]:
    """Copies of everything that belongs to one head."""
    rows = slice(head * SIZE, (head + 1) * SIZE)
    attention = model.base_model.encoder.layer[layer].attention
    state = {name: attention.self.get_parameter(name)[rows] for name in PARTS[:-1]}
    state["columns"] = attention.output.dense.weight[:, rows]
    return {name: value.detach().clone() for name, value in state.items()}


def all_heads(model) -> dict[tuple[int, int], dict[str, Tensor]]:
    return {cell: head_state(model, *cell) for cell in np.ndindex(GRID)}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of the parts that are not bitwise what they were."""
    return {
        name
        for name in PARTS
        if not np.array_equal(before[name].numpy().view(np.uint8), after[name].numpy().view(np.uint8))
    }


@dataclass
class Watch:
    """Every training step's examples, and all heads as they were before it."""

    train: Examples
    batches: list[np.ndarray] = field(default_factory=list)
    heads: list[dict] = field(default_factory=list)

    def attach(self, model) -> Watch:
        positions = {tuple(ids): i for i, ids in enumerate(self.train.input_ids)}
        assert len(positions) == len(self.train), "texts must differ to be recognised"

        def see(module, args, kwargs):
            rows = zip(kwargs["input_ids"], kwargs["attention_mask"].bool(), strict=True)
            self.batches.append(np.array([positions[tuple(ids[kept].tolist())] for ids, kept in rows]))
            self.heads.append(all_heads(model))

        self.handle = model.register_forward_pre_hook(see, with_kwargs=True)
        return self

    def finish(self, model) -> None:
        self.heads.append(all_heads(model))
        self.handle.remove()


def watched(model, train: Examples, **arguments) -> tuple[Watch, list[Epoch]]:
    watch = Watch(train).attach(model)
    records = finetune(model, train, **arguments)
    watch.finish(model)
    return watch, records


def schedule(step: int, steps: int, rate: float, warmup: float = 0.1) -> float:
    """Linear from 0 over the warm-up, then linear to 0."""
    rising = round(warmup * steps)
    return rate * (step / rising if step < rising else (steps - step) / (steps - rising))


MASK = arrays(bool, GRID)


@settings(max_examples=25, deadline=None)
@given(
    masks=st.fixed_dictionaries({language: MASK for language in LANGUAGES}),
    kind=st.sampled_from(list(KINDS)),
    precision=st.sampled_from([torch.float32, torch.bfloat16]),
    warmup=st.sampled_from([0.0, 0.3]),
    weight_decay=st.sampled_from([0.01, 0.5]),
    batch_size=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_sft_never_moves_a_head_outside_the_mask(
    masks, kind, precision, warmup, weight_decay, batch_size, seed
):
    model = random_encoder(kind, dtype=torch.float32, dropout=0.1, seed=seed)
    start, shared = all_heads(model), {n: p.detach().clone() for n, p in model.named_parameters()}
    train = examples_of()
    watch, _ = watched(
        model,
        train,
        masks=masks,
        epochs=2,
        batch_size=batch_size,
        learning_rate=0.01,
        weight_decay=weight_decay,
        warmup=warmup,
        precision=precision,
        seed=seed,
    )
    # In the whole run: outside all languages' masks, nothing moved.
    in_any = np.any(list(masks.values()), axis=0)
    for cell in np.ndindex(GRID):
        assert in_any[cell] or not moved(start[cell], watch.heads[-1][cell])
    # In every step: outside the batch's own mask nothing moved; inside, everything did.
    trains_at_rate_zero = round(warmup * len(watch.batches)) > 0
    for step, batch in enumerate(watch.batches):
        languages = set(train.languages[batch].tolist())
        assert len(languages) == 1, "a batch under a mask is of one language"
        mask = masks[languages.pop()]
        for cell in np.ndindex(GRID):
            changed = moved(watch.heads[step][cell], watch.heads[step + 1][cell])
            if not mask[cell]:
                assert not changed, f"step {step} moved {changed} of head {cell}"
            elif step > 0 or not trains_at_rate_zero:
                assert changed >= {"query.weight", "value.weight", "value.bias", "columns"}
    # Shared parameters move, whatever the masks.
    for name in ("intermediate.dense.weight", "output.LayerNorm.weight", "attention.output.dense.bias"):
        for full, parameter in model.named_parameters():
            if full.endswith(name):
                assert not torch.equal(parameter, shared[full]), full
    words = f"{model.base_model_prefix}.embeddings.word_embeddings.weight"
    assert not torch.equal(model.get_parameter(words), shared[words])


def test_sft_holds_a_head_that_has_momentum():
    model, train = random_encoder(dtype=torch.float32), examples_of()
    watch, _ = watched(model, train, masks=MASKS, **USUAL | {"epochs": 3})
    held_with_momentum = 0
    for step, batch in enumerate(watch.batches):
        mask = MASKS[train.languages[batch[0]]]
        for cell in zip(*np.nonzero(~mask), strict=True):
            assert not moved(watch.heads[step][cell], watch.heads[step + 1][cell])
            held_with_momentum += bool(moved(watch.heads[0][cell], watch.heads[step][cell]))
    assert held_with_momentum > 10


def test_the_invariant_would_not_hold_without_the_restoring(monkeypatch):
    monkeypatch.setattr("modspec.models.finetuning._step", lambda optimizer, dropped: optimizer.step())
    model = random_encoder(dtype=torch.float32)
    watch, _ = watched(model, examples_of(), masks=MASKS, **USUAL)
    outside = [cell for cell in np.ndindex(GRID) if not np.any(list(MASKS.values()), axis=0)[cell]]
    assert outside and all(moved(watch.heads[0][c], watch.heads[-1][c]) for c in outside)  # by decay alone


def labels_of(train: Examples, batch: np.ndarray) -> Tensor:
    return torch.from_numpy(train.labels[batch])


def padded(train: Examples, batch: np.ndarray, pad: int) -> dict[str, Tensor]:
    ids = [torch.from_numpy(train.input_ids[i]) for i in batch]
    ids = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(train.input_ids[i]) for i in batch])
    return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}


@pytest.mark.parametrize("clip", [0.05, 1e9])
@pytest.mark.parametrize("kind", KINDS)
def test_full_finetuning_equals_a_plain_adamw_loop(kind, clip):
    train, model = examples_of(count=30), random_encoder(kind)
    plain = copy.deepcopy(model)
    watch, records = watched(model, train, clip=clip, **USUAL)
    assert any(len(set(train.languages[b])) > 1 for b in watch.batches)  # languages are mixed
    per_epoch = len(watch.batches) // 2
    for epoch in (watch.batches[:per_epoch], watch.batches[per_epoch:]):
        assert sorted(int(i) for b in epoch for i in b) == list(range(30))

    decayed = [p for p in plain.parameters() if p.ndim > 1]
    rest = [p for p in plain.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, foreach=False)
    losses, rates = [], []
    for step, batch in enumerate(watch.batches):
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = schedule(step, len(watch.batches), 0.01)
        logits = plain(**padded(train, batch, plain.config.pad_token_id)).logits
        loss = F.cross_entropy(logits, labels_of(train, batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), clip)
        optimizer.step()
        losses.append(loss.item() * len(batch))
        rates.append(group["lr"])
    for (name, parameter), expected in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-9, msg=name)
    for number, record in enumerate(records):
        epoch = slice(number * per_epoch, (number + 1) * per_epoch)
        assert record.epoch == number + 1
        assert record.loss == pytest.approx(sum(losses[epoch]) / 30, abs=1e-9)
        assert record.learning_rate == pytest.approx(np.mean(rates[epoch]), rel=1e-9)


def moving_elements(model, mask: np.ndarray) -> dict[str, Tensor]:
    """For every parameter, which elements may move under a mask."""
    moving = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters()}
    for layer, head in zip(*np.nonzero(~mask), strict=True):
        rows = slice(head * SIZE, (head + 1) * SIZE)
        output = projection(layer, model.config.model_type)
        moving[output][:, rows] = False
        for part in ("query", "key", "value"):
            for end in ("weight", "bias"):
                moving[output.replace("output.dense.weight", f"self.{part}.{end}")][rows] = False
    return moving


@pytest.mark.parametrize("kind", KINDS)
def test_sft_equals_an_adamw_written_out_by_element(kind):
    """Moments, like weights, stand still for what is masked; the bias correction counts all steps."""
    train, model = examples_of(), random_encoder(kind)
    plain = copy.deepcopy(model)
    watch, _ = watched(model, train, masks=MASKS, clip=0.5, **USUAL | {"epochs": 3})

    parameters = dict(plain.named_parameters())
    first = {name: torch.zeros_like(p) for name, p in parameters.items()}
    second = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for step, batch in enumerate(watch.batches):
        mask = MASKS[train.languages[batch[0]]]
        with gated(plain, mask):
            logits = plain(**padded(train, batch, plain.config.pad_token_id)).logits
        loss = F.cross_entropy(logits, labels_of(train, batch))
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        norm = torch.sqrt(sum(g.square().sum() for g in gradients))
        rate, t = schedule(step, len(watch.batches), 0.01), step + 1
        moving = moving_elements(plain, mask)
        with torch.no_grad():
            for (name, p), g in zip(parameters.items(), gradients, strict=True):
                g = g * min(1.0, 0.5 / (norm.item() + 1e-6))
                m, v = 0.9 * first[name] + 0.1 * g, 0.999 * second[name] + 0.001 * g * g
                new = p * (1 - rate * (0.1 if p.ndim > 1 else 0))
                new = new - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
                for old, value in ((p, new), (first[name], m), (second[name], v)):
                    old.copy_(torch.where(moving[name], value, old))
    for name, parameter in model.named_parameters():
        if name.endswith("key.bias"):  # its gradient is rounding noise, which Adam scales up to the rate
            continue
        torch.testing.assert_close(parameter, parameters[name], rtol=0, atol=1e-7, msg=name)


@pytest.mark.parametrize("masks", [None, MASKS], ids=["full", "sft"])
def test_same_seed_same_weights_bitwise_whatever_the_global_random_state(masks):
    weights, train = [], examples_of()
    for seed, global_seed in ((3, 1), (3, 2), (4, 1)):
        model = random_encoder(dtype=torch.float32, dropout=0.2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            np.random.seed(global_seed)  # noqa: NPY002
            before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
            finetune(model, train, masks=masks, **USUAL | {"seed": seed})
            assert torch.equal(torch.get_rng_state(), before)
            assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_dropout_is_on_in_training_and_the_model_ends_in_evaluation_mode():
    weights = []
    for dropout in (0.0, 0.5):
        model = random_encoder(dtype=torch.float32, dropout=dropout).eval()
        finetune(model, examples_of(), **USUAL)
        assert not any(module.training for module in model.modules())
        weights.append(model.classifier.weight.detach())
    assert not torch.allclose(weights[0], weights[1], atol=1e-4)


def test_after_epoch_sees_every_epochs_record_and_may_predict_without_changing_the_run():
    train, seen = examples_of(), []
    plain, model = (random_encoder(dtype=torch.float32, dropout=0.2) for _ in range(2))
    finetune(plain, train, **USUAL)

    def after(epoch: Epoch) -> None:
        seen.append((epoch, predict(model, train), model.classifier.weight.detach().clone()))

    records = finetune(model, train, after_epoch=after, **USUAL)
    assert [epoch for epoch, *_ in seen] == records and [r.epoch for r in records] == [1, 2]
    assert not torch.equal(seen[0][2], seen[1][2])
    assert torch.equal(model.classifier.weight, plain.classifier.weight)


@pytest.mark.parametrize("masks", [None, MASKS], ids=["full", "sft"])
def test_frozen_parameters_stay(masks):
    model = random_encoder(dtype=torch.float32)
    words = model.base_model.embeddings.word_embeddings.weight.requires_grad_(False)
    query = model.base_model.encoder.layer[0].attention.self.query.weight.requires_grad_(False)
    before = [words.clone(), query.clone()]
    finetune(model, examples_of(), masks=masks, **USUAL)
    assert torch.equal(words, before[0]) and torch.equal(query, before[1])


def test_it_learns():
    train = examples_of(count=24)
    for masks in (None, MASKS):
        model = random_encoder(dtype=torch.float32)
        records = finetune(model, train, masks=masks, **USUAL | {"epochs": 12, "weight_decay": 0.0})
        assert records[-1].loss < 0.5 * records[0].loss


def test_a_language_without_a_mask_is_an_input_error_before_any_step():
    model = random_encoder(dtype=torch.float32)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match=r"masks: none for \['de'\]"):
        finetune(model, examples_of(), masks={"en": MASKS["en"], "ko": MASKS["ko"]}, **USUAL)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_label_that_is_no_class_is_an_input_error_before_any_step():
    model = random_encoder(dtype=torch.float32)
    before = copy.deepcopy(model.state_dict())
    for label in (-100, -1, 3):
        examples = examples_of()
        examples.labels[-1] = label
        with pytest.raises(InputError, match=rf"^train: example 'x17' has label {label}; allowed: 0 to 2$"):
            finetune(model, examples, **USUAL)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_masks_of_another_grid_are_an_input_error():
    masks = dict.fromkeys(LANGUAGES, np.ones((3, 2), bool))
    with pytest.raises(InputError, match="gates: shape"):
        finetune(random_encoder(), examples_of(), masks=masks, **USUAL)


def test_masks_of_zeros_and_ones_mean_the_same_as_booleans_or_are_refused():
    train = examples_of()
    boolean, integer = random_encoder(dtype=torch.float32), random_encoder(dtype=torch.float32)
    finetune(boolean, train, masks=MASKS, **USUAL)
    try:
        finetune(integer, train, masks={k: m.astype(np.int64) for k, m in MASKS.items()}, **USUAL)
    except InputError:
        return
    for expected, found in zip(boolean.parameters(), integer.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_a_loss_that_is_not_finite_stops_and_names_the_examples():
    train = examples_of()
    poisoned = [ids.copy() for ids in train.input_ids]
    poisoned[7][1] = 2  # a piece that no other example has
    model = random_encoder(dtype=torch.float32)
    with torch.no_grad():
        model.base_model.embeddings.word_embeddings.weight[2] = float("nan")
    with pytest.raises(
        FloatingPointError, match=r"loss nan, gradient norm nan in the batch of examples \[.*'x7'"
    ):
        finetune(model, replace(train, input_ids=tuple(poisoned)), **USUAL)
    for name, parameter in model.named_parameters():  # the step was not taken
        if "word_embeddings" not in name:
            assert parameter.isfinite().all(), name


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights():
    model = random_encoder(dtype=torch.float32)
    model.classifier.weight.register_hook(lambda gradient: gradient * float("inf"))
    train = examples_of(count=4)  # one batch: no later loss would show it
    with pytest.raises(FloatingPointError, match="x"):
        finetune(model, train, **USUAL | {"epochs": 1, "warmup": 0.0})
