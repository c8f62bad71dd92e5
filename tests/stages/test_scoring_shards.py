"""Scores from any number of shards are the same, and a lost shard is made again alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from modspec.errors import InputError
from modspec.stages.finetuning import finetune_condition
from modspec.stages.material import Material, load_material
from modspec.stages.scoring import keep_scores
from modspec.stages.scoring_shard import score_shard
from modspec.stages.search import search_all
from modspec.workflow.artifacts import MANIFEST, content_fingerprint
from modspec.workflow.parameters import FinetuningParameters, InfluenceParameters, SearchParameters
from modspec.workflow.paths import pieces_dir, scores_dir
from modspec.workflow.piece_records import lost_pieces, write_record
from modspec.workflow.presets import resolve

DATA = {
    "encoder": "tiny",
    "languages": ("en", "de"),
    "train_per_language": 14,
    "dev_per_language": 8,
    "test_per_language": 10,
    "precision": "float32",
}
TRAINING = {"batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.0}
Study = tuple[Material, InfluenceParameters]


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Study:
    """A study of one seed, searched and fine-tuned; seven blocks of four training examples."""
    shared = DATA | {"study_dir": str(tmp_path_factory.mktemp("study") / "searched")}
    search = SearchParameters(**shared, **TRAINING, epochs=1, threshold=0.5, importance_examples=8)
    material = load_material(search)
    search_all(material, search)
    finetune_condition(material, FinetuningParameters(**shared, **TRAINING, epochs=1, training_checkpoints=2))
    scoring = {"evaluation_per_language": 2, "top_k": 5, "over_training": True}
    scoring |= {"mask_kinds": ("none", "own", "accuracy_matched"), "accuracy_tolerance": 0.2}
    return material, InfluenceParameters(**shared, **scoring, batch_size=1, memory_gib=1.0)


@pytest.fixture(scope="module")
def whole(searched: Study) -> str:
    """The fingerprint of the scores that one job computes."""
    return scored(*in_copy(searched, "whole"))


def in_copy(searched: Study, name: str) -> Study:
    """Return the study in a directory of its own."""
    material, p = searched
    study = Path(p.study_dir).with_name(name)
    shutil.copytree(p.study_dir, study)
    return material, p.model_copy(update={"study_dir": str(study)})


def pieces_of(p: InfluenceParameters) -> Path:
    return pieces_dir(scores_dir(p, p.condition, p.seed))


def made(p: InfluenceParameters) -> dict[Path, int]:
    """Return when every block was made."""
    return {file.parent: file.stat().st_mtime_ns for file in pieces_of(p).glob(f"*.blocks/*/{MANIFEST}")}


def scored(material: Material, p: InfluenceParameters) -> str:
    return content_fingerprint(keep_scores(material, p))


@pytest.mark.parametrize("count", [2, 7])
def test_shards_give_the_scores_of_one_job(searched: Study, whole: str, count: int, monkeypatch) -> None:
    material, p = in_copy(searched, f"shards{count}")
    score_shard(material, p)
    blocks = [score_shard(material, p, (i, count)) for i in range(count)]
    names = [block.relative_to(pieces_of(p)) for of_shard in blocks for block in of_shard]
    assert len(set(names)) == len(names) == len(made(p))
    sizes = [len(of_shard) for of_shard in blocks]
    assert min(sizes) > 0.5 * max(sizes)  # shares are alike
    # Nothing is left to compute: were a block computed, it would fail.
    monkeypatch.setattr("modspec.influence.tracin._Scorer.score", lambda *_: pytest.fail("a block was lost"))
    assert scored(material, p) == whole
    scores = load_file(scores_dir(p, p.condition, p.seed) / "scores.safetensors")
    assert all(np.ptp(values) > 0 for values in scores.values())
    assert not pieces_of(p).exists()
    assert score_shard(material, p, (0, count)) == []  # all is scored


def test_only_what_was_lost_or_damaged_is_made_again(searched: Study, whole: str) -> None:
    material, p = in_copy(searched, "lost")
    score_shard(material, p)
    shards = [score_shard(material, p, (i, 2)) for i in range(2)]
    before = made(p)
    lost, damaged = shards[0][0], shards[1][-1]
    shutil.rmtree(lost)
    file = damaged / "scores.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert score_shard(material, p, (0, 2)) == shards[0]
    assert {block for block, time in made(p).items() if before[block] != time} == {lost}
    assert scored(material, p) == whole  # the damaged block too was computed again


def test_blocks_under_other_masks_are_not_used(searched: Study) -> None:
    """Two machines could match masks in accuracy differently: their blocks must not be mixed."""
    material, p = in_copy(searched, "other-masks")
    score_shard(material, p)
    score_shard(material, p, (0, 2))
    before = made(p)
    shutil.rmtree(pieces_of(p) / "accuracy-matched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modspec.stages.control_masks.accuracy_matched", lambda mask, *_: (~mask, 1, 0.5))
        score_shard(material, p, (0, 2))
    changed = {
        block.parent.name.partition("0-")[0] for block, time in made(p).items() if before[block] != time
    }
    assert changed == {"accuracy_matched"}


def test_a_record_names_the_pieces_that_are_lost(tmp_path: Path) -> None:
    record, block = tmp_path / "records" / "0of2.json", tmp_path / "own-en.blocks" / "epoch01-rows4"
    block.mkdir(parents=True)
    record.parent.mkdir()
    write_record(record, [block])
    assert lost_pieces(record) == ["own-en.blocks/epoch01-rows4"]
    (block / MANIFEST).touch()
    assert lost_pieces(record) == []
    shutil.rmtree(block.parent)
    (tmp_path / "own-en").mkdir()
    (tmp_path / "own-en" / MANIFEST).touch()
    assert lost_pieces(record) == []  # the pass is finished, and its blocks were removed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scoring_shards": 0}, "scoring_shards: 0; allowed: at least 1"),
        ({"scoring_shards": 1001}, "scoring_shards: 1001; allowed: at most 1000"),
        ({"scoring_shards": 1.5}, "scoring_shards: [1.5]; allowed: one or more different whole numbers"),
        ({"scoring_shards": "two"}, "scoring_shards: ['two']; allowed: "),
        ({"scoring_shards": 2}, "scoring_shards: 2; allowed: 1, or memory_gib = a number"),
    ],
)
def test_bad_numbers_of_shards_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        resolve({"preset": "embedded", **settings})
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_the_number_of_shards_is_no_part_of_what_decides_scores() -> None:
    one, seven = (resolve({"memory_gib": 1, "scoring_shards": n}) for n in (1, 7))
    assert one.parameters("influence") == seven.parameters("influence")
