"""Figure: how the claims' effects depend on how they are measured."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.effects import draw_effects, legend_of_verdicts
from modspec.figures.frames import levels
from modspec.figures.style import DOUBLE, STRIPE, figure, grid, title_height, wrapped
from modspec.terms import COMPARISONS


@figure("choice claim comparison value low high verdict")
def sensitivity(frame: pd.DataFrame) -> Figure:
    """Draw effects over all languages by setting, the study's own first; filled where the verdict is not
    "undecided"."""
    names = frame["choice"].unique().tolist()
    by_claim = sorted(COMPARISONS, key=lambda text: COMPARISONS[text].claim)
    comparisons = levels(frame, "comparison", by_claim)
    titles = {text: f"{COMPARISONS[text].claim}\n{wrapped(text, 1.4)}" for text in comparisons}
    height = 0.17 * len(names) + 0.15 + title_height(titles.values())
    fig, axes = grid(comparisons, 3, (DOUBLE, height), 0.35, sharey=True)
    for comparison, ax in axes.items():
        rows = frame[frame["comparison"] == comparison]
        draw_effects(ax, rows["choice"].map(names.index), rows, 100, {comparison: "o"})
        ax.set_title(titles[comparison])
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.axhspan(-0.5, 0.5, color=STRIPE, lw=0, zorder=0)
    fig.supxlabel("effect, all languages (points)")
    legend_of_verdicts(fig, frame)
    return fig
