"""Figures of influence resolved by part of the encoder: shares by layer, contributions by head."""

from __future__ import annotations

import math
from collections.abc import Hashable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modspec.analysis.by_part import above_others, head_maps
from modspec.errors import InputError
from modspec.figures.frames import ALL_LANGUAGES, LEVELS, levels, only
from modspec.figures.style import (
    DOUBLE,
    GREY,
    LIGHT,
    MARKS,
    SINGLE,
    around,
    colour_bar,
    figure,
    grid,
    legend,
    number_heads,
    sample,
)


@figure("seed condition part layer language value low high chance examples")
def layer_share(frame: pd.DataFrame) -> Figure:
    """S_t by one part of one layer alone, examples of all languages, against chance and single seeds."""
    frame = only(frame, language=ALL_LANGUAGES)
    conditions, parts = levels(frame, "condition"), levels(frame, "part")
    last, seeds = int(frame["layer"].max()), set(frame["seed"]) - {"all"}
    fig, axes = grid(conditions, 1, (DOUBLE, 1.45), 0.65, sharex=True, sharey=True)
    beside = {"attention": -0.27, "norms": 0.27}  # parts of one layer, side by side
    mean_look = {"ms": 3.2, "lw": 0.6}
    seed_look = {"ms": 2.6, "mew": 0, "alpha": 0.5, "lw": 0}
    for condition, ax in axes.items():
        rows = frame[frame["condition"] == condition]
        for layer in range(0, last + 1, 2):
            ax.axvspan(layer - 0.5, layer + 0.5, color="#f2f2f2", lw=0, zorder=0)
        ax.axhline(100 * rows["chance"].mean(), c=GREY, lw=0.9, ls="--", zorder=1)
        for part in parts:
            colour, marker = MARKS[part]
            points = rows[rows["part"] == part].sort_values("layer")
            points = points.assign(layer=points["layer"] + beside.get(part, 0))
            mean, single = points[points["seed"] == "all"], points[points["seed"] != "all"]
            # With few seeds intervals are wider than what a share can be.
            low, high = (100 * mean[end].clip(0, 1) for end in ("low", "high"))
            ax.vlines(mean["layer"], low, high, colors=colour, lw=1)
            ax.plot(mean["layer"], 100 * mean["value"], marker, c=colour, ls="-", **mean_look)
            if len(seeds) > 1:
                ax.plot(single["layer"] + 0.1, 100 * single["value"], "o", c=colour, **seed_look)
        ax.set_title(LEVELS["condition"][condition])
        ax.set_xlim(-0.5, last + 0.5)
        layers = range(1, last, math.ceil(last / 26))
        ax.set_xticks([0, *layers, last], ["embed-\ndings", *layers, "classi-\nfier"])
        ax.tick_params(axis="x", length=0)
    fig.supxlabel("layer")
    fig.supylabel("in-language share\nof proponents (%)")
    handles = [
        sample(LEVELS["part"][part], MARKS[part][0], marker=MARKS[part][1], **mean_look) for part in parts
    ]
    if len(seeds) > 1:
        handles.append(sample("one seed", GREY, marker="o", **seed_look))
    legend(fig, [*handles, sample("chance", GREY, ls="--", lw=0.9)])
    return fig


@figure("seed language layer head share chance")
def head_share(frame: pd.DataFrame) -> Figure:
    """Layers x heads by language: S_t by one head alone, above chance, mean over seeds."""
    languages = levels(frame, "language")
    excess = frame.assign(excess=100 * (frame["share"] - frame["chance"]))
    maps = head_maps(excess, ["language"], "excess")
    width = SINGLE if len(languages) <= 2 else DOUBLE
    fig, axes = grid(languages, 5, (width, 1.4), 0.2, sharex=True, sharey=True)
    norm = around(0, pd.Series(maps.to_numpy().ravel()))
    for language, ax in axes.items():
        _draw(ax, maps.loc[language], "RdBu_r", norm)
        ax.spines[:].set_visible(False)
        ax.set_title(language)
    number_heads(axes[languages[0]], maps.iloc[0].unstack("head"), 6)
    axes[languages[0]].invert_yaxis()
    fig.supxlabel("head")
    fig.supylabel("layer")
    bar = colour_bar(fig, axes.values(), "RdBu_r", norm, "in-language share\nabove chance (points)")
    bar.set_ylim(*_extent(maps))
    return fig


@figure("seed language train_language layer head contribution")
def head_influence(frame: pd.DataFrame) -> Figure:
    """Layers x heads by evaluation language (rows): contribution of each head, mean over seeds.

    First column: over all training languages. The others: how far that of one training language exceeds
    the mean of the others; on the outlined diagonal, in-language influence.
    """
    languages, trained = levels(frame, "language"), levels(frame, "train_language")
    if len(trained) < 2:
        raise InputError(f"{frame.attrs['source']}: column train_language leaves no others to compare with")
    pairs = pd.MultiIndex.from_product([languages, trained], names=["language", "train_language"])
    maps = head_maps(frame, pairs.names, "contribution").reindex(pairs)
    panels = [(language, other) for language in languages for other in ("", *trained)]
    size = (SINGLE, 0.8) if len(trained) <= 2 else (DOUBLE, 5.6 / (len(trained) + 1))
    fig, axes = grid(panels, len(trained) + 1, size, 1.2, sharex=True, sharey=True)
    common = {language: axes[language, ""] for language in languages}
    label = "contribution\nto the score\n(UNIT)"
    _on_one_scale(fig, common, 1, maps.groupby(level="language").mean(), "PuOr_r", label)
    label = "above the mean of the others\n(UNIT; outlined: own language)"
    paired = {pair: axes[pair] for pair in pairs}
    _on_one_scale(fig, paired, len(trained), above_others(maps), "RdBu_r", label)
    for (language, other), ax in axes.items():
        ax.spines[:].set(visible=language == other, linewidth=1.2)
        ax.xaxis.set_visible(language == languages[-1])
        ax.yaxis.set_visible(not other)
    for other, ax in zip(["all", *trained], axes.values(), strict=False):
        ax.set_title(other)
    for other in ("", *trained):
        axes[languages[-1], other].set_xlabel("head")
    for language, ax in common.items():
        ax.set_ylabel(f"{language}\nlayer")
    number_heads(common[languages[0]], maps.iloc[0].unstack("head"), 3)
    common[languages[0]].invert_yaxis()
    fig.supylabel("evaluation language")
    fig.suptitle("training language", size=7.5)
    return fig


def _on_one_scale(
    fig: Figure, axes: dict[Hashable, Axes], columns: int, maps: pd.DataFrame, cmap: str, label: str
) -> None:
    """Each row of ``maps`` in its axes; below them, ``columns`` wide, the scale. UNIT: a power of ten."""
    exponent = math.floor(math.log10(maps.abs().max(axis=None) or 1))
    maps = maps / 10.0**exponent
    norm = around(0, pd.Series(maps.to_numpy().ravel()))
    for row, ax in axes.items():
        _draw(ax, maps.loc[row], cmap, norm)
    label = label.replace("UNIT", f"$10^{{{exponent}}}$")
    bar = colour_bar(fig, axes.values(), cmap, norm, label, location="bottom", aspect=8 * columns)
    bar.set_xlim(*_extent(maps))
    bar.xaxis.set_major_locator(MaxNLocator(1 + columns))


def _draw(ax: Axes, row: pd.Series, cmap: str, norm: Normalize) -> None:
    """One map, layers x heads; grey where there is none."""
    heads = row.unstack("head")
    ax.set_facecolor(LIGHT)
    ax.pcolormesh(heads.columns, heads.index, heads, cmap=cmap, norm=norm)
    ax.tick_params(length=0)


def _extent(maps: pd.DataFrame) -> tuple[float, float]:
    """The part of a scale around 0 that is in use, never empty."""
    return min(0.0, maps.min(axis=None)), max(1e-9, maps.max(axis=None))
