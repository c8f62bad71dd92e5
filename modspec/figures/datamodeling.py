"""Figure: do scores foretell what retraining on other examples does?"""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels
from modspec.figures.points import points
from modspec.figures.scorers import SCORERS
from modspec.figures.style import DOUBLE, LIGHT, REFERENCE, SINGLE, figure, grid, legend, sample

CEILING = {"color": LIGHT, "lw": 3, "zorder": 0}


@figure("score split value low high chance ceiling")
def datamodeling(frame: pd.DataFrame) -> Figure:
    """Draw every scorer's linear datamodeling score with its interval, between chance and what retraining
    allows."""
    splits, scorers = frame["split"].unique().tolist(), levels(frame, "score", SCORERS)
    width = SINGLE if len(splits) == 1 else DOUBLE
    fig, axes = grid(splits, len(splits), (width, 0.16 * len(scorers) + 0.3), 0.6, sharex=True, sharey=True)
    for split, ax in axes.items():
        rows = frame[frame["split"] == split]
        ax.axvline(rows["chance"].mean(), **REFERENCE)
        ax.axvline(rows["ceiling"].mean(), **CEILING)
        for name, score in rows.groupby("score"):
            places = score["score"].map(scorers.index)
            points(ax, places, score, SCORERS[name] | {"ls": ""}, scale=1, horizontal=True)
        ax.set_title(split)
        ax.set_yticks(range(len(scorers)), scorers)
        ax.set_ylim(len(scorers) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
    fig.supxlabel("linear datamodeling score (mean Spearman correlation)")
    ceiling = sample("ceiling: agreement of retrainings", **CEILING)
    legend(fig, [sample("chance", **REFERENCE), ceiling])
    return fig
