"""Figures of contrasts: values with intervals and verdicts around zero, by study and by setting."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modspec.figures.frames import by_level, levels
from modspec.figures.points import limits, points
from modspec.figures.style import DOUBLE, GREY, PAGE, REFERENCE, STRIPE, figure, grid, legend, wrapped
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
ROW = 0.16  # inches: a contrast's height
PANELS = 3.2  # inches: what the names of contrasts leave to the panels of a row


@figure("study question contrast primary value low high verdict")
def questions(frame: pd.DataFrame) -> Figure:
    """Draw every contrast in its question's unit, a row per question and a column per study.

    Primary contrasts come first and are bold. Intervals are at the confidence of the table; permutation tests
    have none. Grey bands are margins: effects inside them do not matter. Questions that no study can answer
    are left out.
    """
    run = frame[frame["verdict"] != "not run"]
    studies, shown_questions = frame["study"].unique().tolist(), levels(run, "question", QUESTIONS)
    present = set(frame["contrast"])
    shown = {q: [c.text for c in CONTRASTS if c.question == q and c.text in present] for q in shown_questions}
    heights = [len(contrasts) + 2.6 for contrasts in shown.values()]
    fig = Figure(figsize=(DOUBLE, min(ROW * sum(heights) + 0.5, PAGE)), layout="constrained")
    if not shown:
        ax = fig.subplots()
        ax.set_axis_off()
        ax.text(0.5, 0.5, "none of the questions was run", color=GREY, ha="center")
        return fig
    axes = fig.subplots(len(shown), len(studies), squeeze=False, sharey="row", height_ratios=heights)
    primary = set(frame.loc[frame["primary"], "contrast"])
    for study, ax in zip(studies, axes[0], strict=True):
        ax.set_title(study)
    for row, (question, contrasts) in zip(axes, shown.items(), strict=True):
        scale, margin = QUESTIONS[question].scale, QUESTIONS[question].margin
        for study, ax in zip(studies, row, strict=True):
            rows = frame[(frame["question"] == question) & (frame["study"] == study)]
            if margin:
                ax.axvspan(-scale * margin, scale * margin, color=STRIPE, lw=0, zorder=0)
            draw_contrasts(ax, rows, rows["contrast"].map(contrasts.index), scale)
            ax.set_ylim(len(contrasts) - 0.4, -0.6)
            ax.set_xlabel(wrapped({question: QUESTIONS[question].unit}, PANELS / len(studies))[0][question])
        row[0].set_yticks(range(len(contrasts)), [f"{question}  {c}" for c in contrasts])
        for label, contrast in zip(row[0].get_yticklabels(), contrasts, strict=True):
            label.set_fontweight("bold" if contrast in primary else "normal")
    legend_of_verdicts(fig, run)
    return fig


@figure("setting question contrast value low high verdict")
def sensitivity(frame: pd.DataFrame) -> Figure:
    """Draw the contrasts of shares by setting, the study's own first, in points."""
    names = frame["setting"].unique().tolist()
    contrasts = by_level(frame, "contrast", [c.text for c in CONTRASTS])
    columns = 3 if len(contrasts) <= 9 else 4
    titles, height = wrapped({c.text: f"{c.question}  {c.text}" for c in CONTRASTS}, 4.3 / columns)
    fig, panels = grid(contrasts, columns, (DOUBLE, 0.17 * len(names) + 0.15 + height), 0.35, sharey=True)
    for contrast, rows, ax in panels:
        ax.axhspan(-0.5, 0.5, color=STRIPE, lw=0, zorder=0)
        draw_contrasts(ax, rows, rows["setting"].map(names.index), 100)
        ax.set_yticks(range(len(names)), names)
        ax.set(title=titles[contrast], ylim=(len(names) - 0.5, -0.5))
    fig.supxlabel("points")
    legend_of_verdicts(fig, frame)
    return fig


def draw_contrasts(ax: Axes, rows: pd.DataFrame, places: pd.Series, scale: float) -> None:
    """Draw values with intervals around a dashed line at zero, each in the look of its verdict.

    Args:
        ax: where to draw.
        rows: value, low, high, verdict.
        places: of the values along y.
        scale: the axis has so many units per 1 in ``rows``.
    """
    ax.axvline(0, **REFERENCE)
    bounds = limits(rows, 0, scale)
    for index, row in rows.iterrows():
        if row["verdict"] == "not run":
            place = {"transform": ax.get_yaxis_transform(), "va": "center"}
            ax.text(0.03, places[index], "not run", color=GREY, bbox={"color": "white", "pad": 0.5}, **place)
            continue
        look = {"marker": "o"} | LOOKS[row["verdict"]]
        points(ax, places[[index]], rows.loc[[index]], look, bounds=bounds, scale=scale, horizontal=True)
    ax.set_xlim(bounds)
    ax.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 4, 5, 10]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.tick_params(axis="y", length=0)


def legend_of_verdicts(fig: Figure, frame: pd.DataFrame) -> None:
    """Draw a legend of the verdicts in ``frame``; those that look alike share an entry."""
    verdicts = pd.Series(levels(frame, "verdict", LOOKS), dtype=str)
    alike = verdicts.groupby(verdicts.map(lambda verdict: str(LOOKS[verdict])), sort=False).agg(list)
    legend(fig, {" / ".join(group): {"marker": "o", "ls": ""} | LOOKS[group[0]] for group in alike})
