"""The masks that stage 3 scores under, from stage 1 on, with a tiny encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modspec.models.prediction import accuracy
from modspec.stages import control_masks
from modspec.stages.control_masks import mask_sets
from modspec.stages.finetuning import finetune_condition
from modspec.stages.material import Material, load_checkpoint, load_material, masks_in_force
from modspec.stages.scoring import keep_scores, reduce_scores
from modspec.stages.search import search_all
from modspec.subnetworks.masks import load_masks
from modspec.workflow.parameters import FinetuningParameters, InfluenceParameters, SearchParameters
from modspec.workflow.paths import checkpoint_file, checkpoints_dir

DATA = {
    "encoder": "tiny",
    "languages": ("en", "de", "fr"),
    "train_per_language": 24,
    "dev_per_language": 20,
    "test_per_language": 20,
    "precision": "float32",
}
TRAINING = {"batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.0}
KINDS = ("none", "own", "pooled_others", "accuracy_matched", "other_language", "dose")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Material, InfluenceParameters]:
    """A study of one seed, searched and fine-tuned."""
    shared = DATA | {"study_dir": str(tmp_path_factory.mktemp("study"))}
    # A low threshold, so that masks drop heads.
    search = SearchParameters(**shared, **TRAINING, epochs=2, threshold=0.5, importance_examples=12)
    material = load_material(search)
    search_all(material, search)
    finetune_condition(material, FinetuningParameters(**shared, **TRAINING, epochs=2, training_checkpoints=3))
    scoring = {"evaluation_per_language": 4, "top_k": 5, "over_training": True}
    return material, InfluenceParameters(
        **shared, **scoring, mask_kinds=KINDS, random_draws=2, accuracy_tolerance=0.1
    )


def scored_model(material: Material, p: InfluenceParameters):
    model = material.new_classifier(p.seed)
    load_checkpoint(model, checkpoints_dir(p, p.condition, p.seed) / checkpoint_file(2))
    return model


def test_controls_have_the_own_masks_layer_profile_and_accuracy(study) -> None:
    material, p = study
    model = scored_model(material, p)
    own = masks_in_force(material, p, p.condition, p.seed)
    assert any(not mask.all() for mask in own.values())
    sets = {one.name: one for one in mask_sets(material, p, model, {"test": "controls"})}
    matched = ["accuracy_matched0", "accuracy_matched1"]
    assert list(sets) == ["own", "pooled_others", *matched, "dose0", "dose1", "dose2", "dose3"]
    for name in ("pooled_others", *matched):
        for language, mask in sets[name].masks.items():
            assert mask.sum(1).tolist() == own[language].sum(1).tolist()
    for name in matched:
        for language, mask in sets[name].masks.items():
            dev = material.examples["dev"].of(language)
            difference = accuracy(model, dev, mask) - accuracy(model, dev, own[language])
            assert abs(difference) <= p.accuracy_tolerance + 1e-9


def test_every_scored_mask_has_its_predictions(study) -> None:
    material, p = study
    directory = reduce_scores_of(material, p)
    predictions, matching = (
        pd.read_parquet(directory / f"{name}.parquet") for name in ("predictions", "matching")
    )
    masks = load_masks(directory / "masks.safetensors")
    statistics = pd.read_parquet(directory / "statistics.parquet")
    kinds = set(statistics["mask_kind"])
    assert kinds == set(KINDS) and set(predictions["mask_kind"]) == kinds - {"none", "own"}
    items = len(p.languages) * (20 + 20)
    of_kind = predictions.groupby("mask_kind").size()
    assert of_kind.to_dict() == {
        "pooled_others": items,
        "accuracy_matched": 2 * items,
        "other_language": items,
        "dose": 4 * items,
    }
    model = scored_model(material, p)
    # Each row is what the model says under the mask that the row names.
    names = {"other_language": "own", "pooled_others": "pooled_others"}
    for row in predictions[predictions["mask_kind"].isin(names)].iloc[::17].itertuples():
        examples = material.examples[row.split]
        one = examples.take(np.flatnonzero(examples.ids == row.id))
        mask = masks[f"{names[row.mask_kind]}/{row.mask_language}"]
        assert accuracy(model, one, mask) == (row.predicted == row.label)
    dev = predictions[(predictions["split"] == "dev") & (predictions["mask_kind"] == "accuracy_matched")]
    found = (dev["predicted"] == dev["label"]).groupby([dev["language"], dev["draw"]]).mean()
    expected = matching.set_index(["language", "draw"])["accuracy"]
    pd.testing.assert_series_equal(found.sort_index(), expected.sort_index(), check_names=False)


def test_the_share_over_training_ends_where_the_last_checkpoint_is(study) -> None:
    material, p = study
    directory = reduce_scores_of(material, p)
    shares = pd.read_parquet(directory / "over_training.parquet")
    assert sorted(shares["progress"].unique()) == pytest.approx([1 / 3, 2 / 3, 1])
    assert shares.groupby("progress").size().tolist() == [len(p.languages) * 4] * 3
    statistics = pd.read_parquet(directory / "statistics.parquet")
    own = statistics[statistics["language"] == statistics["train_language"]]
    own = own[(own["mask_kind"] == "none") & (own["checkpoints"] == "all")]
    last, before = (shares[at].set_index("id") for at in (shares["progress"] == 1, shares["progress"] < 1))
    readings = {"share": ("cosine", 5, "proponents"), "share_dot": ("dot", 5, "proponents")}
    readings |= {"label_auc": ("cosine", 5, "label_auc"), "share_top_10": ("cosine", 10, "proponents")}
    for column, (score, top_k, measure) in readings.items():
        expected = own[(own["score"] == score) & (own["top_k"] == top_k)].set_index("id")[measure]
        pd.testing.assert_series_equal(last[column], expected.loc[last.index], check_names=False)
        assert not before[column].equals(last[column])
    assert {"share_top_20", "share_top_50"} <= set(shares) and "share_top_100" not in shares  # 72 examples


def reduce_scores_of(material: Material, p: InfluenceParameters) -> Path:
    keep_scores(material, p)
    return reduce_scores(material, p)


def test_masks_are_matched_once(study, monkeypatch) -> None:
    """A killed stage does not match them again."""
    material, p = study
    model = scored_model(material, p)
    first = mask_sets(material, p, model, {"test": "controls"})
    monkeypatch.setattr(control_masks, "accuracy_matched", None)
    again = mask_sets(material, p, model, {"test": "controls"})
    for one, other in zip(first, again, strict=True):
        assert one.name == other.name
        assert all(np.array_equal(one.masks[t], other.masks[t]) for t in one.masks)
