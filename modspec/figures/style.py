"""The style of all figures: sizes, type, colours with one meaning each, panels, titles, legends."""

import functools
import itertools
import math
import textwrap
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from modspec.figures.characters import FONT, drawable
from modspec.figures.frames import typed

Draw = Callable[..., Figure]  # of a table; with width and serif, see figure()
FIGURES: dict[str, Draw] = {}  # by name; complete once modspec.figures.save is imported

SINGLE, DOUBLE, PAGE = 3.03, 6.30, 9.0  # inches: one and both columns of an ACL paper, and its height
SERIF = {"mathtext.fontset": "stix"}  # with STIX, which looks like Times and ships with matplotlib
LINE = 0.13  # inches: the height of a line of a title
GREY, LIGHT, STRIPE = "#6f6f6f", "#d5d5d5", "#f2f2f2"
STYLE = {
    "font.family": FONT,
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "figure.labelsize": 7.5,
    "figure.titlesize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1,
    "lines.markersize": 3.2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,  # TrueType: text stays text, as publishers ask
}
# Okabe and Ito's colours, each with a marker of its own for print without colour.
MARKS = {
    "none": {"color": "#000000", "marker": "o"},
    "own": {"color": "#0072B2", "marker": "s"},
    "other_language": {"color": "#E69F00", "marker": "^"},
    "other_seed": {"color": "#009E73", "marker": "v"},
    "random": {"color": "#CC79A7", "marker": "D"},
    "pooled_others": {"color": "#D55E00", "marker": "P"},
    "accuracy_matched": {"color": "#56B4E9", "marker": "h"},
    "dose": {"color": "#80876B", "marker": "*"},
    "full": {"color": "#000000", "marker": "o"},
    "one_language_batches": {"color": "#009E73", "marker": "P"},
    "sft": {"color": "#D55E00", "marker": "s"},
    "sft_random": {"color": "#56B4E9", "marker": "D"},
    "inherited": {"color": "#8C564B", "marker": "X"},
    "sft_intersection": {"color": "#7F3C8D", "marker": "^"},
    "sft_union": {"color": "#80876B", "marker": "v"},
    # Parts of the encoder, which are no conditions or masks: other colours, Paul Tol's.
    "embeddings": {"color": "#332288", "marker": "D"},
    "attention": {"color": "#882255", "marker": "o"},
    "feed-forward": {"color": "#44AA99", "marker": "s"},
    "norms": {"color": "#999933", "marker": "^"},
    "classifier": {"color": "#CC6677", "marker": "v"},
}
REFERENCE = {"color": GREY, "ls": "--", "lw": 0.9, "zorder": 1}  # the line of chance, or of no change


def figure(columns: str, optional: str = "") -> Callable[[Draw], Draw]:
    """Return a decorator for a function that draws a table: it registers the figure by its
    name, checks the table and sets our style.

    The decorated function also takes ``width``, inches, which panels are fitted into while text keeps its
    size, and ``serif``, whether text looks like Times.

    Args:
        columns: the columns that the table must have, spaces between; see
            :func:`modspec.figures.frames.typed`, which raises InputError.
        optional: columns that are drawn where the table has them, for tables published before a column
            existed.
    """

    def decorate(draw: Draw) -> Draw:
        @functools.wraps(draw)
        def checked(frame: pd.DataFrame, *, width: float | None = None, serif: bool = False) -> Figure:
            source = frame.attrs.get("source", f"{draw.__name__}.csv")
            present = [column for column in optional.split() if column in frame]
            table, fonts = drawable(typed(frame, [*columns.split(), *present], source))
            type_face = SERIF | {"font.family": ["STIXGeneral", *fonts]} if serif else {"font.family": fonts}
            with matplotlib.style.context(["default", STYLE, type_face]):
                fig = draw(table)
                if width is not None:
                    fig.set_figwidth(width)
                settle(fig)
                return fig

        FIGURES[draw.__name__] = checked
        return checked

    return decorate


def width_for(languages: Collection[str]) -> float:
    """Return the width in inches of a figure with a panel per language."""
    return SINGLE if len(languages) <= 2 else DOUBLE


def grid(
    panels: Mapping, columns: int, size: tuple[float, float], margin: float, **shared: bool | str
) -> tuple[Figure, list[tuple]]:
    """Return a figure, and the name, content and axes of every panel, row by row.

    Rows shrink where they would outgrow a page.

    Args:
        panels: what each shows, by name; None leaves a gap.
        columns: the most panels in a row.
        size: width of the figure and height of a row, inches.
        margin: height besides the rows, inches.
        shared: ``sharex`` and ``sharey`` of ``Figure.subplots``.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    fig = Figure(figsize=(size[0], min(rows * size[1] + margin, PAGE)), layout="constrained")
    places = fig.subplots(rows, columns, squeeze=False, **shared).ravel()
    filled = []
    for place, (ax, panel) in enumerate(itertools.zip_longest(places, panels)):
        if panels.get(panel) is not None:
            filled.append((panel, panels[panel], ax))
        else:
            ax.remove()
            # Only edges of shared axes are labelled: now those panels above and to the right.
            if place >= columns:
                places[place - columns].tick_params(labelbottom=True)
            if (place + 1) % columns:
                places[place + 1].tick_params(labelleft=True)
    return fig, filled


def wrapped(titles: Mapping[Hashable, str], width: float) -> tuple[dict[Hashable, str], float]:
    """Return ``titles`` in lines of at most ``width`` inches, unless a word is longer, and the height in
    inches of the title with the most lines."""
    # 0.065 inches: an average 7.5 pt character of the font.
    fill = functools.partial(_filled, width=max(1, int(width / 0.065)))
    filled = {name: "\n".join(map(fill, title.split("\n"))) for name, title in titles.items()}
    return filled, LINE * max(title.count("\n") + 1 for title in filled.values())


def _filled(text: str, width: int) -> str:
    """Return a text in as few lines as its width in characters allows, and these about equally long."""
    options = {"break_on_hyphens": False, "break_long_words": False}
    lines = len(textwrap.wrap(text, width, **options))
    narrowest = next(w for w in range(1, width + 1) if len(textwrap.wrap(text, w, **options)) == lines)
    return textwrap.fill(text, narrowest, **options)


def samples(looks: Mapping[str, dict]) -> list[Line2D]:
    """Return legend entries: label -> options of ``Axes.plot``."""
    return [Line2D([], [], label=label, **look) for label, look in looks.items()]


def legend(fig: Figure, looks: Mapping[str, dict]) -> None:
    """Draw one legend of :func:`samples` above all panels, in as many columns as surely fit."""
    # Inches: an average 7 pt character of the font; the sample line and the space between columns.
    widths = [0.054 * len(label) + 0.36 for label in looks]
    counts = range(len(looks), 0, -1)
    fits = (sum(map(max, np.array_split(widths, count))) <= fig.get_figwidth() for count in counts)
    columns = next(itertools.compress(counts, fits), 1)
    rows = math.ceil(len(looks) / columns)
    balanced = math.ceil(len(looks) / rows)
    # Figures leave room for three lines.
    fig.set_figheight(fig.get_figheight() + LINE * max(rows - 3, 0))
    fig.legend(handles=samples(looks), loc="outside upper center", ncols=balanced)


def around(centre: float, values: pd.DataFrame | pd.Series) -> CenteredNorm:
    """Return a scale on which equal distances from ``centre`` get equally strong colours.

    The darkest colours stay unused, so that numbers on them can be read.
    """
    return CenteredNorm(centre, max(1.2 * float((values - centre).abs().max(axis=None)), 1e-9))


def colour_bar(
    fig: Figure, axes: Iterable[Axes], cmap: Colormap | str, norm: Normalize, label: str, **place: float | str
) -> Axes:
    """Draw the scale of the colours of ``axes``, at their right or where ``place`` (options of
    ``Figure.colorbar``) says, and return its axes."""
    place = {"aspect": 30, "pad": 0.02} | place
    bar = fig.colorbar(ScalarMappable(norm, cmap), ax=list(axes), label=label, **place)
    bar.outline.set_visible(False)
    return bar.ax


def logarithmic(ax: Axes, values: Iterable[float]) -> None:
    """Make the x axis logarithmic, with ticks at ``values``."""
    ticks = sorted(set(values))
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def settle(fig: Figure) -> None:
    """Fix all places, so that they are the same in every format and under a reader's own style."""
    for ax in fig.axes:  # else matplotlib chooses ticks by the style in force when it draws
        ax.tick_params(labelsize=7)
    for _ in range(2):  # panels of fixed aspect settle in the second pass
        fig.get_layout_engine().execute(fig)
    fig.set_layout_engine("none")
