"""Figures of shares show what their frames say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from modspec.figures.save import FIGURES
from modspec.figures.style import LINE, wrapped
from modspec.terms import LABELS
from tests.helpers.frames import SMALL, arrowheads, cells, drawn, synthetic

pytestmark = pytest.mark.filterwarnings("error")
GRADIENTS = LABELS["train_gradient_mask"]


def title(ax: Axes) -> str:
    """An axes' title in one line."""
    return " ".join(ax.get_title().split())


def test_titles_are_filled_in_as_few_lines_as_fit_and_these_about_equally_long() -> None:
    long = "training gradients under the test example's mask"
    filled, height = wrapped({"a": long, "b": "short", "c": "unbreakablewordthatislong"}, 0.065 * 40)
    assert filled["a"] == "training gradients under\nthe test example's mask"
    assert (filled["b"], filled["c"]) == ("short", "unbreakablewordthatislong")
    assert height == 2 * LINE
    assert wrapped({"a": "two unbreakablewords"}, 0.065 * 5)[0]["a"] == "two\nunbreakablewords"


def test_influence_matrix_rows_are_evaluation_languages() -> None:
    frame = synthetic(5, 2)["influence_matrix"]
    chosen = frame[(frame["score"] == "cosine") & (frame["condition"] == "full")]
    chosen = chosen[(chosen["mask_kind"] == "own") & (chosen["train_gradient_mask"] == "test_example")]
    fig = drawn((5, 2), "influence_matrix")
    row = f"own mask {GRADIENTS['test_example']}"
    ax = next(ax for ax in fig.axes if row in {" ".join(text.get_text().split()) for text in ax.texts})
    assert title(ax) == "full fine-tuning"
    cell = chosen[(chosen["language"] == "en") & (chosen["train_language"] == "ru")]
    assert cells(ax)[1 * 5 + 4] == f"{100 * cell['share'].mean():.0f}"


def test_languages_stand_in_the_order_of_the_table() -> None:
    frame = synthetic(5, 2)["influence_matrix"]
    order = ["ru", "en", "fr", "de", "es"]
    assert {*frame["language"]} == {*order}
    frame = frame.sort_values(["language", "train_language"], key=lambda codes: codes.map(order.index))
    axes = FIGURES["influence_matrix"](frame).axes
    labels = [[label.get_text() for label in ax.get_xticklabels()] for ax in axes]
    labels += [[label.get_text() for label in ax.get_yticklabels()] for ax in axes]
    assert labels.count(order) > 2
    assert sorted(order) not in labels


def test_blank_intervals_are_left_out_and_chance_is_drawn() -> None:
    frame = SMALL["in_language_share"].assign(low=np.nan, high=np.nan)
    ax = FIGURES["in_language_share"](frame).axes[0]
    (chance,) = [lines for lines in ax.collections if lines.get_linestyle()[0][1]]
    assert {y for segment in chance.get_segments() for y in segment[:, 1]} == {50.0}


def test_rows_share_a_scale_unless_it_would_flatten_one() -> None:
    frame = SMALL["share_change"]
    own = frame["train_gradient_mask"] == "own_language"

    def limits(own_change: float, other_change: float) -> dict[str, tuple[float, float]]:
        value = np.where(own, own_change, other_change)
        axes = FIGURES["share_change"](frame.assign(value=value, low=0.9 * value, high=1.1 * value)).axes
        return {
            gradient: ax.get_ylim()
            for ax in axes
            for gradient in GRADIENTS
            if GRADIENTS[gradient] in title(ax)
        }

    apart = limits(0.5, 0.05)
    assert apart["own_language"] == pytest.approx((-0.06 * 55, 1.06 * 55))
    assert apart["test_example"] == pytest.approx((-0.06 * 5.5, 1.06 * 5.5))
    assert set(limits(0.5, 0.3).values()) == {apart["own_language"]}


def test_intervals_that_the_frame_cuts_end_in_an_arrowhead() -> None:
    frame = SMALL["share_change"].assign(value=0.1, low=-0.05, high=0.2)
    frame.loc[(frame["condition"] == "sft") & (frame["language"] == "en"), "high"] = 0.9
    fig = FIGURES["share_change"](frame)
    for ax in fig.axes:
        ((x, y),) = arrowheads(ax)
        assert round(x) == 1 and y == ax.get_ylim()[1] == pytest.approx(30 + 0.06 * 35)
        (drawn_to,) = {
            segment[:, 1].max()
            for lines in ax.collections
            for segment in getattr(lines, "get_segments", list)()
            if segment[:, 1].max() > 20.1
        }
        assert drawn_to == y
    assert not any(map(arrowheads, FIGURES["share_change"](frame.assign(high=0.2)).axes))


@pytest.mark.parametrize("value", [0.0, 0.999, 1.0])
def test_markers_at_the_ends_of_what_a_share_can_be_are_whole(value: float) -> None:
    frame = SMALL["in_language_share"]
    frame = frame.assign(value=frame["value"].where(frame["mask_kind"] != "random", value))
    for ax in FIGURES["in_language_share"](frame.assign(low=np.nan, high=np.nan)).axes:
        bottom, top = ax.get_ylim()
        # Half a marker of 3.2 points, of the panel's height.
        half = 1.6 / (72 * ax.get_position().height * ax.figure.get_figheight())
        assert min(100 * value - bottom, top - 100 * value) >= half * (top - bottom)


def test_panels_beside_a_gap_keep_their_tick_labels() -> None:
    frame = SMALL["specialization"]
    own = frame["train_gradient_mask"] == "own_language"
    fig = FIGURES["specialization"](frame[~own | (frame["condition"] == "sft")])
    titles = [title(ax) for ax in fig.axes]
    assert len(titles) == 4 and titles[3] == f"SFT {GRADIENTS['own_language']}"
    labelled = [ax.yaxis.get_major_ticks()[0].label1.get_visible() for ax in fig.axes]
    assert labelled == [True, False, False, True]
    labelled = [ax.xaxis.get_major_ticks()[0].label1.get_visible() for ax in fig.axes]
    assert labelled == [True, False, True, True]
