"""What all figures share: registry, sizes, type, colours that mean one thing throughout, panels, legends."""

from __future__ import annotations

import functools
import math
import textwrap
import zlib
from collections.abc import Callable, Hashable, Iterable, Sequence

import matplotlib.style
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from seaborn.utils import relative_luminance

from modspec.figures.frames import typed

Draw = Callable[[pd.DataFrame], Figure]
FIGURES: dict[str, Draw] = {}  # by name, which is also the name of the CSV that each is drawn from

SINGLE, DOUBLE, PAGE = 3.3, 6.8, 9.0  # inches: one and two columns of a page, and its height
GREY, LIGHT = "#6f6f6f", "#d5d5d5"
STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "figure.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,  # TrueType: text stays text, as publishers ask
}
# A language's place fixes its colour; the first ten, which no preset exceeds, all differ.
LANGUAGES = tuple("en de fr es ru zh ko ja pl it nl pt ar bg el hi sw th tr ur vi".split())
# Okabe and Ito's colours, each with a marker of its own for print without colour.
MARKS = {
    "none": ("#000000", "o"),
    "own": ("#0072B2", "s"),
    "other_language": ("#E69F00", "^"),
    "other_seed": ("#009E73", "v"),
    "random": ("#CC79A7", "D"),
    "sft": ("#D55E00", "s"),
    "sft_random": ("#56B4E9", "D"),
    "inherited": ("#8C564B", "X"),
    "sft_intersection": ("#7F3C8D", "^"),
    "sft_union": ("#80876B", "v"),
    # Parts of the encoder, which are no conditions or masks: other colours, Paul Tol's.
    "embeddings": ("#332288", "D"),
    "attention": ("#882255", "o"),
    "feed-forward": ("#44AA99", "s"),
    "norms": ("#999933", "^"),
    "classifier": ("#332288", "v"),
}


def figure(columns: str, optional: str = "") -> Callable[[Draw], Draw]:
    """Register a figure under its function's name.

    ``columns``: what its frame must have, spaces between; ``optional``: what is drawn where the frame has
    it, for tables published before a column was thought of. The frame is checked by
    :func:`modspec.figures.frames.typed` (InputError), and drawn in our style whichever is in force.
    """

    def register(draw: Draw) -> Draw:
        @functools.wraps(draw)
        def checked(frame: pd.DataFrame) -> Figure:
            source = frame.attrs.get("source", f"{draw.__name__}.csv")
            with matplotlib.style.context(["default", STYLE]):
                had = [column for column in optional.split() if column in frame]
                fig = draw(typed(frame, [*columns.split(), *had], source))
                settle(fig)
                return fig

        FIGURES[draw.__name__] = checked
        return checked

    return register


def language_colour(language: str) -> tuple[float, float, float]:
    """RGB of a language code, the same in every figure and for every set of languages."""
    known = language in LANGUAGES
    rank = LANGUAGES.index(language) if known else zlib.crc32(language.encode())
    palette = seaborn.color_palette("colorblind")
    return palette[rank % len(palette)]


def grid(
    panels: Sequence[Hashable],
    columns: int,
    size: tuple[float, float],
    margin: float,
    **shared: bool,
) -> tuple[Figure, dict[Hashable, Axes]]:
    """A figure with an axes for every panel, row by row; a panel that is None leaves a gap.

    ``size``: width of the figure and height of a row; ``margin``: height besides the rows; inches.
    Rows shrink where they would outgrow a page.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    height = min(rows * size[1] + margin, PAGE)
    fig = Figure(figsize=(size[0], height), layout="constrained")
    every = fig.subplots(rows, columns, squeeze=False, **shared)
    axes = {}
    for place, ax in enumerate(every.flat):
        if place < len(panels) and panels[place] is not None:
            axes[panels[place]] = ax
        else:
            ax.remove()
            # Only edges of shared axes are labelled: now those panels above and to the right.
            if place >= columns:
                every.flat[place - columns].tick_params(labelbottom=True)
            if (place + 1) % columns:
                every.flat[place + 1].tick_params(labelleft=True)
    return fig, axes


def sample(label: str, colour: str, **look: float | str) -> Line2D:
    """A legend entry."""
    return Line2D([], [], c=colour, label=label, **look)


def legend(fig: Figure, handles: Sequence[Line2D]) -> None:
    """One legend above all panels, in as many columns as surely fit."""
    # Inches: an average 7 pt character of the font; the sample line and the space between columns.
    widest = max(len(str(handle.get_label())) for handle in handles) * 0.056 + 0.4
    columns = max(1, min(len(handles), int(fig.get_figwidth() / widest)))
    balanced = math.ceil(len(handles) / math.ceil(len(handles) / columns))
    fig.legend(handles=handles, loc="outside upper center", ncols=balanced)


def colour_bar(
    fig: Figure, axes: Iterable[Axes], cmap: Colormap | str, norm: Normalize, label: str, **place: float | str
) -> Axes:
    """The scale of ``axes``' colours, at their right or where ``place`` (of ``Figure.colorbar``) says."""
    place = {"aspect": 30, "pad": 0.02} | place
    bar = fig.colorbar(ScalarMappable(norm, cmap), ax=list(axes), label=label, **place)
    bar.outline.set_visible(False)
    return bar.ax


def wrapped(title: str, width: float) -> str:
    """``title`` in lines of at most ``width`` inches, but for longer words."""
    # 0.065 inches: an average 7.5 pt character of the font.
    characters = max(1, int(width / 0.065))
    lines = (textwrap.fill(line, characters, break_on_hyphens=False) for line in title.split("\n"))
    return "\n".join(lines)


def heatmap(ax: Axes, table: pd.DataFrame, form: Callable[[float], str], cmap: str, norm: Normalize) -> None:
    """``table`` as coloured cells with numbers in ``form``; cells without data are grey."""
    ax.set_facecolor(LIGHT)
    ax.pcolormesh(table, cmap=cmap, norm=norm, edgecolors="white", linewidth=0.5)
    for (row, column), value in np.ndenumerate(table):
        if not math.isnan(value):
            fill = relative_luminance(matplotlib.colormaps[cmap](norm(value)))
            # Black and white contrast equally with a luminance of 0.18 (WCAG 2).
            colour = "black" if fill > 0.18 else "white"
            look = {"ha": "center", "va": "center", "size": 7, "color": colour, "in_layout": False}
            ax.text(column + 0.5, row + 0.5, form(value), **look)
    ax.set_xticks(np.arange(len(table.columns)) + 0.5, table.columns)
    ax.set_yticks(np.arange(len(table)) + 0.5, table.index)
    ax.set_ylim(len(table), 0)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def number_heads(ax: Axes, table: pd.DataFrame, most: int) -> None:
    """At most so many ticks an axis: layers, the index of ``table``, along y; heads, its columns, along x."""
    for axis, numbers in ((ax.xaxis, table.columns), (ax.yaxis, table.index)):
        step = math.ceil(len(numbers) / most)
        axis.set_ticks([int(number) for number in numbers if number % step == 0])


def outline(ax: Axes, row: int, column: int) -> None:
    """A frame around one cell of a heatmap."""
    frame = Rectangle((column, row), 1, 1, fill=False, ec="black", lw=1.2, zorder=3, clip_on=False)
    ax.add_patch(frame)


def goes_on(ax: Axes, x: float, y: float, direction: tuple[int, int], colour: str) -> None:
    """An open arrowhead at the end of an interval that the frame cuts, pointing ``direction`` (dx, dy)."""
    dx, dy = direction
    head = Path([(-dx - dy, -dy - dx), (0, 0), (-dx + dy, -dy + dx)])
    ax.plot(x, y, marker=head, c=colour, mfc="none", ms=3.2, mew=0.8, lw=0, clip_on=False)


def intervals(
    ax: Axes, x: pd.Series, rows: pd.DataFrame, bounds: Sequence[float], colour: str, width: float
) -> None:
    """Vertical intervals of shares, in percent; those beyond ``bounds`` end there, in an arrowhead."""
    bottom, top = bounds
    low, high = 100 * rows["low"], 100 * rows["high"]
    ax.vlines(x, low.clip(bottom, top), high.clip(bottom, top), colors=colour, lw=width)
    for cut in x[low < bottom]:
        goes_on(ax, cut, bottom, (0, -1), colour)
    for cut in x[high > top]:
        goes_on(ax, cut, top, (0, 1), colour)


def around(centre: float, values: pd.Series) -> CenteredNorm:
    """Equal distances from ``centre`` get equally strong colours; the darkest stay unused."""
    return CenteredNorm(centre, max(1.2 * float((values - centre).abs().max()), 1e-9))


def settle(fig: Figure) -> None:
    """Fix all places, so that they are the same in every format and under a reader's own style."""
    for ax in fig.axes:  # else matplotlib chooses ticks by the style in force when it draws
        ax.tick_params(labelsize=7)
    for _ in range(2):  # panels of fixed aspect settle in the second pass
        fig.get_layout_engine().execute(fig)
    fig.set_layout_engine("none")
