"""Panels of effects: values with intervals and verdicts around zero; claims and sensitivity share them."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from modspec.figures.frames import levels
from modspec.figures.points import points, side_by_side
from modspec.figures.style import DOUBLE, GREY, REFERENCE, grid, legend, sample
from modspec.terms import COMPARISONS

# Okabe and Ito's colours; an undecided effect stays hollow and grey.
VERDICTS = {
    "supported": "#009E73",
    "rises": "#009E73",
    "contradicted": "#D55E00",
    "falls": "#D55E00",
    "undecided": GREY,
}
MARKERS = ("o", "s", "^", "v", "D")
TITLES = {
    "C0": "C0  share, no mask,\nabove chance",
    "C1": "C1  own mask\nraises the share",
    "C2": "C2  own mask beyond\nits controls",
    "C3": "C3  change of share\nunder SFT",
    "C4": "C4  cross-language scores\nwhere shares fall",
    "C5": "C5  change of accuracy\nunder SFT",
    "C6": "C6  change of\nspecialization under SFT",
}


def effects_by_claim(frame: pd.DataFrame, column: str, names: list[str]) -> Figure:
    """Draw a panel per claim, with its comparisons side by side.

    Args:
        frame: ``claim``, ``comparison``, ``value``, ``low``, ``high``, ``verdict`` and ``column``. Values are
            fractions, which are drawn in points; those of C4, mean scores, are not rescaled.
        column: what stands along y.
        names: its values, from top to bottom.
    """
    height = max(0.19 * len(names) + 1.15, 1.9)
    fig, axes = grid(levels(frame, "claim"), 3, (DOUBLE, height), 0.35, sharey=True)
    for claim, ax in axes.items():
        rows = frame[frame["claim"] == claim]
        comparisons = levels(rows, "comparison", COMPARISONS)
        markers = dict(zip(comparisons, MARKERS, strict=False))
        places = side_by_side(rows, column, names, "comparison", comparisons, 0.7)
        draw_effects(ax, places, rows, 1 if claim == "C4" else 100, markers)
        ax.set_title(TITLES[claim])
        ax.set_xlabel("mean score" if claim == "C4" else "points")
        if claim == "C4":
            ax.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3), useMathText=True)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        if len(comparisons) > 1:
            handles = [
                sample(COMPARISONS[comparison].label, color=GREY, marker=marker, ls="")
                for comparison, marker in markers.items()
            ]
            below = ax.transAxes + ScaledTranslation(0, -0.36, fig.dpi_scale_trans)  # inches
            ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below)
    legend_of_verdicts(fig, frame)
    return fig


def draw_effects(
    ax: Axes, places: pd.Series, rows: pd.DataFrame, scale: float, markers: dict[str, str]
) -> None:
    """Draw effects around a dashed line at zero; filled where the verdict is not "undecided".

    Args:
        ax: where to draw.
        places: of the effects along y.
        rows: ``comparison``, ``value``, ``low``, ``high``, ``verdict``.
        scale: the axis has so many units per 1 in ``rows``.
        markers: marker by comparison.
    """
    ax.axvline(0, **REFERENCE)
    # With few seeds intervals are wider than what can be: they end at the frame, which leaves room for the
    # points three times over.
    widest, reach = (scale * rows[columns].abs().max(axis=None) for columns in (["low", "high"], ["value"]))
    limit = 1.08 * min(widest, 3 * reach) if reach > 0 else 1.08 * widest
    bounds = (-math.inf, math.inf)
    if math.isfinite(limit) and limit > 0:
        bounds = (-limit, limit)
        ax.set_xlim(*bounds)
    for index, row in rows.iterrows():
        look = _look(row["verdict"]) | {"marker": markers[row["comparison"]]}
        effect = slice(index, index)
        points(ax, places.loc[effect], rows.loc[effect], look, bounds=bounds, scale=scale, horizontal=True)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(axis="y", length=0)


def legend_of_verdicts(fig: Figure, frame: pd.DataFrame) -> None:
    """Draw a legend of the verdicts in ``frame``; those of one colour share an entry."""
    groups: dict[str, list[str]] = {}
    for verdict in levels(frame, "verdict", VERDICTS):
        groups.setdefault(VERDICTS[verdict], []).append(verdict)
    legend(fig, [sample(" / ".join(names), marker="o", **_look(names[0])) for names in groups.values()])


def _look(verdict: str) -> dict:
    colour = VERDICTS[verdict]
    return {"color": colour, "mfc": "white" if verdict == "undecided" else colour, "mew": 0.8}
