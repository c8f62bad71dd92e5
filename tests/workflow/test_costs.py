"""What a study costs, by estimate: every preset has one, and its parts are counted right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

from modspec.workflow import costs
from modspec.workflow.costs import ENCODERS, Encoder, encoder_shape, estimate, summary
from modspec.workflow.parameters import FinetuningParameters
from modspec.workflow.paths import project_root
from modspec.workflow.presets import PRESETS, resolve

NAMES = sorted(path.stem for path in (project_root() / PRESETS).glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_has_an_estimate(name: str) -> None:
    study = resolve({"preset": name})
    found = estimate(study)
    assert list(found["stage"]) == ["search", "finetuning", "influence"]
    runs = len(study.seeds) * len(study.conditions)
    assert list(found["jobs"]) == [len(study.seeds), runs, runs]
    numbers = found.drop(columns="stage").to_numpy(dtype=float)
    assert np.isfinite(numbers).all() and (found["gpu_hours"] < found["core_hours"]).all()
    assert summary(study).count("\n") == 5 and name in summary(study)


def test_twice_the_seeds_cost_twice_and_longer_training_only_where_it_is() -> None:
    once, twice = (estimate(resolve({"preset": "xnli", "seeds": s})) for s in ([0, 1], [0, 1, 2, 3]))
    for column in ("operations", "core_hours", "disk_gib", "jobs"):
        assert twice[column].to_numpy() == pytest.approx(2 * once[column].to_numpy()), column
    longer = estimate(resolve({"preset": "xnli", "seeds": [0, 1], "finetuning": {"epochs": 4}}))
    ratio = longer["operations"] / once["operations"]
    assert ratio[[0, 2]].tolist() == [1, 1] and 1.3 < ratio[1] < 2  # predictions cost the same
    start = {"start_languages": ["en", "de", "fr", "ru", "es"], "start_epochs": 4}
    started = estimate(resolve({"preset": "xnli", "seeds": [0, 1], "search": start}))
    ratio = started["operations"] / once["operations"]
    assert 1.3 < ratio[0] < 2  # as many epochs again; pruning as before
    assert ratio[1] == 1
    both = estimate(resolve({"preset": "xnli", "seeds": [0, 1], "search": start, "finetuning": start}))
    pd.testing.assert_frame_equal(both, started)  # the search has made it
    alone = estimate(resolve({"preset": "xnli", "seeds": [0, 1], "finetuning": start}))
    ratio = alone["operations"] / once["operations"]
    # Of three conditions one makes it, with three times the epochs: what two more cost all three above.
    assert ratio[1] - 1 == pytest.approx(2 * ((longer["operations"] / once["operations"])[1] - 1) / 3)
    assert ratio[0] == 1
    assert ratio[2] == 1


def test_training_is_what_torch_multiplies() -> None:
    """Three times the forward pass, to the last layer's tokens that lead nowhere: 12 layers, 7 % at most."""
    shape = Encoder(12, 24, 96)
    config = BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=96,
        num_labels=3,
        attn_implementation="eager",
    )
    model = BertForSequenceClassification(config)
    p = FinetuningParameters(task="local", max_length=40)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.ones(1, 40, dtype=torch.int64)).logits.sum().backward()
    assert 3 * costs._forward(shape, p) == pytest.approx(counter.get_total_flops(), rel=0.07)
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    rows = (costs.OTHER_TEXTS + 40) * 24
    assert costs._parameters(shape, p) == pytest.approx(linear + rows)


def test_shapes_come_from_a_local_config_and_unknown_ones_are_said_to_be(tmp_path: Path) -> None:
    sizes = {"num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    assert encoder_shape(str(tmp_path)) == Encoder(2, 8, 16)
    assert encoder_shape("e5-small") == ENCODERS["e5-small"]
    assert encoder_shape("nobody/nothing") is None
    study = resolve({"preset": "embedded", "encoder": "nobody/nothing"})
    assert estimate(study) is None and "no estimate of its cost" in summary(study)
