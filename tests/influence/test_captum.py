"""The same scores from captum's TracInCP, which shares no code with ours."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.influence import TracInCP
from torch import nn
from torch.utils.data import Dataset

from modspec.data.examples import Examples, collate
from modspec.influence import Checkpoint, influence
from tests.helpers.models import KINDS, random_encoder, random_examples
from tests.helpers.references import FLOAT32


class Rows(Dataset):
    """Examples of one length, as captum wants them: inputs, then the label."""

    def __init__(self, examples: Examples, pad: int) -> None:
        self.ids = collate(examples, np.arange(len(examples)), pad)["input_ids"]
        self.labels = torch.from_numpy(examples.labels)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.ids[i], self.labels[i]


class Logits(nn.Module):
    """The classifier as a function of piece ids alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.mark.parametrize("kind", KINDS)
def test_equals_captum_over_two_checkpoints(kind, tmp_path: Path):
    model = random_encoder(kind).eval()
    train, evaluation = (random_examples(n, seed=n, lengths=(6, 6)) for n in (7, 4))
    states = [copy.deepcopy(random_encoder(kind, seed=s).state_dict()) for s in (1, 2)]
    rates = {str(tmp_path / f"{i}.safetensors"): rate for i, rate in enumerate((0.5, 0.25))}

    def load(wrapped: nn.Module, name: str) -> float:
        wrapped.model.load_state_dict(states[list(rates).index(name)])
        return rates[name]

    pad = model.config.pad_token_id
    peer = TracInCP(
        Logits(model),
        Rows(train, pad),
        list(rates),
        load,
        loss_fn=nn.CrossEntropyLoss(reduction="none"),
        batch_size=3,
    )
    rows = Rows(evaluation, pad)
    expected = peer.influence((rows.ids, rows.labels)).T.numpy()
    checkpoints = [
        Checkpoint(lambda m, s=state: m.load_state_dict(s), rate)
        for state, rate in zip(states, rates.values(), strict=True)
    ]
    scores = influence(model, train, evaluation, checkpoints=checkpoints)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(scores.dot, expected, rtol=0, atol=2 * FLOAT32 * np.abs(expected).max())
