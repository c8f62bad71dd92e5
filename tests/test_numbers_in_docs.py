"""Numbers in the sentences of README and docs are the published ones."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tests.test_docs import PAGES, README, ROOT

STUDIES = ("xnli-v1", "pawsx-v1", "reviews-v1")


def csv(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "figures" / name, dtype={"seed": str})


def rows_of(name: str) -> dict[str, list[str]]:
    """Cells of a page's first table of contrasts, by contrast."""
    rows = re.findall(r"^\| (Q\d: [^|]*) \| (.*) \|$", PAGES[name], re.MULTILINE)
    first: dict[str, list[str]] = {}
    for contrast, cells in rows:
        first.setdefault(contrast, cells.replace("−", "-").split(" | "))
    return first


def test_what_readme_says_of_its_table_holds() -> None:
    rows = rows_of("README.md")
    assert all(cell.endswith("supported") for code in ("Q1", "Q2") for cell in starting(rows, code))
    xnli, _, reviews, both = starting(rows, "Q1")
    assert max(float(cell.split()[0]) for cell in (xnli, reviews)) < 2 and float(both.split()[0]) < 2
    assert rows["Q3: full: own − no mask"][3].endswith("rises")
    assert rows["Q3: full: own − other languages' masks"][0].endswith("equivalent")
    share, accuracy = rows["Q4: SFT, own mask − full, no mask"], starting(rows, "Q6")
    assert share[0].endswith("equivalent")
    assert {cell.split(", ")[-1] for cell in [*share, *accuracy]} <= {"equivalent", "undecided"}


def starting(rows: dict[str, list[str]], code: str) -> list[str]:
    (cells,) = (cells for contrast, cells in rows.items() if contrast.startswith(code))
    return cells


def equivalence_statements() -> list[str]:
    """What results.md says of equivalence holds, in its generated table of contrasts."""
    rows = rows_of("docs/results.md")
    for contrast in ("Q3: full: own − other languages' masks", "Q4: SFT, own mask − full, no mask"):
        xnli, _, reviews = rows[contrast][:3]
        assert "], equivalent" in xnli
        assert all(abs(float(end)) < 1.1 for end in re.search(r"\[(.*), (.*)\], ", reviews).groups())
    return [
        "In `xnli-v1` the interval of the share lies inside ±1 point, in `reviews-v1` it hardly exceeds it"
    ]


def result_numbers() -> list[str]:
    share = csv("pawsx-v1/in_language_share.csv").query(
        "language == 'ko' and condition == 'full' and score == 'cosine' and measure == 'proponents'"
    )
    by_seed = share[share["seed"] != "all"].pivot(index="seed", columns="mask_kind", values="value")
    assert (by_seed["own"] < by_seed["none"]).all()
    relations = [csv(f"{study}/exploration/head_relation.csv") for study in STUDIES]
    values = [
        table.query(
            "seed == 'all' and language == 'all languages' and measure == 'share_importance'"
            " and mask_kind == 'own'"
        )["value"].iloc[0]
        for table in relations
    ]
    by_part = csv("pawsx-v1/exploration/layer_share.csv").query("seed == 'all'")
    share = by_part.set_index(["part", "language"])["value"].mul(100).map("{:.0f} %".format)
    return [
        f"the share of English is {share['classifier', 'en']} "
        f"and that of Korean {share['classifier', 'ko']}; "
        f"by the embeddings' alone, {share['embeddings', 'en']} and {share['embeddings', 'ko']}",
        f"between {100 * by_seed['none'].min():.0f} and {100 * by_seed['none'].max():.0f} %",
        f"rank correlations of {min(values):.2f} to {max(values):.2f}".replace("0.", "."),
    ]


def intent_numbers() -> list[str]:
    parts = csv("intents/exploration/layer_share.csv").query(
        "seed == 'all' and condition == 'full' and language == 'all languages'"
    )
    value = {(row.part, row.layer): f"{100 * row.value:.0f}" for row in parts.itertuples()}
    overlap = csv("intents/mask_overlap.csv")
    language = overlap["language_a"] == overlap["language_b"]
    same, other = overlap.loc[language, "jaccard"].mean(), overlap.loc[~language, "jaccard"].mean()
    relation = csv("intents/exploration/head_relation.csv").query(
        "seed == 'all' and language == 'all languages'"
    )
    relation = relation.set_index(["measure", "mask_kind"])["value"]
    heads = [
        f"{relation[measure, kind]:.2f}".removeprefix("0")
        for kind in ("own", "other_language")
        for measure in ("contribution_importance", "share_importance")
    ]
    small = csv("embedded/accuracy.csv").query("split == 'test'")
    small = 100 * small.groupby(["condition", "mask_kind", "seed"])["accuracy"].mean()
    full, batches, sft = (
        "{:.0f} and {:.0f} %".format(*small[condition, kind])
        for condition, kind in (("full", "none"), ("one_language_batches", "none"), ("sft", "own"))
    )
    return [
        f"Test accuracy is {full} under full fine-tuning, {batches} with one-language batches, {sft} under",
        f"{value['attention', 1]} and {value['feed-forward', 1]} %",
        f"to {value['attention', 12]} and {value['feed-forward', 12]} % in layer 12, "
        f"and to {value['classifier', 13]} %",
        f"overlap by {same:.2f}, masks of two languages by {other:.2f}".replace("0.", "."),
        f"{heads[0]} for the contribution and {heads[1]} for the share",
        f"it is {heads[2]} and {heads[3]}",
    ]


def calibration_numbers() -> list[str]:
    folder = "embedded/calibration"
    clones = (
        csv(f"{folder}/false_positive_rates.csv").query("language == 'one half'").groupby("measure").first()
    )
    share, delta = clones.loc["share"], clones.loc["specialization"]
    tests = csv(f"{folder}/false_positive_rates.csv").query("test == 'permutation'")
    (wrong,) = tests[(tests["low"] > 0.05) | (tests["high"] < 0.05)].itertuples()
    assert (wrong.measure, wrong.language) == ("own_subnetwork", "one half") and len(tests) == 10
    ceilings = csv(f"{folder}/datamodeling.csv").groupby("split")["ceiling"].first()
    dose = csv(f"{folder}/dose_response.csv").query(
        "dose == 0.25 and measure == 'share' and language == 'both halves'"
    )
    assert (dose["p"] < 0.05).tolist() == [True, False, True, False]  # together, and by seed
    together = csv(f"{folder}/dose_response.csv").query(
        "dose == 0.25 and language == 'both halves' and seed == 'all'"
    )
    together = together.set_index("measure")["p"]
    planted = csv(f"{folder}/planted_heads.csv")
    dot = planted.query("condition == 'sft_random' and score == 'influence, dot' and measure == 'auc'")
    (dot,) = dot.query("language == 'all languages'").itertuples()
    assert dot.p > 0.99
    recall = planted.query("condition == 'sft_random' and score == 'search' and measure == 'recall'")
    chance = recall.set_index("language")["chance"]
    nothing = planted.query("condition == 'full' and language == 'all languages'")
    off = nothing[nothing["p"] < 0.05]
    own = csv(f"{folder}/own_subnetwork.csv").set_index(["condition", "language"])
    matched = csv(f"{folder}/planted_accuracy.csv").query("condition == 'matched'")
    accuracy = csv(f"{folder}/planted_accuracy.csv").query("condition == 'sft_random'")
    accuracy = accuracy.pivot_table("accuracy", "language", "mask_kind")
    gain = 100 * (accuracy["own"] - accuracy["other_language"])
    return [
        f"off chance by {100 * share['excess']:.1f} points".replace("-", "−"),
        f"(standard deviation {100 * share['sd']:.1f})",
        f"and Δ by {100 * delta['excess']:+.1f} ({100 * delta['sd']:.1f})".replace("-", "−"),
        f"{ceilings['test']:.2f} for test sentences and {ceilings['held out']:.2f}".replace("0.", "."),
        f"{chance['all languages']:.2f} for the search's recall".removeprefix("0"),
        f"({chance['en']:.2f} in English, {chance['de']:.2f} in German)".replace("0.", "."),
        f"{len(off)} of {len(nothing)} readings",
        "read almost equally well under both ({:.0f} and {:.0f} %;".format(*100 * matched["accuracy"]),
        f"(p = {own.loc[('matched', 'en'), 'p']:.3f})".replace("0.", "."),
        f"{gain['en']:.0f} points (English) and {gain['de']:.0f} points (German)",
        f"in which it was never trained (accuracy {100 * accuracy['none'].mean():.0f} %)",
        f"(p = {together['share']:.2f} for the share, {together['label_auc']:.3f}".replace(" 0.", " ."),
        f"with {100 * wrong.value:.0f} % [{100 * wrong.low:.1f}, {100 * wrong.high:.1f}]",
        f"(AUC {dot.value:.2f}; one-sided p > .99)".replace("0.", ".", 1),
    ]


def speed_numbers() -> list[str]:
    table = csv("benchmark/influence_benchmark.csv").query("train == 1000")
    texts = []
    for workload in ("b", "c"):
        rows = table[table["workload"] == workload].set_index("system")
        ours = rows["seconds"]
        ratios = {
            (covers, precision): rows.loc[systems, "seconds"] / ours[f"modspec {precision}"]
            for covers, systems in {
                "all": ["captum", "trak"],
                "linear": ["captum linear", "kronfluence"],
            }.items()
            for precision in ("float32", "bfloat16")
        }
        if workload == "b":
            both = {p: pd.concat([ratios["all", p], ratios["linear", p]]) for p in ("float32", "bfloat16")}
            texts += [
                f"{both['float32'].min():.0f} to {both['float32'].max():.0f} times as fast in float32, and "
                f"{both['bfloat16'].min():.0f} to {both['bfloat16'].max():.0f} times in bfloat16"
            ]
            whole = ratios["all", "float32"]
            assert f"on short ones {whole.min():.0f} to {whole.max():.0f} times" in " ".join(README.split())
        else:
            for (_, precision), ratio in ratios.items():
                low, high = (f"{value:.1f}".removesuffix(".0") for value in (ratio.min(), ratio.max()))
                texts.append(
                    f"{low} to {high} times" if precision == "float32" else f"({low} to {high} in bfloat16)"
                )
            assert texts[1] in " ".join(README.split())
    bound = table[table["system"] == "modspec float32"].set_index("workload")["bound_share"]
    every = csv("benchmark/influence_benchmark.csv").query("system == 'modspec bfloat16'")
    large, memory = (
        every[every["train"] == 1000],
        every[every["workload"] == "b"].set_index("train")["peak_gib"],
    )
    assert (large["spearman"] > 0.999).all() and (large["top_100"] >= 0.98).all()
    random = every[every["workload"] == "a"]
    short, long = (every[(every["workload"] == w) & (every["train"] == 8)]["spearman"].iloc[0] for w in "bc")
    quick = (
        csv("benchmark/influence_benchmark.csv").query("workload == 'a' and train == 200").set_index("system")
    )
    for processor in ("avx2", "intel"):
        runs = csv(f"benchmark_{processor}/influence_benchmark.csv").set_index("system")
        ours = runs.loc["modspec float32"]
        texts += [
            f"{ours['seconds']:.1f} seconds, kronfluence {runs['seconds']['kronfluence']:.1f}",
            f"reaches {100 * ours['bound_share']:.0f} %",
        ]
    return [
        *texts,
        f"{100 * bound['b']:.0f} % (`intents`) and {100 * bound['c']:.0f} % (XNLI)",
        f"({random['spearman'].min():.2f} to {random['spearman'].max():.2f}; "
        f"{np.floor(100 * random['top_100'].min()):.0f} to {100 * random['top_100'].max():.0f} %)",
        f"({long:.3f} on XNLI, {short:.4f} on `intents`)",
        f"{quick['seconds']['kronfluence']:.1f} against {quick['seconds']['modspec float32']:.1f} seconds",
        f"{memory[1000]:.1f} GiB with 1,000 training examples and {memory[10000]:.1f} GiB with 10,000",
    ]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("docs/results.md", equivalence_statements),
        ("docs/results.md", result_numbers),
        ("docs/intents.md", intent_numbers),
        ("docs/calibration.md", calibration_numbers),
        ("docs/influence.md", speed_numbers),
    ],
)
def test_numbers_in_sentences_are_the_published_ones(name: str, numbers) -> None:
    page = " ".join(PAGES[name].split())
    for text in numbers():
        assert " ".join(text.split()) in page, text
