"""Figures of claims show how far intervals go, or that they go on."""

from __future__ import annotations

import numpy as np
import pytest

from modspec.figures.save import FIGURES
from tests.helpers.frames import SMALL, arrowheads

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("name", ["claims", "sensitivity"])
def test_intervals_that_the_frame_cuts_end_in_an_arrowhead(name: str) -> None:
    frame = SMALL[name].assign(value=0.1, low=-0.05, high=0.2)
    assert not any(map(arrowheads, FIGURES[name](frame).axes))
    cut, cut_below = frame.index[frame["claim"] == "C0"][:2]
    frame.loc[cut, ["low", "high"]] = -0.7, 0.9
    frame.loc[cut_below, "low"] = -0.7
    first, *others = FIGURES[name](frame).axes
    low, high = first.get_xlim()
    assert (low, high) == pytest.approx((-1.08 * 30, 1.08 * 30))
    assert sorted(arrowheads(first)) == [(low, 0), (low, 1), (high, 0)]
    assert not any(map(arrowheads, others))


def test_a_share_has_no_interval_beyond_what_it_can_be() -> None:
    frame = SMALL["share_by_k"]
    (whole,) = FIGURES["share_by_k"](frame).axes
    assert not arrowheads(whole)
    beyond = frame.index[frame["mask_kind"] == "random"]
    frame = frame.copy()
    frame.loc[beyond[0], ["low", "high"]] = -0.1, 1.2
    (ax,) = FIGURES["share_by_k"](frame).axes
    assert sorted(y for _, y in arrowheads(ax)) == [0, 100]
    ends = np.concatenate([s[:, 1] for lines in ax.collections for s in lines.get_segments()])
    assert (ends.min(), ends.max()) == (0, 100)
