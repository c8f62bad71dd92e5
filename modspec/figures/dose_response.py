"""Figure: what the dose of a cipher does to shares and AUC."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels, refuse_duplicates
from modspec.figures.points import points
from modspec.figures.style import DOUBLE, GREY, REFERENCE, SINGLE, figure, grid, legend, sample
from modspec.terms import CALIBRATION_MEASURES

# Halves are no conditions or masks, so they have other colours (Paul Tol's).
HALVES = {
    "plain": {"color": "#332288", "marker": "o"},
    "ciphered": {"color": "#117733", "marker": "s"},
    "both halves": {"color": "#882255", "marker": "D"},
}
ONE_SEED = {"lw": 0.5, "alpha": 0.5}


@figure("seed dose measure language value low high chance")
def dose_response(frame: pd.DataFrame) -> Figure:
    """Draw share and AUC of each half in percent against the dose of the cipher; thin lines: single seeds."""
    refuse_duplicates(frame, ["seed", "dose", "measure", "language"], "value")
    frame = frame.assign(dose=100 * frame["dose"]).sort_values("dose")
    measures, halves = levels(frame, "measure", CALIBRATION_MEASURES), levels(frame, "language", HALVES)
    width = DOUBLE if len(measures) > 1 else SINGLE
    fig, axes = grid(measures, 3, (width, 1.9), 0.55, sharex=True)
    for measure, ax in axes.items():
        for place, half in enumerate(halves):
            rows = frame[(frame["measure"] == measure) & (frame["language"] == half)]
            for _, single in rows[rows["seed"] != "all"].groupby("seed"):
                ax.plot(single["dose"], 100 * single["value"], c=HALVES[half]["color"], **ONE_SEED)
            mean = rows[rows["seed"] == "all"]
            # Beside each other, else the halves' intervals hide one another.
            x = mean["dose"] + 1.2 * (place - (len(halves) - 1) / 2)
            points(ax, x, mean, {"ls": "-", **HALVES[half]}, bounds=(0, 100))
        chance = 100 * frame[frame["measure"] == measure].groupby("dose")["chance"].mean()
        ax.plot(chance, **REFERENCE)
        ax.set_xticks(chance.index)
        ax.set_title(CALIBRATION_MEASURES[measure])
        ax.set_ylabel(f"{'in-language share' if measure == 'share' else 'AUC'} (%)")
    fig.supxlabel("piece types re-encoded (%)")
    handles = [sample(half, **HALVES[half]) for half in halves]
    if (frame["seed"] != "all").any():
        handles.append(sample("single seeds", color=GREY, **ONE_SEED))
    legend(fig, [*handles, sample("chance", **REFERENCE)])
    return fig
