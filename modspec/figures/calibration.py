"""Figures of the calibration: how often tests err where nothing is, and what a cipher's dose does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.figures.frames import LEVELS, levels
from modspec.figures.style import DOUBLE, GREY, SINGLE, figure, grid, legend, sample

# Tests, and halves of the cipher; neither are conditions or masks, so they have other colours (Paul Tol's).
TESTS = {"interval": ("#332288", "o"), "bootstrap": ("#88CCEE", "s"), "permutation": ("#AA4499", "D")}
HALVES = {"plain": ("#332288", "o"), "ciphered": ("#117733", "s"), "both halves": ("#882255", "D")}
MEASURES = {
    "share": "in-language share $S_t$",
    "auc": "AUC",
    "label_auc": "AUC within label",
    "specialization": "specialization $\\Delta_t$",
}


@figure("measure language test value low high level")
def false_positive_rates(frame: pd.DataFrame) -> Figure:
    """Each test's rate of false positives on clones, with its interval, and the level that it claims."""
    keys = ["measure", "language", "test"]
    _check_unique(frame, keys, "value")
    measures, averages, tests = _measures(frame), levels(frame, "language")[::-1], levels(frame, "test")
    fig, axes = grid(measures, 4, (DOUBLE, 1.5), 0.55, sharex=True, sharey=True)
    offsets = (np.arange(len(tests)) - (len(tests) - 1) / 2) * 0.7 / len(tests)
    for measure, ax in axes.items():
        rows = frame[frame["measure"] == measure]
        ax.set_title(MEASURES[measure])
        for test, offset in zip(tests, offsets, strict=True):
            points = rows[rows["test"] == test]
            x = points["language"].map(averages.index).astype(float) + offset
            colour, marker = TESTS[test]
            ax.vlines(x, 100 * points["low"], 100 * points["high"], colors=colour, lw=1)
            ax.plot(x, 100 * points["value"], marker, c=colour, ms=3.2)
        ax.axhline(100 * rows["level"].iloc[0], color=GREY, lw=0.9, ls="--", zorder=0)
        ax.set_xticks(range(len(averages)), averages)
        ax.set_xlim(-0.5, len(averages) - 0.5)
        ax.tick_params(axis="x", length=0)
    next(iter(axes.values())).set_ylim(bottom=0)
    fig.supxlabel("evaluation examples of")
    fig.supylabel("false positives (%)")
    handles = [sample(LEVELS["test"][t], TESTS[t][0], marker=TESTS[t][1], ms=3.2, lw=1) for t in tests]
    legend(fig, [*handles, sample("nominal level", GREY, ls="--", lw=0.9)])
    return fig


@figure("seed dose measure language value low high chance")
def dose_response(frame: pd.DataFrame) -> Figure:
    """Share and AUC of each half against the dose of the cipher; thin lines: single seeds."""
    keys = ["seed", "dose", "measure", "language"]
    _check_unique(frame, keys, "value")
    measures = _measures(frame)
    halves = [half for half in HALVES if half in set(frame["language"])]
    fig, axes = grid(measures, 3, (DOUBLE if len(measures) > 1 else SINGLE, 1.9), 0.55, sharex=True)
    seeds = [seed for seed in levels(frame, "seed") if seed != "all"]
    for measure, ax in axes.items():
        rows = frame[frame["measure"] == measure].sort_values("dose")
        for half in halves:
            colour, marker = HALVES[half]
            of = rows[rows["language"] == half]
            for seed in seeds:
                single = of[of["seed"] == seed]
                ax.plot(100 * single["dose"], 100 * single["value"], c=colour, lw=0.5, alpha=0.5)
            every = of[of["seed"] == "all"]
            # Beside each other, else the halves' intervals hide one another.
            x = 100 * every["dose"] + 1.2 * (halves.index(half) - (len(halves) - 1) / 2)
            ax.vlines(x, 100 * every["low"], 100 * every["high"], colors=colour, lw=1)
            ax.plot(x, 100 * every["value"], c=colour, marker=marker, ms=3.2, lw=0.9)
        chance = rows.groupby("dose")["chance"].mean()
        ax.plot(100 * chance.index, 100 * chance, c=GREY, lw=0.9, ls="--", zorder=1)
        ax.set_xticks(100 * chance.index.to_numpy())
        # Intervals from two seeds reach far beyond what a share can be.
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -3), min(high, 103))
        ax.set_title(MEASURES[measure])
        ax.set_ylabel(f"{'in-language share' if measure == 'share' else 'AUC'} (%)")
    fig.supxlabel("piece types re-encoded (%)")
    handles = [sample(half, HALVES[half][0], marker=HALVES[half][1], ms=3.2, lw=0.9) for half in halves]
    single = [sample("single seeds", GREY, lw=0.5, alpha=0.5)] if seeds else []
    legend(fig, [*handles, *single, sample("chance", GREY, ls="--", lw=0.9)])
    return fig


def _measures(frame: pd.DataFrame) -> list[str]:
    unknown = set(frame["measure"]) - set(MEASURES)
    if unknown:
        raise InputError(
            f"{frame.attrs['source']}: measure is {sorted(unknown)[0]!r}, not one of {'; '.join(MEASURES)}"
        )
    return [measure for measure in MEASURES if measure in set(frame["measure"])]


def _check_unique(frame: pd.DataFrame, keys: list[str], column: str) -> None:
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        where = ", ".join(map(str, twice.iloc[0][keys]))
        raise InputError(f"{frame.attrs['source']}: column {column} has more than one row for {where}")
