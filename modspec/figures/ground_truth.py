"""Figures of ground truth: planted heads found, likeness of proponents, scores against retraining."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from modspec.errors import InputError
from modspec.figures.frames import ALL_LANGUAGES
from modspec.figures.style import DOUBLE, GREY, LIGHT, SINGLE, figure, grid, legend, sample

# Okabe and Ito's colours; of our scores, one for each kind and a line for each choice of checkpoints.
COSINE, DOT, BLACK = "#0072B2", "#D55E00", "#000000"
SCORERS = {
    "cosine, all checkpoints": (COSINE, "o", "-"),
    "cosine, last checkpoint": (COSINE, "s", "--"),
    "cosine, classifier alone": (COSINE, "v", ":"),
    "dot, all checkpoints": (DOT, "o", "-"),
    "dot, last checkpoint": (DOT, "s", "--"),
    "dot, classifier alone": (DOT, "v", ":"),
    "encoder cosine": ("#009E73", "D", "-"),
    "BM25": ("#CC79A7", "^", "-"),
    "random": (BLACK, "x", "-"),
}
MODELS = {
    "sft_random": ("heads planted (SFT, disjoint masks)", COSINE, "o"),
    "full": ("nothing planted (full fine-tuning)", DOT, "s"),
}


@figure("languages condition score measure language value others chance chance_low chance_high")
def planted_heads(frame: pd.DataFrame) -> Figure:
    """Agreement with planted heads by way of rating them, all languages and each, beside random plantings."""
    counts = sorted(frame["languages"].unique())
    ways = list(dict.fromkeys(zip(frame["score"], frame["measure"], strict=True)))
    fig, axes = grid(counts, 1, (DOUBLE, 1.6), 0.9, sharex=True, sharey=True)
    models = [name for name in MODELS if name in set(frame["condition"])]
    large, small = {"ms": 4, "lw": 0}, {"ms": 2.2, "lw": 0, "alpha": 0.6, "mew": 0}
    for count, ax in axes.items():
        rows = frame[frame["languages"] == count]
        for number, name in enumerate(models):
            _, colour, marker = MODELS[name]
            points = rows[rows["condition"] == name]
            places = [ways.index(way) for way in zip(points["score"], points["measure"], strict=True)]
            points = points.assign(x=np.array(places) + 0.4 * (number - (len(models) - 1) / 2))
            pooled = points["language"] == ALL_LANGUAGES
            mean, single = points[pooled], points[~pooled]
            ax.vlines(mean["x"], 100 * mean["chance_low"], 100 * mean["chance_high"], colors=LIGHT, lw=7)
            ax.hlines(100 * mean["chance"], mean["x"] - 0.15, mean["x"] + 0.15, colors=GREY, lw=0.9)
            ax.plot(single["x"] + 0.1, 100 * single["value"], marker, c=colour, **small)
            ax.plot(mean["x"] - 0.06, 100 * mean["others"], marker, c=colour, mfc="white", **large)
            ax.plot(mean["x"], 100 * mean["value"], marker, c=colour, **large)
        ax.set_title(f"{count:.0f} languages")
        names = ["\n".join(way).replace(", ", ",\n").replace("auc", "AUC") for way in ways]
        ax.set_xticks(range(len(ways)), names)
        ax.tick_params(axis="x", length=0)
    fig.supylabel("agreement with planted heads (%)")
    handles = [sample(MODELS[name][0], MODELS[name][1], marker=MODELS[name][2], **large) for name in models]
    handles += [
        sample("other languages' planted heads", GREY, marker="o", mfc="white", **large),
        sample("one language", GREY, marker="o", **small),
        sample("random plantings: mean, middle 95 %", LIGHT, lw=6),
    ]
    legend(fig, handles)
    return fig


@figure("score measure k value low high chance best")
def template_truth(frame: pd.DataFrame) -> Figure:
    """Share of the top k that are like the evaluation sentence, by k, scorer and likeness.

    Not drawn, though in the table: random scores, which chance says already, and the classifier alone.
    """
    measures = list(dict.fromkeys(frame["measure"]))
    scorers = [name for name in _scorers(frame) if name != "random" and "alone" not in name]
    fig, axes = grid(measures, 2, (DOUBLE, 1.8), 1.0, sharex=True)
    for measure, ax in axes.items():
        rows = frame[frame["measure"] == measure].sort_values("k")
        levels = rows.groupby("k")[["chance", "best"]].mean()
        ax.plot(levels.index, 100 * levels["best"], c=LIGHT, lw=3)
        ax.plot(levels.index, 100 * levels["chance"], c=GREY, lw=0.9, ls="--")
        for name in scorers:
            colour, marker, line = SCORERS[name]
            points = rows[rows["score"] == name]
            shift = 1.02 ** (scorers.index(name) - len(scorers) / 2)
            ax.vlines(shift * points["k"], 100 * points["low"], 100 * points["high"], colors=colour, lw=0.5)
            ax.plot(shift * points["k"], 100 * points["value"], marker, c=colour, ls=line, lw=0.9, ms=2.6)
        ax.set_title(f"same {measure}")
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        ticks = sorted(frame["k"].unique())
        ax.set_xticks(ticks, [f"{k:.0f}" for k in ticks])
        ax.set_ylim(bottom=0)
    fig.supxlabel("k")
    fig.supylabel("share of the top k proponents (%)")
    handles = [
        sample(name, SCORERS[name][0], marker=SCORERS[name][1], ls=SCORERS[name][2], lw=0.9, ms=2.6)
        for name in scorers
    ]
    legend(fig, [*handles, sample("chance", GREY, ls="--", lw=0.9), sample("highest possible", LIGHT, lw=3)])
    return fig


@figure("score split value low high chance ceiling")
def datamodeling(frame: pd.DataFrame) -> Figure:
    """LDS of every scorer with its interval, between chance and what retraining allows."""
    splits, scorers = list(dict.fromkeys(frame["split"])), _scorers(frame)
    width = SINGLE if len(splits) == 1 else DOUBLE
    fig, axes = grid(splits, len(splits), (width, 0.16 * len(scorers) + 0.3), 0.6, sharex=True, sharey=True)
    for split, ax in axes.items():
        rows = frame[frame["split"] == split]
        ax.axvline(rows["chance"].mean(), c=GREY, lw=0.9, ls="--", zorder=0)
        ax.axvline(rows["ceiling"].mean(), c=LIGHT, lw=3, zorder=0)
        for name, points in rows.groupby("score"):
            colour, marker, _ = SCORERS[name]
            y = [scorers.index(name)] * len(points)
            ax.hlines(y, points["low"], points["high"], colors=colour, lw=1)
            ax.plot(points["value"], y, marker, c=colour, ms=3.2)
        ax.set_title(split)
        ax.set_yticks(range(len(scorers)), scorers)
        ax.set_ylim(len(scorers) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
    fig.supxlabel("linear datamodeling score (mean Spearman correlation)")
    legend(
        fig,
        [
            sample("chance", GREY, ls="--", lw=0.9),
            sample("ceiling: agreement of retrainings", LIGHT, lw=3),
        ],
    )
    return fig


def _scorers(frame: pd.DataFrame) -> list[str]:
    if strange := sorted(set(frame["score"]) - set(SCORERS)):
        raise InputError(f"{frame.attrs['source']}: score is {strange[0]!r}, not one of {'; '.join(SCORERS)}")
    return [name for name in SCORERS if name in set(frame["score"])]
