"""Contrasts: against counting, and against leaving out training items."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.contrasts import accuracy_difference, accuracy_sample, share_sample
from modspec.analysis.items import by_item
from modspec.analysis.measurements import Cell, Setting, StudyRuns, measure
from modspec.terms import CONTRASTS
from tests.helpers.attribution import LANGUAGES, study, train_frame

BY_TEXT = {contrast.text: contrast for contrast in CONTRASTS}
ABOVE_CHANCE, OWN_MASK = BY_TEXT["full, no mask − chance"], BY_TEXT["full: own − no mask"]
ACCURACY = BY_TEXT["accuracy: SFT, own mask − full, no mask"]
GAINS = {("full", "none"): 0.5, ("full", "own"): 1.0}


@pytest.fixture
def runs(tmp_path) -> StudyRuns:
    return StudyRuns([measure(run) for run in study(tmp_path, GAINS, seeds=2, per_language=3)])


def test_a_share_is_the_difference_of_its_cells(runs):
    values, _ = share_sample(runs, OWN_MASK)
    cells = {
        language: runs.difference([("full", "own"), ("full", "none")], language)
        for language in runs.languages
    }
    np.testing.assert_array_equal(values, by_item(cells))
    assert values.mean() > 0 and share_sample(runs, BY_TEXT["SFT, own mask − full, no mask"]) is None


def test_values_are_averaged_over_translations_and_other_items_follow_one_another():
    values = {"en": np.array([[1.0, 2.0]]), "fr": np.array([[3.0, 6.0]])}
    translated = {t: Cell(values[t], 0.0, (f"{t}-a", f"{t}-b")) for t in values}
    others = {t: Cell(values[t], 0.0, (f"{t}-a", f"{t}-{t}")) for t in values}
    assert by_item(translated).tolist() == [[2, 4]]
    assert by_item(others).tolist() == [[1, 2, 3, 6]]


def test_a_training_item_adds_what_the_share_loses_without_it(runs):
    """Leave out each item from the lists as they are: share of t among the rest, (a - a_g) / (1 - b_g)."""
    _, added = share_sample(runs, ABOVE_CHANCE)
    groups = runs.train["group"].to_numpy()
    for number, group in enumerate(dict.fromkeys(groups)):
        expected = 0.0
        for language in runs.languages:
            weights = runs.cell("full", "none", language).weights.mean(axis=0) + 1 / len(groups)
            own, rest = (runs.train["language"] == language).to_numpy(), groups != group
            without = weights[own & rest].sum() / weights[rest].sum()
            expected += (weights[own].sum() - without) * weights[rest].sum() / len(runs.languages)
        assert added[number] == pytest.approx(expected, abs=1e-6)
    assert added.sum() == pytest.approx(0, abs=1e-6)


def test_a_training_item_adds_to_an_auc_what_it_loses_without_it(tmp_path):
    """One test example per language, so that its scores give the AUC without any item exactly."""
    gains = {("full", "none"): 0.1}
    train = train_frame(60, parallel=True)
    (kept,) = study(tmp_path, gains, seeds=1, per_language=1, train=train)
    runs = StudyRuns([measure(kept)])
    _, added = share_sample(runs, ABOVE_CHANCE, Setting("auc"))
    scores, languages = kept.scores("none"), train["language"].to_numpy()
    expected = []
    for group in dict.fromkeys(train["group"]):
        keep = (train["group"] != group).to_numpy()
        aucs = [
            (auc(scores[:, c], languages == t), auc(scores[keep, c], languages[keep] == t))
            for c, t in enumerate(LANGUAGES)
        ]
        expected.append(np.mean([whole - without for whole, without in aucs]))
    assert np.corrcoef(added, expected)[0, 1] > 0.98
    assert np.std(added) == pytest.approx(np.std(expected), rel=0.1)


def auc(scores: np.ndarray, own: np.ndarray) -> float:
    return float((scores[own][:, None] > scores[~own]).mean())


def predictions() -> pd.DataFrame:
    """Two languages, two items, two conditions: right under SFT, except item 1 in French."""
    rows = [
        {
            "condition": condition,
            "seed": seed,
            "language": t,
            "id": f"{t}-{item}",
            "split": "test",
            "label": 1,
        }
        | {"in_force": int((t, item) != ("fr", 1)), "no_mask": 0}
        for condition in ("full", "sft")
        for seed in (0, 1)
        for t in ("en", "fr")
        for item in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_accuracy_is_averaged_over_translations_first():
    values, training = accuracy_sample(predictions(), ACCURACY)
    assert values.tolist() == [[1, 0.5], [1, 0.5]] and training is None
    assert accuracy_sample(predictions().query("condition == 'full'"), ACCURACY) is None


@pytest.mark.parametrize(("own", "mask_language"), [("own", ""), ("language", "en")])
def test_accuracy_under_masks_that_were_scored_is_compared_in_one_model(own: str, mask_language: str):
    rows = [
        ("full", "none", "", 0.70),
        ("full", own, mask_language, 0.66),
        ("full", "language", "fr", 0.50),  # the other language's mask does not count
        ("full", "pooled_others", "", 0.63),
        ("full", "random", "en", 0.40),  # not those that were scored
        ("sft", own, mask_language, 0.90),
    ]
    columns = ["condition", "mask_kind", "mask_language", "accuracy"]
    accuracy = pd.DataFrame(rows, columns=columns).assign(language="en", split="dev", seed=0)
    accuracy = pd.concat([accuracy, accuracy.assign(split="test", accuracy=0.0)])
    assert accuracy_difference(accuracy, OWN_MASK) == pytest.approx(-0.04)
    assert accuracy_difference(accuracy, BY_TEXT["full: own − pooled others' mask"]) == pytest.approx(0.03)
    for text in (
        "full: own − random masks",
        "SFT, own mask − full, own mask",
        "full: own − accuracy-matched random masks",
    ):
        assert np.isnan(accuracy_difference(accuracy, BY_TEXT[text])), text
