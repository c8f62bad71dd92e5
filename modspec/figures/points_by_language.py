"""Panels of shares by language: a point and its interval per language and condition or mask."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels, refuse_duplicates
from modspec.figures.points import name_places, points, side_by_side
from modspec.figures.style import (
    DOUBLE,
    MARKS,
    REFERENCE,
    SINGLE,
    grid,
    legend,
    sample,
    title_height,
    wrapped,
)
from modspec.terms import LABELS

MARKER = 0.03  # of a panel's height: half a marker
FLATTENED = 2  # times as far as another row: then each has a scale of its own


def points_by_language(frame: pd.DataFrame, panel: str, hue: str, ylabel: str) -> Figure:
    """Draw a panel per value of ``panel`` and, where there are several, of ``train_gradient_mask``.

    Args:
        frame: ``value``, ``low``, ``high`` and ``chance`` as fractions, which are drawn in percent, by
            ``language``, ``train_gradient_mask``, ``panel`` and ``hue``.
        panel: column whose values have a panel each.
        hue: column whose values have a colour each.
        ylabel: label of the figure's y axis.

    Raises:
        InputError: two rows would lie over each other.
    """
    refuse_duplicates(frame, [panel, "train_gradient_mask", hue, "language"], "value")
    languages, hues, across = (levels(frame, column) for column in ("language", hue, panel))
    frame = frame.assign(x=side_by_side(frame, "language", languages, hue, hues))
    gradients = levels(frame, "train_gradient_mask")
    groups = dict(iter(frame.groupby(["train_gradient_mask", panel])))
    panels = [(g, p) if (g, p) in groups else None for g in gradients for p in across]
    # Inches that a panel needs so that neither points nor its title run into a neighbour.
    needed = max(0.065 * len(languages) * (len(hues) + 1), 1.6)
    columns = len(across)
    if columns * needed > DOUBLE - 0.6:
        columns, panels = 1, [panel for panel in panels if panel]
    width = SINGLE if len(across) * needed <= SINGLE - 0.6 else DOUBLE
    titles = {}
    for gradient, level in groups:
        title = [LABELS[panel][level], LABELS["train_gradient_mask"][gradient]][: len(gradients)]
        titles[gradient, level] = wrapped("\n".join(title), (width - 0.6) / columns)
    height = 1.2 + title_height(titles.values())
    fig, axes = grid(panels, columns, (width, height), 0.7, sharex=True, sharey="row")
    bounds = _bounds(frame)
    for key, ax in axes.items():
        ax.set_ylim(*bounds[key[0]])
        ax.set_title(titles[key])
        name_places(ax, languages)
        for name, rows in groups[key].groupby(hue, sort=False):
            points(ax, rows["x"], rows, MARKS[name], bounds=bounds[key[0]])
        chance = 100 * groups[key].groupby("language")["chance"].mean()
        x = chance.index.map(languages.index)
        ax.hlines(chance, x - 0.5, x + 0.5, **REFERENCE)
    fig.supxlabel("evaluation language")
    fig.supylabel(ylabel)
    reference = "chance" if frame["chance"].any() else "no change"
    handles = [sample(LABELS[hue][name], **MARKS[name]) for name in hues]
    legend(fig, [*handles, sample(reference, **REFERENCE)])
    return fig


def _bounds(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return limits of y in percent by ``train_gradient_mask``: the same, unless that would flatten one."""
    kinds = {kind: _limits(rows) for kind, rows in frame.groupby("train_gradient_mask")}
    extents = [np.ptp(limits) for limits in kinds.values()]
    if max(extents) > FLATTENED * min(extents):
        return kinds
    return dict.fromkeys(kinds, _limits(frame))


def _limits(frame: pd.DataFrame) -> np.ndarray:
    """Return limits of y in percent, with room for a whole marker at each edge.

    With few seeds intervals are wider than what a share can be, and the frame cuts them: it leaves room for
    the points three times over, where intervals need as much.
    """
    bounds = np.array([0, 100]) if frame["chance"].any() else np.array([-100, 100])
    centre = 100 * frame["chance"].mean()
    reach, widest = (
        100 * frame[columns].sub(frame["chance"], axis=0).abs().max(axis=None)
        for columns in (["value"], ["low", "high"])
    )
    room = min(3 * reach, 1.08 * np.fmax(reach, widest))  # one seed has no intervals
    limits = np.clip([centre - room, centre + room], *bounds) if reach > 0 else bounds
    edge = MARKER * np.ptp(limits)
    values = 100 * frame["value"]
    return np.array([min(limits[0], values.min() - edge), max(limits[1], values.max() + edge)])
