"""Figure: what each head contributes to the influence between two languages."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modspec.errors import InputError
from modspec.figures.frames import levels
from modspec.figures.heatmaps import around, head_map, head_maps, used
from modspec.figures.style import DOUBLE, SINGLE, colour_bar, figure, grid


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
    maps = head_maps(frame, pairs.names, "contribution").reindex(pairs)
    by_language = maps.groupby(level="language")
    others = (by_language.transform("sum") - maps) / (by_language.transform("count") - 1)
    panels = [(language, other) for language in languages for other in ("", *trained)]
    size = (SINGLE, 0.8) if len(trained) <= 2 else (DOUBLE, 5.6 / (len(trained) + 1))
    fig, axes = grid(panels, len(trained) + 1, size, 1.2, sharex=True, sharey=True)
    common = {language: axes[language, ""] for language in languages}
    label = "contribution\nto the score\n(UNIT)"
    _on_one_scale(fig, common, 1, by_language.mean(), "PuOr_r", label)
    label = "above the mean of the others\n(UNIT; outlined: own language)"
    paired = {pair: axes[pair] for pair in pairs}
    _on_one_scale(fig, paired, len(trained), maps - others, "RdBu_r", label)
    for (language, other), ax in axes.items():
        ax.spines[:].set(visible=language == other, linewidth=1.2)
        ax.xaxis.set_visible(language == languages[-1])
        ax.yaxis.set_visible(not other)
        if language == languages[-1]:
            ax.set_xlabel("head")
        if not other:
            ax.set_ylabel(f"{language}\nlayer")
        if language == languages[0]:
            ax.set_title(other or "all")
    fig.supylabel("evaluation language")
    fig.suptitle("training language")
    return fig


def _on_one_scale(
    fig: Figure, axes: dict[object, Axes], columns: int, maps: pd.DataFrame, cmap: str, label: str
) -> None:
    """Draw each row of ``maps`` in its axes, and their scale below, ``columns`` panels wide; UNIT in
    ``label`` becomes a power of ten."""
    exponent = math.floor(math.log10(maps.abs().max(axis=None) or 1))
    maps = maps / 10.0**exponent
    norm = around(0, maps)
    for row, ax in axes.items():
        head_map(ax, maps.loc[row], cmap, norm, 3)
    label = label.replace("UNIT", f"$10^{{{exponent}}}$")
    bar = colour_bar(fig, axes.values(), cmap, norm, label, location="bottom", aspect=8 * columns)
    bar.set_xlim(*used(maps))
    bar.xaxis.set_major_locator(MaxNLocator(1 + columns))
