"""Stage 1: where every language's fine-tuning starts, and that a killed search does nothing twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from modspec.models.finetuning import finetune
from modspec.models.prediction import predict
from modspec.stages import search, warm_start
from modspec.stages.material import Material, load_material
from modspec.stages.search import search_all
from modspec.subnetworks.masks import load_masks
from modspec.workflow.parameters import SearchParameters

TRAINING = {"batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.0}


def arguments(directory: Path, **options) -> tuple[Material, SearchParameters]:
    """What a stage function is called with."""
    parameters = SearchParameters(
        study_dir=str(directory),
        encoder="tiny",
        train_per_language=24,
        dev_per_language=20,
        test_per_language=20,
        importance_examples=10,
        precision="float32",
        **TRAINING,
        **{"languages": ("en", "de"), **options},
    )
    return load_material(parameters), parameters


@pytest.mark.parametrize("start", [(), ("de",), ("en", "de")])
def test_fine_tuning_starts_where_the_parameters_say(tmp_path, monkeypatch, start):
    """Weights at the end, bit for bit, against the calls that a reader would make."""
    material, parameters = arguments(tmp_path, start_languages=start, start_epochs=2, epochs=1)
    ends = {}

    def gradients(model, sample, mask, **options):
        ends.setdefault(str(sample.languages[0]), {k: v.clone() for k, v in model.state_dict().items()})
        return np.ones((len(sample), *mask.shape))

    monkeypatch.setattr(search, "head_gradients", gradients)
    trajectory = pd.read_parquet(search_all(material, parameters) / "trajectory.parquet")
    train, dev = material.examples["train"], material.examples["dev"]
    for language in ("en", "de"):
        model = material.new_classifier(parameters.seed)
        if start:
            first = train if len(start) == 2 else train.of(*start)
            finetune(model, first, epochs=2, **TRAINING)
        finetune(model, train.of(language), epochs=1, **TRAINING)
        for name, weights in model.state_dict().items():
            assert torch.equal(weights, ends[language][name]), name
        unpruned = trajectory[(trajectory["language"] == language) & (trajectory["step"] == 0)]
        right = predict(model, dev.of(language)) == dev.of(language).labels
        assert unpruned["dev_score"].to_list() == pytest.approx([right.mean()] * len(unpruned))


def test_a_killed_search_makes_its_start_once(tmp_path, monkeypatch):
    trained = []
    whole = search_all(*arguments(tmp_path / "whole", start_languages=("en", "de"), start_epochs=1, epochs=1))

    def killed(model, train, **options):
        trained.append(tuple(dict.fromkeys(train.languages.tolist())))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return finetune(model, train, **options)

    for module in (search, warm_start):
        monkeypatch.setattr(module, "finetune", killed)
    killed_arguments = arguments(tmp_path / "killed", start_languages=("en", "de"), start_epochs=1, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        search_all(*killed_arguments)
    resumed = search_all(*killed_arguments)
    assert [len(languages) for languages in trained] == [2, 1, 1, 1]
    masks, expected = (load_masks(d / "masks.safetensors") for d in (resumed, whole))
    assert masks.keys() == expected.keys()
    assert all(np.array_equal(masks[t], expected[t]) for t in masks)
    assert [path.name for path in resumed.parent.iterdir()] == [resumed.name]


def test_the_others_of_a_pooled_mask_share_out_the_examples_of_an_own_mask(tmp_path, monkeypatch):
    """In parallel tasks the same places are the same items, so an own and a pooled mask read as many."""
    material, parameters = arguments(tmp_path, languages=("en", "de", "fr"), epochs=1)
    own, pooled = {}, []

    def gradients(model, sample, mask, **options):
        language, ids = str(sample.languages[0]), sample.ids.tolist()
        if len(sample) == parameters.importance_examples:
            own[language] = ids
        else:
            pooled.append((language, ids))
        return np.ones((len(sample), *mask.shape))

    monkeypatch.setattr(search, "head_gradients", gradients)
    search_all(material, parameters)
    steps = [pooled[step : step + 2] for step in range(0, len(pooled), 2)]
    others = {"en": ("de", "fr"), "de": ("en", "fr"), "fr": ("en", "de")}
    assert all(step in [[(a, own[a][:5]), (b, own[b][5:])] for a, b in others.values()] for step in steps)
    assert {(a, b) for (a, _), (b, _) in steps} == set(others.values())
