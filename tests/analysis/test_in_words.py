"""Sentences say what their tables hold."""

from __future__ import annotations

import pandas as pd
import pytest

from modspec.analysis import in_words
from modspec.terms import MASK_KINDS


def frame(columns: str, *rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def test_a_title_names_study_condition_and_seed() -> None:
    found = in_words.title("runs/mine/", "sft_random", "seed 3")
    assert found == "## Study mine · SFT with random masks · seed 3"
    assert in_words.title("runs/mine") == "## Study mine"


def test_searches() -> None:
    columns = "seed language step heads_left heads dev_score accepted"
    rows = [(0, "en", 0, 144, 144, 0.8, True), (0, "en", 1, 130, 144, 0.78, True)]
    rows += [(0, "en", 2, 116, 144, 0.5, False), (0, "de", 0, 144, 144, 0.6, True)]
    assert in_words.searches(frame(columns, *rows)) == (
        "Subnetworks keep 130 to 144 of 144 heads (mean 137): fewest for en, most for de. "
        "Pruning costs 1.0 points of dev accuracy on average."
    )
    alone = in_words.searches(frame(columns, *rows[:2]))
    assert alone.startswith("Subnetworks keep 130 of 144 heads (mean 130). Pruning costs 2.0 points")


def test_overlap() -> None:
    columns = "seed_a language_a seed_b language_b jaccard chance"
    rows = [(0, "en", 1, "en", 0.6, 0.2), (0, "en", 1, "de", 0.5, 0.3), (0, "en", 0, "de", 0.9, 0.9)]
    assert in_words.overlap(frame(columns, *rows)) == (
        "Across seeds, two masks of one language overlap by 0.60 (Jaccard), masks of two languages by 0.50; "
        "random masks of these sizes would overlap by 0.25."
    )
    assert "masks of two languages" not in in_words.overlap(frame(columns, rows[0]))
    assert in_words.overlap(frame(columns, rows[2])).startswith("With one seed")
    table = pd.DataFrame({"Jaccard overlap": [0.5, 0.7], "chance": [0.2, 0.4]})
    assert in_words.overlap_with(table, "inherited") == (
        "Own and inherited masks overlap by 0.60 on average (Jaccard); random masks of the same sizes would "
        "overlap by 0.30."
    )


def test_accuracy_counts_each_language_under_its_own_mask_alone() -> None:
    columns = "condition mask_kind mask_language language split accuracy"
    rows = [("full", "none", "", t, "test", a) for t, a in (("en", 0.7), ("de", 0.6))]
    rows += [
        ("full", "language", m, t, "test", 0.5 if m == t else 0.1) for m in ("en", "de") for t in ("en", "de")
    ]
    rows += [("sft", "own", "", "en", "test", 0.8), ("sft", "none", "", "en", "dev", 0.0)]
    found = in_words.accuracy(frame(columns, *rows))
    assert found == (
        "Mean test accuracy: full fine-tuning 65.0 % without a mask, 50.0 % under own masks; "
        "SFT 80.0 % under own masks."
    )
    dev = frame(columns, *rows).drop(columns="condition")
    assert in_words.accuracy(dev, "dev") == "Mean dev accuracy: 0.0 % without a mask."
    assert in_words.accuracy(dev[:0]) == "No accuracy was measured on test examples."


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_every_kind_of_mask_can_be_said(kind: str) -> None:
    columns = "condition mask_kind mask_language language split accuracy"
    found = in_words.accuracy(frame(columns, ("full", kind, "", "en", "test", 0.5)))
    assert found.startswith("Mean test accuracy: full fine-tuning 50.0 % ")
    assert found.split("% ")[1].startswith("without" if kind == "none" else "under ")


def test_shares() -> None:
    columns = "mask_kind score measure language value chance"
    rows = [("none", "cosine", "proponents", t, v, 0.2) for t, v in (("en", 0.2), ("de", 0.3))]
    rows += [("own", "cosine", "proponents", "en", 0.5, 0.2), ("none", "dot", "proponents", "en", 0.9, 0.2)]
    rows += [("none", "cosine", "auc", "en", 0.9, 0.5)]
    assert in_words.shares(frame(columns, *rows)) == (
        "In-language share of the proponents, mean over languages: 25.0 % without a mask, 50.0 % under own "
        "masks. Chance is 20.0 %. Without a mask it goes from 20.0 % (en) to 30.0 % (de)."
    )


def test_over_training() -> None:
    rows = [(p, t, s) for p, s in ((0.2, 0.3), (1.0, 0.25)) for t in ("en", "de")]
    assert in_words.over_training(frame("progress language share", *rows)) == (
        "The in-language share goes from 30.0 % after 20 % of training to 25.0 % at its end."
    )


def test_influence_matrix() -> None:
    columns = "mask_kind score language train_language share"
    rows = [("none", "cosine", a, b, s) for a, b, s in (("en", "en", 0.6), ("en", "de", 0.4))]
    rows += [("none", "cosine", a, b, s) for a, b, s in (("de", "en", 0.55), ("de", "de", 0.45))]
    rows += [("own", "cosine", "de", "en", 0.99)]
    assert in_words.influence_matrix(frame(columns, *rows)) == (
        "Without a mask, 1 of 2 languages have more proponents in their own language than in any other. "
        "The largest share between two languages: 55.0 % of the proponents of test examples in de are in en."
    )
    assert in_words.influence_matrix(frame(columns, rows[-1])).startswith(
        "There is no influence without a mask"
    )


def test_contrasts_that_were_run() -> None:
    columns = "question contrast value low high p minimum_detectable accuracy_difference verdict"
    nothing = float("nan")
    rows = [("Q4", "a − b", -0.01, -0.02, -0.001, 0.01, 0.01, nothing, "falls")]
    rows += [("Q4", "c − d", nothing, nothing, nothing, nothing, nothing, nothing, "not run")]
    table = frame(columns, *rows)
    assert in_words.contrasts(table, "Q4") == "- **Q4** a − b: −1.0 [−2.0, −0.1], falls."
    assert in_words.contrasts(table, "Q3") == "- **Q3** No contrast of it was run."


def test_damage() -> None:
    columns = "mask_kind draw accuracy value"
    rows = [("dose", 0, 0.6, 0.22), ("dose", 1, 0.4, 0.35), ("own", 0, 0.1, 0.9), ("dose", 1, 0.2, 0.35)]
    assert in_words.damage(frame(columns, *rows)) == (
        "Over random masks of 2 sizes, accuracy goes from 60.0 to 30.0 % and the in-language share from 22.0 "
        "to 35.0 %."
    )
    assert in_words.damage(frame(columns, rows[2])).startswith("No random masks")


def test_sensitivity_counts_settings() -> None:
    columns = "setting contrast value verdict"
    rows = [("own", "a", 0.1, "rises"), ("k = 5", "a", 0.2, "rises"), ("dot", "a", -0.1, "falls")]
    assert in_words.sensitivity(frame(columns, *rows)) == (
        "Other settings with the study's own verdict: a: 1 of 2."
    )
    assert in_words.sensitivity(frame(columns, rows[0])) == "This study has one setting."


def test_encoder_parts() -> None:
    columns = "seed condition part layer language value"
    rows = [
        ("all", "full", "attention", 1, "all languages", 0.4),
        ("all", "full", "classifier", 13, "all languages", 0.2),
    ]
    rows += [
        ("all", "sft", "attention", 2, "all languages", 0.9),
        (0, "full", "attention", 3, "all languages", 0.9),
    ]
    assert in_words.encoder_parts(frame(columns, *rows)) == (
        "The share is largest by attention of layer 1 alone (40.0 %) and smallest by classifier of layer 13 "
        "(20.0 %). Layer 0 is the embeddings, the last one the classifier."
    )
    assert in_words.encoder_parts(frame(columns, rows[2])) == "The parts of the encoder were not scored."
