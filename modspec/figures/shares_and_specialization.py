"""Figures of in-language share and specialization: by language, condition, mask, layer, and number k."""

import math

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures import style
from modspec.figures.frames import by_level, levels, only, refuse_duplicates
from modspec.figures.points import limits, name_places, points, side_by_side
from modspec.figures.style import DOUBLE, GREY, MARKS, REFERENCE, SINGLE, figure, grid, legend
from modspec.terms import ALL_LANGUAGES, LABELS

ASIDE = {"attention": -0.27, "norms": 0.27}  # parts of one layer stand side by side
ONE_SEED = {"marker": "o", "ms": 2.6, "mew": 0, "alpha": 0.5, "ls": ""}
FLATTENED = 2  # times as far as another row: then each has a scale of its own


@figure("seed condition mask_kind train_gradient_mask score language measure value low high chance examples")
def in_language_share(frame: pd.DataFrame) -> Figure:
    """Draw S_t(m) against chance: each language's own share of its proponents; cosine scores, all seeds."""
    frame = only(frame, seed="all", score="cosine", measure="proponents")
    return _by_language(frame, "condition", "mask_kind", "in-language share\nof proponents (%)")


@figure("seed condition mask_kind language train_gradient_mask score value low high")
def specialization(frame: pd.DataFrame) -> Figure:
    """Draw Delta_t = S_t(m) - S_t(no mask), own masks beside their controls; cosine scores, all seeds."""
    frame = only(frame, seed="all", score="cosine").assign(chance=0.0)
    return _by_language(frame, "condition", "mask_kind", "language specialization\n$\\Delta_t$ (points)")


@figure("condition train_gradient_mask language baseline value low high examples")
def share_change(frame: pd.DataFrame) -> Figure:
    """Draw the change in S_t under sparse fine-tuning, by language, against each baseline."""
    frame = frame.assign(chance=0.0)
    return _by_language(frame, "baseline", "condition", "change in in-language\nshare (points)")


@figure("mask_kind top_k value low high chance")
def share_by_k(frame: pd.DataFrame) -> Figure:
    """Draw S_t of all languages against the number of proponents counted (logarithmic), by mask."""
    fig, [(_, _, ax)] = grid({"all": frame}, 1, (SINGLE, 1.8), 0.5)
    kinds = by_level(frame.sort_values("top_k"), "mask_kind")
    for place, (kind, rows) in enumerate(kinds.items()):
        x = rows["top_k"] * 1.03 ** (place - (len(kinds) - 1) / 2)
        # With few seeds intervals are wider than what a share can be: they are cut there.
        points(ax, x, rows, {"ls": "-", **MARKS[kind]}, bounds=(0, 100))
    ax.axhline(100 * frame["chance"].iloc[0], **REFERENCE)
    style.logarithmic(ax, frame["top_k"])
    ax.set(xlabel="proponents counted, k", ylabel="in-language share (%)")
    legend(fig, {LABELS["mask_kind"][kind]: MARKS[kind] for kind in kinds} | {"chance": REFERENCE})
    return fig


@figure("language progress value low high chance")
def share_over_training(frame: pd.DataFrame) -> Figure:
    """Draw S_t without mask over training against chance, of all languages together and of each."""
    languages = by_level(frame.sort_values("progress", kind="stable"), "language")
    size = style.width_for(languages), 1.45
    fig, panels = grid(languages, 6, size, 0.45, sharex=True, sharey=True)
    for language, rows, ax in panels:
        points(ax, 100 * rows["progress"], rows, {"ls": "-", **MARKS["none"]}, bounds=(0, 100))
        ax.axhline(100 * rows["chance"].mean(), **REFERENCE)
        ax.set_title(language)
    fig.supxlabel("training steps done (%)")
    fig.supylabel("in-language share\nof proponents (%)")
    legend(fig, {"chance": REFERENCE})
    return fig


@figure("seed condition part layer language value low high chance examples")
def layer_share(frame: pd.DataFrame) -> Figure:
    """Draw S_t by one part of one layer alone, examples of all languages, against chance and single seeds."""
    frame = only(frame, language=ALL_LANGUAGES)
    frame = frame.assign(x=frame["layer"] + frame["part"].map(ASIDE).fillna(0)).sort_values("layer")
    several, last = len(levels(frame, "seed")) > 2, int(frame["layer"].max())
    step = math.ceil(last / 26)
    layers = [layer if layer % step == 1 % step else "" for layer in range(1, last)]
    fig, panels = grid(by_level(frame, "condition"), 1, (DOUBLE, 1.45), 0.65, sharex=True, sharey=True)
    for condition, rows, ax in panels:
        ax.axhline(100 * rows["chance"].mean(), **REFERENCE)
        for part, shares in by_level(rows, "part").items():
            mean, single = shares[shares["seed"] == "all"], shares[shares["seed"] != "all"]
            points(ax, mean["x"], mean, {"ls": "-", "lw": 0.6, **MARKS[part]}, bounds=(0, 100))
            if several:
                ax.plot(single["x"] + 0.1, 100 * single["value"], c=MARKS[part]["color"], **ONE_SEED)
        ax.set_title(LABELS["condition"][condition])
        name_places(ax, ["embed-\ndings", *layers, "classi-\nfier"])
    fig.supxlabel("layer")
    fig.supylabel("in-language share\nof proponents (%)")
    looks = {LABELS["part"][part]: {"lw": 0.6, **MARKS[part]} for part in levels(frame, "part")}
    looks |= {"one seed": {"color": GREY, **ONE_SEED}} if several else {}
    legend(fig, {**looks, "chance": REFERENCE})
    return fig


def _by_language(frame: pd.DataFrame, panel: str, hue: str, ylabel: str) -> Figure:
    """Draw a panel per value of ``panel`` and, where there are several, of ``train_gradient_mask``.

    Args:
        frame: ``value``, ``low``, ``high`` and ``chance`` as fractions, which are drawn in percent, by
            ``language``, ``train_gradient_mask``, ``panel`` and ``hue``.
        panel: column whose values have a panel each.
        hue: column whose values have a colour each.
        ylabel: label of the figure's y axis.

    Raises:
        InputError: two rows would lie over each other.
    """
    refuse_duplicates(frame, [panel, "train_gradient_mask", hue, "language"], "value")
    languages, hues, across = (levels(frame, column) for column in ("language", hue, panel))
    frame = frame.assign(x=side_by_side(frame, "language", languages, hue, hues))
    gradients = levels(frame, "train_gradient_mask")
    groups = dict(iter(frame.groupby(["train_gradient_mask", panel])))
    panels = {(g, p): groups.get((g, p)) for g in gradients for p in across}
    # Inches that a panel needs so that neither points nor its title run into a neighbour.
    needed = max(0.06 * len(languages) * (len(hues) + 1), 1.6)
    columns = len(across)
    if columns * needed > DOUBLE - 0.6:
        columns, panels = 1, {key: panels[key] for key in panels if key in groups}
    width = SINGLE if len(across) * needed <= SINGLE - 0.6 else DOUBLE
    titles = {}
    for gradient, level in groups:
        title = [LABELS[panel][level], LABELS["train_gradient_mask"][gradient]][: len(gradients)]
        titles[gradient, level] = "\n".join(title)
    titles, height = style.wrapped(titles, (width - 0.6) / columns)
    fig, panels = grid(panels, columns, (width, 1.2 + height), 0.7, sharex=True, sharey="row")
    bounds = _bounds(frame)
    for key, group, ax in panels:
        ax.set(title=titles[key], ylim=bounds[key[0]])
        name_places(ax, languages)
        for name, rows in group.groupby(hue, sort=False):
            points(ax, rows["x"], rows, MARKS[name], bounds=bounds[key[0]])
        chance = 100 * group.groupby("language")["chance"].mean()
        x = chance.index.map(languages.index)
        ax.hlines(chance, x - 0.5, x + 0.5, **REFERENCE)
    fig.supxlabel("evaluation language")
    fig.supylabel(ylabel)
    reference = "chance" if frame["chance"].any() else "no change"
    legend(fig, {LABELS[hue][name]: MARKS[name] for name in hues} | {reference: REFERENCE})
    return fig


def _bounds(frame: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return limits of y in percent by ``train_gradient_mask``: the same, unless that would flatten one."""
    kinds = {kind: _limits(rows) for kind, rows in frame.groupby("train_gradient_mask")}
    extents = [high - low for low, high in kinds.values()]
    if max(extents) > FLATTENED * min(extents):
        return kinds
    return dict.fromkeys(kinds, _limits(frame))


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Return limits of y in percent; an interval beyond what a share can be needs no room."""
    possible = (0, 1) if rows["chance"].any() else (-1, 1)
    return limits(rows.assign(**rows[["low", "high"]].clip(*possible)), 100 * rows["chance"].mean(), 100)
