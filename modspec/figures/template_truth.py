"""Figure: are proponents like the evaluation sentence?"""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels
from modspec.figures.points import points
from modspec.figures.scorers import SCORERS
from modspec.figures.style import DOUBLE, LIGHT, REFERENCE, figure, grid, legend, logarithmic, sample

# In the table alone: random scores, which agree with chance, and the classifier alone.
NOT_DRAWN = {"random", "cosine, classifier alone", "dot, classifier alone"}
HIGHEST = {"color": LIGHT, "lw": 3}


@figure("score measure k value low high chance best")
def template_truth(frame: pd.DataFrame) -> Figure:
    """Draw the share of the top k, in percent, that are like the evaluation sentence, by k, scorer and
    likeness."""
    scorers = [name for name in levels(frame, "score", SCORERS) if name not in NOT_DRAWN]
    frame = frame.sort_values("k", kind="stable")
    fig, axes = grid(frame["measure"].unique().tolist(), 2, (DOUBLE, 1.8), 1.0, sharex=True)
    for measure, ax in axes.items():
        rows = frame[frame["measure"] == measure]
        reference = 100 * rows.groupby("k")[["chance", "best"]].mean()
        ax.plot(reference["best"], **HIGHEST)
        ax.plot(reference["chance"], **REFERENCE)
        for place, name in enumerate(scorers):
            shares = rows[rows["score"] == name]
            x = shares["k"] * 1.02 ** (place - len(scorers) / 2)
            look = {"lw": 0.9, "ms": 2.6, **SCORERS[name]}
            points(ax, x, shares, look, interval={"color": look["color"], "lw": 0.5})
        ax.set_title(f"same {measure}")
        logarithmic(ax, frame["k"])
        ax.set_ylim(bottom=0)
    fig.supxlabel("k")
    fig.supylabel("share of the top k proponents (%)")
    handles = [sample(name, lw=0.9, ms=2.6, **SCORERS[name]) for name in scorers]
    legend(fig, [*handles, sample("chance", **REFERENCE), sample("highest possible", **HIGHEST)])
    return fig
