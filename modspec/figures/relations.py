"""Figures beyond in-language shares: heads against importance and masks, typology, translations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, ScaledTranslation

from modspec.analysis.typology import DISTANCES, mantel_tests
from modspec.figures.frames import ALL_LANGUAGES, LEVELS, levels, only
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
SIMILARITIES = {
    "overlap": ("mask overlap\nabove chance", 1),
    "share": ("share of proponents\nabove chance (points)", 100),
}
# Shown; the table of tests has all: sounds do not reach a text encoder.
SHOWN = {"syntax": "syntactic", "family": "genealogical", "geography": "geographic"}
TRANSLATIONS = {
    "translated_proponents": "proponents with a\ntranslation among\nthem (%)",
    "shared_groups": "proponents' groups\nthat translations\nshare (%)",
    "translations_found": "own translations\namong the\nstrongest (%)",
}


@figure("seed language measure mask_kind value chance_low chance_high")
def head_relation(frame: pd.DataFrame) -> Figure:
    """In-language influence by head against importance and masks, mean over seeds, with bands of chance."""
    frame = only(frame, seed="all")
    languages, sources = _languages(frame["language"]), levels(frame, "mask_kind")
    panels = [measure for measure in RELATIONS if measure in set(frame["measure"])]
    fig, axes = grid(panels, 2, (DOUBLE, 1.5), 0.6, sharex=True)
    offsets = _offsets(len(sources))
    for measure, ax in axes.items():
        title, label, factor = RELATIONS[measure]
        rows = frame[frame["measure"] == measure]
        _stripes(ax, languages)
        for source, offset in zip(sources, offsets, strict=True):
            points = rows[rows["mask_kind"] == source]
            x = points["language"].map(languages.index) + offset
            colour, marker = MARKS[source]
            band = factor * points["chance_low"], factor * points["chance_high"]
            ax.vlines(x, *band, colors=LIGHT, lw=5, zorder=1)
            ax.plot(x, factor * points["value"], marker, c=colour, ms=3.2)
        ax.axhline(0, c=GREY, lw=0.6, zorder=1)
        ax.set_title(title)
        ax.set_ylabel(label)
        ax.ticklabel_format(axis="y", scilimits=(-3, 3), useMathText=True)
        ax.yaxis.get_offset_text().set_size(7)
        _name(ax, languages)
    handles = [
        sample(SOURCES[source], MARKS[source][0], marker=MARKS[source][1], ms=3.2, lw=0) for source in sources
    ]
    legend(fig, [*handles, sample("chance, middle 95 %", LIGHT, lw=5)])
    return fig


@figure("seed measure language_a language_b value " + " ".join(DISTANCES))
def typology(frame: pd.DataFrame) -> Figure:
    """Pairs of languages: similarity (rows) against distance (columns), mean over seeds, and Mantel tests."""
    every = frame[frame["seed"] == "all"]
    tests = mantel_tests(every).set_index(["measure", "distance"])
    rows = [measure for measure in SIMILARITIES if measure in set(every["measure"])]
    panels = [(measure, distance) for measure in rows for distance in SHOWN]
    fig, axes = grid(panels, len(SHOWN), (DOUBLE, 1.75), 0.55, sharex="col", sharey="row")
    for (measure, distance), ax in axes.items():
        label, factor = SIMILARITIES[measure]
        pairs = every[every["measure"] == measure]
        same = pairs["language_a"] == pairs["language_b"]
        between, within = pairs[~same], factor * pairs.loc[same, "value"].mean()
        ax.axhline(0, c=GREY, lw=0.9, ls="--", zorder=1)
        ax.axhline(within, c=MARKS["own"][0], lw=0.9, ls=":", zorder=1)
        ax.plot(between[distance], factor * between["value"], "o", c="black", ms=2.6)
        test = tests.loc[(measure, distance)]
        ax.set_title(_result(test))
        ax.margins(0.12, 0.15)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        if distance == next(iter(SHOWN)):
            ax.set_ylabel(label)
        if measure == rows[-1]:
            ax.set_xlabel(f"{SHOWN[distance]} distance")
    handles = [
        sample("two languages", "black", marker="o", ms=2.6, lw=0),
        sample("same language (masks: other seed)", MARKS["own"][0], ls=":", lw=0.9),
        sample("chance", GREY, ls="--", lw=0.9),
    ]
    legend(fig, handles)
    for _ in range(2):
        fig.get_layout_engine().execute(fig)  # labels need to know where points are
    for (measure, distance), ax in axes.items():
        between = every[(every["measure"] == measure) & (every["language_a"] != every["language_b"])]
        names = between["language_a"] + "\N{EN DASH}" + between["language_b"]
        heights = SIMILARITIES[measure][1] * between["value"]
        _label_points(fig, ax, between[distance].to_numpy(), heights.to_numpy(), names.to_list())
    return fig


@figure("condition measure language_a language_b observed chance control value low high")
def translations(frame: pd.DataFrame) -> Figure:
    """Each measure by language and condition, beside its control; bars: interval of the difference."""
    frame = frame[frame["language_b"] == ALL_LANGUAGES]
    languages, conditions = _languages(frame["language_a"]), levels(frame, "condition")
    panels = [measure for measure in TRANSLATIONS if measure in set(frame["measure"])]
    fig, axes = grid(panels, 1, (DOUBLE, 1.45), 0.6, sharex=True)
    offsets = _offsets(len(conditions))
    half = 0.3 / len(conditions)
    looks = {condition: MARKS.get(condition, MARKS["none"]) for condition in conditions}
    for measure, ax in axes.items():
        rows = frame[frame["measure"] == measure]
        _stripes(ax, languages)
        for condition, offset in zip(conditions, offsets, strict=True):
            points = rows[rows["condition"] == condition]  # none where it was not scored by unit
            x = np.array([languages.index(language) + offset for language in points["language_a"]])
            colour, marker = looks[condition]
            control = 100 * points["control"]
            ax.hlines(control, x - half, x + half, colors=colour, lw=1.6)
            ax.vlines(x, control + 100 * points["low"], control + 100 * points["high"], colors=colour, lw=1)
            ax.plot(x, 100 * points["observed"], marker, c=colour, ms=3.2)
            ax.hlines(100 * points["chance"], x - half, x + half, colors=GREY, lw=0.9, linestyles=":")
        ax.set_ylabel(TRANSLATIONS[measure])
        ax.set_ylim(0, min(ax.get_ylim()[1], 103))  # few seeds have intervals beyond what a share can be
        _name(ax, languages)
    fig.supxlabel("evaluation language")
    handles = [
        sample(LEVELS["condition"][condition], looks[condition][0], marker=looks[condition][1], ms=3.2, lw=1)
        for condition in conditions
    ]
    handles.append(sample("control: same languages and labels", "black", lw=1.6))
    legend(fig, [*handles, sample("chance", GREY, ls=":", lw=0.9)])
    return fig


def _result(test: pd.Series) -> str:
    if np.isnan(test["rho"]):
        return "no test"
    return f"$\\rho$ = {test['rho']:.2f}, p = {test['p']:.2g} (Holm {test['p_holm']:.2g})"


def _languages(column: pd.Series) -> list[str]:
    """Sorted, what is over all languages last."""
    return sorted(set(column), key=lambda language: (language == ALL_LANGUAGES, language))


def _offsets(count: int) -> np.ndarray:
    return (np.arange(count) - (count - 1) / 2) * 0.8 / count


def _stripes(ax: Axes, languages: Sequence[str]) -> None:
    for place in range(1, len(languages), 2):
        ax.axvspan(place - 0.5, place + 0.5, color="#f2f2f2", lw=0, zorder=0)


def _name(ax: Axes, languages: Sequence[str]) -> None:
    """Languages along x; ``"all languages"`` as "all"."""
    ax.set_xticks(range(len(languages)), [language.split()[0] for language in languages])
    ax.set_xlim(-0.5, len(languages) - 0.5)
    ax.tick_params(axis="x", length=0)


def _label_points(fig: Figure, ax: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str]) -> None:
    """Names beside points, left out where each place would cover a point, another name or an edge.

    A name does not stand beside another point either, whose name it would seem to be.
    """
    points = ax.transData.transform(np.column_stack([x, y]))
    beside = np.array([6, 1.5]) * fig.dpi / 72
    taken = [Bbox([point - beside, point + beside]) for point in points]
    places = [(3, 0, "left", "center"), (-3, 0, "right", "center")]
    places += [(0, 4, "center", "bottom"), (0, -4, "center", "top")]
    for at, name in enumerate(names):
        for right, up, ha, va in places:
            shift = ScaledTranslation(right / 72, up / 72, fig.dpi_scale_trans)
            look = {"ha": ha, "va": va, "size": 7, "in_layout": False}
            text = ax.text(x[at], y[at], name, transform=ax.transData + shift, **look)
            box = text.get_window_extent()
            inside = (
                ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 <= box.y1 <= ax.bbox.y1
            )
            if inside and not box.count_overlaps([other for i, other in enumerate(taken) if i != at]):
                taken.append(box)
                break
            text.remove()
