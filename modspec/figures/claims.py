"""Figures of the claims: effects with intervals and verdicts, by study too, sensitivity, shares by k."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from modspec.figures.frames import ALL_LANGUAGES, LEVELS, levels, only
from modspec.figures.style import (
    DOUBLE,
    GREY,
    MARKS,
    SINGLE,
    figure,
    goes_on,
    grid,
    intervals,
    legend,
    sample,
)

# Okabe and Ito's; an undecided effect stays hollow and grey.
VERDICTS = {
    "supported": "#009E73",
    "rises": "#009E73",
    "contradicted": "#D55E00",
    "falls": "#D55E00",
    "undecided": GREY,
}
COMPARISONS = ("o", "s", "^", "v", "D")
TITLES = {
    "C0": "C0  share, no mask,\nabove chance",
    "C1": "C1  own mask\nspecialises",
    "C2": "C2  own mask beyond\nits controls",
    "C3": "C3  change of share\nunder SFT",
    "C4": "C4  cross-language scores\nwhere shares fall",
    "C5": "C5  change of accuracy\nunder SFT",
    "C6": "C6  change of\nspecialization under SFT",
}


@figure("claim comparison language value low high verdict")
def claims(frame: pd.DataFrame) -> Figure:
    """Every claim's effects by language, with intervals; filled where the corrected test decides."""
    languages = [*(code for code in levels(frame, "language") if code != ALL_LANGUAGES), ALL_LANGUAGES]
    return _panels(frame, "language", languages)


@figure("study claim comparison language value low high verdict")
def claims_by_study(frame: pd.DataFrame) -> Figure:
    """Every claim's effects over all languages, by study; filled where the corrected test decides."""
    return _panels(only(frame, language=ALL_LANGUAGES), "study", list(dict.fromkeys(frame["study"])))


def _panels(frame: pd.DataFrame, column: str, names: list[str]) -> Figure:
    """A panel a claim; along y the values of ``column``, which are ``names``, with comparisons apart."""
    there = levels(frame, "claim")
    height = max(0.19 * len(names) + 1.15, 1.9)
    fig, axes = grid(there, 3, (DOUBLE, height), 0.35, sharey=True)
    for claim, ax in axes.items():
        rows = frame[frame["claim"] == claim]
        comparisons = list(dict.fromkeys(rows["comparison"]))
        places = rows[column].map(names.index).astype(float)
        places += rows["comparison"].map(comparisons.index) * 0.7 / len(comparisons)
        places -= 0.35 * (len(comparisons) - 1) / len(comparisons)
        # Scores of C4 are cosines times learning rates: not in points.
        scale = 1 if claim == "C4" else 100
        _draw(ax, rows, places, scale, [COMPARISONS[comparisons.index(c)] for c in rows["comparison"]])
        ax.set_title(TITLES[claim])
        ax.set_xlabel("mean score" if claim == "C4" else "points")
        if claim == "C4":
            ax.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3), useMathText=True)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        if len(comparisons) > 1:
            shown = [c.removeprefix("own mask - ").partition(",")[0] for c in comparisons]
            handles = [
                sample(text, GREY, marker=marker, ms=3.2, lw=0)
                for text, marker in zip(shown, COMPARISONS, strict=False)
            ]
            below = ax.transAxes + ScaledTranslation(0, -0.36, fig.dpi_scale_trans)  # inches
            ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below)
    legend(fig, _verdict_samples(frame))
    return fig


@figure("choice claim comparison value low high verdict")
def sensitivity(frame: pd.DataFrame) -> Figure:
    """Effects over all languages by choice: the study's own first; filled where the verdict is decided."""
    there = dict.fromkeys(zip(frame["claim"], frame["comparison"], strict=True))
    keys = sorted(there, key=lambda key: key[0])
    names = list(dict.fromkeys(frame["choice"]))
    height = 0.17 * len(names) + 0.55
    fig, axes = grid(keys, 3, (DOUBLE, height), 0.35, sharey=True)
    for (claim, comparison), ax in axes.items():
        rows = frame[(frame["claim"] == claim) & (frame["comparison"] == comparison)]
        _draw(ax, rows, rows["choice"].map(names.index).astype(float), 100, ["o"] * len(rows))
        ax.set_title("\n".join([claim, *comparison.replace(" - ", " \N{MINUS SIGN}\n").split("\n")]))
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.axhspan(-0.5, 0.5, color="#f2f2f2", lw=0, zorder=0)
    fig.supxlabel("effect, all languages (points)")
    legend(fig, _verdict_samples(frame))
    return fig


@figure("mask_kind top_k value low high chance")
def share_by_k(frame: pd.DataFrame) -> Figure:
    """S_t of all languages against the number of proponents counted, by mask; logarithmic."""
    fig, axes = grid(["all"], 1, (SINGLE, 1.8), 0.5)
    ax = axes["all"]
    kinds = levels(frame, "mask_kind")
    for place, kind in enumerate(kinds):
        rows = frame[frame["mask_kind"] == kind].sort_values("top_k")
        colour, marker = MARKS[kind]
        x = rows["top_k"] * 1.03 ** (place - (len(kinds) - 1) / 2)
        # With few seeds intervals are wider than what a share can be: they are cut there.
        intervals(ax, x, rows, (0, 100), colour, 0.8)
        ax.plot(x, 100 * rows["value"], marker=marker, c=colour, ms=3.2, lw=0.9)
    ax.axhline(100 * frame["chance"].iloc[0], c=GREY, lw=0.9, ls="--", zorder=1)
    ax.set_xscale("log")
    ax.set_xticks(sorted(set(frame["top_k"])))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("proponents counted, k")
    ax.set_ylabel("in-language share (%)")
    handles = [
        sample(LEVELS["mask_kind"][kind], MARKS[kind][0], marker=MARKS[kind][1], ms=3.2, lw=1)
        for kind in kinds
    ]
    legend(fig, [*handles, sample("chance", GREY, ls="--", lw=0.9)])
    return fig


def _draw(ax: Axes, rows: pd.DataFrame, places: pd.Series, scale: float, markers: list[str]) -> None:
    """Points with intervals, with an arrowhead where the frame cuts one; zero as a dashed line."""
    ax.axvline(0, c=GREY, lw=0.9, ls="--", zorder=1)
    colours = [VERDICTS[verdict] for verdict in rows["verdict"]]
    ax.hlines(places, scale * rows["low"], scale * rows["high"], colors=colours, lw=1)
    for x, y, colour, marker, verdict in zip(
        scale * rows["value"], places, colours, markers, rows["verdict"], strict=True
    ):
        fill = "white" if verdict == "undecided" else colour
        ax.plot(x, y, marker, c=colour, mfc=fill, ms=3.2, mew=0.8)
    # With few seeds intervals are wider than what can be: they end at the frame, which leaves room for the
    # points three times over.
    widest, reach = (scale * rows[columns].abs().max(axis=None) for columns in (["low", "high"], ["value"]))
    limit = 1.08 * min(widest, 3 * reach) if reach > 0 else 1.08 * widest
    if math.isfinite(limit) and limit > 0:
        ax.set_xlim(-limit, limit)
        for low, high, y, colour in zip(
            scale * rows["low"], scale * rows["high"], places, colours, strict=True
        ):
            if low < -limit:
                goes_on(ax, -limit, y, (-1, 0), colour)
            if high > limit:
                goes_on(ax, limit, y, (1, 0), colour)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(axis="y", length=0)


def _verdict_samples(frame: pd.DataFrame) -> list:
    """Legend entries of the verdicts that are there; those of one colour together."""
    groups: dict[str, list[str]] = {}
    for verdict in (v for v in VERDICTS if (frame["verdict"] == v).any()):
        groups.setdefault(VERDICTS[verdict], []).append(verdict)
    return [
        sample(" / ".join(names), colour, marker="o", ms=3.2, lw=1, mfc="white" if colour == GREY else colour)
        for colour, names in groups.items()
    ]
