"""Figure: how much each training language influences each evaluation language."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels, only
from modspec.figures.heatmaps import around, heatmap
from modspec.figures.style import DOUBLE, SINGLE, colour_bar, figure, grid, title_height, wrapped
from modspec.terms import LABELS


@figure("seed condition mask_kind train_gradient_mask score language train_language share influence chance")
def influence_matrix(frame: pd.DataFrame) -> Figure:
    """Draw each training language's share of the top proponents (percent; columns) by evaluation language
    (rows), as means over seeds; cosine scores."""
    frame = only(frame, score="cosine")
    frame = frame[frame["mask_kind"].isin(["none", "own"])]
    conditions, gradients = levels(frame, "condition"), levels(frame, "train_gradient_mask")
    languages, trained = levels(frame, "language"), levels(frame, "train_language")
    keys = ["mask_kind", "train_gradient_mask", "condition"]
    shares = 100 * frame.groupby([*keys, "language", "train_language"])["share"].mean()
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    room = (width - 1.1) / len(conditions)
    tables, titles = {}, {}
    for (kind, gradient, condition), rows in shares.groupby(keys):
        table = rows.droplevel(keys).unstack().reindex(index=languages, columns=trained)
        tables[kind, gradient, condition] = table
        title = [LABELS["condition"][condition], LABELS["mask_kind"][kind]]
        title += [LABELS["train_gradient_mask"][gradient]] if len(gradients) > 1 else []
        titles[kind, gradient, condition] = wrapped("\n".join(title), room)
    panels = [
        (kind, gradient, condition) if (kind, gradient, condition) in tables else None
        for kind, gradient in sorted({key[:2] for key in tables})
        for condition in conditions
    ]
    chance = 100 * frame["chance"].mean()
    norm = around(chance, shares)
    height = len(languages) * min(room / len(trained), max(0.33, 1.4 / len(trained)))
    size = (width, height + 0.1 + title_height(titles.values()))
    fig, axes = grid(panels, len(conditions), size, 0.3, sharex=True, sharey=True)
    for panel, ax in axes.items():
        heatmap(ax, tables[panel], "{:.0f}".format, "RdBu_r", norm)
        ax.set_aspect("equal")
        ax.set_title(titles[panel])
    fig.supxlabel("training language")
    fig.supylabel("evaluation language")
    label = f"share of top proponents (%)\nwhite: chance, {chance:.3g} %"
    bar = colour_bar(fig, axes.values(), "RdBu_r", norm, label)
    bar.set_ylim(min(chance, shares.min()), max(chance, shares.max()))
    return fig
