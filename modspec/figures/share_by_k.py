"""Figure: the in-language share against the number of proponents counted."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels
from modspec.figures.points import points
from modspec.figures.style import MARKS, REFERENCE, SINGLE, figure, grid, legend, logarithmic, sample
from modspec.terms import LABELS


@figure("mask_kind top_k value low high chance")
def share_by_k(frame: pd.DataFrame) -> Figure:
    """Draw S_t of all languages against the number of proponents counted (logarithmic), by mask."""
    fig, axes = grid(["all"], 1, (SINGLE, 1.8), 0.5)
    ax = axes["all"]
    kinds = levels(frame, "mask_kind")
    for place, kind in enumerate(kinds):
        rows = frame[frame["mask_kind"] == kind].sort_values("top_k")
        x = rows["top_k"] * 1.03 ** (place - (len(kinds) - 1) / 2)
        # With few seeds intervals are wider than what a share can be: they are cut there.
        points(ax, x, rows, {"ls": "-", **MARKS[kind]}, bounds=(0, 100))
    ax.axhline(100 * frame["chance"].iloc[0], **REFERENCE)
    logarithmic(ax, frame["top_k"])
    ax.set_xlabel("proponents counted, k")
    ax.set_ylabel("in-language share (%)")
    handles = [sample(LABELS["mask_kind"][kind], **MARKS[kind]) for kind in kinds]
    legend(fig, [*handles, sample("chance", **REFERENCE)])
    return fig
