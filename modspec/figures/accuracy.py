"""Figure: test accuracy under every mask."""

import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from modspec.figures.frames import levels, only
from modspec.figures.heatmaps import heatmap, outline
from modspec.figures.style import DOUBLE, SINGLE, colour_bar, figure, grid, title_height, wrapped
from modspec.terms import LABELS, TRAINS_UNDER

# What a condition trains under -> the masks that are each language's own in evaluation.
OWN_MASKS = {None: "language", "searched": "language", "random": "random"}


@figure("seed condition mask_kind mask_language language split accuracy examples", optional="majority")
def accuracy(frame: pd.DataFrame) -> Figure:
    """Draw test accuracy in percent by mask (rows) and evaluation language (columns), mean over seeds.

    Where the table has a column ``majority``, the accuracy of the majority class is the last row.
    """
    frame = only(frame, split="test")
    languages, conditions = levels(frame, "language"), levels(frame, "condition")
    keys = ["condition", "mask_kind", "mask_language", "language"]
    scores = 100 * frame.groupby(keys)["accuracy"].mean().unstack("language")
    kinds = levels(frame, "mask_kind")
    present = {(kind, mask) for _, kind, mask in scores.index}
    rows = sorted(present, key=lambda row: (kinds.index(row[0]), row[1]))
    labels = [f"{LABELS['mask_kind'][kind]} {mask}".strip() for kind, mask in rows]
    if "majority" in frame:
        labels.append("majority class")
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    room = (width - 1.8) / len(conditions)
    titles = {condition: wrapped(LABELS["condition"][condition], room) for condition in conditions}
    size = (width, max(0.17 * len(labels) + 0.3, 1.2))
    margin = 0.02 + title_height(titles.values())
    fig, axes = grid(conditions, len(conditions), size, margin, sharey=True)
    norm = Normalize(scores.min(axis=None), scores.max(axis=None))
    form = "{:.1f}".format if len(conditions) * len(languages) <= 15 else "{:.0f}".format
    for condition, ax in axes.items():
        table = scores.loc[condition].reindex(rows)[languages]
        table.index = labels[: len(rows)]
        if "majority" in frame:  # below the colours' range, which tells masks apart
            table.loc["majority class"] = 100 * frame.groupby("language")["majority"].mean()
            ax.axhline(len(rows), c="white", lw=3)
        heatmap(ax, table, form, "YlGnBu", norm)
        ax.set_title(titles[condition])
        own = OWN_MASKS.get(TRAINS_UNDER[condition], "shared")
        for place, (kind, mask) in enumerate(rows):
            for column, language in enumerate(languages):
                if kind == own and mask in (language, ""):
                    outline(ax, place, column)
            if place and kind != rows[place - 1][0]:
                ax.axhline(place, c="white", lw=3)
    fig.supxlabel("evaluation language (outlined: its own mask)")
    colour_bar(fig, axes.values(), "YlGnBu", norm, "test accuracy (%)")
    return fig
