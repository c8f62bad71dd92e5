"""Examples that are judged, and likeness of their proponents."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modspec.calibration.templates import HELD_OUT, alike, from_largest_groups, hold_out, judged
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.stages.material import Material
from modspec.workflow.parameters import CalibrationParameters
from tests.helpers.models import random_examples

LANGUAGES = ("de", "en", "fr")
LABELS = ("a", "b", "c")


def examples(split: str, count: int, templates: int = 2) -> Examples:
    """``count`` examples a language: each label has pieces of its own, each template a length."""
    rng = np.random.default_rng([len(split), count])
    rows = []
    for number, language in enumerate(LANGUAGES):
        for i in range(count):
            label, template = i % len(LABELS), i // len(LABELS) % templates
            pieces = rng.integers(10 + 20 * label + 60 * number, 30 + 20 * label + 60 * number, 3 + template)
            group = f"{language}/{label}/{split}{template}"
            rows.append((np.array([0, *pieces, 2]), label, language, f"{language}/{split}{i}", group))
    ids, labels, languages, names, groups = zip(*rows, strict=True)
    return Examples(ids, None, *map(np.array, (labels, languages, names, groups)))


def tiny(**parameters) -> tuple[Material, CalibrationParameters]:
    """Return three languages of 12 training examples each, for the encoder ``tiny``, and parameters."""
    settings = {"encoder": "tiny", "languages": LANGUAGES, "language": "de", "seeds": (0, 1), "epochs": 2}
    settings |= {
        "train_per_language": 12,
        "top_k": 5,
        "judged_per_language": 3,
        "judged_train": 9,
        "learning_rate": 0.001,
    }
    settings |= {"retrainings": 2, "subsets": 6, "resamples": 100, "planted_languages": (2,)}
    settings |= {"planted_seeds": (0, 1)}
    material = Material(
        SimpleNamespace(languages=LANGUAGES, labels=LABELS),
        {"train": examples("train", 12), "dev": examples("dev", 6), "test": examples("test", 6)},
        "tiny",
        np.arange(260),
        torch.device("cpu"),
        torch.float32,
        {"data": "synthetic", "encoder": "tiny"},
    )
    return material, CalibrationParameters(**settings | parameters)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 12), st.integers(0, 99))
def test_at_most_half_of_a_template_is_held_out(groups: list[int], most: int, seed: int) -> None:
    groups = np.array([f"g{g}" for g in groups])
    positions = np.arange(1, len(groups))
    chosen = hold_out(groups, positions, most, np.random.default_rng(seed))
    sizes, taken = Counter(groups[positions]), Counter(groups[chosen])
    assert set(chosen) <= set(positions) and len(set(chosen)) == len(chosen)
    assert len(chosen) == min(most, sum(size // 2 for size in sizes.values()))
    assert all(taken[group] <= size // 2 for group, size in sizes.items())


def test_held_out_examples_are_not_trained_on_but_their_templates_are() -> None:
    material, p = tiny()
    train, evaluation, kinds = judged(material, p)
    held = evaluation.take(np.flatnonzero(kinds == HELD_OUT))
    assert Counter(held.languages) == dict.fromkeys(LANGUAGES, 3)
    assert Counter(evaluation.languages) == dict.fromkeys(LANGUAGES, 6)
    assert {*train.ids, *held.ids} == set(material.examples["train"].ids)
    assert not set(held.ids) & set(train.ids)
    assert set(held.groups) <= set(train.groups)
    new = evaluation.take(np.flatnonzero(kinds != HELD_OUT))
    assert list(new.ids) == [f"{language}/test{i}" for language in LANGUAGES for i in range(3)]
    place = list(evaluation.ids).index("en/test1")
    assert np.array_equal(evaluation.input_ids[place], material.examples["test"].of("en").input_ids[1])


def test_the_largest_templates_are_chosen_and_every_label_alike() -> None:
    groups = np.array(
        [f"{i % 3}/{i // 9 if i < 27 else i}" for i in range(60)]
    )  # three of 3 a label, and singles
    pool = replace(random_examples(60), groups=groups, labels=np.arange(60) % 3)
    chosen = from_largest_groups(pool, np.arange(60), 18, np.random.default_rng(0))
    assert Counter(pool.labels[chosen]) == {0: 6, 1: 6, 2: 6}
    assert set(Counter(groups[chosen]).values()) == {3}
    assert len(from_largest_groups(pool, np.arange(5), 18, np.random.default_rng(0))) == 5


def test_texts_without_two_sentences_of_a_template_are_refused() -> None:
    material, p = tiny()
    train = material.examples["train"]
    material.examples["train"] = replace(train, groups=train.ids)
    with pytest.raises(InputError, match="^sentences: among 36 training examples no two share"):
        judged(material, p)


# Likeness.


def test_likeness_against_plain_counts() -> None:
    train, evaluation = examples("train", 12), examples("train", 8)
    scores = np.random.default_rng(0).standard_normal((2, len(train), len(evaluation)))
    table = alike(scores, train, evaluation).set_index(["measure", "k"])
    assert sorted(set(table.index.get_level_values("k"))) == [1, 2, 5, 10, 20]
    for measure, k in table.index:
        shares, bases, bests = [], [], []
        for j in range(len(evaluation)):
            same = [
                {
                    "template": train.groups[i] == evaluation.groups[j],
                    "intent": train.labels[i] == evaluation.labels[j],
                    "language": train.languages[i] == evaluation.languages[j],
                    "intent, other language": train.labels[i] == evaluation.labels[j]
                    and train.languages[i] != evaluation.languages[j],
                }[measure]
                for i in range(len(train))
            ]
            for seed in range(2):
                top = sorted(range(len(train)), key=lambda i: -scores[seed, i, j])[:k]
                shares.append(sum(same[i] for i in top) / k)
            bases.append(sum(same) / len(train))
            bests.append(min(k, sum(same)) / k)
        row = table.loc[measure, k]
        assert row["value"] == pytest.approx(np.mean(shares))
        assert row["chance"] == pytest.approx(np.mean(bases))
        assert row["best"] == pytest.approx(np.mean(bests))
        assert row["low"] <= row["value"] <= row["high"] and row["examples"] == len(evaluation)


def test_perfect_scores_reach_the_best_and_ties_are_at_chance() -> None:
    train, evaluation = examples("train", 120), examples("train", 30)
    same = (train.groups[:, None] == evaluation.groups).astype(float)
    perfect = alike(same[None], train, evaluation).query("measure == 'template'")
    assert perfect["value"].to_numpy() == pytest.approx(perfect["best"].to_numpy())
    # With ties in the order of the data, all proponents would be of the first language: 1/3 right too,
    # but of the first language's examples all.
    tied = alike(np.zeros((1, 360, 30)), train, evaluation.of("de")).query("measure == 'language'")
    assert tied.set_index("k").loc[100, "value"] == pytest.approx(1 / 3, abs=0.15)
