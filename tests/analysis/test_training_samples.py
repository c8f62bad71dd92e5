"""Studies whose seeds drew training samples of their own: against each seed alone, and chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from modspec.analysis.claim_tests import Level, claims, exchangeable
from modspec.analysis.contrasts import share_sample
from modspec.analysis.intervals import estimate
from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns, measure
from modspec.analysis.permutation import language_permutation
from modspec.analysis.robustness import share_by_k
from modspec.errors import InputError
from modspec.terms import CONTRASTS
from tests.helpers.attribution import LANGUAGES, study, train_frame

GAINS = {("full", "none"): 0.5, ("full", "own"): 1.0, ("sft", "none"): 0.5, ("sft", "own"): 0.0}
LEVEL = Level(permutations=199, resamples=0)
NOBODY = pd.DataFrame(columns="condition seed id language split label no_mask in_force".split())


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
    for language in LANGUAGES:
        each = [runs.cross_score("sft", "own", language)[0] for runs in alone]
        np.testing.assert_array_equal(together.cross_score("sft", "own", language), each)


def test_tables_are_the_means_of_those_of_each_seed(measured) -> None:
    together, alone = StudyRuns(measured), [of_seed(measured, seed) for seed in range(3)]
    runs_and_strata = [(runs, exchangeable(runs.train, runs.samples)) for runs in (together, *alone)]
    keys = ["claim", "comparison", "language"]
    table, *each = (claims(runs, NOBODY, s, LEVEL).set_index(keys)["value"] for runs, s in runs_and_strata)
    rows = table.index[table.index.get_level_values("claim") != "C4"]  # C4 has languages whose share falls
    assert len(rows) == 4 * 4 and table.index.get_level_values("claim").isin(["C4"]).any()
    mean = sum(one[rows] for one in each) / 3
    np.testing.assert_allclose(table[rows], mean, atol=1e-12)
    shares, *each = (share_by_k(runs, LEVEL).set_index(["mask_kind", "top_k"]) for runs, _ in runs_and_strata)
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


def test_labels_are_permuted_within_each_sample_where_samples_have_nothing_in_common(tmp_path) -> None:
    pool = train_frame(20, parallel=True)
    half = pool["group"].str.removeprefix("pair").astype(int) < 10
    samples = [pool[chosen].reset_index(drop=True) for chosen in (half, ~half)]
    gains = {("full", "none"): 0.2}
    runs = StudyRuns([measure(run) for run in study(tmp_path, gains, seeds=2, train=samples)])
    table = claims(runs, NOBODY, exchangeable(runs.train, runs.samples), LEVEL)
    weights = runs.cell("full", "none", "en").weights
    together = pd.concat(samples, ignore_index=True)
    p = language_permutation(
        np.concatenate([weights[seed][runs.samples[seed]] for seed in range(2)])[None, None],
        np.where(together["language"] == "en", 0, 1),
        pd.factorize(together["group"])[0],
        resamples=LEVEL.permutations,
    )
    row = table[table["language"] == "en"].iloc[0]
    assert 0.005 < row["p_permutation"] == p[0] < 1
    assert row["p_t"] == estimate(runs.cell("full", "none", "en").values).p


@pytest.mark.parametrize("parallel", [True, False])
def test_strata_keep_as_many_of_each_language_in_every_sample(parallel: bool) -> None:
    pool = train_frame(20, parallel)
    samples = np.array([pool["id"].isin(drawn(pool, 12, seed)["id"]) for seed in range(3)])
    strata = exchangeable(pool, samples)
    for stratum in set(strata):
        assert (samples[:, strata == stratum] == samples[:, strata == stratum][:, :1]).all()
    assert (pd.Series(exchangeable(pool)).groupby(strata).nunique() == 1).all()
    everything = np.ones_like(samples)
    np.testing.assert_array_equal(exchangeable(pool, everything), exchangeable(pool))


def test_training_examples_of_several_samples_are_no_evidence_twice() -> None:
    """Hubs are proponents in every seed that drew them. 250 studies without an effect, tests at level .05."""
    pool, rng, rejected = train_frame(16, parallel=True), np.random.default_rng(0), np.zeros(2)
    groups, labels = exchangeable(pool), np.where(pool["language"] == "en", 0, 1)
    for _ in range(250):
        samples = (rng.permuted(np.tile(np.arange(16), (3, 1)), axis=1) < 12)[:, groups]
        weights = np.where(samples, rng.normal(size=len(pool)) + 0.3 * rng.normal(size=samples.shape), 0)
        together = weights.sum(axis=0), labels, exchangeable(pool, samples)
        seed, place = np.nonzero(samples)  # as if every seed's examples were others
        apart = weights[samples], labels[place], 100 * seed + groups[place]
        for way, (weight, own, strata) in enumerate((together, apart)):
            rejected[way] += language_permutation(weight[None, None], own, strata, resamples=99)[0] <= 0.05
    low, high = binom.ppf([0.0005, 0.9995], 250, 0.05)
    assert low <= rejected[0] <= high < rejected[1], rejected


def test_runs_that_contradict_each_other_are_refused(measured) -> None:
    other = measured[0].train.assign(label="maybe")
    with pytest.raises(InputError, match="full-seed0: has other training examples|sft-seed0: has other"):
        StudyRuns([replace(measured[0], train=other), *measured[1:]])
    short = [replace(run, train=run.train[:-1]) for run in measured if run.parameters["seed"] == 2]
    rest = [run for run in measured if run.parameters["seed"] != 2]
    with pytest.raises(InputError, match="full-seed2: has .* training examples; allowed: .*'de': 12"):
        StudyRuns([*rest, *short])
