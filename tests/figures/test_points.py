"""What an axis of values with intervals holds."""

import pandas as pd
import pytest

from modspec.figures.points import limits


def held(*rows: tuple[float, float, float], centre: float = 0) -> tuple[float, float]:
    return limits(pd.DataFrame(rows, columns=["value", "low", "high"]), centre, 100)


def test_an_interval_around_almost_nothing_is_whole() -> None:
    low, high = held((0.0001, -0.004, 0.004))
    assert -0.5 < low < -0.4 and 0.4 < high < 0.5


def test_of_several_intervals_only_those_far_beyond_all_values_are_cut() -> None:
    low, high = held((0.02, 0.01, 0.03), (0.01, -0.5, 0.5))
    assert high == pytest.approx(6, abs=1) and low == pytest.approx(-6, abs=1)


def test_an_axis_holds_its_centre_and_spends_no_room_beyond_it() -> None:
    low, high = held((0.25, 0.22, 0.28), centre=20)
    assert 19 < low < 20 and 28 < high < 29


def test_without_numbers_there_is_an_axis() -> None:
    low, high = held((float("nan"),) * 3)
    assert low < 0 < high
