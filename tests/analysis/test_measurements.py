"""A study's measurements: against counting; written and read they are the same; settings change what they
should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from modspec.analysis.measurements import (
    DEFAULT,
    Setting,
    StudyRuns,
    measure,
    read_measured,
    write_measured,
)
from modspec.analysis.scores import KeptScores
from modspec.errors import InputError
from modspec.workflow import artifacts
from tests.helpers.attribution import LANGUAGES, study, train_frame

GAINS = {("full", "none"): 0.0, ("full", "own"): 1.0, ("full", "inherited"): 0.0, ("full", "random"): 0.5}


def measured(runs: list[KeptScores], *top_ks: int) -> StudyRuns:
    return StudyRuns([measure(run, top_ks) for run in runs])


def test_cells_average_masks_of_one_kind_and_pair_examples(tmp_path):
    gains = {("full", "none"): 0, ("full", "own"): 1, ("full", "other_language"): 0, ("full", "random"): 0}
    runs = study(tmp_path, gains, seeds=2, per_language=3)
    setting, stacked = Setting(top_k=4), measured(runs, 4)
    assert stacked.languages == list(LANGUAGES)
    assert not stacked.has("full", "other_seed", setting) and not stacked.has("sft", "own", setting)
    for kind, passes in (("random", ["random0-en", "random1-en"]), ("other_language", ["own-de", "own-fr"])):
        cell = stacked.cell("full", kind, "en", setting)
        assert cell.weights.shape == (2, 60) and cell.ids == tuple(f"test-en-{i}" for i in range(3))
        for seed, run in enumerate(runs):
            for place, number in enumerate(cell.ids):
                shares = []
                for name in passes:
                    columns = run.columns_of(name)
                    where = columns[(columns["id"] == number) & (columns["mask_kind"] == kind)].index
                    top = np.argsort(-run.scores(name)[:, where[0]])[:4]
                    shares.append((run.train["language"].to_numpy()[top] == "en").mean() - 1 / 3)
                assert cell.values[seed, place] == pytest.approx(np.mean(shares), abs=1e-12)
    own = stacked.cell("full", "own", "en", setting)
    difference = own.minus(stacked.cell("full", "none", "en", setting))
    assert difference.values.mean() > 0.1


def test_auc_is_in_its_own_units(tmp_path):
    runs = study(tmp_path, {("full", "none"): 1.0}, seeds=1, per_language=100)
    cell = measured(runs).cell("full", "none", "de", Setting(measure="auc"))
    # Normal scores a standard deviation apart: P(X > Y) = Phi(1 / sqrt 2) = 0.760.
    assert cell.values.mean() + 0.5 == pytest.approx(0.760, abs=0.02)


def test_auc_within_label_is_mann_whitneys_among_the_examples_of_the_label(tmp_path):
    runs = study(tmp_path, {("full", "none"): 1.0}, seeds=2, per_language=4)
    cell = measured(runs).cell("full", "none", "fr", Setting(measure="label_auc"))
    for seed, run in enumerate(runs):
        columns = run.columns_of("none")
        for place, number in enumerate(cell.ids):
            column = columns.index[columns["id"] == number][0]
            label = run.train["label"] == columns["label"][column]
            scores = run.scores("none")[:, column]
            own, other = (
                scores[label & ((run.train["language"] == "fr") == is_own)] for is_own in (True, False)
            )
            expected = (own[:, None] > other).mean() - 0.5
            assert cell.values[seed, place] == pytest.approx(expected, abs=1e-12)


def test_auc_within_a_label_of_no_pairs_is_at_chance(tmp_path):
    run = study(tmp_path, {("full", "none"): 1.0}, seeds=1, per_language=2)[0]
    run.columns.loc[run.columns["id"] == "test-de-0", "label"] = "maybe"
    cell = measured([run]).cell("full", "none", "de", Setting(measure="label_auc"))
    assert cell.values.shape == (1, 2) and cell.values[0, 0] == 0 != cell.values[0, 1]


def test_checkpoints_and_their_weights_weight_the_sum(tmp_path):
    runs = study(tmp_path, {("full", "none"): 0}, seeds=1, rates=(0.5, 0.25))
    once = runs[0].scores("none", checkpoint_weights="one", checkpoints="last")
    np.testing.assert_allclose(runs[0].scores("none"), 0.75 * once, rtol=1e-6)
    np.testing.assert_allclose(runs[0].scores("none", checkpoint_weights="one"), 2 * once, rtol=1e-6)
    np.testing.assert_allclose(runs[0].scores("none", "dot", checkpoints="last"), 2.5 * once, rtol=1e-6)


def test_what_is_read_is_what_was_written(tmp_path):
    run = study(tmp_path, GAINS, seeds=1, per_language=3)[0]
    before = measure(run, (3,))
    with artifacts.writing(tmp_path / "kept", {"parameters": run.parameters}) as building:
        write_measured(before, building)
    read = read_measured(tmp_path / "kept")
    assert read.parameters == run.parameters
    pd.testing.assert_frame_equal(read.train, before.train)
    pd.testing.assert_frame_equal(read.statistics, before.statistics, check_exact=True)
    pd.testing.assert_frame_equal(
        read.weights.drop(columns="weights"), before.weights.drop(columns="weights")
    )
    for kept, written in zip(read.weights["weights"], before.weights["weights"], strict=True):
        np.testing.assert_array_equal(kept, written, strict=True)
    again, stacked = StudyRuns([read]), StudyRuns([before])
    assert again.languages == stacked.languages and again.settings() == stacked.settings()
    for setting in stacked.settings():
        for kind in ("none", "own", "random"):
            for language in LANGUAGES:
                cells = [runs.cell("full", kind, language, setting) for runs in (again, stacked)]
                for name in ("values", "weights"):
                    np.testing.assert_array_equal(*(getattr(cell, name) for cell in cells), strict=True)
                assert cells[0].ids == cells[1].ids


@hypothesis_settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 999), per_language=st.integers(1, 6), top_k=st.integers(1, 12))
def test_statistics_and_weights_agree_under_every_setting(tmp_path_factory, seed, per_language, top_k):
    """The two ways of computing a share: counting, example by example; and summing mean weights of training
    examples. Differences of shares are differences of weights too."""
    directory, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(seed)
    train = train_frame(7).sample(frac=0.8, random_state=seed, ignore_index=True)
    train.loc[: len(LANGUAGES) - 1, "language"] = LANGUAGES
    gains = GAINS | {("sft", "none"): rng.normal(), ("sft", "own"): rng.normal()}
    options = {"train": train, "top_k": top_k, "rates": (0.5, 0.1)}
    runs = measured(study(directory, gains, seeds=1, per_language=per_language, **options), 2)
    compared = 0
    for setting in runs.settings():
        for condition, kind in gains:
            if kind == "inherited" or not runs.has(condition, kind, setting):
                continue
            for language in LANGUAGES:
                in_language = (runs.train["language"] == language).to_numpy()
                cell = runs.cell(condition, kind, language, setting)
                change = runs.difference([(condition, kind), (condition, "none")], language, setting)
                for part in (cell, change):
                    sums = part.weights[:, in_language].sum(axis=1)
                    np.testing.assert_allclose(sums, part.values.mean(axis=1), atol=1e-5)
                    np.testing.assert_allclose(part.weights.sum(axis=1), 0, atol=1e-5)
                compared += 1
    assert compared > 100


def test_settings_are_the_study_s_and_every_single_departure(tmp_path):
    runs = study(tmp_path, GAINS | {("sft", "none"): 0.0, ("sft", "own"): 0.0}, seeds=1, rates=(0.5, 0.1))
    departures = [
        Setting(top_k=3),
        Setting(measure="auc"),
        Setting(measure="label_auc"),
        Setting(measure="opponents"),
        Setting(score="dot"),
        Setting(checkpoints="last"),
        Setting(checkpoint_weights="one"),
    ]
    full = [run for run in runs if run.parameters["condition"] == "full"]
    sparse = [run for run in runs if run.parameters["condition"] == "sft"]
    assert measured(full, 3, 6, 1000).settings() == [DEFAULT, *departures, Setting(own_mask="inherited")]
    own_gradients = Setting(train_gradient_mask="own_language")
    assert measured(sparse).settings() == [DEFAULT, *departures[1:], own_gradients]
    both = [DEFAULT, *departures, Setting(own_mask="inherited"), own_gradients]
    assert measured(runs, 3, 6, 1000).settings() == both
    once = study(tmp_path / "once", {("full", "none"): 0.0}, seeds=1)
    assert measured(once).settings() == [DEFAULT, *departures[1:5]]


def test_own_masks_are_the_setting_s_and_other_kinds_stay(tmp_path):
    runs = measured(study(tmp_path, GAINS, seeds=1))
    inherited = Setting(own_mask="inherited")
    own, other = (runs.cell("full", "own", "de", setting).values for setting in (DEFAULT, inherited))
    assert own.mean() > other.mean() + 0.05
    for kind in ("none", "random"):
        same = (runs.cell("full", kind, "de", setting).values for setting in (DEFAULT, inherited))
        np.testing.assert_array_equal(*same)


def test_the_first_training_gradient_is_the_study_s_own(tmp_path):
    run = study(tmp_path, {("sft", "none"): 0.0, ("sft", "own"): 0.0}, seeds=1)[0]
    run.columns.loc[run.columns["mask_kind"] == "own", "train_gradient_mask"] = "own_language"
    runs = measured([run])
    assert not runs.has("sft", "own") and runs.has("sft", "none")
    assert runs.has("sft", "own", Setting(train_gradient_mask="own_language"))
    run.parameters["train_gradient_masks"].reverse()
    runs = measured([run])
    assert runs.settings()[-1] == Setting(train_gradient_mask="test_example")
    assert runs.has("sft", "own")


def test_under_own_mask_gradients_both_masks_of_a_contrast_have_them(tmp_path):
    """Own masks are compared with masks that were scored alike, and with no others."""
    kinds = ("none", "own", "pooled_others", "accuracy_matched")
    run = study(tmp_path, {("full", kind): 0.0 for kind in kinds}, seeds=1)[0]
    scored_alike = run.columns["mask_kind"].isin(["own", "pooled_others"])
    run.columns.loc[scored_alike, "train_gradient_mask"] = "own_language"
    run.parameters["train_gradient_masks"].append("own_language")
    runs, own_gradients = measured([run]), Setting(train_gradient_mask="own_language")
    assert runs.settings()[-1] == own_gradients
    assert [kind for kind in kinds if runs.has("full", kind)] == ["none", "accuracy_matched"]
    assert [kind for kind in kinds if runs.has("full", kind, own_gradients)] == list(kinds[:3])


@pytest.mark.parametrize("gradient_mask", ["test_example", "own_language"])
def test_a_mask_of_all_languages_is_found_whatever_the_gradients(tmp_path, gradient_mask):
    run = study(tmp_path, {("sft_union", "none"): 0.0, ("sft_union", "own"): 1.0}, seeds=1)[0]
    run.columns.loc[run.columns["mask_kind"] == "own", "train_gradient_mask"] = gradient_mask
    change = measured([run]).difference([("sft_union", "own"), ("sft_union", "none")], "de")
    assert change.values.mean() > 0


def test_an_impossible_k_is_refused(tmp_path):
    run = study(tmp_path, {("full", "none"): 0.0}, seeds=1, top_k=61)[0]
    with pytest.raises(InputError, match="top_k: 61; allowed: 1 to 60"):
        measure(run)
