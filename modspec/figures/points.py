"""Points with intervals, side by side: what most figures consist of."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.path import Path

from modspec.figures.style import STRIPE
from modspec.terms import ALL_LANGUAGES

WIDEST = 3  # intervals may reach so many times as far as values do; the frame cuts longer ones
MARGIN = 0.06  # of an axis: more than a marker needs at its ends


def side_by_side(
    frame: pd.DataFrame, column: str, names: list, hue: str, hues: list, width: float = 0.8
) -> pd.Series:
    """Return where along an axis each row stands: values of ``hue`` side by side around each of ``names``.

    Args:
        frame: a table with both columns.
        column: whose values stand at 0, 1, 2, …
        names: its values, in order.
        hue: what distinguishes rows of the same name.
        hues: its values, in order.
        width: how far a name's rows may reach, where names are 1 apart.
    """
    aside = frame[hue].map(hues.index) - (len(hues) - 1) / 2
    return frame[column].map(names.index) + aside * width / len(hues)


def name_places(ax: Axes, names: Sequence) -> None:
    """Write ``names`` along x, at 0, 1, 2, …, every second one on a grey stripe."""
    for place in range(1, len(names), 2):
        ax.axvspan(place - 0.5, place + 0.5, color=STRIPE, lw=0, zorder=0)
    ax.set_xticks(range(len(names)), ["all" if name == ALL_LANGUAGES else name for name in names])
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.tick_params(axis="x", length=0)


def limits(rows: pd.DataFrame, centre: float, scale: float) -> tuple[float, float]:
    """Return the ends of an axis that holds ``centre``, all values, and their intervals.

    With few seeds intervals are wider than what can be: those that reach :data:`WIDEST` times as far from
    ``centre`` as any value are cut. The narrowest is always whole: near zero, it is the finding.

    Args:
        rows: ``value``, ``low``, ``high``; blank where there is none.
        centre: of chance, or of no change, in the units of the axis.
        scale: the axis has so many units per 1 in ``rows``.
    """
    away = scale * rows[["value", "low", "high"]] - centre
    narrowest = away[["low", "high"]].abs().max(axis=1).min()
    reach = pd.Series([WIDEST * away["value"].abs().max(), narrowest]).max() or math.inf
    held = away.clip(-reach, reach)
    low, high = min(0.0, held.min(axis=None)), max(0.0, held.max(axis=None))
    margin = MARGIN * (high - low) or 1.0
    return centre + low - margin, centre + high + margin


def points(
    ax: Axes,
    places: pd.Series,
    rows: pd.DataFrame,
    look: dict,
    *,
    bounds: Sequence[float] = (-math.inf, math.inf),
    scale: float = 100,
    interval: dict | None = None,
    horizontal: bool = False,
) -> None:
    """Draw values and their intervals; an interval that ``bounds`` cut ends there in an open arrowhead.

    Args:
        ax: where to draw.
        places: of the points along x, or along y if ``horizontal``.
        rows: ``value``, ``low``, ``high``.
        look: options of ``Axes.plot`` for the points; with ``ls`` a line joins them.
        bounds: lowest and highest end that an interval is drawn to, in the units of the axis.
        scale: the axis has so many units per 1 in ``rows``; 100 for percent.
        interval: look of the intervals, which otherwise have the points' colour.
        horizontal: whether values lie along x.
    """
    low, high = (scale * rows[end] for end in ("low", "high"))
    draw = ax.hlines if horizontal else ax.vlines
    draw(places, low.clip(*bounds), high.clip(*bounds), **(interval or {"color": look["color"]}))
    x_and_y = slice(None, None, -1 if horizontal else 1)
    arrow = {"color": look["color"], "mfc": "none", "mew": 0.8, "ls": "", "clip_on": False}
    for cut, bound, sign in ((low < bounds[0], bounds[0], -1), (high > bounds[1], bounds[1], 1)):
        head = Path([corner[x_and_y] for corner in ((-sign, -sign), (0, 0), (sign, -sign))])
        for place in places[cut]:
            ax.plot(*(place, bound)[x_and_y], marker=head, **arrow)
    ax.plot(*(places, scale * rows["value"])[x_and_y], **({"ls": ""} | look))
