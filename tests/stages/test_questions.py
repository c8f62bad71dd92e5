"""Every question of the analysis plan has its primary contrast in a study of version 2, from stage 1 on."""

from __future__ import annotations

import numpy as np
import pytest

from modspec.analysis.questions import evidence, question_table
from modspec.analysis.study_tables import read_question_tables
from modspec.analysis.verdicts import NOT_RUN
from modspec.stages.leave_one_out import leave_one_out
from modspec.terms import QUESTIONS
from modspec.workflow.parameters import STAGES
from tests.helpers.studies import EPOCHS, TRAINING, run_study

SEEDS = (0, 1)
DATA = {
    "encoder": "tiny",
    "languages": ("en", "de", "fr", "es"),
    "train_per_language": 16,
    "dev_per_language": 12,
    "test_per_language": 12,
    "precision": "float32",
}
FULL = {
    "mask_kinds": ("none", "own", "pooled_others", "accuracy_matched", "other_language", "dose"),
    "over_training": True,
}
SCORED = {
    "full": FULL,
    "one_language_batches": {"mask_kinds": ("none",)},
    "sft": {"mask_kinds": ("none", "own")},
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    shared = DATA | {"study_dir": str(directory)}
    common = {"evaluation_per_language": 3, "top_k": 5, "by_part": False}
    scored = {condition: common | kinds for condition, kinds in SCORED.items()}
    for material, scoring in run_study(shared, scored, SEEDS, {"full": {"training_checkpoints": 3}}):
        if scoring.condition == "full":
            of_seed = {name: getattr(scoring, name) for name in ("condition", "seed", "train_sample_seed")}
            trained = shared | TRAINING | of_seed | {"epochs": EPOCHS, "training_checkpoints": 3}
            leave_one_out(material, STAGES["leave_one_out"](**trained))
    return read_question_tables(directory)


def test_every_primary_contrast_is_there(tables) -> None:
    table = question_table({"study": evidence(tables)})
    assert NOT_RUN not in set(table["verdict"])
    primary = table[table["primary"]]
    assert primary["question"].tolist() == [code for code in QUESTIONS if code != "Q5"]
    assert np.isfinite(primary[["value", "p"]]).all(axis=None)
    assert set(primary["seeds"]) == {len(SEEDS)}
    # Nothing is concluded from two seeds.
    assert set(table["verdict"]) == {"too few seeds"}
    # Seeds have training samples of their own, and only contrasts of masks in one model compare accuracies.
    assert not tables.runs.one_sample
    compared = table.dropna(subset="accuracy_difference")
    assert {"full: own − pooled others' mask", "full: own − no mask"} <= set(compared["contrast"])


def test_accuracies_are_those_of_the_scored_masks(tables) -> None:
    dev = tables.accuracy[(tables.accuracy["split"] == "dev") & (tables.accuracy["condition"] == "full")]
    means = dev.groupby("mask_kind")["accuracy"].mean()
    shown = question_table({"study": evidence(tables)}).set_index("contrast")["accuracy_difference"]
    assert shown["full: own − pooled others' mask"] == pytest.approx(means["own"] - means["pooled_others"])
    assert shown["full: own − no mask"] == pytest.approx(means["own"] - means["none"])
    assert abs(shown["full: own − accuracy-matched random masks"]) <= 0.01 + 1e-9
