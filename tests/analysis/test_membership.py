"""Shares as sums of weights: against counting, and against the statistics that stage 3 keeps."""

from __future__ import annotations

import numpy as np
import pytest

from modspec.analysis.measurements import measure
from modspec.analysis.membership import Membership
from modspec.errors import InputError
from tests.helpers.attribution import LANGUAGES, study, train_frame


def test_cells_average_masks_of_one_kind_and_pair_examples(tmp_path):
    gains = {("full", "none"): 0, ("full", "own"): 1, ("full", "other_language"): 0, ("full", "random"): 0}
    runs = study(tmp_path, gains, seeds=2, per_language=3)
    membership = Membership([measure(run, (4,)) for run in runs], "k = 4")
    assert membership.languages == list(LANGUAGES)
    assert not membership.has("full", "other_seed") and not membership.has("sft", "own")
    for kind, units in (("random", ["random0-en", "random1-en"]), ("other_language", ["own-de", "own-fr"])):
        cell = membership.cell("full", kind, "en")
        assert cell.weights.shape == (2, 60) and cell.ids == tuple(f"test-en-{i}" for i in range(3))
        for seed, run in enumerate(runs):
            for place, number in enumerate(cell.ids):
                shares = []
                for unit in units:
                    columns = run.of(unit)
                    where = columns[(columns["id"] == number) & (columns["mask_kind"] == kind)].index
                    top = np.argsort(-run.scores(unit)[:, where[0]])[:4]
                    shares.append((run.train["language"].to_numpy()[top] == "en").mean() - 1 / 3)
                assert cell.values[seed, place] == pytest.approx(np.mean(shares), abs=1e-6)
    own = membership.cell("full", "own", "en")
    difference = own.minus(membership.cell("full", "none", "en"))
    assert difference.values.mean() > 0.1


def test_auc_is_in_its_own_units(tmp_path):
    runs = study(tmp_path, {("full", "none"): 1.0}, seeds=1, per_language=100)
    cell = Membership([measure(run) for run in runs], "AUC instead of top k").cell("full", "none", "de")
    # Normal scores a standard deviation apart: P(X > Y) = Phi(1 / sqrt 2) = 0.760.
    assert cell.values.mean() + 0.5 == pytest.approx(0.760, abs=0.02)


def test_auc_within_label_is_mann_whitneys_among_the_examples_of_the_label(tmp_path):
    runs = study(tmp_path, {("full", "none"): 1.0}, seeds=2, per_language=4)
    cell = Membership([measure(run) for run in runs], "AUC within label").cell("full", "none", "fr")
    for seed, run in enumerate(runs):
        columns = run.of("none")
        for place, number in enumerate(cell.ids):
            column = columns.index[columns["id"] == number][0]
            label = run.train["label"] == columns["label"][column]
            scores = run.scores("none")[:, column]
            own, other = (
                scores[label & ((run.train["language"] == "fr") == is_own)] for is_own in (True, False)
            )
            expected = (own[:, None] > other).mean() - 0.5
            assert cell.values[seed, place] == pytest.approx(expected, abs=1e-6)


def test_checkpoints_and_eta_weight_the_sum(tmp_path):
    runs = study(tmp_path, {("full", "none"): 0}, seeds=1, rates=(0.5, 0.25))
    once = runs[0].scores("none", eta="one", checkpoints="last")
    np.testing.assert_allclose(runs[0].scores("none"), 0.75 * once, rtol=1e-6)
    np.testing.assert_allclose(runs[0].scores("none", eta="one"), 2 * once, rtol=1e-6)
    np.testing.assert_allclose(runs[0].scores("none", "dot", checkpoints="last"), 2.5 * once, rtol=1e-6)
    with pytest.raises(InputError, match="unit: 'own-de/cosine/epoch01' is not in"):
        runs[0].scores("own-de")


def test_mean_cross_score_against_plain_means(tmp_path):
    runs = study(tmp_path, {("full", "none"): 1}, seeds=2, per_language=3, train=train_frame(5))
    found = Membership([measure(run) for run in runs]).cell("full", "none", "fr").cross
    for seed, run in enumerate(runs):
        columns = run.of("none")
        other = (run.train["language"] != "fr").to_numpy()
        expected = run.scores("none")[other][:, (columns["language"] == "fr").to_numpy()].mean(axis=0)
        np.testing.assert_allclose(found[seed], expected, rtol=1e-5)
