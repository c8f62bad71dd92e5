"""The figure of in-language share against accuracy, by mask."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import by_level, levels
from modspec.figures.style import DOUBLE, MARKS, REFERENCE, SINGLE, figure, grid, legend
from modspec.terms import LABELS


@figure("condition seed mask_kind draw value chance accuracy")
def share_by_accuracy(frame: pd.DataFrame) -> Figure:
    """Draw the in-language share against test accuracy: a point per seed and mask, means over languages.

    Random masks of several sizes that belong to no language are joined by a line, per seed: they show what
    damage alone does.
    """
    looks = {kind: {"ls": "", **MARKS[kind]} for kind in levels(frame, "mask_kind")}
    if "dose" in looks:
        looks["dose"] |= {"ls": "-", "lw": 0.6}
    conditions = by_level(frame, "condition")
    width = SINGLE if len(conditions) == 1 else DOUBLE
    fig, panels = grid(conditions, 2, (width, 1.9), 0.8, sharey=True)
    for condition, rows, ax in panels:
        for kind, points in by_level(rows, "mask_kind").items():
            seeds = points.sort_values("draw").groupby("seed")
            for _, of_seed in seeds if kind == "dose" else [("", points)]:
                ax.plot(100 * of_seed["accuracy"], 100 * of_seed["value"], **looks[kind])
        ax.axhline(100 * rows["chance"].mean(), **REFERENCE)
        ax.set_title(LABELS["condition"][condition])
    fig.supxlabel("test accuracy under the mask (%)")
    fig.supylabel("in-language share (%)")
    legend(fig, {LABELS["mask_kind"][kind]: look for kind, look in looks.items()} | {"chance": REFERENCE})
    return fig
