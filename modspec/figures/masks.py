"""Figures of masks: which heads languages keep, how masks overlap, what pruning and masks cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.figures.frames import LEVELS, levels, only
from modspec.figures.style import (
    DOUBLE,
    GREY,
    LIGHT,
    SINGLE,
    around,
    colour_bar,
    figure,
    grid,
    heatmap,
    language_colour,
    legend,
    number_heads,
    outline,
    sample,
    wrapped,
)


@figure("seed language layer head kept")
def head_masks(frame: pd.DataFrame) -> Figure:
    """Layers x heads by language: how many seeds' subnetworks keep each head."""
    languages, seeds = levels(frame, "language"), frame["seed"].nunique()
    width = SINGLE if len(languages) <= 2 else DOUBLE
    fig, axes = grid(languages, 5, (width, 1.45), 0.2, sharex=True, sharey=True)
    cmap = ListedColormap(seaborn.color_palette("light:#0072B2", seeds + 1))
    norm = BoundaryNorm(np.arange(seeds + 2) - 0.5, cmap.N)
    for language, ax in axes.items():
        rows = frame[frame["language"] == language]
        share = rows.pivot_table(index="layer", columns="head", values="kept", aggfunc="mean")
        look = {"cmap": cmap, "norm": norm, "edgecolors": "white", "linewidth": 0.4}
        ax.pcolormesh(share.columns, share.index, share * seeds, **look)
        kept = rows.groupby("seed")["kept"].sum().mean()
        ax.set_title(f"{language}: {kept:.0f} of {share.size} kept")
        ax.set_aspect("equal")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        number_heads(ax, share, 6)
    axes[languages[0]].invert_yaxis()
    fig.supxlabel("head")
    fig.supylabel("layer")
    label = f"kept by, of {seeds} seeds" if seeds > 1 else ""
    bar = colour_bar(fig, axes.values(), cmap, norm, label)
    bar.tick_params(which="both", length=0)
    bar.set_yticks(range(seeds + 1), range(seeds + 1) if seeds > 1 else ["removed", "kept"])
    return fig


@figure("seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance")
def mask_overlap(frame: pd.DataFrame) -> Figure:
    """Jaccard overlap of masks against two floors: other seeds of one language, and chance."""
    same_seed = frame["seed_a"] == frame["seed_b"]
    same_language = frame["language_a"] == frame["language_b"]
    kinds = {
        "same language,\nother seed": frame[same_language & ~same_seed],
        "other language,\nsame seed": frame[same_seed & ~same_language],
        "other language,\nother seed": frame[~same_seed & ~same_language],
    }
    kinds = {label: pairs for label, pairs in kinds.items() if len(pairs)}
    if not kinds:
        raise InputError(f"{frame.attrs['source']}: column seed_b leaves no pair of two masks")
    # Masks of one seed share their new classifier and data order. The diagonal cannot, so pairs of
    # one seed stay out of the matrix wherever there are several.
    several = not same_seed.all()
    pairs = frame[~same_seed] if several else frame[~same_language]
    mirrored = pairs.rename(columns={"language_a": "language_b", "language_b": "language_a"})
    pairs = pd.concat([pairs, mirrored])
    pairs["excess"] = pairs["jaccard"] - pairs["chance"]
    languages = sorted({*frame["language_a"], *frame["language_b"]})
    table = pairs.pivot_table(index="language_a", columns="language_b", values="excess")
    table = table.reindex(index=languages, columns=languages)

    fig = Figure(figsize=(DOUBLE, 2.8), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=[1.1, 1])
    norm = around(0, pairs["excess"])
    heatmap(left, table, lambda excess: f"{excess:.2f}".replace("0.", "."), "RdBu_r", norm)
    left.set_aspect("equal")
    left.set_title("pairs of different seeds; outlined: seed floor" if several else "one seed")
    for place in range(len(languages) if several else 0):
        outline(left, place, place)
    bar = colour_bar(fig, [left], "RdBu_r", norm, "Jaccard overlap above chance")
    bar.set_ylim(min(0.0, table.min(axis=None)), max(0.0, table.max(axis=None)))

    for place, pairs in enumerate(kinds.values()):
        pairs = pairs.sort_values(["language_a", "language_b", "seed_a", "seed_b"])
        spread = ((0.5 + 0.618 * np.arange(len(pairs))) % 1 - 0.5) * 0.6
        size, alpha, zorder = (10, 0.8, 3) if len(pairs) <= 100 else (4, 0.4, 1)
        look = {"s": size, "alpha": alpha, "zorder": zorder, "c": "#0072B2", "lw": 0}
        right.scatter(place + spread, pairs["jaccard"], **look)
        ends = place - 0.4, place + 0.4
        right.hlines(pairs["jaccard"].mean(), *ends, colors="black", lw=1.5)
        right.hlines(pairs["chance"].mean(), *ends, colors=GREY, lw=1.2, linestyles="--")
    right.set_xticks(range(len(kinds)), kinds)
    right.set_xlim(-0.6, len(kinds) - 0.4)
    right.set_ylabel("Jaccard overlap")
    handles = [
        sample("pair of masks", "#0072B2", marker="o", ms=3, lw=0),
        sample("mean", "black", lw=1.5),
        sample("chance (mean)", GREY, lw=1.2, ls="--"),
    ]
    right.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return fig


@figure("seed language step heads_left heads dev_score threshold_score accepted")
def pruning_trajectories(frame: pd.DataFrame) -> Figure:
    """Dev score relative to the unpruned encoder as heads go, and the chosen masks, by language."""
    languages, runs = levels(frame, "language"), []
    for (language, _), run in frame.sort_values("step").groupby(["language", "seed"]):
        unpruned = run["dev_score"].iloc[0] or np.nan  # nothing is relative to 0: no line
        x, y = 100 * run["heads_left"] / run["heads"], 100 * run["dev_score"] / unpruned
        runs.append((language, x, y, run["accepted"], 100 * run["threshold_score"] / unpruned))
    width = SINGLE if len(languages) <= 2 else DOUBLE
    fig, axes = grid(languages, 5, (width, 1.45), 0.45, sharex=True, sharey=True)
    chosen_look = {"marker": "D", "ms": 4.5, "mec": "black", "mew": 0.7, "lw": 0}
    failed_look = {"marker": "x", "ms": 4.5, "mew": 1.2, "lw": 0}
    for language, ax in axes.items():
        colour = language_colour(language)
        for other, x, y, accepted, threshold in runs:
            if other != language:
                ax.plot(x, y, c=LIGHT, lw=0.6, zorder=1)
                continue
            ax.plot(x, threshold, c="black", lw=0.8, ls="--", zorder=2)
            ax.plot(x, y, c=colour, lw=1, marker=".", ms=3, zorder=3)
            ax.plot(x[~accepted], y[~accepted], c=colour, zorder=4, **failed_look)
            chosen = accepted[accepted].index[-1:]
            ax.plot(x[chosen], y[chosen], c=colour, zorder=5, **chosen_look)
        ax.set_title(language)
    axes[languages[0]].invert_xaxis()
    fig.supxlabel("heads left (%)")
    fig.supylabel("dev score (% of unpruned)")
    handles = [
        sample("chosen mask", GREY, **chosen_look),
        sample("below threshold", GREY, **failed_look),
        sample("threshold", "black", ls="--", lw=0.8),
    ]
    others = [sample("other languages", LIGHT, lw=1)] if len(languages) > 1 else []
    legend(fig, handles + others)
    return fig


@figure("seed condition mask_kind mask_language language split accuracy examples", optional="majority")
def accuracy(frame: pd.DataFrame) -> Figure:
    """Test accuracy by mask (rows) and evaluation language (columns), mean over seeds.

    Where the table has a column ``majority``, the majority class's accuracy is the last row.
    """
    frame = only(frame, split="test")
    languages, conditions = levels(frame, "language"), levels(frame, "condition")
    keys = ["condition", "mask_kind", "mask_language", "language"]
    scores = 100 * frame.groupby(keys)["accuracy"].mean().unstack("language")
    kinds = levels(frame, "mask_kind")
    present = {(kind, mask) for _, kind, mask in scores.index}
    rows = sorted(present, key=lambda row: (kinds.index(row[0]), row[1]))
    labels = [f"{LEVELS['mask_kind'][kind]} {mask}".strip() for kind, mask in rows]
    if "majority" in frame:
        labels.append("majority class")
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    room = (width - 1.8) / len(conditions)
    titles = {condition: wrapped(LEVELS["condition"][condition], room) for condition in conditions}
    lines = max(title.count("\n") + 1 for title in titles.values())
    size = (width, max(0.17 * len(labels) + 0.3, 1.2))
    fig, axes = grid(conditions, len(conditions), size, 0.02 + 0.13 * lines, sharey=True)
    norm = Normalize(scores.min(axis=None), scores.max(axis=None))
    form = "{:.1f}".format if len(conditions) * len(languages) <= 15 else "{:.0f}".format
    for condition, ax in axes.items():
        table = scores.loc[condition].reindex(rows)[languages]
        table.index = labels[: len(rows)]
        if "majority" in frame:  # below the colours' range, which tells masks apart
            table.loc["majority class"] = 100 * frame.groupby("language")["majority"].mean()
            ax.axhline(len(rows), c="white", lw=3)
        heatmap(ax, table, form, "YlGnBu", norm)
        ax.set_title(titles[condition])
        # What it trained under.
        own = {"full": "language", "sft": "language", "sft_random": "random"}.get(condition, "shared")
        for place, (kind, mask) in enumerate(rows):
            for column, language in enumerate(languages):
                if kind == own and mask in (language, ""):
                    outline(ax, place, column)
            if place and kind != rows[place - 1][0]:
                ax.axhline(place, c="white", lw=3)
    fig.supxlabel("evaluation language (outlined: its own mask)")
    colour_bar(fig, axes.values(), "YlGnBu", norm, "test accuracy (%)")
    return fig
