"""The experiments on the tiny encoder: what they leave, what resumes, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from modspec.analysis.shares import example_statistics
from modspec.calibration import models
from modspec.calibration.cipher import CIPHERED, PLAIN, cipher, cipher_experiment
from modspec.calibration.clones import BOTH, HALVES, OTHERS, clone_experiment
from modspec.calibration.models import calibration_dir, load_sentences
from modspec.errors import InputError
from modspec.stages.material import Material
from modspec.workflow import artifacts
from modspec.workflow.parameters import CalibrationParameters
from tests.calibration.test_clones import SCORED

SMALL = {
    "encoder": "tiny",
    "languages": ["en", "ru", "zh-CN"],
    "train_per_language": 12,
    "dev_per_language": 20,
    "test_per_language": 20,
    "sentences": 24,
    "seeds": [0, 1],
    "epochs": 1,
    "learning_rate": 0.001,
    "step": 0.4,
    "evaluation_per_language": 8,
    "top_k": 6,
    "clone_splits": 3,
    "cipher_shares": [0.0, 1.0],
    "resamples": 100,
}


def parameters(folder: Path, **changed: object) -> CalibrationParameters:
    return CalibrationParameters(study_dir=str(folder), **{**SMALL, **changed})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, Path, dict[str, pd.DataFrame]]:
    """Both experiments, run once."""
    p = parameters(tmp_path_factory.mktemp("study"))
    material, directory = load_sentences(p), calibration_dir(p)
    experiments = {"clone": clone_experiment, "cipher": cipher_experiment}
    return material, directory, {name: run(material, p, directory) for name, run in experiments.items()}


def test_every_experiment_leaves_artefacts(done) -> None:
    material, directory, _ = done
    runs = {"clone", "clone-seed0", "clone-seed1", "cipher"}
    runs |= {f"cipher{share}-seed{seed}" for share in ("0", "1") for seed in (0, 1)}
    assert {path.name for path in directory.iterdir()} == runs
    for name in runs:
        manifest = artifacts.read_manifest(directory / name)
        assert manifest["made_by"]["stage"] == "calibration" and manifest["provenance"]["torch"]
    assert {p.suffix for p in directory.rglob("*") if p.is_file()} == {".json", ".parquet", ".safetensors"}
    assert len(material.examples["train"].of("en")) == 24


def test_clones_are_scored_by_models_that_know_no_split_and_under_two_masks(done) -> None:
    _, directory, tables = done
    found = [load_file(directory / f"clone-seed{seed}" / "scores.safetensors") for seed in (0, 1)]
    for scores in found:
        assert {name: values.shape for name, values in scores.items()} == dict.fromkeys(SCORED, (24, 8))
        assert all(np.abs(values).max() <= 1 + 1e-5 for values in scores.values())
    assert not np.array_equal(found[0]["none"], found[1]["none"])
    masks = load_file(directory / "clone-seed0" / "masks.safetensors")
    assert set(masks) == set(SCORED[1:])
    assert all(0 < mask.sum() <= mask.size == 12 for mask in masks.values())
    for half in HALVES:
        own, others = masks[half], masks[f"{OTHERS} {half}"]
        assert np.array_equal(own.sum(axis=1), others.sum(axis=1))
    tests = tables["clone"]
    assert set(tests["split"]) == set(range(4)) and len(tests) == 4 * 5 * 2 * 3


def test_dose_response_is_that_of_the_stored_scores(done) -> None:
    _, directory, tables = done
    response = tables["cipher"].set_index(["seed", "dose", "measure", "language"])
    for seed, share in ((0, 0.0), (1, 1.0)):
        run = directory / f"cipher{share:g}-seed{seed}"
        train, tested = (pd.read_parquet(run / f"{name}.parquet") for name in ("train", "evaluation"))
        names = [np.where(table["plain"], PLAIN, CIPHERED) for table in (train, tested)]
        scores = load_file(run / "scores.safetensors")["cosine"]
        table = example_statistics(scores, *names, np.arange(8), 6)
        table = table[table["language"] == table["train_language"]]
        row = response.loc[(str(seed), share, "share", BOTH)]
        assert row["value"] == pytest.approx(table["proponents"].mean())
        assert row["accuracy"] == tested["correct"].mean()
    pieces = response["pieces"].groupby("dose").mean()
    assert pieces[0.0] == 0 < pieces[1.0] < 1  # special pieces stay
    assert set(response.index.get_level_values("seed")) == {"0", "1", "all"}
    assert response["p"].between(0, 1).all() and len(response) == 2 * 3 * 3 * 3


def test_models_at_one_dose_differ_in_their_ciphers_and_no_foreign_piece_is_the_languages(done) -> None:
    material, directory, _ = done
    p = parameters(directory.parent)
    first, second = (cipher(material, p, 1.0, seed) for seed in (0, 1))
    assert not np.array_equal(first, second)
    used = np.unique(np.concatenate([i for s in material.examples.values() for i in s.of("en").input_ids]))
    moved = first != np.arange(len(first))
    assert set(used[~moved[used]]) <= {0, 1, 2, 3} and not set(first[moved]) & set(used)


def test_a_second_run_computes_nothing(done, monkeypatch, capsys) -> None:
    material, directory, tables = done
    p = parameters(directory.parent)
    monkeypatch.setattr(models, "finetune", None)
    pd.testing.assert_frame_equal(clone_experiment(material, p, directory), tables["clone"])
    pd.testing.assert_frame_equal(cipher_experiment(material, p, directory), tables["cipher"])
    assert capsys.readouterr().out.count("already done") == 8


def test_a_killed_run_resumes_to_the_same_result(done, tmp_path, monkeypatch) -> None:
    material, directory, tables = done
    p = parameters(directory.parent)
    trained, finetune = [], models.finetune

    def killed(*arguments, seed: int, **options):
        if seed == 1:
            raise KeyboardInterrupt
        return finetune(*arguments, seed=seed, **options)

    def counted(*arguments, seed: int, **options):
        trained.append(seed)
        return finetune(*arguments, seed=seed, **options)

    monkeypatch.setattr(models, "finetune", killed)
    with pytest.raises(KeyboardInterrupt):
        clone_experiment(material, p, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["clone-seed0"]
    monkeypatch.setattr(models, "finetune", counted)
    pd.testing.assert_frame_equal(clone_experiment(material, p, tmp_path), tables["clone"])
    assert trained == [1, 1, 1]
    fingerprints = [artifacts.content_fingerprint(d / "clone-seed0") for d in (tmp_path, directory)]
    assert fingerprints[0] == fingerprints[1]


def test_new_seeds_and_splits_leave_finished_models_valid(done, monkeypatch, capsys) -> None:
    _, directory, _ = done
    p = parameters(directory.parent, seeds=[0], clone_splits=2, cipher_shares=[1.0], top_k=5)
    monkeypatch.setattr(models, "finetune", None)
    material = load_sentences(p)
    assert set(clone_experiment(material, p, directory)["split"]) == {0, 1, 2}
    assert set(cipher_experiment(material, p, directory)["dose"]) == {1.0}
    assert capsys.readouterr().out.count("already done") == 2


def test_too_few_foreign_pieces_are_refused_before_any_training(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(models, "finetune", None)
    p = parameters(tmp_path, languages=["en"])
    material = load_sentences(p)
    with pytest.raises(InputError, match="share: 1.0 of the .* pieces of 'en' need"):
        cipher_experiment(material, p, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"language": "de"}, "language: 'de'; allowed: one of en, ru, zh-CN"),
        ({"evaluation_per_language": 21}, "evaluation_per_language: 21; allowed: at most test_per_language"),
        ({"top_k": 25}, "top_k: 25; allowed: at most 24"),
        ({"seeds": [0, 0]}, "seeds: [0, 0]; allowed: each value once"),
        ({"cipher_shares": [0.5, 0.5]}, "cipher_shares: [0.5, 0.5]; allowed: each value once"),
        ({"cipher_shares": [1.5]}, "cipher_shares.0: 1.5 (float); allowed: less than or equal to 1"),
        ({"sentences": 3}, "sentences: 3 (int); allowed: greater than or equal to 4"),
    ],
)
def test_wrong_parameters_are_one_line(values: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        parameters(tmp_path, **values)
    assert str(caught.value).startswith(message)
