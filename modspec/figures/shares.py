"""Figures of shares of the top proponents, by language, condition and mask, and of their changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.figures.frames import LEVELS, levels, only
from modspec.figures.style import (
    DOUBLE,
    GREY,
    MARKS,
    SINGLE,
    around,
    colour_bar,
    figure,
    grid,
    heatmap,
    intervals,
    legend,
    sample,
    wrapped,
)

MARKER = 0.03  # of a panel's height: half a marker
FLATTENED = 2  # times as far as another row: then each has a scale of its own


def _points(frame: pd.DataFrame, panel: str, hue: str, ylabel: str) -> Figure:
    """Languages along x; for each ``hue`` a point with its interval; ``chance`` as a dashed line.

    ``value``, ``low``, ``high`` and ``chance`` are fractions, drawn in percent; an interval that the
    frame cuts ends in an arrowhead. A panel for every value of ``panel`` and, where there are several,
    of ``train_gradient_mask``.
    """
    keys = [panel, "train_gradient_mask", hue, "language"]
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        where = ", ".join(twice.iloc[0][keys])
        raise InputError(f"{frame.attrs['source']}: column value has more than one row for {where}")
    languages, hues, across = levels(frame, "language"), levels(frame, hue), levels(frame, panel)
    gradients = levels(frame, "train_gradient_mask")
    filled = set(zip(frame["train_gradient_mask"], frame[panel], strict=True))
    panels = [(g, p) if (g, p) in filled else None for g in gradients for p in across]
    # Inches that a panel needs so that neither points nor its title run into a neighbour.
    needed = max(0.065 * len(languages) * (len(hues) + 1), 1.6)
    columns = len(across)
    if columns * needed > DOUBLE - 0.6:
        columns, panels = 1, [panel for panel in panels if panel]
    width = SINGLE if len(across) * needed <= SINGLE - 0.6 else DOUBLE
    height = 1.4 if len(gradients) == 1 else 1.5
    fig, axes = grid(panels, columns, (width, height), 0.7, sharex=True, sharey="row")
    offsets = (np.arange(len(hues)) - (len(hues) - 1) / 2) * 0.8 / len(hues)
    bounds = _bounds(frame)
    for (gradient, level), ax in axes.items():
        rows = frame[(frame["train_gradient_mask"] == gradient) & (frame[panel] == level)]
        ax.set_ylim(*bounds[gradient])
        title = [LEVELS[panel][level], LEVELS["train_gradient_mask"][gradient]]
        ax.set_title("\n".join(title[: len(gradients)]))
        for place in range(1, len(languages), 2):
            ax.axvspan(place - 0.5, place + 0.5, color="#f2f2f2", lw=0, zorder=0)
        for name, offset in zip(hues, offsets, strict=True):
            points = rows[rows[hue] == name]
            x = points["language"].map(languages.index).astype(float) + offset
            colour, marker = MARKS[name]
            intervals(ax, x, points, bounds[gradient], colour, 1)
            ax.plot(x, 100 * points["value"], marker, c=colour, ms=3.2)
        chance = rows.groupby("language")["chance"].mean()
        x = np.array([languages.index(language) for language in chance.index])
        ax.hlines(100 * chance, x - 0.5, x + 0.5, colors=GREY, lw=0.9, linestyles="--", zorder=1)
        ax.set_xticks(range(len(languages)), languages)
        ax.set_xlim(-0.5, len(languages) - 0.5)
        ax.tick_params(axis="x", length=0)
    fig.supxlabel("evaluation language")
    fig.supylabel(ylabel)
    handles = [
        sample(LEVELS[hue][name], MARKS[name][0], marker=MARKS[name][1], ms=3.2, lw=1) for name in hues
    ]
    reference = "chance" if frame["chance"].any() else "no change"
    legend(fig, [*handles, sample(reference, GREY, ls="--", lw=0.9)])
    return fig


def _bounds(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Limits in percent by ``train_gradient_mask``: the same, unless that would flatten one of them to a line."""
    kinds = {kind: _limits(rows) for kind, rows in frame.groupby("train_gradient_mask")}
    extents = [np.ptp(limits) for limits in kinds.values()]
    if max(extents) > FLATTENED * min(extents):
        return kinds
    return dict.fromkeys(kinds, _limits(frame))


def _limits(frame: pd.DataFrame) -> np.ndarray:
    """Percent. With few seeds intervals are wider than what a share can be: the frame cuts them. It leaves
    room for the points three times over, where intervals need as much, and for a whole marker at its edge."""
    bounds = np.array([0, 100]) if frame["chance"].any() else np.array([-100, 100])
    centre = 100 * frame["chance"].mean()
    reach, widest = (
        100 * frame[columns].sub(frame["chance"], axis=0).abs().max(axis=None)
        for columns in (["value"], ["low", "high"])
    )
    room = min(3 * reach, 1.08 * np.fmax(reach, widest))  # one seed has no intervals
    limits = np.clip([centre - room, centre + room], *bounds) if reach > 0 else bounds
    edge = MARKER * np.ptp(limits)
    points = 100 * frame["value"]
    return np.array([min(limits[0], points.min() - edge), max(limits[1], points.max() + edge)])


@figure("seed condition mask_kind train_gradient_mask score language measure value low high chance examples")
def in_language_share(frame: pd.DataFrame) -> Figure:
    """S_t(m), cosine, all seeds: each language's own share of its proponents, against chance."""
    frame = only(frame, seed="all", score="cosine", measure="proponents")
    return _points(frame, "condition", "mask_kind", "in-language share\nof proponents (%)")


@figure("condition train_gradient_mask language baseline value low high examples")
def share_change(frame: pd.DataFrame) -> Figure:
    """Change in S_t under sparse fine-tuning, by language, against each baseline."""
    frame = frame.assign(chance=0.0)
    return _points(frame, "baseline", "condition", "change in in-language\nshare (points)")


@figure("seed condition mask_kind language train_gradient_mask score value low high")
def specialization(frame: pd.DataFrame) -> Figure:
    """Delta_t = S_t(m) - S_t(no mask), cosine, all seeds: own masks beside their controls."""
    frame = only(frame, seed="all", score="cosine").assign(chance=0.0)
    return _points(frame, "condition", "mask_kind", "language specialization\n$\\Delta_t$ (points)")


@figure("seed condition mask_kind train_gradient_mask score language train_language share influence chance")
def influence_matrix(frame: pd.DataFrame) -> Figure:
    """Evaluation x training language: share of the top proponents, cosine, mean over seeds."""
    frame = only(frame, score="cosine")
    frame = frame[frame["mask_kind"].isin(["none", "own"])]
    conditions, gradients = levels(frame, "condition"), levels(frame, "train_gradient_mask")
    languages, trained = levels(frame, "language"), levels(frame, "train_language")
    keys = ["mask_kind", "train_gradient_mask", "condition"]
    shares = 100 * frame.groupby([*keys, "language", "train_language"])["share"].mean()
    filled = {key[:3] for key in shares.index}
    panels = [
        (kind, gradient, condition) if (kind, gradient, condition) in filled else None
        for kind, gradient in sorted({key[:2] for key in filled})
        for condition in conditions
    ]
    chance = 100 * frame["chance"].mean()
    norm = around(chance, shares)
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    room = (width - 1.1) / len(conditions) / len(trained)
    height = len(languages) * min(room, max(0.33, 1.4 / len(trained)))
    titles = {}
    for kind, gradient, condition in filled:
        title = [
            LEVELS["condition"][condition],
            LEVELS["mask_kind"][kind],
            LEVELS["train_gradient_mask"][gradient],
        ]
        place = (width - 1.1) / len(conditions)
        titles[kind, gradient, condition] = wrapped("\n".join(title[: 1 + len(gradients)]), place)
    lines = max(title.count("\n") + 1 for title in titles.values())
    size = (width, height + 0.1 + 0.13 * lines)
    fig, axes = grid(panels, len(conditions), size, 0.3, sharex=True, sharey=True)
    for (kind, gradient, condition), ax in axes.items():
        table = shares.loc[kind, gradient, condition].unstack()
        table = table.reindex(index=languages, columns=trained)
        heatmap(ax, table, "{:.0f}".format, "RdBu_r", norm)
        ax.set_aspect("equal")
        ax.set_title(titles[kind, gradient, condition])
    fig.supxlabel("training language")
    fig.supylabel("evaluation language")
    label = f"share of top proponents (%)\nwhite: chance, {chance:.3g} %"
    bar = colour_bar(fig, axes.values(), "RdBu_r", norm, label)
    bar.set_ylim(min(chance, shares.min()), max(chance, shares.max()))
    return fig
