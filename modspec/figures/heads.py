"""Figures of heads: masks, what pruning costs, the share of each head alone, and what each contributes."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modspec.errors import InputError
from modspec.figures import style
from modspec.figures.frames import by_level, levels
from modspec.figures.style import DOUBLE, GREY, LIGHT, MARKS, SINGLE, around, colour_bar, figure, grid, legend

HEADS = ["layer", "head"]  # columns of a map
# Of pruning_trajectories: looks of points and lines.
CHOSEN = {"marker": "D", "ms": 4.5, "mec": "black", "mew": 0.7, "ls": ""}
FAILED = {"marker": "x", "ms": 4.5, "mew": 1.2, "ls": ""}
THRESHOLD = {"color": "black", "lw": 0.8, "ls": "--"}


@figure("seed language layer head kept")
def head_masks(frame: pd.DataFrame) -> Figure:
    """Draw layers x heads by language: how many seeds' subnetworks keep each head."""
    seeds = frame["seed"].nunique()
    counts = seeds * frame.pivot_table("kept", "language", HEADS).loc[levels(frame, "language")]
    cmap = ListedColormap(seaborn.color_palette("light:#0072B2", seeds + 1))
    norm = BoundaryNorm(np.arange(seeds + 2) - 0.5, cmap.N)
    look = {"cmap": cmap, "norm": norm, "edgecolors": "white", "linewidth": 0.4}
    kept = counts.sum(axis=1) / seeds
    titles = {language: f"{language}: {n:.0f} of {counts.shape[1]} kept" for language, n in kept.items()}
    titles, height = style.wrapped(titles, 1.25)
    label = f"kept by, of {seeds} seeds" if seeds > 1 else ""
    fig, panels, bar = _by_language(counts, 1.45 + (height - style.LINE), label, **look)
    for language, _, ax in panels:
        ax.set(title=titles[language], aspect="equal")
    bar.tick_params(which="both", length=0)
    bar.set_yticks(range(seeds + 1), range(seeds + 1) if seeds > 1 else ["removed", "kept"])
    return fig


@figure("seed language step heads_left heads dev_score threshold_score accepted")
def pruning_trajectories(frame: pd.DataFrame) -> Figure:
    """Draw the dev score against the heads left, both in percent of the unpruned encoder, by language, and
    mark the chosen masks."""
    frame = frame.sort_values("step")
    first = frame.groupby(["language", "seed"])["dev_score"].transform("first")
    unpruned = first.where(first != 0)  # nothing is relative to 0: no line
    frame = frame.assign(
        x=100 * frame["heads_left"] / frame["heads"],
        y=100 * frame["dev_score"] / unpruned,
        threshold=100 * frame["threshold_score"] / unpruned,
    )
    languages = by_level(frame, "language")
    colour = MARKS["own"]["color"]
    fig, panels = grid(languages, 5, (style.width_for(languages), 1.45), 0.45, sharex=True, sharey=True)
    for language, runs, ax in panels:
        for _, run in frame[frame["language"] != language].groupby(["language", "seed"]):
            ax.plot(run["x"], run["y"], c=LIGHT, lw=0.6, zorder=1)
        for _, run in runs.groupby("seed"):
            failed, chosen = run[~run["accepted"]], run[run["accepted"]][-1:]
            ax.plot(run["x"], run["threshold"], zorder=2, **THRESHOLD)
            ax.plot(run["x"], run["y"], c=colour, marker=".", ms=3, zorder=3)
            ax.plot(failed["x"], failed["y"], c=colour, zorder=4, **FAILED)
            ax.plot(chosen["x"], chosen["y"], c=colour, zorder=5, **CHOSEN)
        ax.set_title(language)
    ax.invert_xaxis()  # of all panels, which share it
    fig.supxlabel("heads left (%)")
    fig.supylabel("dev score (% of unpruned)")
    grey = {"color": GREY}
    looks = {"chosen mask": grey | CHOSEN, "below threshold": grey | FAILED, "threshold": THRESHOLD}
    legend(fig, looks | ({"other languages": {"color": LIGHT}} if len(languages) > 1 else {}))
    return fig


@figure("seed language layer head share chance")
def head_share(frame: pd.DataFrame) -> Figure:
    """Draw layers x heads by language: S_t by one head alone, in points above chance, mean over seeds."""
    excess = frame.assign(excess=100 * (frame["share"] - frame["chance"]))
    maps = excess.pivot_table("excess", "language", HEADS).loc[levels(frame, "language")]
    label = "in-language share\nabove chance (points)"
    fig, panels, bar = _by_language(maps, 1.4, label, cmap="RdBu_r", norm=around(0, maps))
    for language, _, ax in panels:
        ax.set_title(language)
    bar.set_ylim(*_used(maps))
    return fig


@figure("seed language train_language layer head contribution")
def head_influence(frame: pd.DataFrame) -> Figure:
    """Draw layers x heads by evaluation language (rows): contribution of each head, mean over seeds.

    The first column is the mean over all training languages. The others show how far the contribution of one
    training language exceeds the mean of the other training languages; on the outlined diagonal, in-language
    influence.
    """
    languages, trained = levels(frame, "language"), levels(frame, "train_language")
    if len(trained) < 2:
        raise InputError(f"{frame.attrs['source']}: column train_language leaves no others to compare with")
    pairs = pd.MultiIndex.from_product([languages, trained], names=["language", "train_language"])
    maps = frame.pivot_table("contribution", pairs.names, HEADS).reindex(pairs)
    by_language = maps.groupby(level="language")
    others = (by_language.transform("sum") - maps) / (by_language.transform("count") - 1)
    size = (SINGLE, 0.8) if len(trained) <= 2 else (DOUBLE, 5.6 / (len(trained) + 1))
    panels = {(language, other): other for language in languages for other in ("", *trained)}
    fig, panels = grid(panels, len(trained) + 1, size, 1.2, sharex=True, sharey=True)
    first, *paired = np.reshape(fig.axes, (len(languages), -1)).T
    label = "contribution\nto the score\n(UNIT)"
    _on_one_scale(fig, first, 1, by_language.mean().loc[languages], "PuOr_r", label)
    label = "above the mean\nof the others (UNIT;\noutlined: own language)"
    _on_one_scale(fig, np.ravel(paired, "F"), len(trained), maps - others, "RdBu_r", label)
    for (language, other), _, ax in panels:
        ax.spines[:].set(visible=language == other, linewidth=1.2)
        ax.set(xlabel="head", ylabel=f"{language}\nlayer")
        ax.label_outer()
        if language == languages[0]:
            ax.set_title(other or "all")
    fig.supylabel("evaluation language")
    fig.suptitle("training language")
    return fig


def _used(maps: pd.DataFrame) -> tuple[float, float]:
    """Return the part of a scale around 0 that is in use, never empty."""
    return min(0.0, maps.min(axis=None)), max(1e-9, maps.max(axis=None))


def _draw(ax: Axes, heads: pd.Series, ticks: int, **look: object) -> None:
    """Draw values per (layer, head): layers from top to bottom, heads along x; grey where there is none.

    ``ticks``: the most ticks per axis. ``look``: options of ``Axes.pcolormesh``.
    """
    table = heads.unstack("head")
    ax.set_facecolor(LIGHT)
    ax.pcolormesh(table.columns, table.index, table, **look)
    ax.set_ylim(table.index.max() + 0.5, table.index.min() - 0.5)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    for axis, numbers in ((ax.xaxis, table.columns), (ax.yaxis, table.index)):
        step = math.ceil(len(numbers) / ticks)
        axis.set_ticks([int(number) for number in numbers if number % step == 0])


def _by_language(maps: pd.DataFrame, height: float, label: str, **look: object) -> tuple[Figure, list, Axes]:
    """Draw a panel per language, each so many inches high; return figure, panels and the scale's axes."""
    size = (style.width_for(maps.index), height)
    fig, panels = grid(dict(maps.iterrows()), 5, size, 0.2, sharex=True, sharey=True)
    for _, heads, ax in panels:
        _draw(ax, heads, 6, **look)
    fig.supxlabel("head")
    fig.supylabel("layer")
    return fig, panels, colour_bar(fig, fig.axes, look["cmap"], look["norm"], label)


def _on_one_scale(
    fig: Figure, axes: Sequence[Axes], columns: int, maps: pd.DataFrame, cmap: str, label: str
) -> None:
    """Draw each row of ``maps`` in one of ``axes``, and their scale below, ``columns`` panels wide; UNIT in
    ``label`` becomes a power of ten."""
    exponent = math.floor(math.log10(maps.abs().max(axis=None) or 1))
    maps = maps / 10.0**exponent
    norm = around(0, maps)
    for ax, (_, heads) in zip(axes, maps.iterrows(), strict=True):
        _draw(ax, heads, 3, cmap=cmap, norm=norm)
    label = label.replace("UNIT", f"$10^{{{exponent}}}$")
    bar = colour_bar(fig, axes, cmap, norm, label, location="bottom", aspect=8 * columns)
    bar.set_xlim(*_used(maps))
    bar.xaxis.set_major_locator(MaxNLocator(1 + columns))
