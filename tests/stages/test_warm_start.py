"""Stage 2 goes on from the start that its parameters name, under every condition alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modspec.errors import InputError
from modspec.models.finetuning import finetune
from modspec.stages import warm_start
from modspec.stages.finetuning import keep_checkpoints
from modspec.stages.material import load_checkpoint, load_material
from modspec.subnetworks.masks import save_masks
from modspec.workflow import artifacts
from modspec.workflow.parameters import FinetuningParameters, SearchParameters
from modspec.workflow.paths import checkpoint_file, search_dir

TRAINING = {"batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.01}


@pytest.mark.parametrize("condition", ["full", "sft"])
def test_fine_tuning_goes_on_from_the_start(tmp_path, condition):
    """Bit for bit what the two calls give that a reader would make; the start has no masks."""
    p = FinetuningParameters(
        study_dir=str(tmp_path),
        encoder="tiny",
        languages=("en", "de", "fr"),
        train_per_language=24,
        dev_per_language=20,
        test_per_language=20,
        condition=condition,
        start_languages=("de", "en"),
        start_epochs=2,
        epochs=1,
        precision="float32",
        **TRAINING,
    )
    material = load_material(p)
    expected, found = (material.new_classifier(p.seed) for _ in range(2))
    grid = (expected.config.num_hidden_layers, expected.config.num_attention_heads)
    masks = {t: np.random.default_rng(i).random(grid) < 0.5 for i, t in enumerate(p.languages)}
    with artifacts.writing(search_dir(p, p.seed), {}) as building:
        save_masks(building / "masks.safetensors", masks)

    train = material.examples["train"]
    first = np.flatnonzero(train.languages != "fr")
    finetune(expected, train.take(first), epochs=2, **TRAINING)
    finetune(expected, train, epochs=1, masks=None if condition == "full" else masks, **TRAINING)
    load_checkpoint(found, keep_checkpoints(material, p, masks) / checkpoint_file(1))
    for name, weights in expected.state_dict().items():
        assert torch.equal(weights, found.state_dict()[name]), name


def test_what_starts_alike_shares_a_start(tmp_path, monkeypatch):
    """The search, all conditions, whatever their epochs; not another seed, learning rate or start."""
    made = []

    def counted(*arguments, **options):
        made.append(options)
        return finetune(*arguments, **options)

    monkeypatch.setattr(warm_start, "finetune", counted)
    data = {"study_dir": str(tmp_path), "encoder": "tiny", "languages": ("en", "de"), "precision": "float32"}
    data |= {"train_per_language": 24, "dev_per_language": 20, "test_per_language": 20}
    alike = data | TRAINING | {"start_languages": ("en",), "start_epochs": 1}
    search = SearchParameters(**alike, epochs=2, importance_examples=10)

    def started(parameters):
        return warm_start.started_classifier(load_material(parameters), parameters).state_dict()

    first = started(search)
    for condition in ("full", "sft"):
        again = started(FinetuningParameters(**alike, condition=condition))
        assert all(torch.equal(weights, first[name]) for name, weights in again.items())
    assert len(made) == 1
    for other in ({"seed": 1}, {"learning_rate": 2e-2}, {"start_epochs": 2}, {"start_languages": ("de",)}):
        weights = started(FinetuningParameters(**alike | other))
        assert not all(torch.equal(weights[name], first[name]) for name in first)
    assert len(made) == 5


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        (["ko"], "start_languages: 'ko'; allowed: some of en, de"),
        (["en", "en"], r"start_languages: \['en', 'en'\]; allowed: each value once"),
    ],
)
def test_a_start_that_is_not_in_the_study_is_refused(languages, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        SearchParameters(languages=["en", "de"], start_languages=languages)
