"""What stage 3 keeps of every scored test example, from the tiny encoder to a restored study."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.scores import read_scores
from modspec.analysis.shares import strongest
from modspec.analysis.strongest_examples import FILE, read_strongest_examples
from modspec.errors import InputError
from modspec.models.head_masking import head_grid
from modspec.models.prediction import predict
from modspec.stages import checkpoint_scores, scoring
from modspec.stages.checkpoint_scores import scored_checkpoints
from modspec.stages.control_masks import mask_sets
from modspec.stages.finetuning import finetune_condition
from modspec.stages.material import Material, load_checkpoint, load_material, texts
from modspec.stages.scoring import score_all, strongest_proponents
from modspec.stages.scoring_plan import plan_passes
from modspec.subnetworks.masks import save_masks
from modspec.workflow import artifacts
from modspec.workflow.parameters import FinetuningParameters, InfluenceParameters
from modspec.workflow.paths import (
    checkpoint_file,
    checkpoints_dir,
    finetuning_dir,
    influence_dir,
    scores_dir,
    search_dir,
)
from modspec.workflow.publishing import publish, restore

SIZES = {"train_per_language": 30, "dev_per_language": 20, "test_per_language": 20}
DATA = {"study_dir": "runs/a", "encoder": "tiny", "languages": ("en", "de"), "precision": "float32"}
SETTINGS = {
    "condition": "sft",
    "mask_kinds": ("none", "own", "other_language", "random"),
    "train_gradient_masks": ("test_example", "own_language"),
    "checkpoints": "all",
    "evaluation_per_language": 3,
    "scored_per_language": 28,
    "top_k": 5,
    "top_ks": (5,),
    "by_part": False,
}
Scored = tuple[Material, InfluenceParameters]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """A study of sparse fine-tuning, scored. Its project is the working directory of these tests."""
    root = tmp_path_factory.mktemp("project")
    (root / "modspec").mkdir()
    (root / "pyproject.toml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        p = InfluenceParameters(**DATA, **SIZES, **SETTINGS)
        material = load_material(p)
        training = {"epochs": 2, "learning_rate": 1e-2}
        grid = head_grid(material.new_classifier(p.seed))
        masks = {t: np.random.default_rng(i).random(grid) < 0.5 for i, t in enumerate(p.languages)}
        with artifacts.writing(search_dir(p, p.seed), material.fingerprints) as building:
            save_masks(building / "masks.safetensors", masks)
        finetune_condition(material, FinetuningParameters(**DATA, **SIZES, **training, condition="sft"))
        score_all(material, p)
        yield material, p


def test_predictions_are_those_under_the_mask_that_is_scored(scored: Scored) -> None:
    material, p = scored
    kept = read_strongest_examples(influence_dir(p, p.condition, p.seed))
    model, labels = material.new_classifier(p.seed), material.task.labels
    load_checkpoint(model, checkpoints_dir(p, p.condition, p.seed) / checkpoint_file(2))
    keys = ["id", "mask_kind", "mask_language", "draw", "train_gradient_mask"]
    columns = kept.drop_duplicates(keys)
    predicted = {tuple(row[:-1]): row[-1] for row in columns[[*keys, "predicted"]].astype(object).to_numpy()}
    number = 0
    for scoring_pass in plan_passes(material, p, mask_sets(material, p, model, {})):
        test = material.examples["test"].take(scoring_pass.positions)
        masks = scoring_pass.evaluation_mask
        for i, (kind, language) in enumerate(
            zip(scoring_pass.mask_kinds, scoring_pass.mask_languages, strict=True)
        ):
            mask = masks[i] if scoring_pass.train_gradient_mask == "own_language" else masks
            expected = labels[predict(model, test.take([i]), mask).item()]
            key = (test.ids[i], kind, language, scoring_pass.draw, scoring_pass.train_gradient_mask)
            assert predicted[key] == expected, key
            number += 1
    assert number == len(predicted) == 6 * (1 + 2 + 1 + 1)
    unmasked = {key[0]: label for key, label in predicted.items() if key[1] == "none"}
    assert any(label != unmasked[key[0]] for key, label in predicted.items())  # the masks matter


def test_tables_hold_where_weights_and_scores_are_gone(scored: Scored, tmp_path: Path) -> None:
    """A restored study, or one whose large files were removed, can be shown again."""
    material, p = scored
    shutil.copytree("runs/a", tmp_path / "a", ignore=shutil.ignore_patterns("checkpoints", "scores"))
    restored = p.model_copy(update={"study_dir": str(tmp_path / "a")})
    assert score_all(material, restored) == influence_dir(restored, p.condition, p.seed)
    assert not scores_dir(restored, p.condition, p.seed).exists()
    with pytest.raises(InputError, match="checkpoints"):  # other tables would need the scores
        score_all(material, restored.model_copy(update={"top_k": 4}))


def test_a_pass_that_resumes_predicts_with_the_last_checkpoint_too(scored, tmp_path, monkeypatch) -> None:
    """All its scores are remembered: influence loads no weights, and the model predicts one label always."""
    material, p = scored
    kept = read_scores(scores_dir(p, p.condition, p.seed)).columns_of("none")
    model, labels = material.new_classifier(p.seed), material.task.labels
    never = next(label for label, name in enumerate(labels) if name not in set(kept["predicted"]))
    model.classifier.out_proj.bias.data[never] += 1e3
    scoring_pass, checkpoints = plan_passes(material, p, [])[0], scored_checkpoints(p)
    scores = np.zeros((56, len(scoring_pass.positions)), dtype=np.float32)
    remembered = SimpleNamespace(cosine=scores, dot=scores, report="")
    monkeypatch.setattr(checkpoint_scores, "influence", lambda *arguments, **options: remembered)
    elsewhere = p.model_copy(update={"study_dir": str(tmp_path)})
    piece = scoring.score_pass(material, elsewhere, scoring_pass, model, checkpoints, {})
    columns = pd.read_parquet(piece / "columns.parquet")
    assert columns["predicted"].tolist() == kept["predicted"].tolist()


def test_predictions_agree_with_those_of_stage_two(scored: Scored) -> None:
    material, p = scored
    kept = read_strongest_examples(influence_dir(p, p.condition, p.seed))
    stage_two = pd.read_parquet(finetuning_dir(p, p.condition, p.seed) / "predictions.parquet")
    stage_two = stage_two[stage_two["split"] == "test"].set_index("id")
    names = dict(enumerate(material.task.labels))
    for kind, column in (("none", "no_mask"), ("own", "in_force")):
        rows = kept[kept["mask_kind"] == kind].drop_duplicates("id").astype(object)
        assert len(rows) == 6
        assert rows["predicted"].tolist() == stage_two.loc[rows["id"], column].map(names).tolist()
        assert rows["label"].tolist() == stage_two.loc[rows["id"], "label"].map(names).tolist()


def test_every_scored_column_is_kept_and_ranked_by_its_scores(scored: Scored) -> None:
    _, p = scored
    kept = read_strongest_examples(influence_dir(p, p.condition, p.seed))
    run = read_scores(scores_dir(p, p.condition, p.seed))
    assert len(kept) == len(run.columns) * 2 * 2 * 20
    for score, (side, opponents) in product(("cosine", "dot"), (("proponent", False), ("opponent", True))):
        rows = strongest(run.scores("own-de", score), 20, opponents=opponents)[:, 0]
        column = run.columns_of("own-de").iloc[0]
        chosen = kept[(kept["score"] == score) & (kept["side"] == side) & (kept["id"] == column["id"])]
        chosen = chosen[(chosen["mask_kind"] == column["mask_kind"]) & (chosen["mask_language"] == "de")]
        chosen = chosen[chosen["train_gradient_mask"] == "test_example"]
        assert chosen["train_id"].tolist() == run.train["id"].iloc[rows].tolist()


def test_a_restored_study_shows_its_proponents_without_scores(scored: Scored, tmp_path: Path) -> None:
    material, p = scored
    before = strongest_proponents(material, p)
    (score,) = [name for name in before if name.startswith("score")]
    assert len(before) == 6 and (before[score].astype(float) != 0).all()
    publish("a")
    shutil.move("runs", tmp_path / "runs")
    restore("a")
    try:
        assert not Path("runs/a/scores").exists() and not Path("runs/a/checkpoints").exists()
        pd.testing.assert_frame_equal(strongest_proponents(material, p), before)
    finally:
        shutil.rmtree("runs")
        shutil.move(tmp_path / "runs", "runs")


def test_a_seed_that_was_published_without_them_says_so(scored: Scored, tmp_path: Path, capsys) -> None:
    material, p = scored
    other = p.model_copy(update={"study_dir": str(tmp_path / "other")})
    run, place = (influence_dir(of, p.condition, p.seed) for of in (p, other))
    artifacts.copy_without(run, place, [FILE])
    assert strongest_proponents(material, other) is None
    assert "published for the study's first seed alone" in capsys.readouterr().out


def test_a_study_that_lacks_the_file_is_told_in_one_line(scored: Scored, tmp_path: Path) -> None:
    material, p = scored
    older = p.model_copy(update={"study_dir": str(tmp_path / "older")})
    directory = influence_dir(older, p.condition, p.seed)
    made_by = artifacts.read_manifest(influence_dir(p, p.condition, p.seed))["made_by"]
    with artifacts.writing(directory, made_by) as building:
        (building / "train.parquet").touch()
    with pytest.raises(InputError, match=f"has no {FILE}, because") as error:
        strongest_proponents(material, older)
    assert "\n" not in str(error.value)


def test_both_texts_of_a_pair_are_shown(scored: Scored) -> None:
    material, _ = scored
    rows = material.task.data["test"]
    assert texts(material, "test")["text"].tolist() == list(rows["text"])

    def paired(row: dict, number: int) -> dict:
        return {"text_pair": f"hypothesis {number}" if number % 2 else ""}

    pairs = rows.map(paired, with_indices=True)
    task = type(material.task)(**{**vars(material.task), "data": {"test": pairs}})
    table = texts(type(material)(**{**vars(material), "task": task}), "test")
    assert table["text"].iloc[0] == rows["text"][0]
    assert table["text"].iloc[1] == f"{rows['text'][1]} | hypothesis 1"
    assert table["label"].iloc[1] == material.task.labels[rows["label"][1]]
    assert table["language"].tolist() == list(rows["language"]) and table.index.tolist() == list(rows["id"])
