"""The calibration's figures show what their frames say, legibly."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from modspec.errors import InputError
from modspec.figures.calibration import HALVES, TESTS
from modspec.figures.save import FIGURES
from modspec.terms import CALIBRATION_MEASURES as MEASURES
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")
DOSES = [0.0, 0.25, 0.5, 0.75, 1.0]


def rates(measures: tuple[str, ...] = tuple(MEASURES)) -> pd.DataFrame:
    keys = itertools.product(measures, ["one half", "both halves"], TESTS)
    rows = [(*key, 0.02 + 0.03 * i, 0.01, 0.04 + 0.04 * i, 0.05) for i, key in enumerate(keys)]
    return pd.DataFrame(rows, columns="measure language test value low high level".split())


def doses(seeds: int = 3) -> pd.DataFrame:
    keys = itertools.product(["all", *map(str, range(seeds))], DOSES, ["share", "auc", "label_auc"], HALVES)
    rows = [(*key, 0.5 + 0.4 * key[1] - 0.01 * i / 135, 0.45, 0.95, 0.5) for i, key in enumerate(keys)]
    return pd.DataFrame(rows, columns="seed dose measure language value low high chance".split())


@pytest.mark.parametrize("frame", [rates(), rates(("share",))], ids=len)
def test_rates_stand_at_their_values_beside_the_nominal_level(frame: pd.DataFrame) -> None:
    fig = FIGURES["false_positive_rates"](frame)
    assert_legible(fig)
    assert len(fig.axes) == frame["measure"].nunique()
    panels = zip(fig.axes, frame.groupby("measure", sort=False), strict=True)
    for place, (ax, (measure, rows)) in enumerate(panels):
        assert ax.get_title() == MEASURES[measure]
        points = {line.get_marker(): line.get_ydata() for line in ax.lines if line.get_marker() in "osD"}
        for test, look in TESTS.items():
            np.testing.assert_allclose(points[look["marker"]], 100 * rows[rows["test"] == test]["value"])
        (level,) = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert set(level.get_ydata()) == {5.0} and ax.get_ylim()[0] == 0
        named = place + 4 >= len(fig.axes)  # no panel below it, of four in a row
        assert [label.get_text() for label in ax.get_xticklabels()] == ["one half", "both halves"] * named


@pytest.mark.parametrize("seeds", [0, 1, 5])
def test_curves_are_those_over_all_seeds_with_single_seeds_behind(seeds: int) -> None:
    frame = doses(seeds)
    fig = FIGURES["dose_response"](frame)
    assert_legible(fig)
    for ax, measure in zip(fig.axes, ("share", "auc", "label_auc"), strict=True):
        rows = frame[(frame["measure"] == measure) & (frame["seed"] == "all")]
        for half, look in HALVES.items():
            (line,) = [line for line in ax.lines if line.get_marker() == look["marker"]]
            np.testing.assert_allclose(line.get_ydata(), 100 * rows[rows["language"] == half]["value"])
            assert line.get_color() == look["color"]
        assert len([line for line in ax.lines if line.get_linewidth() == 0.5]) == 3 * seeds
        (chance,) = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert set(chance.get_ydata()) == {50.0}
        assert list(ax.get_xticks()) == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(("name", "frame"), [("false_positive_rates", rates()), ("dose_response", doses())])
def test_double_rows_and_unknown_measures_are_refused(name: str, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=f"{name}.csv: column value has more than one row for"):
        FIGURES[name](pd.concat([frame, frame[:1]]))
    with pytest.raises(InputError, match="measure is 'recall', not one of share; auc; label_auc; spec"):
        FIGURES[name](frame.replace({"measure": {"share": "recall"}}))


def test_intervals_wider_than_any_share_do_not_flatten_the_curves() -> None:
    fig = FIGURES["dose_response"](doses().assign(low=-1.0, high=3.0))
    assert all(-6 < ax.get_ylim()[0] and ax.get_ylim()[1] < 106 for ax in fig.axes)
    assert_legible(fig)


def verdicts(numbers: tuple[int, ...]) -> pd.DataFrame:
    keys = itertools.product(["Q1", "Q2", "any"], ["as estimated", "cautious"], numbers, [0.0, 0.01, 0.02])
    table = pd.DataFrame(keys, columns=["question", "seed_variance", "seeds", "effect"])
    table["right"] = table["effect"] * table["seeds"] * 2
    table["small"] = (0.5 - 10 * table["effect"]).where(table["question"] == "Q1")
    table["margin"] = table["question"].map({"Q1": 0.01})
    return table[(table["question"] != "any") | (table["effect"] == 0)]


@pytest.mark.parametrize("numbers", [(3,), (3, 6, 10)], ids=str)
def test_verdicts_are_drawn_against_true_effects_at_the_estimated_variance(numbers: tuple[int, ...]) -> None:
    fig = FIGURES["verdict_rates"](verdicts(numbers))
    assert_legible(fig)
    assert [ax.get_title() for ax in fig.axes] == ["Q1", "Q2"]
    for ax, scale in zip(fig.axes, (100, 1), strict=True):
        found = [line for line in ax.lines if line.get_marker() in ("o", "s", "D")]
        solid = [line for line in found if line.get_linestyle() == "-"]
        assert len(solid) == len(numbers)
        for seeds, line in zip(numbers, solid, strict=True):
            np.testing.assert_allclose(line.get_xdata(), scale * np.array([0, 0.01, 0.02]))
            np.testing.assert_allclose(line.get_ydata(), 200 * seeds * np.array([0, 0.01, 0.02]))
        assert len(found) - len(solid) == (len(numbers) if scale == 100 else 0)  # Q2 has no equivalence
