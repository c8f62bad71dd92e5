"""Studies whose seeds drew training samples of their own: against each seed alone, and chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.contrasts import share_sample
from modspec.analysis.hubs import hub_share
from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns, measure
from modspec.analysis.robustness import sensitivity, share_by_k
from modspec.errors import InputError
from modspec.terms import CONTRASTS
from tests.helpers.attribution import LANGUAGES, study, train_frame

GAINS = {("full", "none"): 0.5, ("full", "own"): 1.0, ("sft", "none"): 0.5, ("sft", "own"): 0.0}


def drawn(pool: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """``count`` examples per language of a pool; in a parallel one, the same groups in every language."""
    rng = np.random.default_rng(seed)
    names = rng.choice(pool["group"].unique(), count, replace=False)
    if pool["group"].duplicated().any():
        chosen = pool[pool["group"].isin(names)]
    else:
        chosen = pool.groupby("language").sample(count, random_state=seed)
    return chosen.sample(frac=1, random_state=seed).reset_index(drop=True)


@pytest.fixture(params=[True, False], ids=["parallel", "not parallel"])
def measured(tmp_path, request):
    """Three seeds, 12 of 20 training examples per language each."""
    samples = [drawn(train_frame(20, parallel=request.param), 12, seed) for seed in range(3)]
    runs = study(tmp_path, GAINS, seeds=3, per_language=4, train=samples)
    return [measure(run, (3,)) for run in runs]


def of_seed(measured, seed: int) -> StudyRuns:
    return StudyRuns([run for run in measured if run.parameters["seed"] == seed])


def test_cells_are_those_of_each_seed_alone(measured) -> None:
    together = StudyRuns(measured[::-1])  # in whatever order
    alone = [of_seed(measured, seed) for seed in range(3)]
    assert not together.one_sample and all(runs.one_sample for runs in alone)
    assert 36 < len(together.train) <= 60 and together.train["id"].is_unique
    assert together.samples.sum(axis=1).tolist() == [36] * 3 and set(together.sizes) == {12}
    ids = together.train["id"]
    for condition, kind in GAINS:
        for setting in (DEFAULT, Setting(top_k=3), Setting(measure="auc"), Setting(score="dot")):
            for language in LANGUAGES:
                cell = together.cell(condition, kind, language, setting)
                own = (together.train["language"] == language).to_numpy()
                np.testing.assert_allclose(
                    cell.weights[:, own].sum(axis=1), cell.values.mean(axis=1), atol=1e-6
                )
                for seed, runs in enumerate(alone):
                    expected = runs.cell(condition, kind, language, setting)
                    assert cell.ids == expected.ids
                    np.testing.assert_array_equal(cell.values[seed], expected.values[0])
                    weights = pd.Series(expected.weights[0], runs.train["id"]).reindex(ids, fill_value=0)
                    np.testing.assert_array_equal(cell.weights[seed], weights)


def test_tables_are_the_means_of_those_of_each_seed(measured) -> None:
    together, alone = StudyRuns(measured), [of_seed(measured, seed) for seed in range(3)]
    table, *each = (
        sensitivity(runs).set_index(["setting", "contrast"])["value"] for runs in (together, *alone)
    )
    assert len(table) > 20
    np.testing.assert_allclose(table, sum(one[table.index] for one in each) / 3, atol=1e-12)
    shares, *each = (share_by_k(runs).set_index(["mask_kind", "top_k"]) for runs in (together, *alone))
    np.testing.assert_allclose(shares["value"], sum(one["value"] for one in each) / 3)
    assert (shares["chance"] == 1 / 3).all()


def test_seeds_vary_with_their_samples_so_that_no_third_variance_is_added(measured) -> None:
    runs = StudyRuns(measured)
    shown = [c for c in CONTRASTS if c.statistic == "share" and share_sample(runs, c)]
    assert len(shown) == 5
    for contrast in shown:
        values, training = share_sample(runs, contrast)
        assert training is None and values.shape[0] == 3, contrast
        each = [share_sample(of_seed(measured, seed), contrast) for seed in range(3)]
        np.testing.assert_array_equal(values, np.concatenate([one for one, _ in each]))
        assert all(added is not None for _, added in each)
    assert share_sample(runs, CONTRASTS[0])[0].mean() > 0


@pytest.mark.parametrize("seeds", [3, 1])
def test_seeds_with_samples_of_their_own_keep_the_weights_that_hubs_need_alone(tmp_path, seeds: int) -> None:
    kept = study(tmp_path, GAINS, seeds=seeds, per_language=4, train=[train_frame(12)] * seeds)
    drew = [replace(run, parameters=run.parameters | {"train_sample_seed": 5}) for run in kept]
    both = [[measure(run, (3,)) for run in one] for one in (kept, drew)]
    assert {run.weights["score"].nunique() for run in both[1]} == {2}
    assert {run.weights["measure"].nunique() for run in both[1]} == {1}
    shared, own = map(StudyRuns, both)
    assert shared.one_sample and not own.one_sample
    pd.testing.assert_frame_equal(hub_share(shared), hub_share(own))
    for table in (sensitivity, share_by_k):
        pd.testing.assert_series_equal(table(shared)["value"], table(own)["value"])


def test_runs_that_contradict_each_other_are_refused(measured) -> None:
    other = measured[0].train.assign(label="maybe")
    with pytest.raises(InputError, match="full-seed0: has other training examples|sft-seed0: has other"):
        StudyRuns([replace(measured[0], train=other), *measured[1:]])
    short = [replace(run, train=run.train[:-1]) for run in measured if run.parameters["seed"] == 2]
    rest = [run for run in measured if run.parameters["seed"] != 2]
    with pytest.raises(InputError, match="full-seed2: has .* training examples; allowed: .*'de': 12"):
        StudyRuns([*rest, *short])
