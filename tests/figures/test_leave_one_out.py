"""The two matrices of notebook 06 show what their frame says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.figures.save import FIGURES
from modspec.terms import RANDOM_PART
from tests.helpers.frames import CODES, cells
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")


def frame(count: int, scale: float = 1.0, influence: bool = True) -> pd.DataFrame:
    rng, languages = np.random.default_rng(0), CODES[:count]
    rows = [
        ("lost margin", s, t, scale * rng.standard_normal())
        for s in (RANDOM_PART, *languages)
        for t in languages
    ]
    rows += [("influence", s, t, rng.uniform(-1, 1)) for s in languages for t in languages if influence]
    return pd.DataFrame(rows, columns=["quantity", "left_out", "language", "value"])


@pytest.mark.parametrize("influence", [True, False])
@pytest.mark.parametrize("count", [2, 5, 10])
def test_legible(count: int, influence: bool) -> None:
    assert_legible(FIGURES["leave_one_out"](frame(count, influence=influence)))


def test_rows_are_left_out_sets_with_the_random_part_last() -> None:
    table = frame(5)
    lost, influence = FIGURES["leave_one_out"](table).axes[:2]
    names = CODES[:5]
    assert [label.get_text() for label in lost.get_yticklabels()] == [*names, RANDOM_PART]
    assert [label.get_text() for label in influence.get_yticklabels()] == names
    values = table.set_index(["quantity", "left_out", "language"])["value"]
    shown = [f"{values['lost margin', s, t]:.2f}" for s in (*names, RANDOM_PART) for t in names]
    assert cells(lost) == [text.replace("-0.00", "0.00") for text in shown]
    assert len(lost.patches) == len(influence.patches) == 5  # the outlined diagonals


def test_small_numbers_are_not_shown_as_zero() -> None:
    lost = FIGURES["leave_one_out"](frame(3, scale=1e-3)).axes[0]
    assert sum(float(text) != 0 for text in cells(lost)) > 8


def test_no_change_at_all_can_be_drawn() -> None:
    lost = FIGURES["leave_one_out"](frame(3, scale=0.0, influence=False)).axes[0]
    assert set(cells(lost)) == {"0.00"}
