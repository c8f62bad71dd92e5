"""Small numbers for readers: only zero is shown as zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modspec.analysis.fitting_unit import in_fitting_unit

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def shown(numbers: list[float]) -> tuple[list[str], str]:
    """What a reader sees of numbers, and the unit."""
    series = in_fitting_unit(pd.Series(numbers, name="score"))
    return series.tolist(), series.name


@pytest.mark.parametrize(
    ("numbers", "expected", "name"),
    [
        ([9.3414e-6, -8.1e-7, 0.0], ["9.341", "-0.8100", "0"], "score (× 1e-6)"),
        ([0.00031, 1e-9], ["310.0", "0.001000"], "score (× 1e-6)"),
        ([0.0251, 0.5], ["25.10", "500.0"], "score (× 1e-3)"),
        ([12.0, -3.5], ["12.00", "-3.500"], "score"),
        ([2.5e4], ["25.00"], "score (× 1e3)"),
        ([1.2345e-6, 1.23451e-6], ["1.23450", "1.23451"], "score (× 1e-6)"),
        ([1e-6, 1e-6], ["1.000", "1.000"], "score (× 1e-6)"),
        ([0.0, 0.0], ["0", "0"], "score"),
        ([], [], "score"),
    ],
)
def test_the_unit_fits_the_largest_and_digits_tell_numbers_apart(numbers, expected, name) -> None:
    assert shown(numbers) == (expected, name)


@given(st.lists(FLOATS.filter(lambda number: number == 0 or 1e-30 < abs(number) < 1e30), max_size=20))
def test_only_zero_is_shown_as_zero_and_the_order_is_kept(numbers: list[float]) -> None:
    texts, name = shown(numbers)
    unit = float(name.removeprefix("score (× ").removesuffix(")")) if "(" in name else 1.0
    values = np.array([float(text) for text in texts])
    assert ((values == 0) == (np.array(numbers) == 0)).all()
    np.testing.assert_allclose(values * unit, numbers, rtol=0.5e-3)
    assert (np.diff(values[np.argsort(numbers)]) >= 0).all()
