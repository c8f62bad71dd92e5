"""Figure: the in-language share of one head alone."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels
from modspec.figures.heatmaps import around, head_map, head_maps, used
from modspec.figures.style import colour_bar, figure, grid, width_for


@figure("seed language layer head share chance")
def head_share(frame: pd.DataFrame) -> Figure:
    """Draw layers x heads by language: S_t by one head alone, in points above chance, mean over seeds."""
    languages = levels(frame, "language")
    excess = frame.assign(excess=100 * (frame["share"] - frame["chance"]))
    maps = head_maps(excess, ["language"], "excess")
    fig, axes = grid(languages, 5, (width_for(languages), 1.4), 0.2, sharex=True, sharey=True)
    norm = around(0, maps)
    for language, ax in axes.items():
        head_map(ax, maps.loc[language], "RdBu_r", norm, 6)
        ax.set_title(language)
    fig.supxlabel("head")
    fig.supylabel("layer")
    bar = colour_bar(fig, axes.values(), "RdBu_r", norm, "in-language share\nabove chance (points)")
    bar.set_ylim(*used(maps))
    return fig
