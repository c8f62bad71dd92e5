"""Leaving a language out: what is left out, that it is what is trained, and truths that were planted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from modspec.data.examples import Examples
from modspec.data.tasks import Task
from modspec.models.finetuning import finetune
from modspec.models.prediction import logits, margins
from modspec.stages import leave_one_out as module
from modspec.stages.leave_one_out import left_out_positions
from modspec.stages.material import Material
from modspec.subnetworks.masks import save_masks
from modspec.terms import RANDOM_PART
from modspec.workflow import artifacts
from modspec.workflow.parameters import LeaveOneOutParameters
from modspec.workflow.paths import checkpoints_dir, pieces_dir, search_dir
from tests.helpers.models import random_examples

LANGUAGES = ("A", "B", "C")
TRAINING = {"batch_size": 16, "learning_rate": 1e-2, "weight_decay": 0.01}


def sentences(labels: dict[str, tuple[int, ...]], items: int, seed: int) -> Examples:
    """Sentences whose label is one of their pieces; languages share these pieces, and have a piece of their
    own. ``labels``: of each language's sentences, in turn; ``items``: sentences per language."""
    rng = np.random.default_rng(seed)
    rows = []
    for language, of_language in labels.items():
        for item in range(items):
            label = of_language[item % len(of_language)]
            pieces = np.append(rng.integers(40, 60, 4), 20 + label)
            text = [0, 10 + LANGUAGES.index(language), *rng.permutation(pieces), 2]
            rows.append((np.array(text), label, language, f"{language}-{item}", f"g{item}"))
    texts, *columns = zip(*rows, strict=True)
    return Examples(texts, None, *map(np.array, columns))


def study(
    directory: Path, labels: dict[str, tuple[int, ...]], **options
) -> tuple[Material, LeaveOneOutParameters]:
    """What the stage is called with, after a search that kept half of the heads."""
    p = LeaveOneOutParameters(
        study_dir=str(directory), languages=LANGUAGES, encoder="tiny", **TRAINING | {"epochs": 4} | options
    )
    everywhere = dict.fromkeys(LANGUAGES, (0, 1, 2))
    splits = {
        "train": sentences(labels, 48, p.seed),
        "dev": sentences(everywhere, 3, 98),
        "test": sentences(everywhere, 24, 99),
    }
    task = Task(LANGUAGES, ("x", "y", "z"), DatasetDict(), "planted", "", pd.DataFrame())
    fingerprints = {"data": str(sorted(labels.items())), "encoder": "tiny"}
    device = torch.device("cpu")
    material = Material(task, splits, "tiny", np.arange(260), device, torch.float32, fingerprints)
    masks = {t: np.random.default_rng(i).random((3, 4)) < 0.7 for i, t in enumerate(LANGUAGES)}
    with artifacts.writing(search_dir(p, p.seed), fingerprints) as building:
        save_masks(building / "masks.safetensors", masks)
    return material, p


def lost(directory: Path, labels: dict[str, tuple[int, ...]], **options) -> pd.DataFrame:
    """The table of a run, with the lost margin."""
    table = pd.read_parquet(module.leave_one_out(*study(directory, labels, **options)) / "margins.parquet")
    return table.assign(lost=table["margin_all"] - table["margin"])


# What is left out.


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 80), st.booleans(), st.integers(0, 99))
def test_a_random_part_is_of_whole_groups_and_as_large_as_a_language(
    items: int, parallel: bool, seed: int
) -> None:
    if parallel:
        train = sentences(dict.fromkeys(LANGUAGES, (0, 1, 2)), items, seed)
    else:  # groups of several sentences, each of one language and label
        train = random_examples(items, seed=seed, languages=LANGUAGES)
        names = [
            f"{t}{label}{i % 4}"
            for i, (t, label) in enumerate(zip(train.languages, train.labels, strict=True))
        ]
        train = Examples(
            *(getattr(train, f) for f in train.__dataclass_fields__ if f != "groups"), np.array(names)
        )
    chosen = left_out_positions(train, RANDOM_PART, seed)
    gone = train.take(chosen)
    kept = train.take(np.setdiff1d(np.arange(len(train)), chosen))
    assert not set(gone.groups) & set(kept.groups)
    sizes = np.unique(train.groups, return_counts=True)[1]
    assert abs(len(gone) - len(train) / 3) <= sizes.max() / 2
    for language in LANGUAGES if parallel else ():
        assert (gone.languages == language).sum() == len(gone) / 3
    for label in range(3 if parallel else 0):
        assert abs((gone.labels == label).sum() - (train.labels == label).sum() / 3) <= 6


def test_a_random_part_depends_on_the_seed_and_every_group_may_go() -> None:
    train = sentences(dict.fromkeys(LANGUAGES, (0, 1, 2)), 30, 0)
    draws = [set(train.groups[left_out_positions(train, RANDOM_PART, seed)]) for seed in range(20)]
    assert draws[0] == set(train.groups[left_out_positions(train, RANDOM_PART, 0)]) != draws[1]
    assert set().union(*draws) == set(train.groups)


@pytest.mark.parametrize("condition", ["full", "sft"])
@pytest.mark.parametrize("start", [(), ("A",), ("A", "B")])
def test_what_is_left_out_is_in_no_training(tmp_path: Path, condition: str, start: tuple[str, ...]) -> None:
    """Margins are, bit for bit, those of the calls that a reader would make; so is a warm start without A."""
    everywhere = dict.fromkeys(LANGUAGES, (0, 1, 2))
    options = {"condition": condition, "start_languages": start, "start_epochs": 1, "epochs": 1}
    material, p = study(tmp_path, everywhere, **options)
    masks = module.masks_in_force(material, p, condition, p.seed) if condition == "sft" else None
    found = pd.read_parquet(module.train_without(material, p, "A", masks) / "margins.parquet")

    train, test = material.examples["train"], material.examples["test"]
    model = material.new_classifier(p.seed)
    if "B" in start:
        finetune(model, train.of("B"), epochs=1, **TRAINING)
    finetune(model, train.take(np.flatnonzero(train.languages != "A")), epochs=1, masks=masks, **TRAINING)
    for language in LANGUAGES:
        of_language, rows = test.of(language), found[found["language"] == language]
        outputs = logits(model, of_language, masks and masks[language])
        assert rows["id"].tolist() == of_language.ids.tolist()
        np.testing.assert_array_equal(rows["margin"], margins(outputs, of_language.labels))
        np.testing.assert_array_equal(rows["prediction"], outputs.argmax(-1))


# The artefact.


def test_a_killed_run_trains_nothing_twice_and_reuses_stage_two(tmp_path: Path, monkeypatch) -> None:
    material, p = study(tmp_path, dict.fromkeys(LANGUAGES, (0, 1, 2)), epochs=1)
    trained: list[int] = []

    def counted(model, train, **options):
        trained.append(len(train))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return finetune(model, train, **options)

    monkeypatch.setattr(module, "finetune", counted)
    with pytest.raises(KeyboardInterrupt):
        module.leave_one_out(material, p)
    weights = checkpoints_dir(p, "full", p.seed) / "manifest.json"
    made = weights.stat().st_mtime_ns
    directory = module.leave_one_out(material, p)
    assert trained == [2 * 48] * 5 and weights.stat().st_mtime_ns == made
    assert not pieces_dir(directory).exists()
    whole = module.leave_one_out(*study(tmp_path / "whole", dict.fromkeys(LANGUAGES, (0, 1, 2)), epochs=1))
    tables = [pd.read_parquet(found / "margins.parquet") for found in (directory, whole)]
    pd.testing.assert_frame_equal(*tables)
    members = pd.read_parquet(directory / "left_out.parquet")
    assert members.groupby("left_out").size().to_dict() == dict.fromkeys((*LANGUAGES, RANDOM_PART), 48)
    table = tables[0]
    assert table.groupby("left_out", sort=False).size().to_dict() == dict.fromkeys(
        (*LANGUAGES, RANDOM_PART), 72
    )
    assert table.groupby("id")["margin_all"].nunique().eq(1).all()
    assert module.leave_one_out(material, p) == directory and len(trained) == 9
    # Nothing is trained for an artefact that outlived the weights, as a restored one does.
    shutil.rmtree(weights.parent)
    assert module.leave_one_out(material, p) == directory and len(trained) == 9
    assert not weights.exists()


# Planted truths: A and C have two of three labels.
ONLY_B = {"A": (0, 1), "B": (0, 1, 2), "C": (0, 1)}
ALIKE = dict.fromkeys(LANGUAGES, (0, 1, 2))


@pytest.mark.parametrize("condition", ["full", "sft"])
def test_the_language_that_alone_teaches_a_label_costs_most(tmp_path: Path, condition: str) -> None:
    table = lost(tmp_path, ONLY_B, condition=condition)
    cost = table[(table["language"] == "A") & (table["label"] == 2)].pivot(
        index="id", columns="left_out", values="lost"
    )
    for other in ("C", "A", RANDOM_PART):
        difference = cost["B"] - cost[other]
        assert ttest_1samp(difference, 0, alternative="greater").pvalue < 1e-4, other
    # B alone teaches nothing of the other labels: there, leaving it out costs A's items much less.
    taught = table[(table["language"] == "A") & (table["label"] != 2) & (table["left_out"] == "B")]
    assert taught["lost"].mean() < cost["B"].mean() - 0.5


def test_languages_that_teach_the_same_cost_the_same(tmp_path: Path) -> None:
    """B's cost less C's, for A's items of the third label, over seeds: a difference where it was planted, and
    otherwise one that is compatible with zero."""
    found = {}
    for name, labels in (("planted", ONLY_B), ("alike", ALIKE)):
        differences = []
        for seed in range(4):
            material, p = study(tmp_path / f"{name}{seed}", labels, seed=seed)
            pieces = (module.train_without(material, p, t, None) / "margins.parquet" for t in ("B", "C"))
            tables = (pd.read_parquet(piece).query("language == 'A' and label == 2") for piece in pieces)
            without_b, without_c = (table["margin"].mean() for table in tables)
            differences.append(without_c - without_b)
        found[name] = ttest_1samp(differences, 0)
    assert found["planted"].pvalue < 0.01 and found["planted"].statistic > 0
    assert found["alike"].pvalue > 0.05 and abs(found["alike"].statistic) < found["planted"].statistic / 3
