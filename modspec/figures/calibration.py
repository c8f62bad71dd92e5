"""Figures of the calibration: what the method finds where the answer is known."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modspec.figures.frames import by_level, levels, refuse_duplicates
from modspec.figures.points import name_places, points, side_by_side
from modspec.figures.style import DOUBLE, GREY, LIGHT, REFERENCE, SINGLE, figure, grid, legend, logarithmic
from modspec.terms import ALL_LANGUAGES, CALIBRATION_MEASURES, LABELS

# Halves and tests are no conditions or masks, so they have other colours (Paul Tol's).
HALVES = {
    "plain": {"color": "#332288", "marker": "o"},
    "ciphered": {"color": "#117733", "marker": "s"},
    "both halves": {"color": "#882255", "marker": "D"},
}
TESTS = {
    "interval": {"color": "#332288", "marker": "o"},
    "bootstrap": {"color": "#88CCEE", "marker": "s"},
    "permutation": {"color": "#AA4499", "marker": "D"},
}
# Okabe and Ito's colours; of our scores, one for each kind and a line for each set of checkpoints.
COSINE, DOT = "#0072B2", "#D55E00"
SCORERS = {
    "cosine, all checkpoints": {"color": COSINE, "marker": "o", "ls": "-"},
    "cosine, last checkpoint": {"color": COSINE, "marker": "s", "ls": "--"},
    "cosine, classifier alone": {"color": COSINE, "marker": "v", "ls": ":"},
    "dot, all checkpoints": {"color": DOT, "marker": "o", "ls": "-"},
    "dot, last checkpoint": {"color": DOT, "marker": "s", "ls": "--"},
    "dot, classifier alone": {"color": DOT, "marker": "v", "ls": ":"},
    "encoder cosine": {"color": "#009E73", "marker": "D", "ls": "-"},
    "BM25": {"color": "#CC79A7", "marker": "^", "ls": "-"},
    "random": {"color": "#000000", "marker": "x", "ls": "-"},
}
# Numbers of seeds, from few to many.
SEEDS = (
    {"color": "#88CCEE", "marker": "o"},
    {"color": "#4477AA", "marker": "s"},
    {"color": "#332288", "marker": "D"},
)
# In the table alone: random scores, which agree with chance, and the classifier alone.
NOT_DRAWN = {"random", "cosine, classifier alone", "dot, classifier alone"}
# Planted heads: condition -> legend, look.
MODELS = {
    "sft_random": ("heads planted (SFT, disjoint masks)", {"color": "#0072B2", "marker": "o"}),
    "full": ("nothing planted (full fine-tuning)", {"color": "#D55E00", "marker": "s"}),
}


@figure("measure language test value low high level")
def false_positive_rates(frame: pd.DataFrame) -> Figure:
    """Draw each test's rate of false positives on clones in percent, with its interval, and the level that
    the test claims."""
    refuse_duplicates(frame, ["measure", "language", "test"], "value")
    halves, tests = levels(frame, "language"), levels(frame, "test")
    frame = frame.assign(x=side_by_side(frame, "language", halves, "test", tests, 0.7))
    measures = by_level(frame, "measure", CALIBRATION_MEASURES)
    fig, panels = grid(measures, 4, (DOUBLE, 1.5), 0.55, sharex=True, sharey=True)
    for measure, rates, ax in panels:
        name_places(ax, halves)
        for test, rows in by_level(rates, "test").items():
            points(ax, rows["x"], rows, TESTS[test])
        ax.axhline(100 * rates["level"].iloc[0], **REFERENCE)
        ax.set_title(CALIBRATION_MEASURES[measure])
    ax.set_ylim(bottom=0)  # of all panels, which share it
    fig.supxlabel("evaluation examples of")
    fig.supylabel("false positives (%)")
    legend(fig, {LABELS["test"][test]: TESTS[test] for test in tests} | {"nominal level": REFERENCE})
    return fig


@figure("seed dose measure language value low high chance")
def dose_response(frame: pd.DataFrame) -> Figure:
    """Draw share and AUC of each half in percent against the dose of the cipher; thin lines: single seeds."""
    refuse_duplicates(frame, ["seed", "dose", "measure", "language"], "value")
    frame = frame.assign(dose=100 * frame["dose"]).sort_values("dose")
    one_seed = {"lw": 0.5, "alpha": 0.5}
    measures, halves = by_level(frame, "measure", CALIBRATION_MEASURES), levels(frame, "language", HALVES)
    size = (DOUBLE if len(measures) > 1 else SINGLE, 1.9)
    fig, panels = grid(measures, 3, size, 0.55, sharex=True, sharey=True)
    for measure, responses, ax in panels:
        for place, (half, rows) in enumerate(by_level(responses, "language", HALVES).items()):
            for _, single in rows[rows["seed"] != "all"].groupby("seed"):
                ax.plot(single["dose"], 100 * single["value"], c=HALVES[half]["color"], **one_seed)
            mean = rows[rows["seed"] == "all"]
            # Beside each other, else the halves' intervals hide one another.
            x = mean["dose"] + 1.2 * (place - (len(halves) - 1) / 2)
            points(ax, x, mean, {"ls": "-", **HALVES[half]}, bounds=(0, 100))
        chance = 100 * responses.groupby("dose")["chance"].mean()
        ax.plot(chance, **REFERENCE)
        ax.set(xticks=chance.index, title=CALIBRATION_MEASURES[measure])
    fig.supxlabel("piece types re-encoded (%)")
    fig.supylabel("share, or AUC (%)" if len(measures) > 1 else "in-language share (%)")
    seeds = {"single seeds": {"color": GREY, **one_seed}} if (frame["seed"] != "all").any() else {}
    legend(fig, {half: HALVES[half] for half in halves} | seeds | {"chance": REFERENCE})
    return fig


@figure("languages condition score measure language value others chance chance_low chance_high")
def planted_heads(frame: pd.DataFrame) -> Figure:
    """Draw the agreement with planted heads in percent by way of rating heads, for all languages and each,
    beside that of random plantings."""
    frame = frame.rename(columns={"chance_low": "low", "chance_high": "high"})
    frame["way"] = frame["score"] + "\n" + frame["measure"]
    ways, models = frame["way"].unique().tolist(), levels(frame, "condition", MODELS)
    frame["x"] = side_by_side(frame, "way", ways, "condition", models)
    names = [way.replace(", ", ",\n").replace("auc", "AUC") for way in ways]
    large, small = {"ms": 4, "ls": ""}, {"ms": 2.2, "ls": "", "alpha": 0.6, "mew": 0}
    grey, chance = {"color": GREY, "marker": "o"}, {"color": LIGHT, "lw": 7}
    fig, panels = grid(by_level(frame, "languages"), 1, (DOUBLE, 1.6), 0.9, sharex=True, sharey=True)
    for count, agreements, ax in panels:
        name_places(ax, names)
        for model, rows in by_level(agreements, "condition", MODELS).items():
            mean, single = rows[rows["language"] == ALL_LANGUAGES], rows[rows["language"] != ALL_LANGUAGES]
            look = large | MODELS[model][1]
            ax.plot(single["x"] + 0.1, 100 * single["value"], **look | small)
            ax.plot(mean["x"] - 0.06, 100 * mean["others"], mfc="white", zorder=3, **look)
            points(ax, mean["x"], mean, look | {"zorder": 3}, interval=chance | {"zorder": 1})
            ax.hlines(100 * mean["chance"], mean["x"] - 0.15, mean["x"] + 0.15, color=GREY, lw=0.9)
        ax.set_title(f"{count:.0f} languages")
    fig.supylabel("agreement with planted heads (%)")
    looks = {label: large | look for label, look in map(MODELS.get, models)}
    looks["other languages' planted heads"] = {**grey, **large, "mfc": "white"}
    looks["one language"] = {**grey, **small}
    legend(fig, {**looks, "random plantings: mean, middle 95 %": chance})
    return fig


@figure("score measure k value low high chance best")
def template_truth(frame: pd.DataFrame) -> Figure:
    """Draw the share of the top k, in percent, that are like the evaluation sentence, by k, scorer and
    likeness."""
    looks = {name: {"lw": 0.9, "ms": 2.6, **SCORERS[name]} for name in levels(frame, "score", SCORERS)}
    looks = {name: look for name, look in looks.items() if name not in NOT_DRAWN}
    highest = {"color": LIGHT, "lw": 3}
    frame = frame.sort_values("k", kind="stable")
    fig, panels = grid(dict(iter(frame.groupby("measure", sort=False))), 2, (DOUBLE, 1.8), 1.0, sharex=True)
    for measure, rows, ax in panels:
        reference = 100 * rows.groupby("k")[["chance", "best"]].mean()
        ax.plot(reference["best"], **highest)
        ax.plot(reference["chance"], **REFERENCE)
        for place, (name, look) in enumerate(looks.items()):
            shares = rows[rows["score"] == name]
            x = shares["k"] * 1.02 ** (place - len(looks) / 2)
            points(ax, x, shares, look, interval={"color": look["color"], "lw": 0.5})
        logarithmic(ax, frame["k"])
        ax.set(title=f"same {measure}", ylim=(0, None))
    fig.supxlabel("k")
    fig.supylabel("share of the top k proponents (%)")
    legend(fig, {**looks, "chance": REFERENCE, "highest possible": highest})
    return fig


@figure("score split value low high chance ceiling")
def datamodeling(frame: pd.DataFrame) -> Figure:
    """Draw every scorer's linear datamodeling score with its interval, between chance and what retraining
    allows."""
    splits, scorers = dict(iter(frame.groupby("split", sort=False))), levels(frame, "score", SCORERS)
    ceiling = {"color": LIGHT, "lw": 3, "zorder": 0}
    size = (SINGLE if len(splits) == 1 else DOUBLE, 0.16 * len(scorers) + 0.3)
    fig, panels = grid(splits, len(splits), size, 0.6, sharex=True, sharey=True)
    for split, rows, ax in panels:
        ax.axvline(rows["chance"].mean(), **REFERENCE)
        ax.axvline(rows["ceiling"].mean(), **ceiling)
        for name, score in rows.groupby("score"):
            places = score["score"].map(scorers.index)
            points(ax, places, score, SCORERS[name] | {"ls": ""}, scale=1, horizontal=True)
        ax.set_yticks(range(len(scorers)), scorers)
        ax.set(title=split, ylim=(len(scorers) - 0.5, -0.5))
        ax.tick_params(axis="y", length=0)
    fig.supxlabel("linear datamodeling score (mean Spearman correlation)")
    legend(fig, {"chance": REFERENCE, "ceiling: agreement of retrainings": ceiling})
    return fig


@figure("question seed_variance seeds effect margin right small")
def verdict_rates(frame: pd.DataFrame) -> Figure:
    """Draw how often simulated studies give the right verdict, and how often "equivalent", in percent
    against the true effect, at the seeds' variance as estimated; one panel for each question."""
    frame = frame[frame["seed_variance"].eq(frame["seed_variance"].iloc[0]) & frame["question"].ne("any")]
    numbers = sorted(frame["seeds"].unique())
    looks = {seeds: SEEDS[place % len(SEEDS)] | {"ms": 2} for place, seeds in enumerate(numbers)}
    right, small, margin = {"ls": "-"}, {"ls": ":"}, REFERENCE | {"ls": "-", "lw": 0.6}
    fig, panels = grid(by_level(frame, "question"), 3, (DOUBLE, 1.7), 0.7, sharey=True)
    for question, rows, ax in panels:
        limit = rows["margin"].iloc[0]
        has_margin = pd.notna(limit)
        scale = 100 if has_margin else 1
        for seeds, curve in rows.groupby("seeds"):
            effects = scale * curve["effect"]
            ax.plot(effects, 100 * curve["right"], **looks[seeds], **right)
            if has_margin:
                ax.plot(effects, 100 * curve["small"], **looks[seeds], **small)
        if has_margin:
            ax.axvline(scale * limit, **margin)
        for level in (5, 80):
            ax.axhline(level, **REFERENCE)
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.set(
            title=question, xlabel="true effect (points)" if has_margin else "true effect (difference of r)"
        )
    ax.set(ylim=(-3, 103), yticks=[5, 20, 40, 60, 80, 100])
    fig.supylabel("simulated studies (%)")
    grey = {"color": GREY}
    legend(
        fig,
        {f"{seeds:.0f} seeds": look for seeds, look in looks.items()}
        | {"effect found, right sign": grey | right, "equivalent or negligible": grey | small}
        | {"margin": margin, "5 % and 80 %": REFERENCE},
    )
    return fig
