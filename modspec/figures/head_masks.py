"""Figure: which heads each language's masks keep."""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from modspec.figures.frames import levels
from modspec.figures.heatmaps import head_map, head_maps
from modspec.figures.style import colour_bar, figure, grid, width_for


@figure("seed language layer head kept")
def head_masks(frame: pd.DataFrame) -> Figure:
    """Draw layers x heads by language: how many seeds' subnetworks keep each head."""
    languages, seeds = levels(frame, "language"), frame["seed"].nunique()
    counts = seeds * head_maps(frame, ["language"], "kept")
    fig, axes = grid(languages, 5, (width_for(languages), 1.45), 0.2, sharex=True, sharey=True)
    cmap = ListedColormap(seaborn.color_palette("light:#0072B2", seeds + 1))
    norm = BoundaryNorm(np.arange(seeds + 2) - 0.5, cmap.N)
    for language, ax in axes.items():
        head_map(ax, counts.loc[language], cmap, norm, 6, edgecolors="white", linewidth=0.4)
        kept = counts.loc[language].sum() / seeds
        ax.set_title(f"{language}: {kept:.0f} of {counts.shape[1]} kept")
        ax.set_aspect("equal")
    fig.supxlabel("head")
    fig.supylabel("layer")
    bar = colour_bar(fig, axes.values(), cmap, norm, f"kept by, of {seeds} seeds" if seeds > 1 else "")
    bar.tick_params(which="both", length=0)
    bar.set_yticks(range(seeds + 1), range(seeds + 1) if seeds > 1 else ["removed", "kept"])
    return fig
