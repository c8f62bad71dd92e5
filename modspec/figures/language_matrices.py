"""Figures of one language against another: accuracy under masks, influence, overlap of masks."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from seaborn.utils import relative_luminance

from modspec.errors import InputError
from modspec.figures import style
from modspec.figures.frames import by_level, levels, only
from modspec.figures.style import DOUBLE, GREY, LIGHT, MARKS, SINGLE, around, colour_bar, figure, grid
from modspec.terms import LABELS, MASK_IN_FORCE, RANDOM_PART, TRAINS_UNDER


@figure("seed condition mask_kind mask_language language split accuracy examples", optional="majority")
def accuracy(frame: pd.DataFrame) -> Figure:
    """Draw test accuracy in percent by mask (rows) and evaluation language (columns), mean over seeds.

    Where the table has a column ``majority``, the accuracy of the majority class is the last row.
    """
    frame = only(frame, split="test")
    frame = frame[frame["mask_kind"] != "dose"]  # its masks differ in size
    languages, conditions = levels(frame, "language"), levels(frame, "condition")
    keys = ["condition", "mask_kind", "mask_language", "language"]
    scores = 100 * frame.groupby(keys)["accuracy"].mean().unstack("language")
    kinds = levels(frame, "mask_kind")
    masks = levels(frame, "mask_language")
    rows = [*dict.fromkeys(scores.index.droplevel("condition"))]
    rows.sort(key=lambda row: (kinds.index(row[0]), masks.index(row[1])))
    labels = [f"{LABELS['mask_kind'][kind]} {mask}".strip() for kind, mask in rows]
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    titles = {condition: LABELS["condition"][condition] for condition in conditions}
    titles, margin = style.wrapped(titles, (width - 1.8) / len(conditions))
    size = (width, max(0.17 * (len(labels) + ("majority" in frame)) + 0.3, 1.2))
    tables = {condition: scores.loc[condition].reindex(rows)[languages] for condition in conditions}
    fig, panels = grid(tables, len(conditions), size, 0.02 + margin, sharey=True)
    norm = Normalize(scores.min(axis=None), scores.max(axis=None))
    form = "{:.1f}".format if len(conditions) * len(languages) <= 15 else "{:.0f}".format
    for condition, table, ax in panels:
        table = table.set_axis(labels)
        if "majority" in frame:  # below the colours' range, which tells masks apart
            table.loc["majority class"] = 100 * frame.groupby("language")["majority"].mean()
            ax.axhline(len(rows), c="white", lw=3)
        _heatmap(ax, table, form, "YlGnBu", norm)
        ax.set_title(titles[condition])
        own = {"own", MASK_IN_FORCE[TRAINS_UNDER[condition]]}
        for place, (kind, mask) in enumerate(rows):
            for column, language in enumerate(languages):
                if kind in own and mask in (language, ""):
                    _outline(ax, place, column)
            if place and kind != rows[place - 1][0]:
                ax.axhline(place, c="white", lw=3)
    fig.supxlabel("evaluation language (outlined: its own mask)")
    colour_bar(fig, fig.axes, "YlGnBu", norm, "test accuracy (%)")
    return fig


@figure("seed condition mask_kind train_gradient_mask score language train_language share influence chance")
def influence_matrix(frame: pd.DataFrame) -> Figure:
    """Draw each training language's share of the top proponents (percent; columns) by evaluation language
    (rows), as means over seeds; cosine scores."""
    frame = only(frame, score="cosine")
    frame = frame[frame["mask_kind"].isin(["none", "own"])]
    conditions, gradients = levels(frame, "condition"), levels(frame, "train_gradient_mask")
    languages, trained = levels(frame, "language"), levels(frame, "train_language")
    keys = ["mask_kind", "train_gradient_mask", "condition"]
    shares = 100 * frame.groupby([*keys, "language", "train_language"])["share"].mean()
    width = SINGLE if len(conditions) == 1 and len(languages) <= 6 else DOUBLE
    tables = {
        key: rows.droplevel(keys).unstack().reindex(index=languages, columns=trained)
        for key, rows in shares.groupby(keys)
    }
    rows = sorted({key[:2] for key in tables})
    tables = {(*row, condition): tables.get((*row, condition)) for row in rows for condition in conditions}
    chance = 100 * frame["chance"].mean()
    norm = around(chance, shares)
    # Left of a row: its mask and, where there are several kinds, its training gradients.
    lines = 1 if len(gradients) == 1 else 4
    room = (width - 1.1 - lines * style.LINE) / len(conditions)
    height = len(languages) * min(room / len(trained), max(0.33, 1.4 / len(trained)))
    names = {row: [LABELS[column][code] for column, code in zip(keys, row, strict=False)] for row in rows}
    if ("none", "test_example") in names:  # the test example's mask is none, then
        names["none", "test_example"][1] = "training gradients without a mask"
    names, _ = style.wrapped({row: "\n".join(name[: len(gradients)]) for row, name in names.items()}, height)
    titles, margin = style.wrapped({code: LABELS["condition"][code] for code in conditions}, room)
    size = (width, height + 0.1 + margin)
    fig, panels = grid(tables, len(conditions), size, 0.3, sharex=True, sharey=True)
    left = next(ax for (*_, condition), _, ax in panels if condition == conditions[0])
    for (*row, condition), table, ax in panels:
        _heatmap(ax, table, "{:.0f}".format, "RdBu_r", norm)
        ax.set(title=titles[condition], aspect="equal")
        if name := names.pop(tuple(row), ""):
            place = {"xycoords": (left.transAxes, ax.transAxes), "textcoords": "offset points"}
            look = {"rotation": 90, "ha": "right", "va": "center", "size": 7.5}
            text = ax.annotate(name, (0, 0.5), (-20, 0), **place, **look)
            text.set_in_layout(condition == conditions[0])
    fig.supxlabel("training language")
    fig.supylabel("evaluation language")
    label = f"share of top proponents (%)\nwhite: chance, {chance:.3g} %"
    bar = colour_bar(fig, fig.axes, "RdBu_r", norm, label)
    _shorten(bar, shares, chance)
    return fig


@figure("quantity left_out language value")
def leave_one_out(frame: pd.DataFrame) -> Figure:
    """Draw what each left-out set costs (rows) each language's test items (columns), and, where the table has
    it, the influence of each language beside it; outlined: the test items' own language."""
    languages = levels(frame, "language")
    sets = sorted(levels(frame, "left_out"), key=lambda left_out: left_out == RANDOM_PART)
    tables = {
        quantity: rows.pivot_table("value", "left_out", "language", sort=False)[languages]
        for quantity, rows in by_level(frame, "quantity").items()
    }
    columns = 1 if len(languages) > 6 else len(tables)
    width = SINGLE if columns == len(tables) == 1 and len(languages) <= 6 else DOUBLE
    fig, panels = grid(tables, columns, (width, max(0.25 * len(sets), 1.2) + 0.4), 0.1)
    for quantity, table, ax in panels:
        rows = [left_out for left_out in sets if left_out in table.index]
        norm = around(0, table)
        # Two digits of the largest number at least; z: no -0.00.
        decimals = max(2, 1 - math.floor(math.log10(table.abs().max(axis=None) or 1)))
        _heatmap(ax, table.loc[rows], f"{{:z.{decimals}f}}".format, "RdBu_r", norm)
        for column, language in enumerate(languages):
            if language in rows:
                _outline(ax, rows.index(language), column)
        row_title = "left out of training" if quantity == "lost margin" else "training language"
        ax.set(xlabel="test language", ylabel=row_title)
        bar = colour_bar(fig, [ax], "RdBu_r", norm, LABELS["quantity"][quantity])
        _shorten(bar, table)
    return fig


@figure("seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance")
def mask_overlap(frame: pd.DataFrame) -> Figure:
    """Draw the Jaccard overlap of masks against two floors: other seeds of one language, and chance."""
    frame = frame.assign(excess=frame["jaccard"] - frame["chance"])
    same_seed = frame["seed_a"] == frame["seed_b"]
    same_language = frame["language_a"] == frame["language_b"]
    kinds = {
        "same\nlanguage,\nother seed": frame[same_language & ~same_seed],
        "other\nlanguage,\nsame seed": frame[same_seed & ~same_language],
        "other\nlanguage,\nother seed": frame[~same_seed & ~same_language],
    }
    kinds = {label: pairs for label, pairs in kinds.items() if len(pairs)}
    if not kinds:
        raise InputError(f"{frame.attrs['source']}: column seed_b leaves no pair of two masks")
    # Masks of one seed share their new classifier and data order. The diagonal cannot, so pairs of
    # one seed stay out of the matrix wherever there are several.
    several = not same_seed.all()
    pairs = frame[~same_seed] if several else frame[~same_language]
    pairs = pd.concat([pairs, pairs.rename(columns={"language_a": "language_b", "language_b": "language_a"})])
    languages = [*dict.fromkeys([*frame["language_a"], *frame["language_b"]])]
    table = pairs.pivot_table(index="language_a", columns="language_b", values="excess")
    table = table.reindex(index=languages, columns=languages)

    fig = Figure(figsize=(DOUBLE, 2.8), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=[1.1, 1])
    norm = around(0, pairs["excess"])
    _heatmap(left, table, lambda excess: f"{excess:.2f}".replace("0.", "."), "RdBu_r", norm)
    title = "pairs of different seeds; outlined: seed floor" if several else "one seed"
    left.set(title=title, aspect="equal")
    for place in range(len(languages) if several else 0):
        _outline(left, place, place)
    bar = colour_bar(fig, [left], "RdBu_r", norm, "Jaccard overlap above chance")
    _shorten(bar, table)

    colour = MARKS["own"]["color"]
    mean, chance = {"color": "black", "lw": 1.5}, {"color": GREY, "lw": 1.2, "ls": "--"}
    for place, pairs in enumerate(kinds.values()):
        pairs = pairs.sort_values(["language_a", "language_b", "seed_a", "seed_b"])
        spread = ((0.5 + 0.618 * np.arange(len(pairs))) % 1 - 0.5) * 0.6
        size, alpha, zorder = (10, 0.8, 3) if len(pairs) <= 100 else (4, 0.4, 1)
        right.scatter(place + spread, pairs["jaccard"], s=size, alpha=alpha, zorder=zorder, c=colour, lw=0)
        right.hlines(pairs["jaccard"].mean(), place - 0.4, place + 0.4, **mean)
        right.hlines(pairs["chance"].mean(), place - 0.4, place + 0.4, **chance)
    right.set_xticks(range(len(kinds)), kinds)
    right.set(xlim=(-0.6, len(kinds) - 0.4), ylabel="Jaccard overlap")
    looks = {
        "pair of masks": {"color": colour, "marker": "o", "ls": ""},
        "mean": mean,
        "chance (mean)": chance,
    }
    right.legend(handles=style.samples(looks), loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return fig


def _heatmap(ax: Axes, table: pd.DataFrame, form: Callable[[float], str], cmap: str, norm: Normalize) -> None:
    """Draw ``table`` as coloured cells with numbers in ``form``; cells without data are grey."""
    ax.set_facecolor(LIGHT)
    numbers = {"annot": table.map(form), "fmt": "", "annot_kws": {"size": 7, "in_layout": False}}
    look = {"linewidths": 0.5, "linecolor": "white", "cbar": False}
    seaborn.heatmap(table, ax=ax, cmap=cmap, norm=norm, xticklabels=True, yticklabels=True, **look, **numbers)
    colours = ax.collections[0].get_facecolors()[table.notna().to_numpy().ravel()]
    for text, colour in zip(ax.texts, colours, strict=True):
        # Black and white contrast equally with a luminance of 0.18 (WCAG 2).
        text.set_color("black" if relative_luminance(colour) > 0.18 else "white")
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0, labelrotation=0)


def _shorten(bar: Axes, values: pd.DataFrame | pd.Series, middle: float = 0.0) -> None:
    """Let a scale of colours end where ``values`` do, or at its middle; leave it where all are the middle."""
    low, high = min(middle, values.min(axis=None)), max(middle, values.max(axis=None))
    if low < high:
        bar.set_ylim(low, high)


def _outline(ax: Axes, row: int, column: int) -> None:
    """Draw a frame around one cell of a heatmap."""
    ax.add_patch(Rectangle((column, row), 1, 1, fill=False, ec="black", lw=1.2, zorder=3, clip_on=False))
