"""The published studies' variances, and rates of verdicts at them; small, but with the real artefacts."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy.stats import binom

from modspec.analysis.simulated_verdicts import summary
from modspec.calibration.verdict_rates import (
    ACCURACY,
    CAUTIOUS,
    ESTIMATED,
    IMPORTANCE,
    LIKE,
    read_published,
    spreads,
    verdict_rates,
)
from modspec.errors import InputError
from modspec.workflow.parameters import CalibrationParameters
from modspec.workflow.paths import project_root

RESULTS = project_root() / "figures" / "results"


def by_question(table: pd.DataFrame) -> pd.DataFrame:
    return summary(table).set_index(["question", "seed_variance", "seeds"]).sort_index()


@pytest.fixture(scope="module")
def published():
    return read_published(CalibrationParameters())


def test_the_published_spreads_are_those_of_the_artefacts(published) -> None:
    made = spreads(published)
    kept = pd.read_csv(RESULTS / "verdict_spreads.csv")
    pd.testing.assert_frame_equal(made.reset_index(drop=True), kept, rtol=1e-4, check_dtype=False)
    of_items = published["xnli-v1"].samples
    assert of_items["Q3"][0].shape == (3, 40) and of_items[ACCURACY][0].shape == (3, 200)
    assert of_items["Q3"][1] is not None and of_items[ACCURACY][1] is None
    wide = made.pivot_table(index=["question", "study"], columns="seed_variance", values="seed")
    assert (wide[CAUTIOUS] >= wide[ESTIMATED]).all()


def test_every_question_is_simulated_for_every_number_of_seeds(published) -> None:
    p = CalibrationParameters(simulations=100, simulated_seeds=[3, 4], simulated_items=12)
    table = verdict_rates(p, published)
    assert set(table["question"]) == {*LIKE, IMPORTANCE, "any"}
    assert set(table["seeds"]) == {3, 4}
    items = table.groupby("question")["items"].first()
    assert items["Q3"] == 12 and items[ACCURACY] == 1490 and pd.isna(items[IMPORTANCE])
    rows = by_question(table)
    assert rows.drop("any", level="question")["false_positives"].max() <= binom.ppf(0.9999, 100, 0.05) / 100
    # More variance between seeds finds less.
    power = rows["power_at_double"].unstack("seed_variance")
    assert power.loc[("Q1", 3), CAUTIOUS] < power.loc[("Q1", 3), ESTIMATED]
    pd.testing.assert_frame_equal(verdict_rates(p, published), table)


def test_a_published_table_is_of_the_defaults() -> None:
    """It is not simulated again here: its design is compared, and its rates are within their bounds."""
    table, p = pd.read_csv(RESULTS / "verdict_rates.csv"), CalibrationParameters()
    assert set(table["seeds"]) == set(p.simulated_seeds)
    assert set(table["items"].dropna()) == {p.simulated_items, p.simulated_test_items}
    counts = table[["rejected", "rejected_holm", "right", "small"]].stack() * p.simulations
    assert (counts - counts.round()).abs().max() < 0.01


def test_the_published_rates_are_as_the_page_says() -> None:
    rows = summary(pd.read_csv(RESULTS / "verdict_rates.csv")).set_index(
        ["question", "seed_variance", "seeds"]
    )
    some, single = rows.xs("any", level="question"), rows.drop("any", level="question")
    interval = single.drop("Q2", level="question")
    assert single["false_positives"].max() < 0.055 and interval["false_positives"].max() < 0.05
    assert interval.xs(3, level="seeds")["false_positives"].max() < 0.02
    wrong = some.xs(ESTIMATED, level="seed_variance")["false_positives"]
    assert [wrong[3], wrong[10]] == pytest.approx([1 / 6, 1 / 4], abs=0.02)
    assert some["false_positives_holm"].max() < 0.04
    assert interval["small_at_margin"].max() < 0.01
    estimated, cautious = (interval.xs(name, level="seed_variance") for name in (ESTIMATED, CAUTIOUS))
    assert estimated.xs(3, level="seeds")["power_at_margin"].max() < 0.5
    six = estimated.xs(6, level="seeds")
    assert six["power_at_margin"].min() > 0.95 and six["small_at_zero"].min() > 0.95
    shares = cautious.drop("Q6", level="question")["small_at_zero"].unstack("seeds")
    assert 0.33 < shares[6].min() and shares[6].max() < 0.75 < shares[10].min()
    smallest = estimated["smallest"].unstack("seeds")
    assert (smallest[10] > smallest[6]).all()
    accuracy = [table.xs("Q6", level="question")["smallest"] for table in (estimated, cautious)]
    assert accuracy[0].equals(accuracy[1])  # no variance of seeds


def test_studies_that_are_not_published_are_refused() -> None:
    with pytest.raises(
        InputError,
        match="^simulated_studies: 'mine'; allowed: some of embedded, pawsx-v1, reviews-v1, xnli-v1",
    ):
        read_published(CalibrationParameters(simulated_studies=["mine"]))
