"""Heatmaps with numbers in their cells, and maps of layers x heads."""

import math
from collections.abc import Callable

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Colormap, Normalize
from matplotlib.patches import Rectangle
from seaborn.utils import relative_luminance

from modspec.figures.style import LIGHT


def around(centre: float, values: pd.DataFrame | pd.Series) -> CenteredNorm:
    """Return a scale on which equal distances from ``centre`` get equally strong colours.

    The darkest colours stay unused, so that numbers on them can be read.
    """
    return CenteredNorm(centre, max(1.2 * float((values - centre).abs().max(axis=None)), 1e-9))


def heatmap(ax: Axes, table: pd.DataFrame, form: Callable[[float], str], cmap: str, norm: Normalize) -> None:
    """Draw ``table`` as coloured cells with numbers in ``form``; cells without data are grey."""
    ax.set_facecolor(LIGHT)
    numbers = {"annot": table.map(form), "fmt": "", "annot_kws": {"size": 7, "in_layout": False}}
    look = {"linewidths": 0.5, "linecolor": "white", "cbar": False}
    seaborn.heatmap(table, ax=ax, cmap=cmap, norm=norm, xticklabels=True, yticklabels=True, **look, **numbers)
    colours = ax.collections[0].get_facecolors()[table.notna().to_numpy().ravel()]
    for text, colour in zip(ax.texts, colours, strict=True):
        # Black and white contrast equally with a luminance of 0.18 (WCAG 2).
        text.set_color("black" if relative_luminance(colour) > 0.18 else "white")
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0, labelrotation=0)


def outline(ax: Axes, row: int, column: int) -> None:
    """Draw a frame around one cell of a heatmap."""
    frame = Rectangle((column, row), 1, 1, fill=False, ec="black", lw=1.2, zorder=3, clip_on=False)
    ax.add_patch(frame)


def head_maps(frame: pd.DataFrame, rows: list[str], values: str) -> pd.DataFrame:
    """Return ``values`` with a column per (layer, head) and a row per combination of ``rows``, as means over
    all else, for example seeds."""
    return frame.pivot_table(index=rows, columns=["layer", "head"], values=values)


def head_map(
    ax: Axes, heads: pd.Series, cmap: Colormap | str, norm: Normalize, ticks: int, **look: float | str
) -> None:
    """Draw a row of :func:`head_maps`: layers from top to bottom, heads along x; grey where there is none.

    ``ticks``: the most ticks per axis. ``look``: options of ``Axes.pcolormesh``.
    """
    table = heads.unstack("head")
    ax.set_facecolor(LIGHT)
    ax.pcolormesh(table.columns, table.index, table, cmap=cmap, norm=norm, **look)
    ax.set_ylim(table.index.max() + 0.5, table.index.min() - 0.5)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    for axis, numbers in ((ax.xaxis, table.columns), (ax.yaxis, table.index)):
        step = math.ceil(len(numbers) / ticks)
        axis.set_ticks([int(number) for number in numbers if number % step == 0])


def used(maps: pd.DataFrame) -> tuple[float, float]:
    """Return the part of a scale around 0 that is in use, never empty."""
    return min(0.0, maps.min(axis=None)), max(1e-9, maps.max(axis=None))
