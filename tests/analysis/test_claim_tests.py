"""Claims on planted scores: what is there is found, what is not is not, and the rules of verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.claim_tables import readable, sentence, summary, write_latex
from modspec.analysis.claim_tests import COLUMNS, Level, claims, exchangeable, overall
from modspec.analysis.intervals import estimate
from modspec.analysis.measurements import StudyRuns, measure
from modspec.analysis.scores import KeptScores
from modspec.terms import ALL_LANGUAGES
from tests.helpers.attribution import LANGUAGES, study, train_frame

LEVEL = Level(permutations=499, resamples=199)
NOTHING = dict.fromkeys(
    [
        ("full", "none"),
        ("full", "own"),
        ("full", "random"),
        ("full", "other_language"),
        ("full", "other_seed"),
        ("sft", "own"),
        ("sft_random", "own"),
    ],
    0.0,
)


def predictions(right: dict[str, float], seeds: int = 3, per_language: int = 40) -> pd.DataFrame:
    """Test predictions of every condition with this accuracy, under masks in force and without."""
    rows = []
    for condition, accuracy in right.items():
        for seed in range(seeds):
            rng = np.random.default_rng([seed, len(condition)])
            for t in LANGUAGES:
                for i in range(per_language):
                    hits = (rng.random(2) >= accuracy).astype(int)
                    rows.append((condition, seed, f"{t}{i}", t, "test", 0, *hits))
    columns = ["condition", "seed", "id", "language", "split", "label", "no_mask", "in_force"]
    return pd.DataFrame(rows, columns=columns)


def claimed(runs: list[KeptScores], right: pd.DataFrame) -> pd.DataFrame:
    return claims(StudyRuns([measure(run) for run in runs]), right, exchangeable(runs[0].train), LEVEL)


def table_of(tmp_path, gains, right=None, **options) -> pd.DataFrame:
    runs = study(tmp_path, NOTHING | gains, **options)
    right = right or dict.fromkeys(["full", "sft", "sft_random"], 0.7)
    return claimed(runs, predictions(right))


def of(table: pd.DataFrame, claim: str, comparison: str, language: str = ALL_LANGUAGES) -> pd.Series:
    rows = table[(table["claim"] == claim) & (table["language"] == language)]
    return rows[rows["comparison"] == comparison].iloc[0]


def test_planted_effects_are_found_in_their_direction(tmp_path):
    gains = {("full", "own"): 1.5, ("full", "random"): 0.2, ("sft", "own"): -1.0}
    table = table_of(tmp_path, gains, {"full": 0.9, "sft": 0.5, "sft_random": 0.5})
    assert list(table.columns) == COLUMNS
    assert of(table, "C0", "no mask - chance")["verdict"] == "undecided"
    assert of(table, "C1", "own mask - no mask")["verdict"] == "supported"
    for control in ("random mask", "other languages' masks", "other seed"):
        assert of(table, "C2", f"own mask - {control}")["verdict"] == "supported"
    assert of(table, "C3", "SFT - full")["verdict"] == "falls"
    assert of(table, "C3", "SFT with random masks - full")["verdict"] == "undecided"
    assert of(table, "C5", "SFT - full, accuracy")["verdict"] == "falls"
    assert of(table, "C5", "SFT - SFT with random masks, accuracy")["verdict"] == "undecided"
    verdicts = overall(table).set_index(["claim", "comparison"])["verdict"]
    assert verdicts["C3", "SFT - full"] == "supported"
    # Shares fell because in-language scores did; other languages' did not rise.
    assert verdicts["C4", "SFT - full, other languages' scores"] == "undecided"


def test_values_are_differences_of_shares(tmp_path):
    runs = study(tmp_path, NOTHING | {("full", "own"): 1.0})
    stacked = StudyRuns([measure(run) for run in runs])
    table = claims(stacked, predictions({}), exchangeable(runs[0].train), LEVEL)
    own = stacked.cell("full", "own", "en").values
    none = stacked.cell("full", "none", "en").values
    row = of(table, "C1", "own mask - no mask", "en")
    assert row["value"] == pytest.approx((own - none).mean())
    assert row["low"] < row["value"] < row["high"] and row["seeds"] == 3 and row["examples"] == 8
    whole = of(table, "C1", "own mask - no mask")
    each = [of(table, "C1", "own mask - no mask", t)["value"] for t in LANGUAGES]
    assert whole["value"] == pytest.approx(np.mean(each)) and whole["examples"] == 24
    assert not (table["claim"] == "C5").any()


def test_change_of_specialization_is_a_difference_of_differences(tmp_path):
    """Found though the share under the own mask, which C3 is about, does not fall."""
    gains = {("full", "own"): 1.5, ("sft", "none"): 1.5, ("sft", "own"): 1.5, ("sft_random", "none"): 0.0}
    runs = study(tmp_path, NOTHING | gains | {("sft_random", "own"): 1.5})
    table = claimed(runs, predictions({}))
    name = "SFT - full, specialization"
    assert of(table, "C3", "SFT - full")["verdict"] == "rises"
    assert of(table, "C6", name)["verdict"] == "falls"
    assert of(table, "C6", f"SFT with random masks{name[3:]}")["verdict"] == "undecided"
    assert sentence(of(table, "C6", name, "de")).startswith("de: SFT changes what an own mask adds to the in")
    stacked = StudyRuns([measure(run) for run in runs])

    def delta(condition: str, language: str) -> np.ndarray:
        own, none = (stacked.cell(condition, kind, language).values for kind in ("own", "none"))
        return own - none

    each = [delta("sft", t) - delta("full", t) for t in LANGUAGES]
    assert of(table, "C6", name, "en")["value"] == pytest.approx(each[LANGUAGES.index("en")].mean())
    expected = estimate(np.concatenate(each, axis=1))
    row = of(table, "C6", name)
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_shared_masks_are_rows_of_c3_whatever_the_gradients(tmp_path):
    runs = study(tmp_path, {("full", "none"): 0.0, ("sft_union", "own"): 1.5})
    for run in runs:
        if run.parameters["condition"] == "sft_union":
            run.columns["train_gradient_mask"] = "own_language"
    table = claimed(runs, predictions({}))
    assert of(table, "C3", "SFT with all masks' union - full")["verdict"] == "rises"


@pytest.mark.parametrize(("gain", "verdict"), [(0.0, "undecided"), (-1.5, "supported")])
def test_other_languages_scores_decide_only_where_the_share_falls_reliably(tmp_path, gain, verdict):
    """However clearly they rise."""
    runs = study(tmp_path, NOTHING | {("sft", "own"): gain})
    measured = []
    for run in map(measure, runs):
        if run.parameters["condition"] == "sft":
            statistics = run.statistics.copy()
            other = statistics["language"] != statistics["train_language"]
            examples = run.train["language"].value_counts()[statistics["train_language"]].to_numpy()
            statistics["influence"] += other * examples  # 1 for each example of another language
            run = replace(run, statistics=statistics)
        measured.append(run)
    table = claims(StudyRuns(measured), predictions({}), exchangeable(runs[0].train), LEVEL)
    rows = table[table["claim"] == "C4"]
    assert len(rows) and (rows["p_adjusted"] < 0.01).all()
    assert set(rows["verdict"]) == {verdict}
    assert overall(table).set_index("claim").loc["C4", "verdict"] == verdict


def test_opposite_effects_contradict(tmp_path):
    table = table_of(tmp_path, {("full", "own"): -1.5, ("sft", "own"): 1.5})
    assert of(table, "C1", "own mask - no mask")["verdict"] == "contradicted"
    verdicts = overall(table).set_index(["claim", "comparison"])["verdict"]
    assert verdicts["C3", "SFT - full"] == "contradicted"
    assert not (table["claim"] == "C4").any()  # no share falls


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [False, True])
def test_nothing_planted_is_rarely_called_something(tmp_path, parallel):
    """All-language rows of independent studies: at level .05 each, 24 tests; P(more than 6) < 1e-4."""
    decided, rows = 0, 0
    for number in range(4):
        train = train_frame(20, parallel).sample(frac=1, random_state=number, ignore_index=True)
        rng = np.random.default_rng(number)
        gains = {key: 0.0 for key in NOTHING}
        runs = study(tmp_path / f"{number}", gains, train=train, noise=float(rng.uniform(0.5, 2)))
        table = claimed(runs, predictions({}))
        whole = table[table["language"] == ALL_LANGUAGES]
        decided, rows = decided + (whole["verdict"] != "undecided").sum(), rows + len(whole)
    assert rows == 4 * 7 and decided <= 6


def test_strata_are_translations_where_there_are_and_labels_elsewhere():
    parallel, single = train_frame(6, parallel=True), train_frame(6)
    assert len(set(exchangeable(parallel))) == 6
    assert set(zip(exchangeable(single), single["label"], strict=True)) == {(0, "yes"), (1, "no")}
    alone = single[single["language"] == "de"].reset_index(drop=True)
    assert len(set(exchangeable(alone))) == 2


def test_holm_is_within_a_claim_over_languages(tmp_path):
    table = table_of(tmp_path, {("full", "own"): 0.4})
    rows = table[(table["claim"] == "C1") & (table["language"] != ALL_LANGUAGES)].sort_values("p")
    expected = np.minimum(1, np.maximum.accumulate(rows["p"].to_numpy() * [3, 2, 1]))
    np.testing.assert_allclose(rows["p_adjusted"], expected)
    whole = table[table["language"] == ALL_LANGUAGES]
    assert (whole["p"] == whole["p_adjusted"]).all()
    both = table[["p_permutation", "p_t"]].max(axis=1)
    assert (table["p"] == both).all()


def test_a_study_without_controls_or_masks_has_the_rows_that_it_can(tmp_path):
    runs = study(tmp_path, {("full", "none"): 0.5}, seeds=1)
    table = claimed(runs, predictions({}))
    assert set(table["claim"]) == {"C0"} and (table["seeds"] == 1).all()
    sparse = study(tmp_path / "b", {("sft", "own"): 0.5}, seeds=1)
    empty = claimed(sparse, predictions({}))
    assert empty.empty and list(empty.columns) == COLUMNS


def test_all_scores_tied_is_undecided(tmp_path):
    runs = study(tmp_path, NOTHING, noise=0.0)
    table = claimed(runs, predictions({}))
    changes = table[table["claim"].isin(["C1", "C2", "C3"])]
    assert (changes["value"] == 0).all() and (changes["verdict"] == "undecided").all()


def test_sentences_and_latex(tmp_path):
    table = table_of(tmp_path, {("full", "own"): 1.5})
    row = of(table, "C1", "own mask - no mask", "de")
    assert sentence(row).startswith("de: an own mask changes the in-language share by +")
    assert "the claim is supported" in sentence(row)
    quiet = of(table, "C5", "SFT - full, accuracy", "en")
    assert sentence(quiet).startswith("en: SFT's accuracy differs from that of full fine-tuning by")
    assert "undecided; smallest effect detectable with 80 % power: " in sentence(quiet)
    assert len(readable(table)) == len(table)
    short = summary(table)
    assert short.loc[("C1", "own mask - no mask"), "verdict"] == "supported"
    german = summary(table[table["language"].isin(["de", "all languages"])])
    for found, ends in ((short, 2), (german, 1)):
        assert len(found.loc[("C1", "own mask - no mask"), "by language"].split(" to ")) == ends
    write_latex(table, tmp_path / "claims.tex")
    text = (tmp_path / "claims.tex").read_text()
    assert text.startswith(r"\begin{tabular}") and "supported" in text and r"\bottomrule" in text
