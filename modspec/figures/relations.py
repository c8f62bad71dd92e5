"""Figures of what in-language influence goes with: masks, translations, typology."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, ScaledTranslation

from modspec.figures.frames import by_level, levels, only
from modspec.figures.points import name_places, points, side_by_side
from modspec.figures.style import DOUBLE, GREY, LIGHT, MARKS, REFERENCE, figure, grid, legend, settle
from modspec.terms import ALL_LANGUAGES, LABELS

SOURCES = {
    "own": "own language",
    "other_language": "other languages",
    "other_seed": "own language, other seed",
}
# Of head_relation: measure -> panel title, axis label, factor.
RELATIONS = {
    "contribution_importance": ("contribution and importance", "rank correlation", 1),
    "share_importance": ("in-language share and importance", "rank correlation", 1),
    "contribution_mask": ("contribution and mask", "kept $-$ dropped", 1),
    "share_mask": ("in-language share and mask", "kept $-$ dropped (points)", 100),
}
# Of translations: measure -> axis label.
MEASURES = {
    "translated_proponents": "proponents whose\ntranslation is also\na proponent (%)",
    "shared_groups": "items that are\nproponents of an item\nand its translation (%)",
    "translations_found": "translations found\nas the strongest\nproponents (%)",
}
# Of typology: measure -> axis label, factor; the table of tests has another measure.
SIMILARITIES = {
    "overlap": ("mask overlap\nabove chance", 1),
    "share": ("share of proponents\nabove chance (points)", 100),
}
# The table of tests has more distances: sounds do not reach a text encoder.
DISTANCES = {"syntax": "syntactic", "family": "genealogical", "geography": "geographic"}


@figure("seed language measure mask_kind value chance_low chance_high")
def head_relation(frame: pd.DataFrame) -> Figure:
    """Draw how in-language influence by head relates to importance and masks, by language, mean over seeds,
    on the middle 95 % of what chance gives."""
    frame = only(frame, seed="all").rename(columns={"chance_low": "low", "chance_high": "high"})
    languages, sources = levels(frame, "language"), levels(frame, "mask_kind", SOURCES)
    frame = frame.assign(x=side_by_side(frame, "language", languages, "mask_kind", sources))
    chance = {"color": LIGHT, "lw": 5, "zorder": 1}
    fig, panels = grid(by_level(frame, "measure", RELATIONS), 2, (DOUBLE, 1.5), 0.6, sharex=True)
    for measure, relations, ax in panels:
        title, label, factor = RELATIONS[measure]
        name_places(ax, languages)
        for source, rows in by_level(relations, "mask_kind", SOURCES).items():
            points(ax, rows["x"], rows, MARKS[source], scale=factor, interval=chance)
        ax.axhline(0, c=GREY, lw=0.6, zorder=1)
        ax.set(title=title, ylabel=label)
        ax.ticklabel_format(axis="y", scilimits=(-3, 3), useMathText=True)
        ax.yaxis.get_offset_text().set_size(7)
    looks = {SOURCES[source]: {"ls": "", **MARKS[source]} for source in sources}
    legend(fig, {**looks, "chance, middle 95 %": chance})
    return fig


@figure("condition measure language_a language_b observed chance control value low high")
def translations(frame: pd.DataFrame) -> Figure:
    """Draw each measure in percent by language and condition, beside its control.

    A point is what was observed; its bar is the interval of the difference from the control.
    """
    frame = only(frame, language_b=ALL_LANGUAGES)
    frame = frame[frame["measure"].isin(MEASURES)]
    languages, conditions = levels(frame, "language_a"), levels(frame, "condition")
    x = side_by_side(frame, "language_a", languages, "condition", conditions)
    interval = frame[["low", "high"]].add(frame["control"], axis=0)
    frame = frame.assign(x=x, value=frame["observed"], **interval)
    half, chance = 0.3 / len(conditions), {"color": GREY, "lw": 0.9, "ls": ":"}
    fig, panels = grid(by_level(frame, "measure", MEASURES), 1, (DOUBLE, 1.45), 0.6, sharex=True)
    for measure, rates, ax in panels:
        name_places(ax, languages)
        for condition, rows in by_level(rates, "condition").items():
            left, right = rows["x"] - half, rows["x"] + half
            ax.hlines(100 * rows["control"], left, right, color=MARKS[condition]["color"], lw=1.6)
            points(ax, rows["x"], rows, MARKS[condition], bounds=(0, 100))
            ax.hlines(100 * rows["chance"], left, right, **chance)
        ax.set(ylabel=MEASURES[measure], ylim=(0, min(ax.get_ylim()[1], 103)))
    fig.supxlabel("evaluation language")
    looks = {LABELS["condition"][condition]: MARKS[condition] for condition in conditions}
    looks["control: same languages and labels"] = {"color": "black", "lw": 1.6}
    legend(fig, {**looks, "chance": chance})
    return fig


@figure("seed measure language_a language_b value " + " ".join(DISTANCES))
def typology(frame: pd.DataFrame) -> Figure:
    """Draw pairs of languages: similarity (rows) against typological distance (columns), mean over seeds."""
    frame = only(frame, seed="all")
    measures = by_level(frame[frame["measure"].isin(SIMILARITIES)], "measure", SIMILARITIES)
    panels = {(measure, distance): measures[measure] for measure in measures for distance in DISTANCES}
    fig, panels = grid(panels, len(DISTANCES), (DOUBLE, 1.6), 0.55, sharex="col", sharey="row")
    pair = {"color": "black", "marker": "o", "ms": 2.6, "ls": ""}
    same_language = {"color": MARKS["own"]["color"], "lw": 0.9, "ls": ":", "zorder": 1}
    between = {}
    for (measure, distance), rows, ax in panels:
        label, factor = SIMILARITIES[measure]
        same = rows["language_a"] == rows["language_b"]
        between[ax] = rows[~same].assign(x=rows[distance], y=factor * rows["value"])
        ax.axhline(0, **REFERENCE)
        ax.axhline(factor * rows.loc[same, "value"].mean(), **same_language)
        ax.plot(between[ax]["x"], between[ax]["y"], **pair)
        ax.margins(0.12, 0.15)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.set(xlabel=f"{DISTANCES[distance]} distance", ylabel=label)
        ax.label_outer()
    own = "same language (masks: other seed)"
    legend(fig, {"two languages": pair, own: same_language, "chance": REFERENCE})
    settle(fig)  # labels need to know where points are
    for ax, pairs in between.items():
        names = pairs["language_a"] + "\N{EN DASH}" + pairs["language_b"]
        _label_points(fig, ax, pairs[["x", "y"]].to_numpy(), names.to_list())
    return fig


def _label_points(fig: Figure, ax: Axes, points: np.ndarray, names: Sequence[str]) -> None:
    """Write names beside points (points, 2), but no name that would cover a point, a name or an edge.

    A name does not stand beside another point either, whose name it would seem to be.
    """
    centres = ax.transData.transform(points)
    beside = np.array([6, 1.5]) * fig.dpi / 72
    taken = [Bbox([centre - beside, centre + beside]) for centre in centres]
    places = [(3, 0, "left", "center"), (-3, 0, "right", "center")]
    places += [(0, 4, "center", "bottom"), (0, -4, "center", "top")]
    for number, (point, name) in enumerate(zip(points, names, strict=True)):
        others = taken[:number] + taken[number + 1 :]
        for right, up, ha, va in places:
            shift = ScaledTranslation(right / 72, up / 72, fig.dpi_scale_trans)
            text = ax.text(
                *point, name, transform=ax.transData + shift, ha=ha, va=va, size=7, in_layout=False
            )
            box = text.get_window_extent()
            inside = ax.bbox.contains(box.x0, box.y0) and ax.bbox.contains(box.x1, box.y1)
            if inside and not box.count_overlaps(others):
                taken.append(box)
                break
            text.remove()
