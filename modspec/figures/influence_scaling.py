"""Figure of the benchmark: what influence scores cost as examples grow in number, for every system."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.figures.frames import by_level, levels, refuse_duplicates
from modspec.figures.style import DOUBLE, figure, grid, legend, logarithmic
from modspec.terms import LABELS

# Dashed: a part of the parameters only.
LOOKS = {
    "modspec bfloat16": {"color": "#D55E00", "marker": "s", "ls": "-"},
    "modspec float32": {"color": "#D55E00", "marker": "o", "mfc": "white", "ls": "-"},
    "kronfluence": {"color": "#009E73", "marker": "v", "ls": "--"},
    "captum linear": {"color": "#0072B2", "marker": "^", "ls": "--"},
    "captum": {"color": "#0072B2", "marker": "^", "ls": "-"},
    "trak": {"color": "#CC79A7", "marker": "D", "ls": "-"},
    "dattri": {"color": "#E69F00", "marker": "P", "ls": "-"},
}


@figure("axis system train evaluation seconds")
def influence_scaling(frame: pd.DataFrame) -> Figure:
    """Draw seconds against the number of training and of evaluation examples; both axes logarithmic."""
    refuse_duplicates(frame, ["axis", "system", "train", "evaluation"], "seconds")
    if (frame["seconds"] <= 0).any():
        raise InputError(f"{frame.attrs['source']}: column seconds holds {frame['seconds'].min()}, not > 0")
    fig, panels = grid(by_level(frame, "axis"), 2, (DOUBLE, 2.1), 0.5, sharey=True)
    for axis, rows, ax in panels:
        for system, runs in by_level(rows.sort_values(axis), "system").items():
            ax.plot(runs[axis], runs["seconds"], **LOOKS[system])
        logarithmic(ax, rows[axis])
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        fixed = "evaluation" if axis == "train" else "train"
        counts = " or ".join(f"{count:g}" for count in sorted(rows[fixed].unique()))
        ax.set_xlabel(f"{LABELS['axis'][axis]} ({counts} {LABELS['axis'][fixed]})")
    fig.axes[0].set_ylabel("seconds")
    legend(fig, {LABELS["system"][system]: LOOKS[system] for system in levels(frame, "system")})
    return fig
