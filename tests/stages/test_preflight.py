"""What is checked before a study: each refusal is provoked, and nothing is written."""

from __future__ import annotations

import os
from collections import namedtuple
from itertools import product
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from modspec import __main__ as command_line
from modspec.downloads import hub
from modspec.errors import LONGEST, InputError
from modspec.models import encoders
from modspec.models.device_and_precision import hardware, processor
from modspec.stages import preflight
from modspec.stages.preflight import check_study
from modspec.workflow import artifacts, resources
from modspec.workflow.parameters import SearchParameters
from modspec.workflow.presets import StudyPlan, resolve
from modspec.workflow.resources import GIB
from tests.helpers.models import save_encoder

COMMIT = "0a" * 20
SMALL = {
    "task": "local",
    "data_dir": "data",
    "languages": ["en", "sw"],
    "encoder": "tiny",
    "train_per_language": 12,
    "dev_per_language": 6,
    "test_per_language": 6,
    "device": "cpu",
    "max_length": 16,
    "study": "mine",
    "seeds": [0, 1],
    "conditions": ["full", "sft"],
    "search": {"importance_examples": 4},
    "influence": {"evaluation_per_language": 3, "top_k": 4},
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with data, which relative paths start from."""
    (tmp_path / "data").mkdir()
    for language in ("en", "sw"):
        rows = [f"{i}\t{language} text {i}\t{'ab'[i % 2]}" for i in range(60)]
        text = "\n".join(["id\ttext\tlabel", *rows]) + "\n"
        (tmp_path / "data" / f"{language}.tsv").write_text(text, encoding="utf-8")
    (tmp_path / "empty.yaml").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(**changes: object) -> StudyPlan:
    return resolve({"preset": "empty.yaml"} | SMALL | changes)


def refusal(cores: int = 1, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        check_study(plan(**changes), cores)
    message = str(caught.value)
    assert "\n" not in message and len(message) <= LONGEST
    return message


def test_the_lines_say_what_the_study_is_and_takes_and_nothing_is_written(project: Path) -> None:
    before = sorted(project.rglob("*"))
    lines = check_study(plan(), cores=2)
    assert [line.partition(":")[0] for line in lines] == "study data encoder device disk memory".split()
    assert "'mine', 2 x search, 4 x fine-tuning" in lines[0]
    assert "languages en, sw; 12 train, 6 dev, 6 test examples per language; 2 labels; 0% of" in lines[1]
    assert "'tiny' (xlm-roberta), 3 layers x 4 heads" in lines[2]
    assert (
        lines[3] == f"device: cpu, precision {str(torch.float32).removeprefix('torch.')}" or "bf" in lines[3]
    )
    assert "for 2 jobs at once" in lines[5]
    assert sorted(project.rglob("*")) == before


def test_every_seeds_own_training_sample_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    own = plan(train_samples="per_seed")
    assert check_study(own)[0].endswith("fine-tuning and scoring, a training sample per seed")
    jobs = [own.parameters(s, seed=n) for s in ("search", "finetuning", "influence") for n in (0, 1)]
    found = [preflight.load_material(job) for job in jobs]
    data = [material.fingerprints["data"] for material in found]
    assert data == data[:2] * 3 and len(set(data)) == 2
    for split, same in {"train": False, "dev": True, "test": True}.items():
        first, second = (material.task.data[split].to_list() for material in found[:2])
        assert (first == second) == same

    def refuse(job: SearchParameters) -> None:
        raise InputError(f"sample of seed {job.train_sample_seed}")

    monkeypatch.setattr(preflight, "load_sample", refuse)
    assert refusal(train_samples="per_seed") == "sample of seed 1"
    check_study(plan())


def test_texts_that_are_cut_off_are_counted() -> None:
    assert "100% of the texts fill or exceed max_length = 8" in check_study(plan(max_length=8))[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cuda:7"}, "device: 'cuda:7' is not there"),
        ({"influence": {**SMALL["influence"], "device": "cuda:7"}}, "device: 'cuda:7' is not there"),
        ({"train_per_language": 400}, "train_per_language: 400, but en, sw share"),
        ({"data_dir": "nowhere"}, "data_dir: "),
        ({"languages": ["en", "yo"]}, "languages: local lacks yo"),
        ({"encoder": "./none"}, "encoder: './none' is not a directory"),
        ({"encoder": "tiny-bert", "max_length": 512, "data_dir": "data/en.tsv"}, "data_dir: "),
        ({"influence": {**SMALL["influence"], "train_items": 20}}, "train_items: 20; allowed: at most 12"),
    ],
)
def test_what_every_job_would_refuse_is_refused_first(changes: dict, message: str) -> None:
    assert refusal(**changes).startswith(message)


def test_a_directory_is_loaded_as_jobs_load_it(project: Path) -> None:
    directory = save_encoder(project / "models")
    assert "'models' (bert), 2 layers x 2 heads" in check_study(plan(encoder="models"))[2]
    assert refusal(encoder="models", max_length=131).startswith("max_length: 131; allowed: at most 130")
    (directory / "model.safetensors").write_bytes(b"")
    assert "model.safetensors" in refusal(encoder="models") and "damaged" in refusal(encoder="models")


def test_weights_of_the_hub_are_loaded_only_from_its_cache(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(project / "cache"))
    monkeypatch.setattr(hub, "hub_is_reachable", lambda: False)
    assert "the hub is not reachable" in refusal(encoder="org/model")
    cached = project / "cache" / "models--org--model"
    save_encoder(cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    line = check_study(plan(encoder="org/model"))[2]
    assert "'org/model' (bert), 2 layers x 2 heads" in line and "downloaded" not in line
    assert encoders.encoder_fingerprint("org/model") == f"org/model:{COMMIT}"
    (cached / "snapshots" / COMMIT / "model.safetensors").unlink()
    assert check_study(plan(encoder="org/model"))[2] == f"{line}, to be downloaded"


def test_a_place_that_cannot_be_written_to_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "runs" / "mine" / "search").mkdir(parents=True)
    may_write = os.access
    locked = project / "runs" / "mine" / "search"  # root may write anywhere, so permission is simulated
    monkeypatch.setattr(os, "access", lambda file, mode: file != locked and may_write(file, mode))
    assert f"{locked}' cannot be written to (Permission denied)" in refusal()
    locked = project / "runs"
    assert f"{locked}' cannot be written to (Permission denied)" in refusal(study="other")


def test_a_file_where_the_study_should_be_is_refused(project: Path) -> None:
    (project / "runs").write_text("")
    assert refusal().endswith("runs' is a file; allowed: a directory")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load data and encoder once in a test that changes neither."""
    material = preflight.load_material(plan().parameters("search"))
    monkeypatch.setattr(preflight, "load_material", lambda parameters: material)


Usage = namedtuple("Usage", "total used free")


def test_jobs_that_ran_on_another_processor_are_named(project: Path) -> None:
    """Of a seed that began here nothing is said, nor of artefacts that do not record a processor."""
    run = project / "runs" / "mine"
    finish_searches(run)
    assert not any("processor:" in line for line in check_study(plan()))
    records = {run / "checkpoints" / "full-seed0": (0, processor())}
    # Pieces of a job that is not finished count too.
    records[run / "scores" / "full-seed1.pieces" / "own-en"] = (1, "another one")
    for place, (seed, name) in records.items():
        record, made_by = hardware() | {"processor": name}, {"parameters": {"seed": seed}}
        with artifacts.writing(place, made_by, lambda r=record: r):
            pass
    (line,) = (line for line in check_study(plan()) if "processor:" in line)
    assert line.startswith(f"processor: {processor()}, ")
    assert "; but jobs ran on another one, " in line and " (seeds: 1). All jobs" in line
    message = refusal(blind=True)
    assert message.startswith("seeds: 1 began on another one, ") and "allowed in a blind study" in message
    check_study(plan(blind=True, seeds=[0, 2]))


def test_too_little_disk_is_refused_and_what_is_there_counts(
    project: Path, loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = encoders.load_classifier("tiny", num_labels=2, seed=0)
    least = 4 * 4 * sum(p.numel() for p in model.base_model.encoder.parameters())  # 4 runs of 4 bytes
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda folder: Usage(0, 0, least))
    changes = {"finetuning": {"epochs": 3, "keep_checkpoints": "last"}}
    finish_searches(project / "runs" / "mine")
    message = refusal(**changes)
    assert message.startswith(f"study: '{project / 'runs' / 'mine'}' will take at least")
    assert "keep_checkpoints=last" in message
    for run in ("full-seed0", "full-seed1", "sft-seed0"):  # runs that are scored take no more
        (project / "runs" / "mine" / "influence" / run).mkdir(parents=True)
        (project / "runs" / "mine" / "influence" / run / "manifest.json").write_text("{}")
    assert check_study(plan(**changes))[4].startswith("disk: at least 0.0 GiB")
    assert refusal(finetuning={"epochs": 6, "keep_checkpoints": "all"})
    pieces = project / "runs" / "mine" / "checkpoints" / "sft-seed1"
    pieces.mkdir(parents=True)
    (pieces / "epoch01.safetensors").write_bytes(bytes(least * 3))
    check_study(plan(finetuning={"epochs": 6, "keep_checkpoints": "all"}))


def test_a_search_needs_room_for_the_weights_of_all_languages(
    project: Path, loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = encoders.load_classifier("tiny", num_labels=2, seed=0)
    weights = 4 * sum(p.numel() for p in model.base_model.encoder.parameters())
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda folder: Usage(0, 0, weights))
    study = project / "runs" / "mine"
    for condition, seed in product(("full", "sft"), (0, 1)):  # nothing is left to train or to score
        (study / "influence" / f"{condition}-seed{seed}").mkdir(parents=True)
        (study / "influence" / f"{condition}-seed{seed}" / "manifest.json").write_text("{}")
    assert "will take at least" in refusal()
    finish_searches(study)
    check_study(plan())


def finish_searches(study: Path) -> None:
    """Make the searches look finished, so that their pieces are gone and their weights take no room."""
    for seed in (0, 1):
        (study / "search" / f"seed{seed}").mkdir(parents=True)
        (study / "search" / f"seed{seed}" / "manifest.json").write_text("{}")


def test_too_little_memory_for_the_jobs_at_once_is_refused(
    loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "memory_limit", lambda: GIB)
    assert "for 1 job at once; 1.0 are there" in check_study(plan(), cores=1)[5]
    assert "for 1 job at once" in check_study(plan(threads=2), cores=2)[5]
    assert refusal(cores=3).startswith(
        "study: 3 jobs at once take at least 1.5 GiB of memory, and there are 1.0"
    )
    assert "take at least 2.0 GiB" in refusal(cores=64)  # of four runs


def test_memory_that_scoring_is_told_to_fill_counts() -> None:
    linear = torch.nn.Linear(2**14, 2**13)  # half a GiB
    job = plan(influence={**SMALL["influence"], "memory_gib": 2.0}).parameters("influence")
    assert preflight._gradients(linear, job) == 2 * GIB
    few = plan(influence={**SMALL["influence"], "memory_gib": 99.0}).parameters("influence")
    assert preflight._gradients(linear, few) == 6 * GIB / 2
    assert preflight._gradients(linear, plan().parameters("influence")) == 0


def test_the_command_line_prints_the_lines_or_the_error(capsys: pytest.CaptureFixture) -> None:
    settings = [f"{name}={value}" for name, value in SMALL.items() if not isinstance(value, list | dict)]
    settings += ["languages=[en,sw]", "seeds=[0,1]", "conditions=[full]", "search={importance_examples: 4}"]
    settings += ["influence={evaluation_per_language: 3, top_k: 4}", "preset=empty.yaml"]
    command_line.main(["study", "check", *settings, "--cores", "1"])
    assert capsys.readouterr().out.startswith(
        "study: 'mine', 2 x search, 2 x fine-tuning and scoring\ndata: "
    )
    for wrong, message in {
        "top_k=99": "top_k: 99; allowed",
        "top_k": "Invalid config",
        "a b=1": "Invalid",
    }.items():
        with pytest.raises(SystemExit, match=f"error: {message}"):
            command_line.main(["study", "check", *settings, wrong])
