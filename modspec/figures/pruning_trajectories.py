"""Figure: what pruning heads costs, step by step."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels
from modspec.figures.style import GREY, LIGHT, figure, grid, language_colour, legend, sample, width_for

CHOSEN = {"marker": "D", "ms": 4.5, "mec": "black", "mew": 0.7, "ls": ""}
FAILED = {"marker": "x", "ms": 4.5, "mew": 1.2, "ls": ""}
THRESHOLD = {"color": "black", "lw": 0.8, "ls": "--"}


@figure("seed language step heads_left heads dev_score threshold_score accepted")
def pruning_trajectories(frame: pd.DataFrame) -> Figure:
    """Draw the dev score against the heads left, both in percent of the unpruned encoder, by language, and
    mark the chosen masks."""
    frame = frame.sort_values("step")
    first = frame.groupby(["language", "seed"])["dev_score"].transform("first")
    unpruned = first.where(first != 0)  # nothing is relative to 0: no line
    frame = frame.assign(
        x=100 * frame["heads_left"] / frame["heads"],
        y=100 * frame["dev_score"] / unpruned,
        threshold=100 * frame["threshold_score"] / unpruned,
    )
    languages = levels(frame, "language")
    fig, axes = grid(languages, 5, (width_for(languages), 1.45), 0.45, sharex=True, sharey=True)
    for language, ax in axes.items():
        colour = language_colour(language)
        for (other, _), run in frame.groupby(["language", "seed"]):
            if other != language:
                ax.plot(run["x"], run["y"], c=LIGHT, lw=0.6, zorder=1)
                continue
            failed, chosen = run[~run["accepted"]], run[run["accepted"]][-1:]
            ax.plot(run["x"], run["threshold"], zorder=2, **THRESHOLD)
            ax.plot(run["x"], run["y"], c=colour, marker=".", ms=3, zorder=3)
            ax.plot(failed["x"], failed["y"], c=colour, zorder=4, **FAILED)
            ax.plot(chosen["x"], chosen["y"], c=colour, zorder=5, **CHOSEN)
        ax.set_title(language)
    axes[languages[0]].invert_xaxis()
    fig.supxlabel("heads left (%)")
    fig.supylabel("dev score (% of unpruned)")
    handles = [
        sample("chosen mask", color=GREY, **CHOSEN),
        sample("below threshold", color=GREY, **FAILED),
        sample("threshold", **THRESHOLD),
    ]
    others = [sample("other languages", color=LIGHT)] if len(languages) > 1 else []
    legend(fig, handles + others)
    return fig
