"""Figure: in-language influence by head against head importance and masks."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels, only
from modspec.figures.points import name_places, points, side_by_side
from modspec.figures.style import DOUBLE, GREY, LIGHT, MARKS, figure, grid, legend, sample

SOURCES = {
    "own": "own language",
    "other_language": "other languages",
    "other_seed": "own language, other seed",
}
# Measure -> panel title, axis label, factor.
RELATIONS = {
    "contribution_importance": ("contribution and importance", "rank correlation", 1),
    "share_importance": ("in-language share and importance", "rank correlation", 1),
    "contribution_mask": ("contribution and mask", "kept $-$ dropped", 1),
    "share_mask": ("in-language share and mask", "kept $-$ dropped (points)", 100),
}


@figure("seed language measure mask_kind value chance_low chance_high")
def head_relation(frame: pd.DataFrame) -> Figure:
    """Draw how in-language influence by head relates to importance and masks, by language, mean over seeds,
    on the middle 95 % of what chance gives."""
    frame = only(frame, seed="all").rename(columns={"chance_low": "low", "chance_high": "high"})
    languages, sources = levels(frame, "language"), levels(frame, "mask_kind", SOURCES)
    frame = frame.assign(x=side_by_side(frame, "language", languages, "mask_kind", sources))
    chance = {"color": LIGHT, "lw": 5, "zorder": 1}
    fig, axes = grid(levels(frame, "measure", RELATIONS), 2, (DOUBLE, 1.5), 0.6, sharex=True)
    for measure, ax in axes.items():
        title, label, factor = RELATIONS[measure]
        name_places(ax, languages)
        for source in sources:
            rows = frame[(frame["measure"] == measure) & (frame["mask_kind"] == source)]
            points(ax, rows["x"], rows, MARKS[source], scale=factor, interval=chance)
        ax.axhline(0, c=GREY, lw=0.6, zorder=1)
        ax.set_title(title)
        ax.set_ylabel(label)
        ax.ticklabel_format(axis="y", scilimits=(-3, 3), useMathText=True)
        ax.yaxis.get_offset_text().set_size(7)
    handles = [sample(SOURCES[source], ls="", **MARKS[source]) for source in sources]
    legend(fig, [*handles, sample("chance, middle 95 %", **chance)])
    return fig
