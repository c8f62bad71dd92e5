"""Scorers of training examples: their formulas, and what they keep."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from modspec.calibration import scorers
from modspec.calibration.models import trained
from modspec.calibration.scorers import RANDOM, SCORERS, TRACIN, all_scores, bm25, encoder_cosine, tracin
from modspec.calibration.templates import judged, templates
from modspec.influence import influence
from modspec.stages.material import Material
from modspec.workflow.parameters import CalibrationParameters
from tests.calibration.test_templates import examples, tiny

# Scorers.


def test_bm25_is_the_formula() -> None:
    train, evaluation = examples("train", 12), examples("test", 6)
    texts, queries = ([ids[1:-1].tolist() for ids in some.input_ids] for some in (train, evaluation))
    mean = np.mean([len(text) for text in texts])
    holding = Counter(piece for text in texts for piece in set(text))
    expected = np.zeros((len(texts), len(queries)))
    for i, text in enumerate(texts):
        for j, query in enumerate(queries):
            for piece in query:
                count, n = text.count(piece), holding[piece]
                rarity = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
                expected[i, j] += rarity * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(text) / mean))
    assert (expected > 0).any()
    np.testing.assert_allclose(bm25(train, evaluation), expected, rtol=1e-5, atol=1e-6)


def test_encoder_cosine_is_that_of_means_over_each_text_alone() -> None:
    material, p = tiny()
    train, evaluation = examples("train", 12), examples("test", 6)
    model = material.new_classifier(0)

    def mean(ids: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            return model.base_model(torch.from_numpy(ids)[None]).last_hidden_state[0].mean(0)

    found = encoder_cosine(material, train, evaluation)
    assert found.shape == (36, 18)
    for i, j in ((0, 0), (5, 17), (35, 3)):
        pair = mean(train.input_ids[i]), mean(evaluation.input_ids[j])
        assert found[i, j] == pytest.approx(float(torch.cosine_similarity(*pair, dim=0)), abs=1e-5)


def test_tracin_sums_checkpoints_as_they_were_in_training() -> None:
    material, p = tiny()
    train, evaluation, _ = judged(material, p)
    live = []

    def score(model, epoch) -> None:
        scores = influence(model, train, evaluation, by_part=True)
        assert scores.parts[-1].part == "classifier"
        live.append((epoch.learning_rate, scores.cosine, scores.dot, scores.dot_by_part[-1]))

    trained(material, p, train, 1, after_epoch=score)
    found = tracin(material, p, train, evaluation, 1)
    assert tuple(sorted(found)) == tuple(sorted(TRACIN)) and len(live) == 2

    def close(name: str, expected: np.ndarray) -> None:
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())

    close("cosine, all checkpoints", sum(rate * cosine for rate, cosine, *_ in live))
    close("dot, all checkpoints", sum(rate * dot for rate, _, dot, _ in live))
    close("dot, classifier alone", sum(rate * dot for rate, *_, dot in live))
    close("cosine, last checkpoint", live[-1][0] * live[-1][1])
    assert np.abs(found["cosine, classifier alone"]).max() <= sum(rate for rate, *_ in live) * 1.0001


# Artefacts.


def count_trainings(monkeypatch: pytest.MonkeyPatch, *modules) -> list[int]:
    """The seeds of every training to come; the one numbered ``scorers.trained.stop_at`` is killed."""
    seeds: list[int] = []

    def counted(material, p, train, seed, *rest, **named):
        seeds.append(seed)
        if len(seeds) == counted.stop_at:
            raise KeyboardInterrupt
        return trained(material, p, train, seed, *rest, **named)

    counted.stop_at = 0
    for module in (scorers, *modules):
        monkeypatch.setattr(module, "trained", counted)
    return seeds


def scores_of(material: Material, p: CalibrationParameters, directory: Path) -> dict[str, np.ndarray]:
    train, evaluation, _ = judged(material, p)
    return all_scores(material, p, train, evaluation, directory)


def test_scores_resume_seed_by_seed_and_are_made_once(tmp_path, monkeypatch) -> None:
    material, p = tiny()
    seeds = count_trainings(monkeypatch)
    scorers.trained.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        scores_of(material, p, tmp_path)
    assert seeds == [0, 1]
    scorers.trained.stop_at = 0
    scores = scores_of(material, p, tmp_path)
    assert seeds == [0, 1, 1] and set(scores) == set(SCORERS)
    for name, values in scores.items():
        assert values.shape == (2 if name in TRACIN else 1, 27, 18) and np.isfinite(values).all()
    assert not np.array_equal(*scores["cosine, all checkpoints"])
    table = templates(material, p, tmp_path)
    assert set(table["score"]) == set(SCORERS) and (table["examples"] == 9).all()
    assert seeds == [0, 1, 1]
    # A further seed leaves the others as they are.
    more = scores_of(*tiny(seeds=(0, 1, 2)), tmp_path)
    assert seeds == [0, 1, 1, 2]
    assert np.array_equal(more[TRACIN[0]][:2], scores[TRACIN[0]])
    assert np.array_equal(more[RANDOM], scores[RANDOM])
    # Other training is other scores.
    scores_of(*tiny(epochs=1), tmp_path)
    assert seeds == [0, 1, 1, 2, 0, 1]
