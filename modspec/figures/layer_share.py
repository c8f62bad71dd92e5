"""Figure: the in-language share of one part of one layer alone."""

import math

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels, only
from modspec.figures.points import name_places, points
from modspec.figures.style import DOUBLE, GREY, MARKS, REFERENCE, figure, grid, legend, sample
from modspec.terms import ALL_LANGUAGES, LABELS

ASIDE = {"attention": -0.27, "norms": 0.27}  # parts of one layer stand side by side
ONE_SEED = {"marker": "o", "ms": 2.6, "mew": 0, "alpha": 0.5, "ls": ""}


@figure("seed condition part layer language value low high chance examples")
def layer_share(frame: pd.DataFrame) -> Figure:
    """Draw S_t by one part of one layer alone, examples of all languages, against chance and single seeds."""
    frame = only(frame, language=ALL_LANGUAGES)
    frame = frame.assign(x=frame["layer"] + frame["part"].map(ASIDE).fillna(0)).sort_values("layer")
    conditions, parts = levels(frame, "condition"), levels(frame, "part")
    several, last = len(levels(frame, "seed")) > 2, int(frame["layer"].max())
    step = math.ceil(last / 26)
    layers = [layer if layer % step == 1 % step else "" for layer in range(1, last)]
    fig, axes = grid(conditions, 1, (DOUBLE, 1.45), 0.65, sharex=True, sharey=True)
    for condition, ax in axes.items():
        rows = frame[frame["condition"] == condition]
        ax.axhline(100 * rows["chance"].mean(), **REFERENCE)
        for part in parts:
            shares = rows[rows["part"] == part]
            mean, single = shares[shares["seed"] == "all"], shares[shares["seed"] != "all"]
            points(ax, mean["x"], mean, {"ls": "-", "lw": 0.6, **MARKS[part]}, bounds=(0, 100))
            if several:
                ax.plot(single["x"] + 0.1, 100 * single["value"], c=MARKS[part]["color"], **ONE_SEED)
        ax.set_title(LABELS["condition"][condition])
        name_places(ax, ["embed-\ndings", *layers, "classi-\nfier"])
    fig.supxlabel("layer")
    fig.supylabel("in-language share\nof proponents (%)")
    handles = [sample(LABELS["part"][part], lw=0.6, **MARKS[part]) for part in parts]
    handles += [sample("one seed", color=GREY, **ONE_SEED)] if several else []
    legend(fig, [*handles, sample("chance", **REFERENCE)])
    return fig
