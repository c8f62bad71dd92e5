"""Figure: are planted heads found again?"""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels
from modspec.figures.points import name_places, points
from modspec.figures.style import DOUBLE, GREY, LIGHT, figure, grid, legend, sample
from modspec.terms import ALL_LANGUAGES

MODELS = {
    "sft_random": "heads planted (SFT, disjoint masks)",
    "full": "nothing planted (full fine-tuning)",
}
LOOKS = {
    "sft_random": {"color": "#0072B2", "marker": "o"},
    "full": {"color": "#D55E00", "marker": "s"},
}
LARGE, SMALL = {"ms": 4, "ls": ""}, {"ms": 2.2, "ls": "", "alpha": 0.6, "mew": 0}
CHANCE = {"color": LIGHT, "lw": 7}


@figure("languages condition score measure language value others chance chance_low chance_high")
def planted_heads(frame: pd.DataFrame) -> Figure:
    """Draw the agreement with planted heads in percent by way of rating heads, for all languages and each,
    beside that of random plantings."""
    frame = frame.rename(columns={"chance_low": "low", "chance_high": "high"})
    ways = list(dict.fromkeys(zip(frame["score"], frame["measure"], strict=True)))
    models = levels(frame, "condition", MODELS)
    places = [ways.index(way) for way in zip(frame["score"], frame["measure"], strict=True)]
    aside = frame["condition"].map(models.index) - (len(models) - 1) / 2
    frame = frame.assign(x=places + 0.4 * aside)
    names = ["\n".join(way).replace(", ", ",\n").replace("auc", "AUC") for way in ways]
    fig, axes = grid(sorted(frame["languages"].unique()), 1, (DOUBLE, 1.6), 0.9, sharex=True, sharey=True)
    for count, ax in axes.items():
        name_places(ax, names)
        for model in models:
            rows = frame[(frame["languages"] == count) & (frame["condition"] == model)]
            mean, single = rows[rows["language"] == ALL_LANGUAGES], rows[rows["language"] != ALL_LANGUAGES]
            look = LARGE | LOOKS[model]
            ax.plot(single["x"] + 0.1, 100 * single["value"], **SMALL, **LOOKS[model])
            ax.plot(mean["x"] - 0.06, 100 * mean["others"], mfc="white", zorder=3, **look)
            points(ax, mean["x"], mean, look | {"zorder": 3}, interval=CHANCE | {"zorder": 1})
            ax.hlines(100 * mean["chance"], mean["x"] - 0.15, mean["x"] + 0.15, color=GREY, lw=0.9)
        ax.set_title(f"{count:.0f} languages")
    fig.supylabel("agreement with planted heads (%)")
    handles = [sample(MODELS[model], **LARGE, **LOOKS[model]) for model in models]
    handles += [
        sample("other languages' planted heads", color=GREY, marker="o", mfc="white", **LARGE),
        sample("one language", color=GREY, marker="o", **SMALL),
        sample("random plantings: mean, middle 95 %", **CHANCE),
    ]
    legend(fig, handles)
    return fig
