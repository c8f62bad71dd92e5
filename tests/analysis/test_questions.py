"""The questions table: what it holds, who is corrected for whom, and what each verdict needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.measurements import StudyRuns, measure
from modspec.analysis.question_texts import answers, effect
from modspec.analysis.questions import Evidence, StudyTables, evidence, question_table
from modspec.terms import CONTRASTS, POOLED, QUESTIONS
from tests.helpers.attribution import LANGUAGES, study

PRIMARY = {contrast.question: contrast for contrast in CONTRASTS if contrast.primary}
BY_TEXT = {contrast.text: contrast for contrast in CONTRASTS}
ABOVE_CHANCE, OWN_MASK = PRIMARY["Q1"], BY_TEXT["full: own − no mask"]
RNG = np.random.default_rng(0)


def sample(mean: float, sd: float = 0.01, seeds: int = 3) -> Evidence:
    return Evidence((mean + sd * np.random.default_rng(0).normal(size=(seeds, 40)), None))


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["contrast"], table["verdict"], strict=True))


def test_each_question_has_one_primary_contrast_but_q5_which_restates_another():
    primary = Counter(contrast.question for contrast in CONTRASTS if contrast.primary)
    assert primary == Counter(set(QUESTIONS) - {"Q5"})
    assert list(dict.fromkeys(contrast.question for contrast in CONTRASTS)) == list(QUESTIONS)
    assert len(BY_TEXT) == len(CONTRASTS)
    assert all(len(contrast.values) in (0, 1, 2, 4) for contrast in CONTRASTS)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> StudyTables:
    """A small study with a searched mask, and three heads as importances."""
    gains = {("full", "none"): 0.5, ("full", "own"): 1.0}
    runs = StudyRuns([measure(run) for run in study(tmp_path_factory.mktemp("study"), gains)])
    examples = pd.DataFrame({"id": ["de-1"], "language": "de", "split": "test", "label": 0, "seed": 0})
    searches = pd.MultiIndex.from_product([range(3), LANGUAGES, range(3)], names=["seed", "language", "head"])
    importance = pd.DataFrame({"weight": RNG.normal(size=len(searches))}, searches).reset_index()
    pairs = [(s, t, r, u) for s in range(3) for t in LANGUAGES for r in range(3) for u in LANGUAGES]
    overlap = pd.DataFrame(pairs, columns=["seed_a", "language_a", "seed_b", "language_b"])
    return StudyTables(
        runs,
        examples.assign(condition="full", in_force=0, no_mask=1),
        pd.DataFrame(columns=["split", "condition", "mask_kind", "mask_language", "language", "accuracy"]),
        importance.assign(layer=0, step=0, importance="exact"),
        overlap.assign(jaccard=RNG.random(len(overlap)), chance=0.1),
    )


def test_what_a_study_lacks_is_said_of_primary_contrasts_and_left_out_of_others(tables):
    table = question_table({"a": evidence(tables)})
    assert set(table["study"]) == {"a"}
    shown = table.set_index("contrast")
    assert shown.index.tolist() == [c.text for c in CONTRASTS if c.text in shown.index]
    not_run = shown[shown["verdict"] == "not run"]
    assert set(not_run["question"]) == {"Q3", "Q4", "Q6", "Q7", "Q8"} and not_run["value"].isna().all()
    assert set(shown.loc[shown["verdict"] != "not run", "question"]) == {"Q1", "Q2", "Q3"}
    assert (shown["confounds"] == "").equals(shown["primary"])


def test_further_tables_answer_further_questions(tables):
    progress = [0.2, 0.4, 0.6, 0.8, 1.0]
    shares = pd.DataFrame(
        [
            (s, t, f"{t}-{i}", p, 0.3 - 0.1 * p)
            for s in range(3)
            for t in "ab"
            for i in range(4)
            for p in progress
        ],
        columns=["seed", "language", "id", "progress", "share"],
    )
    maps = RNG.normal(size=(2, 3, 5, 5))
    further = replace(tables, over_training=shares, counterfactual=(maps[0], maps[0] + 0.1 * maps[1]))
    table = question_table({"a": evidence(further)}).set_index("question")
    assert table.loc["Q8", "value"] == pytest.approx(-0.1) and table.loc["Q8", "verdict"] == "supported"
    assert table.loc["Q7", "value"] > 0.9


def test_only_primary_contrasts_are_corrected_and_can_support():
    found = {PRIMARY["Q1"]: sample(0.1), OWN_MASK: sample(0.1), PRIMARY["Q4"]: sample(0.003, 0.05)}
    table = question_table({"a": found}).dropna(subset="value").set_index("contrast")
    assert verdicts(table.reset_index()) == {
        ABOVE_CHANCE.text: "supported",
        OWN_MASK.text: "rises",
        PRIMARY["Q4"].text: "undecided",
    }
    primary = table[table["primary"]]
    assert primary["p_holm"].iloc[0] == pytest.approx(2 * primary["p"].min())
    assert np.isnan(table.loc[OWN_MASK.text, "p_holm"])


def test_correction_can_undo_a_primary_verdict_but_no_secondary_one():
    """A value with p between .01 and .05, among all others that say nothing."""
    shares = (PRIMARY[q] for q in ("Q1", "Q3", "Q4", "Q8"))
    barely = sample(0.05, 0.1)
    found = {contrast: sample(0.0, 1.0) for contrast in shares} | {PRIMARY["Q6"]: barely}
    other = BY_TEXT["accuracy: SFT, own mask − full, no mask"]
    table = question_table({"a": found | {other: barely}}).set_index("contrast")
    assert 0.01 < table.loc[other.text, "p"] < 0.05 < table.loc[PRIMARY["Q6"].text, "p_holm"]
    assert table.loc[other.text, "verdict"] == "rises"
    assert table.loc[PRIMARY["Q6"].text, "verdict"] == "undecided"


@pytest.mark.parametrize(
    ("mean", "difference", "expected"),
    [
        (0.1, 0.009, "supported"),
        (0.1, -0.011, "unmatched"),
        (0.1, float("nan"), "unmatched"),
        (-0.1, 0.05, "contradicted"),
        (0.0, 0.05, "equivalent"),
    ],
)
def test_q3_needs_masks_of_matched_accuracy(mean: float, difference: float, expected: str):
    own = replace(sample(mean), accuracy_difference=difference)
    table = question_table({"a": {PRIMARY["Q3"]: own}})
    assert verdicts(table)[PRIMARY["Q3"].text] == expected
    pooled = question_table(
        {"a": {PRIMARY["Q3"]: own}, "b": {PRIMARY["Q3"]: replace(own, accuracy_difference=0.0)}}, ("a", "b")
    )
    row = pooled[(pooled["study"] == POOLED) & (pooled["contrast"] == PRIMARY["Q3"].text)].iloc[0]
    assert row["verdict"] == expected
    assert row["accuracy_difference"] == pytest.approx(difference, nan_ok=True)


@pytest.mark.parametrize(
    ("effect", "width", "expected"), [(0.0, 0.012, "undecided"), (0.005, 0.0093, "rises")]
)
def test_tasks_are_equivalent_together_only_where_each_is(effect: float, width: float, expected: str):
    """Where the margin says nothing, an effect is still found."""
    small = effect + np.random.default_rng(0).normal(0, 0.001, (6, 40))
    wide = small + width * np.array([-1, -1, 0, 0, 1, 1])[:, None]
    found = {name: {OWN_MASK: Evidence((values, None))} for name, values in (("a", small), ("b", wide))}
    table = question_table(found, pool=("a", "b"))
    table = table[table["contrast"] == OWN_MASK.text]
    words = dict(zip(table["study"], table["verdict"], strict=True))
    pooled = table[table["study"] == POOLED].iloc[0]
    assert max(-pooled["low"], pooled["high"]) < 0.01  # inside the margin
    assert (pooled["p"] < 0.05) == (effect > 0)
    assert words == {"a": "negligible" if effect else "equivalent", "b": "undecided", POOLED: expected}
    assert pooled["value"] == pytest.approx((small.mean() + wide.mean()) / 2) and pooled["examples"] == 80


def test_a_contrast_is_pooled_only_where_all_tasks_show_it():
    table = question_table({"a": {ABOVE_CHANCE: sample(0.1)}, "b": {OWN_MASK: sample(0.1)}}, ("a", "b"))
    pooled = table[table["study"] == POOLED]
    assert set(pooled["verdict"]) == {"not run"} and len(pooled) == len(PRIMARY)


def test_two_seeds_give_no_verdict():
    table = question_table({"a": {ABOVE_CHANCE: sample(0.1, seeds=2)}}).dropna(subset="value")
    assert table["verdict"].tolist() == ["too few seeds"]


def row(question: str, **values) -> dict:
    empty = dict.fromkeys(("value", "low", "high", "p", "minimum_detectable"), float("nan"))
    return empty | {"question": question, "accuracy_difference": float("nan")} | values


def test_rows_in_words():
    share = {"value": 0.0123, "low": -0.001, "high": 0.026, "minimum_detectable": 0.02}
    assert (
        effect(row("Q3", **share, verdict="undecided", accuracy_difference=-0.034))
        == "+1.2 [−0.1, 2.6], undecided; detectable: 2.0; dev accuracy −3.4"
    )
    assert effect(row("Q2", value=-0.2461, p=0.00014, verdict="contradicted")) == (
        "−0.246 (p = 0.00014), contradicted"
    )
    assert effect(row("Q7", verdict="not run")) == "not run"


def test_answers_in_words():
    found = {PRIMARY["Q1"]: sample(0.1), OWN_MASK: sample(0.1), PRIMARY["Q3"]: sample(0.1)}
    found |= {PRIMARY["Q4"]: sample(-0.1), PRIMARY["Q8"]: sample(0.1), PRIMARY["Q6"]: sample(0.0, 0.001)}
    table = question_table({"a": found, "b": {}})
    shown = answers(table)
    assert [name.split()[0] for name in shown.index] == [q for q in QUESTIONS if q != "Q5"]
    assert shown["contrast"].tolist() == [PRIMARY[name.split()[0]].text for name in shown.index]
    assert set(shown["b"]) == {"Not run"}
    words = {name.split()[0]: text.partition(":")[0] for name, text in shown["a"].items()}
    assert words == {
        "Q1": "Yes",
        "Q2": "Not run",
        "Q3": "We cannot tell, because the masks differ too much in accuracy",
        "Q4": "It falls",
        "Q6": "No effect that matters",
        "Q7": "Not run",
        "Q8": "No, the opposite",
    }
    row = table[(table["study"] == "a") & (table["contrast"] == PRIMARY["Q1"].text)].iloc[0]
    assert shown["a"].iloc[0] == f"Yes: +{100 * row.value:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
