"""The figure of the questions has every contrast in its place, what is missing, and every verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.figures.questions import LOOKS
from modspec.figures.save import FIGURES
from modspec.terms import CONTRASTS, QUESTIONS
from tests.helpers.frames import arrowheads
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
    fig = FIGURES["questions_by_study"](frame)
    assert_legible(fig)
    assert len(fig.axes) == len(QUESTIONS) * len(STUDIES)
    assert [ax.get_title() for ax in fig.axes[:4]] == list(STUDIES)
    names = [label.get_text() for ax in fig.axes[:: len(STUDIES)] for label in ax.get_yticklabels()]
    assert names == [f"{contrast.question}  {contrast.text}" for contrast in CONTRASTS]
    assert len(fig.legends[0].get_texts()) == 4  # verdicts that look alike share an entry


def test_values_are_in_the_unit_of_their_question() -> None:
    frame = table()
    fig = FIGURES["questions_by_study"](frame)
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
    missing = (frame["question"] == "Q8") | ((frame["question"] == "Q4") & frame["primary"])
    frame.loc[missing, [*blank, "verdict"]] = [np.nan, np.nan, np.nan, "not run"]
    first = frame.index[frame["question"] == "Q1"][0]
    frame.loc[first, blank] = 0.01, -0.5, 0.5
    fig = FIGURES["questions_by_study"](frame)
    assert_legible(fig)
    said = [sum(text.get_text() == "not run" for text in ax.texts) for ax in fig.axes]
    assert said == [int(code in ("Q4", "Q8")) for code in QUESTIONS for _ in STUDIES]
    assert fig.axes[0].get_xlim() == pytest.approx((-3.24, 3.24)) and len(arrowheads(fig.axes[0])) == 2
