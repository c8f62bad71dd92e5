"""One function a figure: tidy frame in, matplotlib ``Figure`` out; and the CSV beside every figure.

A figure function draws its frame's rows and touches no file. :func:`save` writes the frame as CSV
and draws what a reader of that CSV gets, so that ``python -m modspec.plotting figures`` (seconds,
no torch) draws the same bytes again.
"""

from __future__ import annotations

import argparse
import functools
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.plotstyle import (
    DOUBLE,
    GREY,
    LIGHT,
    MARKS,
    SINGLE,
    STYLE,
    around,
    colour_bar,
    grid,
    heatmap,
    language_colour,
    legend,
    outline,
    sample,
    settle,
)
from modspec.tidy import LEVELS, levels, only, read, typed

Draw = Callable[[pd.DataFrame], Figure]
FIGURES: dict[str, Draw] = {}


def _figure(columns: str) -> Callable[[Draw], Draw]:
    """Register a figure under its function's name; check its frame; draw in our style only."""

    def register(draw: Draw) -> Draw:
        @functools.wraps(draw)
        def checked(frame: pd.DataFrame) -> Figure:
            source = frame.attrs.get("source", f"{draw.__name__}.csv")
            with matplotlib.style.context(["default", STYLE]):
                fig = draw(typed(frame, columns.split(), source))
                settle(fig)
                return fig

        FIGURES[draw.__name__] = checked
        return checked

    return register


@_figure("seed language layer head kept")
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
        ax.set_title(f"{language}: {kept:.4g} of {share.size} kept")
        ax.set_aspect("equal")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        for axis, numbers in ((ax.xaxis, share.columns), (ax.yaxis, share.index)):
            step = math.ceil(len(numbers) / 6)
            axis.set_ticks([int(number) for number in numbers if number % step == 0])
    axes[languages[0]].invert_yaxis()
    fig.supxlabel("head")
    fig.supylabel("layer")
    label = f"kept by, of {seeds} seeds" if seeds > 1 else ""
    bar = colour_bar(fig, axes.values(), cmap, norm, label)
    bar.tick_params(which="both", length=0)
    bar.set_yticks(range(seeds + 1), range(seeds + 1) if seeds > 1 else ["removed", "kept"])
    return fig


@_figure("seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance")
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


@_figure("seed language step heads_left heads dev_score threshold_score accepted")
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


@_figure("seed condition mask_kind mask_language language split accuracy examples")
def accuracy(frame: pd.DataFrame) -> Figure:
    """Test accuracy by mask (rows) and evaluation language (columns), mean over seeds."""
    frame = only(frame, split="test")
    languages, conditions = levels(frame, "language"), levels(frame, "condition")
    keys = ["condition", "mask_kind", "mask_language", "language"]
    scores = 100 * frame.groupby(keys)["accuracy"].mean().unstack("language")
    kinds = levels(frame, "mask_kind")
    present = {(kind, mask) for _, kind, mask in scores.index}
    rows = sorted(present, key=lambda row: (kinds.index(row[0]), row[1]))
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    size = (width, max(0.17 * len(rows) + 0.3, 1.2))
    fig, axes = grid(conditions, len(conditions), size, 0.15, sharey=True)
    norm = Normalize(scores.min(axis=None), scores.max(axis=None))
    form = "{:.1f}".format if len(conditions) * len(languages) <= 15 else "{:.0f}".format
    for condition, ax in axes.items():
        table = scores.loc[condition].reindex(rows)[languages]
        table.index = [f"{LEVELS['mask_kind'][kind]} {mask}".strip() for kind, mask in rows]
        heatmap(ax, table, form, "YlGnBu", norm)
        ax.set_title(LEVELS["condition"][condition])
        own = "random" if condition == "sft_random" else "language"  # what it trained under
        for place, (kind, mask) in enumerate(rows):
            if kind == own and mask in languages:
                outline(ax, place, languages.index(mask))
            if place and kind != rows[place - 1][0]:
                ax.axhline(place, c="white", lw=3)
    fig.supxlabel("evaluation language (outlined: its own mask)")
    colour_bar(fig, axes.values(), "YlGnBu", norm, "test accuracy (%)")
    return fig


def _points(frame: pd.DataFrame, panel: str, hue: str, ylabel: str) -> Figure:
    """Languages along x; for each ``hue`` a point with its interval; ``chance`` as a dashed line.

    ``value``, ``low``, ``high`` and ``chance`` are fractions, drawn in percent. A panel for every
    value of ``panel`` and, where there are several, of ``train_gradient``.
    """
    keys = [panel, "train_gradient", hue, "language"]
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        where = ", ".join(twice.iloc[0][keys])
        raise InputError(f"{frame.attrs['source']}: column value has more than one row for {where}")
    languages, hues, across = levels(frame, "language"), levels(frame, hue), levels(frame, panel)
    gradients = levels(frame, "train_gradient")
    filled = set(zip(frame["train_gradient"], frame[panel], strict=True))
    panels = [(g, p) if (g, p) in filled else None for g in gradients for p in across]
    # Inches that a panel needs so that neither points nor its title run into a neighbour.
    needed = max(0.065 * len(languages) * (len(hues) + 1), 1.6)
    columns = len(across)
    if columns * needed > DOUBLE - 0.6:
        columns, panels = 1, [panel for panel in panels if panel]
    width = SINGLE if len(across) * needed <= SINGLE - 0.6 else DOUBLE
    height = 1.4 if len(gradients) == 1 else 1.5
    fig, axes = grid(panels, columns, (width, height), 0.7, sharex=True, sharey=True)
    offsets = (np.arange(len(hues)) - (len(hues) - 1) / 2) * 0.8 / len(hues)
    for (gradient, level), ax in axes.items():
        rows = frame[(frame["train_gradient"] == gradient) & (frame[panel] == level)]
        title = [LEVELS[panel][level], LEVELS["train_gradient"][gradient]]
        ax.set_title("\n".join(title[: len(gradients)]))
        for place in range(1, len(languages), 2):
            ax.axvspan(place - 0.5, place + 0.5, color="#f2f2f2", lw=0, zorder=0)
        for name, offset in zip(hues, offsets, strict=True):
            points = rows[rows[hue] == name]
            x = points["language"].map(languages.index).astype(float) + offset
            colour, marker = MARKS[name]
            ax.vlines(x, 100 * points["low"], 100 * points["high"], colors=colour, lw=1)
            ax.plot(x, 100 * points["value"], marker, c=colour, ms=3.2)
        chance = rows.groupby("language")["chance"].mean()
        x = np.array([languages.index(language) for language in chance.index])
        ax.hlines(100 * chance, x - 0.5, x + 0.5, colors=GREY, lw=0.9, linestyles="--", zorder=1)
        ax.set_xticks(range(len(languages)), languages)
        ax.set_xlim(-0.5, len(languages) - 0.5)
        ax.tick_params(axis="x", length=0)
    fig.supxlabel("evaluation language")
    fig.supylabel(ylabel)
    handles = [
        sample(LEVELS[hue][name], MARKS[name][0], marker=MARKS[name][1], ms=3.2, lw=1) for name in hues
    ]
    reference = "chance" if frame["chance"].any() else "no change"
    legend(fig, [*handles, sample(reference, GREY, ls="--", lw=0.9)])
    return fig


@_figure("seed condition mask_kind train_gradient score language measure value low high chance examples")
def in_language_share(frame: pd.DataFrame) -> Figure:
    """S_t(m), cosine, all seeds: each language's own share of its proponents, against chance."""
    frame = only(frame, seed="all", score="cosine", measure="proponents")
    return _points(frame, "condition", "mask_kind", "in-language share\nof proponents (%)")


@_figure("condition train_gradient language baseline value low high examples")
def share_change(frame: pd.DataFrame) -> Figure:
    """Change in S_t under sparse fine-tuning, by language, against each baseline."""
    frame = frame.assign(chance=0.0)
    return _points(frame, "baseline", "condition", "change in in-language\nshare (points)")


@_figure("seed condition mask_kind language train_gradient score value low high")
def specialization(frame: pd.DataFrame) -> Figure:
    """Delta_t = S_t(m) - S_t(no mask), cosine, all seeds: own masks beside their controls."""
    frame = only(frame, seed="all", score="cosine").assign(chance=0.0)
    return _points(frame, "condition", "mask_kind", "language specialization\n$\\Delta_t$ (points)")


@_figure("seed condition mask_kind train_gradient score language train_language share influence chance")
def influence_matrix(frame: pd.DataFrame) -> Figure:
    """Evaluation x training language: share of the top proponents, cosine, mean over seeds."""
    frame = only(frame, score="cosine")
    frame = frame[frame["mask_kind"].isin(["none", "own"])]
    conditions, gradients = levels(frame, "condition"), levels(frame, "train_gradient")
    languages, trained = levels(frame, "language"), levels(frame, "train_language")
    keys = ["mask_kind", "train_gradient", "condition"]
    shares = 100 * frame.groupby([*keys, "language", "train_language"])["share"].mean()
    filled = {key[:3] for key in shares.index}
    panels = [
        (kind, gradient, condition) if (kind, gradient, condition) in filled else None
        for kind, gradient in sorted({key[:2] for key in filled})
        for condition in conditions
    ]
    chance = 100 * frame["chance"].mean()
    norm = around(chance, shares)
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    room = (width - 1.1) / len(conditions) / len(trained)
    height = len(languages) * min(room, max(0.33, 1.4 / len(trained)))
    titled = 0.35 if len(gradients) == 1 else 0.5
    size = (width, height + titled)
    fig, axes = grid(panels, len(conditions), size, 0.3, sharex=True, sharey=True)
    for (kind, gradient, condition), ax in axes.items():
        table = shares.loc[kind, gradient, condition].unstack()
        table = table.reindex(index=languages, columns=trained)
        heatmap(ax, table, "{:.0f}".format, "RdBu_r", norm)
        ax.set_aspect("equal")
        title = [f"{LEVELS['condition'][condition]}\n{LEVELS['mask_kind'][kind]}"]
        ax.set_title("\n".join([*title, LEVELS["train_gradient"][gradient]][: len(gradients)]))
    fig.supxlabel("training language")
    fig.supylabel("evaluation language")
    label = f"share of top proponents (%)\nwhite: chance, {chance:.3g} %"
    bar = colour_bar(fig, axes.values(), "RdBu_r", norm, label)
    bar.set_ylim(min(chance, shares.min()), max(chance, shares.max()))
    return fig


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(content)
    os.replace(partial, path)


def _draw(csv: bytes, path: Path) -> tuple[Figure, dict[str, bytes]]:
    """The figure of a CSV, and its files' bytes by suffix: the same bytes every time."""
    fig = FIGURES[path.stem](read(csv, str(path)))
    undated = {"pdf": ["Creator", "Producer", "CreationDate"], "png": ["Software"]}
    files = {}
    with matplotlib.style.context(["default", STYLE]):
        for kind, fields in undated.items():
            buffer = io.BytesIO()
            fig.savefig(buffer, format=kind, dpi=200, metadata=dict.fromkeys(fields))
            files[f".{kind}"] = buffer.getvalue()
    return fig, files


def save(name: str, frame: pd.DataFrame, directory: str | Path) -> Figure:
    """Write ``<name>.csv``, ``.pdf`` and ``.png``; return the figure, which is drawn from that CSV.

    Raises ``InputError`` before any file is written.
    """
    if name not in FIGURES:
        raise InputError(f"name: {name!r} is no figure; allowed: {', '.join(FIGURES)}")
    path = Path(directory) / f"{name}.csv"
    csv = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    fig, files = _draw(csv, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in {".csv": csv, **files}.items():
        _write(path.with_suffix(suffix), content)
    return fig


def redraw(directory: str | Path) -> list[Path]:
    """Draw every figure whose CSV lies in ``directory``, at any depth; return the files written."""
    sources = sorted(path for name in FIGURES for path in Path(directory).rglob(f"{name}.csv"))
    if not sources:
        raise InputError(f"directory: {directory} holds none of {', '.join(FIGURES)} (.csv)")
    written = []
    for path in sources:
        _, files = _draw(path.read_bytes(), path)
        for suffix, content in files.items():
            _write(path.with_suffix(suffix), content)
            written.append(path.with_suffix(suffix))
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m modspec.plotting", description=redraw.__doc__)
    parser.add_argument("directory", type=Path, help="for example: figures")
    try:
        for path in redraw(parser.parse_args(arguments).directory):
            print(path)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
