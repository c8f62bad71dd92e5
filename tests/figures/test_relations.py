"""Figures beyond in-language shares show what their frames say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from modspec.figures.relations import MEASURES
from modspec.figures.save import FIGURES
from modspec.figures.style import MARKS
from modspec.terms import ALL_LANGUAGES
from tests.helpers.frames import CODES, STUDIES, drawn, synthetic

pytestmark = pytest.mark.filterwarnings("error")


def test_head_relation_draws_points_on_their_bands() -> None:
    rows = synthetic(5, 2)["head_relation"].query("seed == 'all'").set_index(["measure", "mask_kind"])
    axes = drawn((5, 2), "head_relation").axes
    order = ["contribution_importance", "share_importance", "contribution_mask", "share_mask"]
    ticks = [label.get_text() for label in axes[2].get_xticklabels()]
    assert ticks == [*CODES[:5], "all"]
    for measure, ax in zip(order, axes, strict=True):
        factor = 100 if measure == "share_mask" else 1
        lines = {line.get_marker(): line for line in ax.lines if line.get_marker() in "s^v"}
        for source, band in zip(("own", "other_language", "other_seed"), ax.collections, strict=True):
            expected = rows.loc[(measure, source)].set_index("language")
            line = lines[MARKS[source]["marker"]]
            assert line.get_color() == MARKS[source]["color"]
            for x, y, segment in zip(*line.get_data(), band.get_segments(), strict=True):
                language = [*CODES[:5], ALL_LANGUAGES][round(x)]
                assert y == pytest.approx(factor * expected.loc[language, "value"])
                chance = factor * expected.loc[language, ["chance_low", "chance_high"]].astype(float)
                assert segment[:, 1] == pytest.approx(chance.to_numpy()) and (segment[:, 0] == x).all()


def test_typology_draws_every_pair() -> None:
    data = synthetic(5, 2)["typology"]
    rows = data[data["seed"] == "all"]
    axes = drawn((5, 2), "typology").axes
    panels = itertools.product(["overlap", "share"], ["syntax", "family", "geography"])
    for (measure, distance), ax in zip(panels, axes, strict=True):
        factor = {"overlap": 1, "share": 100}[measure]
        of = rows[rows["measure"] == measure]
        same = of["language_a"] == of["language_b"]
        chance, within, points = ax.lines
        assert chance.get_ydata() == [0, 0]
        assert within.get_ydata() == pytest.approx([factor * of.loc[same, "value"].mean()] * 2)
        assert points.get_xdata() == pytest.approx(of.loc[~same, distance])
        assert points.get_ydata() == pytest.approx(factor * of.loc[~same, "value"])
        for label in ax.texts:
            a, b = label.get_text().split("\N{EN DASH}")
            row = of[(of["language_a"] == a) & (of["language_b"] == b)]
            assert label.get_position() == (row[distance].item(), factor * row["value"].item())
    assert sum(len(ax.texts) for ax in axes) >= 30  # of 60 places, so many names find room


@pytest.mark.parametrize("study", STUDIES, ids=str)
def test_no_name_of_two_languages_stands_beside_another_point(study: tuple[int, int]) -> None:
    fig = drawn(study, "typology")
    fig.draw_without_rendering()
    for ax in fig.axes:
        points = ax.transData.transform(ax.lines[2].get_xydata())
        for label in ax.texts:
            box, own = label.get_window_extent(), ax.transData.transform(label.get_position())
            others = points[np.abs(points - own).max(axis=1) > 1e-6]
            level = others[(box.y0 < others[:, 1]) & (others[:, 1] < box.y1), 0]
            between = np.maximum(box.x0 - level, level - box.x1)
            assert (between * 72 / fig.dpi > 5).all(), label.get_text()


def test_one_seed_has_no_masks_of_other_seeds_to_compare_with() -> None:
    data = synthetic(2, 1)["typology"]
    assert "de" not in set(data.query("measure == 'overlap' and language_a == language_b")["language_a"])
    within = [ax.lines[1].get_ydata()[0] for ax in drawn((2, 1), "typology").axes]
    assert np.isnan(within[:3]).all() and np.isfinite(within[3:]).all()


def test_translations_draw_the_difference_on_the_control() -> None:
    data = synthetic(5, 2)["translations"]
    axes = drawn((5, 2), "translations").axes
    for measure, ax in zip(MEASURES, axes, strict=True):
        assert ax.get_ylabel() == MEASURES[measure]
        rows = data[(data["measure"] == measure) & (data["language_b"] == ALL_LANGUAGES)]
        rows = rows[rows["condition"] == "sft"].set_index("language_a")
        (line,) = [line for line in ax.lines if line.get_color() == MARKS["sft"]["color"]]
        control, interval = (
            collection.get_segments()
            for collection in ax.collections
            if to_hex(collection.get_colors()[0]) == to_hex(line.get_color())
        )
        for x, y, level, bar in zip(*line.get_data(), control, interval, strict=True):
            row = rows.loc[[*CODES[:5], ALL_LANGUAGES][round(x)]]
            assert y == pytest.approx(100 * row["observed"])
            assert level[:, 1] == pytest.approx([100 * row["control"]] * 2)
            ends = 100 * row["control"] + 100 * row[["low", "high"]].astype(float)
            assert bar[:, 1] == pytest.approx(ends.to_numpy())


def test_measures_that_a_study_lacks_have_no_panel() -> None:
    data = synthetic(5, 2)["translations"]
    fig = FIGURES["translations"](data[data["measure"] != "translations_found"])
    assert len(fig.axes) == 2
    data = synthetic(5, 2)["typology"]
    assert len(FIGURES["typology"](data[data["measure"] == "overlap"]).axes) == 3


def test_a_measure_that_one_condition_lacks_is_drawn_of_the_others() -> None:
    data = synthetic(5, 2)["translations"]
    lacking = (data["measure"] == "translations_found") & (data["condition"] != "full")
    axes = FIGURES["translations"](data[~lacking]).axes
    points = [{line.get_color() for line in ax.lines if len(line.get_xdata())} for ax in axes]
    assert [MARKS["sft"]["color"] in colours for colours in points] == [True, True, False]
    assert all(MARKS["full"]["color"] in colours for colours in points)
