"""Figure: how often proponents are translations of each other."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels, only
from modspec.figures.points import name_places, points, side_by_side
from modspec.figures.style import DOUBLE, GREY, MARKS, figure, grid, legend, sample
from modspec.terms import ALL_LANGUAGES, LABELS

MEASURES = {
    "translated_proponents": "proponents with a\ntranslation among\nthem (%)",
    "shared_groups": "proponents' groups\nthat translations\nshare (%)",
    "translations_found": "own translations\namong the\nstrongest (%)",
}
CHANCE = {"color": GREY, "lw": 0.9, "ls": ":"}


@figure("condition measure language_a language_b observed chance control value low high")
def translations(frame: pd.DataFrame) -> Figure:
    """Draw each measure in percent by language and condition, beside its control.

    A point is what was observed; its bar is the interval of the difference from the control.
    """
    frame = only(frame, language_b=ALL_LANGUAGES)
    frame = frame[frame["measure"].isin(MEASURES)]
    languages, conditions = levels(frame, "language_a"), levels(frame, "condition")
    frame = frame.assign(
        x=side_by_side(frame, "language_a", languages, "condition", conditions),
        value=frame["observed"],
        low=frame["control"] + frame["low"],
        high=frame["control"] + frame["high"],
    )
    half = 0.3 / len(conditions)
    fig, axes = grid(levels(frame, "measure", MEASURES), 1, (DOUBLE, 1.45), 0.6, sharex=True)
    for measure, ax in axes.items():
        name_places(ax, languages)
        for condition in conditions:  # some may lack a measure
            rows = frame[(frame["measure"] == measure) & (frame["condition"] == condition)]
            left, right = rows["x"] - half, rows["x"] + half
            ax.hlines(100 * rows["control"], left, right, color=MARKS[condition]["color"], lw=1.6)
            points(ax, rows["x"], rows, MARKS[condition], bounds=(0, 100))
            ax.hlines(100 * rows["chance"], left, right, **CHANCE)
        ax.set_ylabel(MEASURES[measure])
        ax.set_ylim(0, min(ax.get_ylim()[1], 103))
    fig.supxlabel("evaluation language")
    handles = [sample(LABELS["condition"][condition], **MARKS[condition]) for condition in conditions]
    handles.append(sample("control: same languages and labels", color="black", lw=1.6))
    legend(fig, [*handles, sample("chance", **CHANCE)])
    return fig
