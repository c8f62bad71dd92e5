"""Figure of the benchmark: what influence scores cost as examples grow, for every system."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from modspec.errors import InputError
from modspec.figures.frames import LEVELS, levels
from modspec.figures.style import DOUBLE, figure, grid, legend, sample

# Colour, marker, line; dashed: a part of the parameters only.
LOOKS = {
    "modspec bfloat16": ("#D55E00", "s", "-"),
    "modspec float32": ("#000000", "o", "-"),
    "kronfluence": ("#009E73", "v", "--"),
    "captum linear": ("#0072B2", "^", "--"),
    "captum": ("#0072B2", "^", "-"),
    "trak": ("#CC79A7", "D", "-"),
    "dattri": ("#E69F00", "P", "-"),
}


@figure("axis system train evaluation seconds")
def influence_scaling(frame: pd.DataFrame) -> Figure:
    """Seconds against the number of training and of evaluation examples; both axes logarithmic."""
    axes_there, systems = levels(frame, "axis"), levels(frame, "system")
    twice = frame[frame.duplicated(["axis", "system", "train", "evaluation"])]
    if len(twice):
        where = ", ".join(map(str, twice.iloc[0][["axis", "system", "train", "evaluation"]]))
        raise InputError(f"{frame.attrs['source']}: column seconds has more than one row for {where}")
    if (frame["seconds"] <= 0).any():
        raise InputError(f"{frame.attrs['source']}: column seconds holds {frame['seconds'].min()}, not > 0")
    fig, panels = grid(axes_there, 2, (DOUBLE, 2.1), 0.5, sharey=True)
    for axis, ax in panels.items():
        rows = frame[frame["axis"] == axis]
        fixed = "evaluation" if axis == "train" else "train"
        for system in systems:
            points = rows[rows["system"] == system].sort_values(axis)
            colour, marker, line = LOOKS[system]
            ax.plot(points[axis], points["seconds"], ls=line, c=colour, marker=marker, ms=3.2, lw=0.9)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(sorted(set(rows[axis])))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_major_locator(LogLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        counts = " or ".join(f"{count:g}" for count in sorted(set(rows[fixed])))
        ax.set_xlabel(f"{LEVELS['axis'][axis]} ({counts} {LEVELS['axis'][fixed]})")
    panels[axes_there[0]].set_ylabel("seconds")
    legend(fig, [_entry(system) for system in systems])
    return fig


def _entry(system: str):
    colour, marker, line = LOOKS[system]
    return sample(LEVELS["system"][system], colour, marker=marker, ms=3.2, ls=line, lw=0.9)
