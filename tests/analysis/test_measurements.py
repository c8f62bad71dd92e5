"""Cells: written and read they are the same, and choices change what they are to change, and that alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.measurements import STUDY, choices, measure, read_measured, write_measured
from modspec.errors import InputError
from modspec.workflow import artifacts
from tests.helpers.attribution import study

GAINS = {("full", "none"): 0.0, ("full", "own"): 1.0, ("full", "inherited"): 0.0, ("full", "random"): 0.5}


def test_what_is_read_is_what_was_written(tmp_path):
    run = study(tmp_path, GAINS, seeds=1, per_language=3)[0]
    measured = measure(run, (3,))
    with artifacts.writing(tmp_path / "kept", {"parameters": run.parameters}) as building:
        write_measured(measured, building)
    read = read_measured(tmp_path / "kept")
    assert (read.condition, read.seed, read.parameters) == ("full", 0, run.parameters)
    assert read.languages == measured.languages
    pd.testing.assert_frame_equal(read.train, measured.train)
    assert {c: set(cells) for c, cells in read.cells.items()} == {
        c: set(cells) for c, cells in measured.cells.items()
    }
    for choice, cells in measured.cells.items():
        for key, cell in cells.items():
            for name in ("values", "weights", "cross"):
                np.testing.assert_array_equal(
                    getattr(read.cells[choice][key], name), getattr(cell, name), strict=True
                )
            assert read.cells[choice][key].ids == cell.ids


def test_values_are_sums_of_weights_and_differences_stay_so(tmp_path):
    run = study(tmp_path, GAINS, seeds=1)[0]
    measured = measure(run)
    for cells in measured.cells.values():
        for (kind, language), cell in cells.items():
            own = (run.train["language"] == language).to_numpy()
            change = cell.minus(cells["none", language])
            for some in (cell, change):
                assert some.weights[:, own].sum() == pytest.approx(some.values.mean(), abs=1e-5), kind
                assert some.weights.sum() == pytest.approx(0, abs=1e-5)


def test_own_masks_are_the_choice_s_and_other_kinds_stay(tmp_path):
    run = study(tmp_path, GAINS, seeds=1)[0]
    cells = measure(run).cells
    exact, inherited = cells[STUDY], cells["masks by inherited importance"]
    assert set(exact) == set(inherited)
    assert exact["own", "de"].values.mean() > inherited["own", "de"].values.mean() + 0.05
    np.testing.assert_array_equal(exact["random", "de"].values, inherited["random", "de"].values)


def test_the_first_training_gradient_is_the_study_s_own(tmp_path):
    run = study(tmp_path, {("sft", "none"): 0.0, ("sft", "own"): 0.0}, seeds=1)[0]
    run.columns.loc[run.columns["mask_kind"] == "own", "train_gradient_mask"] = "own_language"
    assert ("own", "de") not in measure(run).cells[STUDY]
    assert ("own", "de") in measure(run).cells["SFT: own-mask gradients"]
    run.parameters["train_gradient_masks"].reverse()
    assert list(choices(run))[-1] == "SFT: evaluation-mask gradients"
    assert ("own", "de") in measure(run).cells[STUDY]


def test_an_impossible_k_is_refused(tmp_path):
    run = study(tmp_path, {("full", "none"): 0.0}, seeds=1, top_k=61)[0]
    with pytest.raises(InputError, match="top_k: 61; allowed: 1 to 60"):
        measure(run)
    assert "k = 1000" not in choices(run, (1000,))
