"""The linear datamodeling score where the truth is known, and retraining on subsets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, spearmanr

from modspec.calibration import retraining as module
from modspec.calibration import scorers
from modspec.calibration.models import trained
from modspec.calibration.retraining import ceiling, datamodeling, draw_subsets, judge
from modspec.calibration.scorers import SCORERS
from modspec.calibration.templates import judged
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.models.prediction import logits, margins
from tests.calibration.test_scorers import count_trainings
from tests.calibration.test_templates import examples, tiny
from tests.helpers.models import random_examples

pytestmark = pytest.mark.filterwarnings("error")


def linear(subsets: int, train: int, evaluation: int, noise: float, seed: int = 0):
    """Subsets, the effects of training examples, and outcomes that are their sums with noise added."""
    rng = np.random.default_rng(seed)
    chosen = rng.random((subsets, train)) < 0.5
    effects = rng.standard_normal((train, evaluation))
    outcomes = 3 + chosen @ effects + noise * np.sqrt(train) / 2 * rng.standard_normal((subsets, evaluation))
    return chosen.astype(float), effects, outcomes


# Judging.


def test_a_linear_model_is_foretold_perfectly_and_its_negative_never() -> None:
    chosen, effects, outcomes = linear(30, 50, 8, noise=0)
    assert judge(chosen @ effects, outcomes, resamples=199) == (
        pytest.approx(1),
        *2 * [pytest.approx(1)],
        0.005,
    )
    value, low, high, p = judge(chosen @ -effects, outcomes, resamples=199)
    assert (value, low, high, p) == (*3 * [pytest.approx(-1)], 1)


def test_the_score_is_the_mean_of_scipys_spearman() -> None:
    chosen, effects, outcomes = linear(20, 30, 6, noise=1)
    predicted = np.round(chosen @ effects)  # with ties
    expected = np.mean([spearmanr(predicted[:, j], outcomes[:, j]).statistic for j in range(6)])
    value, low, high, p = judge(predicted, outcomes, resamples=199)
    assert value == pytest.approx(expected) and 0.4 < expected < 0.9
    assert low < value < high and p == pytest.approx(1 / 200)


def test_random_scores_say_nothing() -> None:
    chosen, effects, outcomes = linear(40, 60, 40, noise=1)
    other = np.random.default_rng(9).standard_normal(effects.shape)
    value, low, high, p = judge(chosen @ other, outcomes, resamples=199)
    assert abs(value) < 0.1 and low < 0 < high and p > 0.05


def test_constant_predictions_score_zero_and_one_example_has_no_interval() -> None:
    chosen, effects, outcomes = linear(20, 30, 1, noise=0)
    assert judge(np.ones((20, 2)), np.repeat(outcomes, 2, axis=1), resamples=99)[:3] == (0, 0, 0)
    value, low, high, _ = judge(chosen @ effects, outcomes, resamples=99)
    assert value == pytest.approx(1) and np.isnan([low, high]).all()


def test_the_test_holds_its_level_where_examples_are_alike() -> None:
    """Outcomes of all examples move together, as they do when a retraining fails; 200 simulated studies."""
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(200):
        common = rng.standard_normal((16, 1))
        outcomes = common + 0.5 * rng.standard_normal((16, 5))
        predicted = rng.standard_normal((16, 1)) + 0.5 * rng.standard_normal((16, 5))
        rejected += judge(predicted, outcomes, resamples=99)[3] <= 0.05
    assert binomtest(rejected, 200, 0.05).pvalue > 0.001


def test_intervals_cover_the_mean_over_subsets_and_examples() -> None:
    """Examples differ in how well they are foretold; the truth from a very large study."""
    rng = np.random.default_rng(1)

    def study(subsets: int, examples: int) -> tuple[np.ndarray, np.ndarray]:
        strength = rng.uniform(0, 1, examples)
        common = rng.standard_normal((subsets, 1))
        predicted = common + rng.standard_normal((subsets, examples))
        return predicted, strength * predicted + rng.standard_normal((subsets, examples))

    truth = judge(*study(2000, 1000), resamples=9)[0]
    covered = 0
    for _ in range(100):
        _, low, high, _ = judge(*study(40, 20), resamples=200)
        covered += low <= truth <= high
    assert covered >= 88  # 95 % expected; the chance of fewer than 88 is below 0.005


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_the_ceiling_is_what_a_perfect_score_reaches(noise: float) -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((400, 60))
    outcomes = signal + noise * rng.standard_normal((3, 400, 60))
    reached = judge(signal, outcomes.mean(axis=0), resamples=9)[0]
    assert ceiling(outcomes) == pytest.approx(reached, abs=0.02)
    assert ceiling(outcomes[:2]) == pytest.approx(
        judge(signal, outcomes[:2].mean(axis=0), resamples=9)[0], abs=0.02
    )


def test_retrainings_that_disagree_leave_no_room() -> None:
    values = np.random.default_rng(0).standard_normal((20, 5))
    assert ceiling(np.stack([values, -values])) == 0
    assert ceiling(np.stack([values, 2 * values])) == pytest.approx(1)


# Subsets.


@settings(max_examples=50)
@given(st.integers(1, 60), st.floats(0.05, 0.95), st.integers(0, 99))
def test_subsets_are_stratified(count: int, share: float, seed: int) -> None:
    train = random_examples(count, seed=seed, languages=("en", "de", "fr"))
    chosen = draw_subsets(train, 5, share, np.random.default_rng(seed))
    assert chosen.shape == (5, count) and chosen.dtype == bool
    strata = [np.ones(count, bool), *(train.languages == t for t in ("en", "de", "fr"))]
    strata += [own & (train.labels == label) for own in strata[1:] for label in range(3)]
    for stratum in strata:
        assert (np.abs(chosen[:, stratum].sum(axis=1) - share * stratum.sum()) < 1 + 1e-9).all()


def test_subsets_differ_and_more_of_them_begin_alike() -> None:
    train = examples("train", 12)
    few, many = (draw_subsets(train, n, 0.5, np.random.default_rng(3)) for n in (4, 40))
    assert np.array_equal(many[:4], few)
    assert len({row.tobytes() for row in many}) == 40
    # Every example is as likely as any other: 40 draws at 0.5, four standard deviations.
    assert (np.abs(many.mean(axis=0) - 0.5) < 4 * np.sqrt(0.25 / 40)).all()


# The experiment.


def test_every_retrained_model_is_kept_and_none_is_trained_twice(tmp_path, monkeypatch) -> None:
    material, p = tiny(subsets=4)
    seeds = count_trainings(monkeypatch, module)
    scorers.trained.stop_at = 2 + 6  # two seeds' scores, then the sixth of eight subset trainings
    with pytest.raises(KeyboardInterrupt):
        datamodeling(material, p, tmp_path)
    scorers.trained.stop_at = 0
    table = datamodeling(material, p, tmp_path)
    assert len(seeds) == 2 + 8 + 1
    assert set(table["score"]) == set(SCORERS) and set(table["split"]) == {"held out", "test"}
    assert (table[["subsets", "retrainings", "examples"]].to_numpy() == (4, 2, 9)).all()
    assert table["value"].between(-1, 1).all() and table["ceiling"].between(0, 1).all()
    assert datamodeling(material, p, tmp_path).equals(table) and len(seeds) == 11
    more, more_p = tiny(subsets=5)
    datamodeling(more, more_p, tmp_path)
    assert len(seeds) == 11 + 2


def test_outcomes_are_those_of_training_on_the_subset_alone(tmp_path) -> None:
    import pandas as pd

    material, p = tiny(subsets=2)
    datamodeling(material, p, tmp_path)
    train, evaluation, _ = judged(material, p)
    chosen = pd.read_parquet(tmp_path / "datamodeling" / "subsets.parquet")
    kept = pd.read_parquet(tmp_path / "datamodeling" / "margins.parquet")
    assert list(chosen["id"]) == list(train.ids)
    part: Examples = train.take(np.flatnonzero(chosen["subset1"]))
    model = trained(material, p, part, 1)
    row = kept[(kept["subset"] == 1) & (kept["seed"] == 1)]
    assert list(row["id"]) == list(evaluation.ids)
    outputs = logits(model, evaluation, precision=material.precision)
    np.testing.assert_array_equal(row["margin"], margins(outputs, evaluation.labels))


def test_one_retraining_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="^retrainings: 2 of seeds \\(0,\\); allowed: two or more"):
        material, p = tiny(seeds=(0,))
        datamodeling(material, p, tmp_path)
    assert not list(tmp_path.iterdir())
