"""Figures of effects: values with intervals and verdicts around zero, by language, by study, by setting."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from modspec.figures.frames import by_level, levels, only
from modspec.figures.points import points, side_by_side
from modspec.figures.style import DOUBLE, GREY, REFERENCE, STRIPE, figure, grid, legend, samples, wrapped
from modspec.terms import ALL_LANGUAGES, COMPARISONS

# Okabe and Ito's colours; an undecided effect stays hollow and grey.
VERDICTS = {
    "supported": "#009E73",
    "rises": "#009E73",
    "contradicted": "#D55E00",
    "falls": "#D55E00",
    "undecided": GREY,
}
MARKERS = ("o", "s", "^", "v", "D")
TITLES = {
    "C0": "C0  share, no mask,\nabove chance",
    "C1": "C1  own mask\nraises the share",
    "C2": "C2  own mask beyond\nits controls",
    "C3": "C3  change of share\nunder SFT",
    "C4": "C4  cross-language scores\nwhere shares fall",
    "C5": "C5  change of accuracy\nunder SFT",
    "C6": "C6  change of\nspecialization under SFT",
}


@figure("claim comparison language value low high verdict")
def claims(frame: pd.DataFrame) -> Figure:
    """Draw every claim's effects by language, with intervals; filled where the corrected test rejects."""
    languages = [*(code for code in levels(frame, "language") if code != ALL_LANGUAGES), ALL_LANGUAGES]
    return _by_claim(frame, "language", languages)


@figure("study claim comparison language value low high verdict")
def claims_by_study(frame: pd.DataFrame) -> Figure:
    """Draw every claim's effects over all languages, by study; filled where the corrected test rejects."""
    return _by_claim(only(frame, language=ALL_LANGUAGES), "study", frame["study"].unique().tolist())


@figure("choice claim comparison value low high verdict")
def sensitivity(frame: pd.DataFrame) -> Figure:
    """Draw effects over all languages by setting, the study's own first; filled where the verdict is not
    "undecided"."""
    names = frame["choice"].unique().tolist()
    comparisons = by_level(frame, "comparison", sorted(COMPARISONS, key=lambda text: COMPARISONS[text].claim))
    titles, height = wrapped({text: f"{COMPARISONS[text].claim}\n{text}" for text in comparisons}, 1.4)
    fig, panels = grid(comparisons, 3, (DOUBLE, 0.17 * len(names) + 0.15 + height), 0.35, sharey=True)
    for comparison, rows, ax in panels:
        _draw_effects(ax, rows["choice"].map(names.index), rows, 100, {comparison: "o"})
        ax.set_yticks(range(len(names)), names)
        ax.set(title=titles[comparison], ylim=(len(names) - 0.5, -0.5))
        ax.axhspan(-0.5, 0.5, color=STRIPE, lw=0, zorder=0)
    fig.supxlabel("effect, all languages (points)")
    _legend_of_verdicts(fig, frame)
    return fig


def _by_claim(frame: pd.DataFrame, column: str, names: list[str]) -> Figure:
    """Draw a panel per claim, with its comparisons side by side.

    Args:
        frame: ``claim``, ``comparison``, ``value``, ``low``, ``high``, ``verdict`` and ``column``. Values are
            fractions, which are drawn in points; those of C4, mean scores, are not rescaled.
        column: what stands along y.
        names: its values, from top to bottom.
    """
    height = max(0.19 * len(names) + 1.15, 1.9)
    fig, panels = grid(by_level(frame, "claim"), 3, (DOUBLE, height), 0.35, sharey=True)
    for claim, rows, ax in panels:
        comparisons = levels(rows, "comparison", COMPARISONS)
        markers = dict(zip(comparisons, MARKERS, strict=False))
        places = side_by_side(rows, column, names, "comparison", comparisons, 0.7)
        _draw_effects(ax, places, rows, 1 if claim == "C4" else 100, markers)
        ax.set_yticks(range(len(names)), names)
        ax.set(title=TITLES[claim], xlabel="points", ylim=(len(names) - 0.4, -0.6))
        if claim == "C4":
            ax.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3), useMathText=True)
            ax.set_xlabel("mean score")
        if len(comparisons) > 1:
            grey = {"color": GREY, "ls": ""}
            looks = {COMPARISONS[text].label: grey | {"marker": markers[text]} for text in markers}
            below = ax.transAxes + ScaledTranslation(0, -0.36, fig.dpi_scale_trans)  # inches
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below}
            ax.legend(handles=samples(looks), **place)
    _legend_of_verdicts(fig, frame)
    return fig


def _draw_effects(ax: Axes, places: pd.Series, rows: pd.DataFrame, scale: float, markers: dict) -> None:
    """Draw effects around a dashed line at zero; filled where the verdict is not "undecided".

    Args:
        ax: where to draw.
        places: of the effects along y.
        rows: ``comparison``, ``value``, ``low``, ``high``, ``verdict``.
        scale: the axis has so many units per 1 in ``rows``.
        markers: marker by comparison.
    """
    ax.axvline(0, **REFERENCE)
    # With few seeds intervals are wider than what can be: they end at the frame, which leaves room for the
    # points three times over.
    widest, reach = (scale * rows[columns].abs().max(axis=None) for columns in (["low", "high"], ["value"]))
    limit = 1.08 * min(widest, 3 * reach or widest)
    if limit > 0:
        ax.set_xlim(-limit, limit)
    else:  # no effect, or none but zeros
        limit = math.inf
    for index, row in rows.iterrows():
        look = _look(row["verdict"]) | {"marker": markers[row["comparison"]]}
        limits = {"bounds": (-limit, limit), "scale": scale}
        points(ax, places[[index]], rows.loc[[index]], look, horizontal=True, **limits)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(axis="y", length=0)


def _legend_of_verdicts(fig: Figure, frame: pd.DataFrame) -> None:
    """Draw a legend of the verdicts in ``frame``; those of one colour share an entry."""
    names = pd.Series(levels(frame, "verdict", VERDICTS))
    groups = names.groupby(names.map(VERDICTS), sort=False).agg(list)
    legend(fig, {" / ".join(group): {"marker": "o", **_look(group[0])} for group in groups})


def _look(verdict: str) -> dict:
    colour = VERDICTS[verdict]
    return {"color": colour, "mfc": "white" if verdict == "undecided" else colour, "mew": 0.8}
