"""What leaving a language out costs and whether influence foretells it, against tables with known truths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, spearmanr

from modspec.analysis import leave_one_out as module
from modspec.analysis.leave_one_out import OTHERS, OWN, against_random_part, agreement, rank_correlation
from modspec.errors import InputError
from modspec.terms import ALL_LANGUAGES, RANDOM_PART

LANGUAGES = ["en", "de", "fr", "es", "ru"]
PAIRS = [(a, b) for a, b in product(range(5), range(5)) if a != b]


def margins(
    lost: np.ndarray, *, groups: int = 30, noise: float = 0.0, seed: int = 0, parallel: bool = True
) -> pd.DataFrame:
    """``margins.parquet`` of one run, whose lost margins are ``lost``, (sets, languages), plus noise by item.

    The last set is the random part. In parallel tasks an item's translations share most of the noise.
    """
    rng = np.random.default_rng([seed, 1])
    languages = LANGUAGES[: lost.shape[1]]
    shape = (len(lost), len(languages), groups)
    drift = noise * (rng.standard_normal((len(lost), 1, groups)) + 0.3 * rng.standard_normal(shape))
    left_out, language, item = np.meshgrid(
        [*languages, RANDOM_PART], languages, np.arange(groups), indexing="ij"
    )
    columns = {
        "left_out": left_out,
        "language": language,
        "item": item,
        "margin": 2 - lost[..., None] - drift,
    }
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    item = table["item"].astype(str)
    return table.assign(
        id=table["language"] + "-" + item,
        group=item if parallel else table["language"] + item,
        label=1,
        prediction=(table["margin"] > 0).astype(int),
        margin_all=2.0,
        prediction_all=1,
        seed=seed,
        condition="full",
    )


def influences(
    matrix: np.ndarray, *, items: int = 10, noise: float = 0.0, seed: int = 0, **columns: str
) -> pd.DataFrame:
    """The run's own rows of ``statistics.parquet``, whose influences are ``matrix`` plus noise by item."""
    rng = np.random.default_rng([seed, 2])
    languages = LANGUAGES[: len(matrix)]
    train, language, item = np.meshgrid(languages, languages, np.arange(items), indexing="ij")
    values = matrix[..., None] + noise * rng.standard_normal(train.shape)
    columns_of = {"train_language": train, "language": language, "item": item, "influence": values}
    table = pd.DataFrame({name: values.ravel() for name, values in columns_of.items()})
    table["id"] = table["language"] + "-" + table["item"].astype(str)
    table = pd.concat([table.assign(score="dot"), table.assign(score="cosine", influence=99.0)])
    fixed = {"condition": "full", "mask_kind": "none", "train_gradient_mask": "test_example"}
    other = table.assign(**fixed | {"mask_kind": "own"}, influence=-99.0)
    return pd.concat([other, table.assign(**fixed | columns)]).assign(seed=seed)


def with_random(matrix: np.ndarray) -> np.ndarray:
    """A matrix of costs with a last row of the random part, which costs nothing."""
    return np.vstack([matrix, np.zeros(matrix.shape[1])])


def test_arrays_hold_means_by_seed_left_out_language_and_test_language() -> None:
    rng = np.random.default_rng(0)
    lost, influence = rng.standard_normal((2, 3, 3)), rng.standard_normal((2, 3, 3))
    table = pd.concat([margins(with_random(lost[s]), noise=0, seed=s) for s in (1, 0)])
    scored = pd.concat([influences(influence[s], seed=s) for s in (1, 0)])
    order = ["fr", "en", "de"]
    places = np.ix_([0, 1], [2, 0, 1], [2, 0, 1])
    np.testing.assert_allclose(module.lost_margins(table, order), lost[places])
    np.testing.assert_allclose(module.summed_influence(scored, order, "full"), influence[places])


def test_scores_under_another_mask_are_not_taken() -> None:
    matrix = np.eye(3)
    own = influences(matrix, condition="sft", mask_kind="own")
    own = own[own["condition"] == "sft"]
    np.testing.assert_allclose(module.summed_influence(own, LANGUAGES[:3], "sft")[0], matrix)
    other = influences(matrix, condition="sft", mask_kind="own", train_gradient_mask="own_language")
    with pytest.raises(
        InputError, match="statistics: condition 'sft' has none; allowed: scores under mask_kind 'own'"
    ):
        module.summed_influence(other, LANGUAGES[:3], "sft")


def test_centring_removes_rows_and_columns_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((7, 5, 5))
    changed = matrix + rng.standard_normal((7, 5, 1)) + rng.standard_normal((7, 1, 5))
    changed[:, range(5), range(5)] = 99  # the same language does not count
    pairs = module.centred_pairs(matrix)
    np.testing.assert_allclose(module.centred_pairs(changed), pairs, atol=1e-12)
    square = np.zeros((7, 5, 5))
    for place, (row, column) in enumerate(PAIRS):
        square[:, row, column] = pairs[:, place]
    np.testing.assert_allclose(square.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(square.sum(axis=2), 0, atol=1e-12)
    np.testing.assert_allclose(module.centred_pairs(square), pairs, atol=1e-12)
    other = rng.standard_normal((7, 5, 5))
    expected = [spearmanr(a, b).statistic for a, b in zip(pairs, module.centred_pairs(other), strict=True)]
    np.testing.assert_allclose(rank_correlation(matrix, other), expected)


def test_a_good_teacher_and_an_easy_language_are_no_agreement() -> None:
    """Rows and columns that agree perfectly, and pairs that do not: r is about 0."""
    rng = np.random.default_rng(1)
    rows, columns = 10 * rng.standard_normal((2, 400, 5))
    main = rows[:, :, None] + columns[:, None]
    found = rank_correlation(main + rng.standard_normal((400, 5, 5)), main + rng.standard_normal((400, 5, 5)))
    assert abs(found.mean()) < 4 * found.std() / 20
    assert np.isnan(rank_correlation(main[:, :3, :3], main[:, :3, :3])).all()


def test_influence_that_foretells_the_cost_agrees_with_it() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((5, 5))
    found = agreement(margins(with_random(2 * matrix)), influences(matrix))
    assert (found.value, found.low, found.high) == (pytest.approx(1),) * 3 and found.pairs == 20
    assert agreement(margins(with_random(-matrix)), influences(matrix)).value == pytest.approx(-1)
    assert np.isnan(agreement(margins(with_random(matrix[:3, :3])), influences(matrix[:3, :3])).value)


@pytest.mark.parametrize("parallel", [True, False])
def test_the_agreements_interval_covers_what_more_items_would_give(parallel: bool) -> None:
    """60 samples of test items: the interval holds the correlation of the exact matrices."""
    rng = np.random.default_rng(2)
    lost = rng.standard_normal((5, 5))
    influence = lost + 0.7 * rng.standard_normal((5, 5))
    truth = float(rank_correlation(lost, influence))
    covered = 0
    for seed in range(60):
        table = margins(with_random(lost), noise=0.5, seed=seed, parallel=parallel)
        found = agreement(table, influences(influence, noise=0.5, seed=seed), resamples=200)
        covered += found.low <= truth <= found.high
    assert 0 < truth < 1 and binomtest(covered, 60, 0.95).pvalue > 0.001


def test_a_language_that_others_need_costs_them_more_than_a_random_part() -> None:
    lost = with_random(np.zeros((5, 5)))
    lost[1, :] = 3.0  # without German nothing is predicted right
    lost[range(5), range(5)] = 1.0
    lost[5] = 0.25
    found = against_random_part(margins(lost)).set_index(["left_out", "items", "measure"])
    assert found.loc[("de", OTHERS, "lost margin"), ["value", "low", "high"]].tolist() == [2.75] * 3
    assert found.loc[("de", OTHERS, "lost accuracy"), "value"] == 1
    assert found.loc[("de", OWN, "lost margin"), "value"] == 0.75
    assert found.loc[("en", OTHERS, "lost margin"), "value"] == -0.25
    assert found.loc[(ALL_LANGUAGES, OTHERS, "lost margin"), "value"] == pytest.approx((2.75 - 4 * 0.25) / 5)
    assert found["groups"].unique().tolist() == [30]


@pytest.mark.parametrize(("effect", "rate"), [(0.0, 0.05), (0.9, None)])
def test_costs_are_told_from_a_random_parts_at_the_level_that_is_said(
    effect: float, rate: float | None
) -> None:
    """Simulated runs with translations that are alike: level without effect, power with one."""
    runs = 100 if rate else 20
    lost = with_random(np.full((2, 2), effect))
    rejected = 0
    for seed in range(runs):
        found = against_random_part(margins(lost, groups=20, noise=0.5, seed=seed))
        row = found[(found["left_out"] == "en") & (found["items"] == OTHERS)].iloc[0]
        rejected += not row["low"] <= 0 <= row["high"]
    assert binomtest(rejected, runs, rate).pvalue > 0.001 if rate else rejected >= runs - 2


def test_accuracy_by_left_out_set_starts_with_nothing_left_out() -> None:
    lost = with_random(np.zeros((3, 3)))
    lost[0, 2] = 5.0
    table = module.accuracy_by_left_out(margins(lost))
    assert table.index.tolist() == ["nothing", *LANGUAGES[:3], RANDOM_PART]
    assert table.loc["en"].tolist() == [1, 1, 0] and table.drop("en").eq(1).all(axis=None)


def test_the_frame_of_the_figure_holds_both_matrices() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, -4.0]])
    frame = module.cost_and_influence(margins(with_random(matrix)), influences(matrix))
    cells = frame.set_index(["quantity", "left_out", "language"])["value"]
    assert cells["lost margin", "de", "en"] == pytest.approx(3) and cells["influence", "de", "de"] == -1
    assert cells["influence", "en", "de"] == 0.5 and len(frame) == 6 + 4
    assert set(module.cost_and_influence(margins(with_random(matrix)))["quantity"]) == {"lost margin"}


def test_words_say_numbers_intervals_and_what_they_leave_out() -> None:
    lost = with_random(np.eye(5))
    table = margins(lost, noise=0.1)
    found = agreement(table, influences(np.eye(5) + 0.1 * np.random.default_rng(0).standard_normal((5, 5))))
    first, second, third, last = module.in_words(against_random_part(table), found).splitlines()
    assert first.startswith(f"On test items of {OWN}, leaving out a language costs 1.0")
    assert second.startswith(f"On test items of {OTHERS}, leaving out a language costs ")
    assert f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] over 20 ordered pairs" in third
    assert "nothing of other seeds" in last
    assert "rank correlation" not in module.in_words(against_random_part(table))
