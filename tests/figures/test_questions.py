"""Figures of contrasts have every one in its place, what is missing, and every verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.figures.questions import LOOKS
from modspec.figures.save import FIGURES
from modspec.terms import CONTRASTS, QUESTIONS
from tests.helpers.frames import SMALL, arrowheads
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")
STUDIES = ("xnli", "pawsx", "reviews", "pooled")
VERDICTS = [verdict for verdict in LOOKS if verdict != "not run"]


def table() -> pd.DataFrame:
    """Every contrast in four studies, with every verdict, and without intervals where tests permute."""
    rng = np.random.default_rng(0)
    rows = []
    for study in STUDIES:
        for number, contrast in enumerate(CONTRASTS):
            value = rng.normal(0, 0.03)
            low, high = value - 0.01, value + 0.01
            if contrast.statistic in ("importance", "overlap"):
                low = high = np.nan
            verdict = VERDICTS[number % len(VERDICTS)]
            rows.append(
                (study, contrast.question, contrast.text, contrast.primary, value, low, high, verdict)
            )
    columns = ["study", "question", "contrast", "primary", "value", "low", "high", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def test_everything_can_be_read() -> None:
    frame = table()
    fig = FIGURES["questions"](frame)
    assert_legible(fig)
    assert len(fig.axes) == len(QUESTIONS) * len(STUDIES)
    assert [ax.get_title() for ax in fig.axes[:4]] == list(STUDIES)
    names = [label.get_text() for ax in fig.axes[:: len(STUDIES)] for label in ax.get_yticklabels()]
    assert names == [f"{contrast.question}  {contrast.text}" for contrast in CONTRASTS]
    assert len(fig.legends[0].get_texts()) == 4  # verdicts that look alike share an entry


def test_values_are_in_the_unit_of_their_question() -> None:
    frame = table()
    fig = FIGURES["questions"](frame)
    for row, (code, question) in enumerate(QUESTIONS.items()):
        for column, study in enumerate(STUDIES):
            rows = frame[(frame["question"] == code) & (frame["study"] == study)]
            lines = [
                line for line in fig.axes[row * len(STUDIES) + column].lines if len(line.get_xdata()) == 1
            ]
            drawn = {float(line.get_ydata()[0]): line for line in lines if line.get_marker() in ("o", "s")}
            for place, (value, verdict) in enumerate(zip(rows["value"], rows["verdict"], strict=True)):
                assert drawn[place].get_xdata()[0] == pytest.approx(question.scale * value)
                assert drawn[place].get_color() == LOOKS[verdict]["color"]


def test_what_was_not_run_is_said_and_a_cut_interval_ends_in_an_arrowhead() -> None:
    frame = table()
    blank = ["value", "low", "high"]
    some_of_q8 = (frame["question"] == "Q8") & (frame["study"] != "xnli")
    missing = some_of_q8 | ((frame["question"] == "Q4") & frame["primary"])
    frame.loc[missing, [*blank, "verdict"]] = [np.nan, np.nan, np.nan, "not run"]
    wide = frame.index[(frame["question"] == "Q3") & (frame["study"] == STUDIES[0])]
    frame.loc[wide, blank] = 0.01, 0.0, 0.02
    frame.loc[wide[-1], blank] = 0.01, -0.5, 0.5
    fig = FIGURES["questions"](frame)
    assert_legible(fig)
    said = [sum(text.get_text() == "not run" for text in ax.texts) for ax in fig.axes]
    both = [(code, study) for code in QUESTIONS for study in STUDIES]
    expected = [int(code == "Q4" or (code == "Q8" and study != "xnli")) for code, study in both]
    assert said == expected
    ax = fig.axes[both.index(("Q3", STUDIES[0]))]
    assert ax.get_xlim() == pytest.approx((-3.36, 3.36)) and len(arrowheads(ax)) == 2


def test_questions_that_no_study_can_answer_have_no_panel() -> None:
    frame = table()
    frame.loc[frame["question"] == "Q7", "verdict"] = "not run"
    fig = FIGURES["questions"](frame)
    assert_legible(fig)
    names = [label.get_text() for ax in fig.axes for label in ax.get_yticklabels()]
    assert len(fig.axes) == (len(QUESTIONS) - 1) * len(STUDIES)
    assert names and not any(name.startswith("Q7") for name in names)
    (said,) = FIGURES["questions"](frame.assign(verdict="not run")).axes[0].texts
    assert said.get_text() == "none of the questions was run"


def test_settings_stand_in_the_order_of_the_table_and_cut_intervals_end_in_an_arrowhead() -> None:
    frame = SMALL["sensitivity"].assign(value=0.1, low=-0.05, high=0.2)
    fig = FIGURES["sensitivity"](frame)
    assert not any(map(arrowheads, fig.axes))
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names == frame["setting"].unique().tolist()
    first = frame.index[frame["contrast"] == "full, no mask − chance"]
    frame.loc[first[0], ["low", "high"]] = -0.7, 0.9
    frame.loc[first[1], "low"] = -0.7
    panel, *others = FIGURES["sensitivity"](frame).axes
    low, high = panel.get_xlim()
    assert (low, high) == pytest.approx((-33.6, 33.6))
    assert sorted(arrowheads(panel)) == [(low, 0), (low, 1), (high, 0)]
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
