"""The figure of the questions: every contrast's value, by question and study."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modspec.figures.frames import levels
from modspec.figures.points import points
from modspec.figures.style import DOUBLE, GREY, PAGE, REFERENCE, figure, legend
from modspec.terms import CONTRASTS, QUESTIONS

# Okabe and Ito's colours by direction; an effect inside the margin is a grey square, an undecided one hollow.
LOOKS = {
    "supported": {"color": "#009E73"},
    "rises": {"color": "#009E73"},
    "contradicted": {"color": "#D55E00"},
    "falls": {"color": "#D55E00"},
    "equivalent": {"color": GREY, "marker": "s"},
    "negligible": {"color": GREY, "marker": "s"},
    "undecided": {"color": GREY, "mfc": "white", "mew": 0.8},
    "unmatched": {"color": GREY, "mfc": "white", "mew": 0.8},
    "too few seeds": {"color": GREY, "mfc": "white", "mew": 0.8},
    "not run": {"color": "none"},
}
WIDEST = 3  # an interval is drawn up to this many times the largest value of its panel
ROW = 0.16  # inches: a contrast's height


@figure("study question contrast primary value low high verdict")
def questions_by_study(frame: pd.DataFrame) -> Figure:
    """Draw every contrast in its question's unit, a row per question and a column per study.

    Primary contrasts come first and are bold. Intervals are at the confidence of the table; permutation tests
    have none. Grey bands are margins: effects inside them do not matter.
    """
    studies, questions = frame["study"].unique().tolist(), levels(frame, "question", QUESTIONS)
    present = set(frame["contrast"])
    shown = {q: [c.text for c in CONTRASTS if c.question == q and c.text in present] for q in questions}
    heights = [len(contrasts) + 2.6 for contrasts in shown.values()]
    fig = Figure(figsize=(DOUBLE, min(ROW * sum(heights) + 0.5, PAGE)), layout="constrained")
    axes = fig.subplots(len(questions), len(studies), squeeze=False, sharey="row", height_ratios=heights)
    primary = set(frame.loc[frame["primary"], "contrast"])
    for study, ax in zip(studies, axes[0], strict=True):
        ax.set_title(study)
    for row, (question, contrasts) in zip(axes, shown.items(), strict=True):
        for study, ax in zip(studies, row, strict=True):
            rows = frame[(frame["question"] == question) & (frame["study"] == study)]
            _draw(ax, rows, contrasts, question)
        row[0].set_yticks(range(len(contrasts)), [f"{question}  {c}" for c in contrasts])
        for label, contrast in zip(row[0].get_yticklabels(), contrasts, strict=True):
            label.set_fontweight("bold" if contrast in primary else "normal")
        row[len(row) // 2].set_xlabel(QUESTIONS[question].unit)
    verdicts = pd.Series([v for v in levels(frame, "verdict", LOOKS) if v != "not run"], dtype=str)
    alike = verdicts.groupby(verdicts.map(lambda verdict: str(LOOKS[verdict])), sort=False).agg(list)
    if len(alike):
        legend(fig, {" / ".join(group): {"marker": "o", "ls": ""} | LOOKS[group[0]] for group in alike})
    return fig


def _draw(ax: Axes, rows: pd.DataFrame, contrasts: list[str], question: str) -> None:
    """Draw one study's contrasts of one question."""
    scale, margin = QUESTIONS[question].scale, QUESTIONS[question].margin
    ax.axvline(0, **REFERENCE)
    # With few seeds intervals are wider than what can be: they end at the frame, which leaves room for the
    # values three times over. Without numbers, 0.
    widest, reach = (scale * rows[names].abs().max(axis=None) for names in (["low", "high"], ["value"]))
    limit = 1.08 * np.nanmax([np.nanmin([widest, WIDEST * reach, np.inf]), reach, 0])
    limit = limit if 0 < limit < np.inf else 1.0
    if margin:
        ax.axvspan(-scale * margin, scale * margin, color="#f2f2f2", lw=0, zorder=0)
    places = rows["contrast"].map(contrasts.index)
    for index, row in rows.iterrows():
        if row["verdict"] == "not run":
            ax.text(-0.95 * limit, places[index], "not run", color=GREY, va="center")
            continue
        look = {"marker": "o"} | LOOKS[row["verdict"]]
        limits = {"bounds": (-limit, limit), "scale": scale}
        points(ax, places[[index]], rows.loc[[index]], look, horizontal=True, **limits)
    ax.set(xlim=(-limit, limit), ylim=(len(contrasts) - 0.4, -0.6))
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.tick_params(axis="y", length=0)
