"""Figure: are languages that are close to each other kept and influenced alike?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, ScaledTranslation

from modspec.figures.frames import levels, only
from modspec.figures.style import DOUBLE, MARKS, REFERENCE, figure, grid, legend, sample

# Measure -> axis label, factor; the table of tests has another measure.
SIMILARITIES = {
    "overlap": ("mask overlap\nabove chance", 1),
    "share": ("share of proponents\nabove chance (points)", 100),
}
# The table of tests has more distances: sounds do not reach a text encoder.
DISTANCES = {"syntax": "syntactic", "family": "genealogical", "geography": "geographic"}
PAIR = {"color": "black", "marker": "o", "ms": 2.6, "ls": ""}
SAME_LANGUAGE = {"color": MARKS["own"]["color"], "lw": 0.9, "ls": ":", "zorder": 1}


@figure("seed measure language_a language_b value " + " ".join(DISTANCES))
def typology(frame: pd.DataFrame) -> Figure:
    """Draw pairs of languages: similarity (rows) against typological distance (columns), mean over seeds."""
    frame = only(frame, seed="all")
    frame = frame[frame["measure"].isin(SIMILARITIES)]
    measures = levels(frame, "measure", SIMILARITIES)
    panels = [(measure, distance) for measure in measures for distance in DISTANCES]
    fig, axes = grid(panels, len(DISTANCES), (DOUBLE, 1.6), 0.55, sharex="col", sharey="row")
    same = frame["language_a"] == frame["language_b"]
    between = {measure: frame[~same & (frame["measure"] == measure)] for measure in measures}
    for (measure, distance), ax in axes.items():
        label, factor = SIMILARITIES[measure]
        ax.axhline(0, **REFERENCE)
        within = frame.loc[same & (frame["measure"] == measure), "value"].mean()
        ax.axhline(factor * within, **SAME_LANGUAGE)
        ax.plot(between[measure][distance], factor * between[measure]["value"], **PAIR)
        ax.margins(0.12, 0.15)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.set_xlabel(f"{DISTANCES[distance]} distance")
        ax.set_ylabel(label)
        ax.label_outer()
    handles = [
        sample("two languages", **PAIR),
        sample("same language (masks: other seed)", **SAME_LANGUAGE),
        sample("chance", **REFERENCE),
    ]
    legend(fig, handles)
    for _ in range(2):
        fig.get_layout_engine().execute(fig)  # labels need to know where points are
    for (measure, distance), ax in axes.items():
        pairs = between[measure]
        names = pairs["language_a"] + "\N{EN DASH}" + pairs["language_b"]
        heights = SIMILARITIES[measure][1] * pairs["value"]
        _label_points(fig, ax, np.column_stack([pairs[distance], heights]), names.to_list())
    return fig


def _label_points(fig: Figure, ax: Axes, points: np.ndarray, names: Sequence[str]) -> None:
    """Write names beside points (points, 2), but no name that would cover a point, a name or an edge.

    A name does not stand beside another point either, whose name it would seem to be.
    """
    centres = ax.transData.transform(points)
    beside = np.array([6, 1.5]) * fig.dpi / 72
    taken = [Bbox([centre - beside, centre + beside]) for centre in centres]
    places = [(3, 0, "left", "center"), (-3, 0, "right", "center")]
    places += [(0, 4, "center", "bottom"), (0, -4, "center", "top")]
    for number, (point, name) in enumerate(zip(points, names, strict=True)):
        others = taken[:number] + taken[number + 1 :]
        for right, up, ha, va in places:
            shift = ScaledTranslation(right / 72, up / 72, fig.dpi_scale_trans)
            text = ax.text(
                *point, name, transform=ax.transData + shift, ha=ha, va=va, size=7, in_layout=False
            )
            box = text.get_window_extent()
            inside = ax.bbox.containsx(box.x0) and ax.bbox.containsx(box.x1)
            inside = inside and ax.bbox.containsy(box.y0) and ax.bbox.containsy(box.y1)
            if inside and not box.count_overlaps(others):
                taken.append(box)
                break
            text.remove()
