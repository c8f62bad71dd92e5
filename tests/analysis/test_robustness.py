"""Settings that a verdict does and does not depend on, on planted scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.contrasts import share_sample
from modspec.analysis.intervals import pooled_estimate
from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns, measure
from modspec.analysis.robustness import sensitivity, setting_name, share_by_k
from modspec.terms import CONTRASTS
from tests.helpers.attribution import study

KINDS = ("none", "own", "random", "other_language", "other_seed")
GAINS = {("full", "none"): 0.0, ("full", "own"): 0.0}
NOTHING = {("full", kind): 0.0 for kind in KINDS} | {("sft", "own"): 0.0, ("sft_random", "own"): 0.0}


def test_sensitivity_covers_every_setting_and_finds_what_depends_on_one(tmp_path):
    gains = NOTHING | {("full", "own"): 1.5, ("full", "inherited"): 0.0}
    runs = study(tmp_path, gains, rates=(0.5, 0.1))
    stacked = StudyRuns([measure(run, (3, 6, 1000)) for run in runs])
    names = [setting_name(setting, 6) for setting in stacked.settings()]
    assert names == [
        "study's own (cosine, k = 6)",
        "k = 3",
        "AUC instead of top k",
        "AUC within label",
        "opponents",
        "dot product",
        "last checkpoint",
        "eta = one",
        "masks by inherited importance",
        "own-mask gradients",
    ]
    found = sensitivity(stacked)
    # In these scores the dot product is a multiple of the cosine, all checkpoints are the same, and SFT has
    # no training gradients under own masks.
    same = {"dot product", "last checkpoint", "eta = one", "own-mask gradients"}
    assert list(dict.fromkeys(found["setting"])) == [name for name in names if name not in same]
    of_full = found[found["contrast"] == "full: own − no mask"]
    verdicts = of_full.set_index("setting")["verdict"]
    assert verdicts["study's own (cosine, k = 6)"] == verdicts["k = 3"] == "rises"
    assert verdicts["opponents"] == "falls"  # a proponent cannot be an opponent
    assert verdicts["masks by inherited importance"] == "undecided"


def test_sensitivity_repeats_the_questions_values_and_gives_aucs_no_margin(tmp_path):
    runs = study(tmp_path, {("full", "none"): 0.5, ("full", "own"): 0.5})
    stacked = StudyRuns([measure(run) for run in runs])
    found = sensitivity(stacked).set_index(["setting", "contrast"])
    shown = [c for c in CONTRASTS if c.statistic == "share" and share_sample(stacked, c)]
    assert len(shown) == 2
    for contrast in shown:
        expected = pooled_estimate([share_sample(stacked, contrast)])
        row = found.loc[("study's own (cosine, k = 6)", contrast.text)]
        assert (row["value"], row["low"], row["high"]) == (expected.value, expected.low, expected.high)
    tied = StudyRuns([measure(run) for run in study(tmp_path / "tied", GAINS, noise=1e-3, seeds=5)])
    verdicts = sensitivity(tied).set_index("setting")["verdict"]
    assert not {"equivalent", "negligible"} & set(verdicts[["AUC instead of top k", "AUC within label"]])


def test_slopes_over_training_are_shown_by_the_settings_that_were_kept(tmp_path):
    runs = StudyRuns([measure(run, (3,)) for run in study(tmp_path, GAINS, seeds=3)])
    index = pd.MultiIndex.from_product([range(3), ["a", "b", "c"], [0.5, 1.0]])
    shares = index.to_frame(index=False, name=["seed", "id", "progress"]).assign(language="en")
    for number, column in enumerate(("share", "share_dot", "share_top_3", "label_auc")):
        shares[column] = 0.1 * number * shares["progress"] + 0.01 * shares["seed"] * shares["progress"]
    found = sensitivity(runs, shares)
    slopes = found[found["question"] == "Q8"].set_index("setting")["value"]
    assert slopes.to_dict() == pytest.approx(
        {
            "study's own (cosine, k = 6)": 0.01,
            "k = 3": 0.21,
            "AUC within label": 0.31,
            "dot product": 0.11,
        }
    )
    assert set(sensitivity(runs)["question"]) == {"Q1", "Q3"}


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (DEFAULT, "study's own (cosine, k = 100)"),
        (Setting(checkpoint_weights="learning_rate"), "eta = learning rate"),
        (Setting(train_gradient_mask="test_example"), "test-example-mask gradients"),
    ],
)
def test_names_of_settings(setting, name):
    assert setting_name(setting, 100) == name


def test_share_by_k_is_chance_where_all_are_counted(tmp_path):
    runs = study(tmp_path, NOTHING | {("full", "own"): 1.0})
    found = share_by_k(StudyRuns([measure(run, (5, 60, 61)) for run in runs]))
    assert set(found["top_k"]) == {5, 6, 60}
    everything = found[found["top_k"] == 60]
    np.testing.assert_allclose(everything[["value", "low", "high"]], 1 / 3, atol=1e-6)
    few = found[found["top_k"] == 5].set_index("mask_kind")["value"]
    assert few["own"] > few["none"] + 0.1
