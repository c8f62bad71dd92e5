"""Figure: how far masks overlap, by language and seed."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.figures.heatmaps import around, heatmap, outline
from modspec.figures.style import DOUBLE, GREY, MARKS, colour_bar, figure, sample

PAIR = MARKS["own"]["color"]
MEAN = {"color": "black", "lw": 1.5}
CHANCE = {"color": GREY, "lw": 1.2, "ls": "--"}


@figure("seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance")
def mask_overlap(frame: pd.DataFrame) -> Figure:
    """Draw the Jaccard overlap of masks against two floors: other seeds of one language, and chance."""
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
    pairs = pd.concat([pairs, pairs.rename(columns={"language_a": "language_b", "language_b": "language_a"})])
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
        right.scatter(place + spread, pairs["jaccard"], s=size, alpha=alpha, zorder=zorder, c=PAIR, lw=0)
        right.hlines(pairs["jaccard"].mean(), place - 0.4, place + 0.4, **MEAN)
        right.hlines(pairs["chance"].mean(), place - 0.4, place + 0.4, **CHANCE)
    right.set_xticks(range(len(kinds)), kinds)
    right.set_xlim(-0.6, len(kinds) - 0.4)
    right.set_ylabel("Jaccard overlap")
    handles = [
        sample("pair of masks", color=PAIR, marker="o", ls=""),
        sample("mean", **MEAN),
        sample("chance (mean)", **CHANCE),
    ]
    right.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return fig
