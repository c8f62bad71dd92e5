"""Contrasts: against counting, against leaving out training items, and their pooled verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.contrasts import (
    POOLED,
    accuracy_sample,
    by_item,
    contrast_table,
    samples_of,
    share_sample,
)
from modspec.analysis.measurements import Cell, StudyRuns, measure
from modspec.terms import CONTRASTS
from tests.helpers.attribution import study

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


def test_only_contrasts_that_a_study_can_show_are_in_its_table(runs):
    samples = samples_of(runs, predictions())
    assert [c.text for c in samples][:2] == [ABOVE_CHANCE.text, OWN_MASK.text]
    table = contrast_table({"a": samples}, pool=())
    assert set(table["study"]) == {"a"} and len(table) == len(samples)
    row = table[table["contrast"] == OWN_MASK.text].iloc[0]
    assert row["value"] == pytest.approx(samples[OWN_MASK][0].mean()) and row["differs_in"]


def test_only_a_contrast_that_differs_in_nothing_else_supports_its_question():
    large = np.random.default_rng(0).normal(0.1, 0.01, (3, 40))
    table = contrast_table({"a": {ABOVE_CHANCE: (large, None), OWN_MASK: (large, None)}}, pool=())
    assert table["verdict"].tolist() == ["supported", "rises"]


def test_tasks_are_equivalent_together_only_where_each_is():
    rng = np.random.default_rng(0)
    small = rng.normal(0, 0.001, (3, 40))
    wide = small + np.array([[-0.004], [0.0], [0.004]])
    table = contrast_table({"a": {OWN_MASK: (small, None)}, "b": {OWN_MASK: (wide, None)}}, pool=("a", "b"))
    verdicts = dict(zip(table["study"], table["verdict"], strict=True))
    pooled = table[table["study"] == POOLED].iloc[0]
    assert max(-pooled["low"], pooled["high"]) < 0.01  # inside the margin
    assert verdicts == {"a": "equivalent", "b": "undecided", POOLED: "undecided"}
    assert pooled["value"] == pytest.approx((small.mean() + wide.mean()) / 2) and pooled["examples"] == 80
