"""The whole study, run small: what users get, what runs again when, and what a killed run leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from safetensors.numpy import load_file

from modspec.data.tasks import check_languages
from modspec.errors import InputError
from modspec.workflow import artifacts
from modspec.workflow.presets import resolve
from tests.notebooks.conftest import environment, git, run, snakemake

RUNS = [f"{condition}-seed{seed}" for condition in ("full", "sft") for seed in (0, 1)]
STAGES = {
    **{f"search/seed{seed}": f"01_subnetwork_search-seed{seed}" for seed in (0, 1)},
    **{f"finetuning/{run}": f"02_finetuning-{run}" for run in RUNS},
    **{f"influence/{run}": f"03_influence_scoring-{run}" for run in RUNS},
}
FIGURES = "runs/test/figures"
FIGURE_NAMES = [
    "head_masks",
    "mask_overlap",
    "pruning_trajectories",
    "accuracy",
    "in_language_share",
    "specialization",
    "influence_matrix",
    "share_change",
    "questions",
    "sensitivity",
    "share_by_accuracy",
    "share_by_k",
    "share_over_training",
    *(f"exploration/{name}" for name in ("layer_share", "head_share", "head_influence")),
]


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A copy of the project and of its finished study, for tests that change it."""
    return shutil.copytree(project, tmp_path / "copy")


def fingerprints(study: Path) -> dict[str, str]:
    stages = [*STAGES, *(f"scores/{run}" for run in RUNS)]
    return {stage: artifacts.content_fingerprint(study / stage) for stage in stages}


def planned(project: Path, *config: str) -> list[str]:
    """Rules that Snakemake would run, without running them."""
    output = snakemake(project, *config, extra=("--dry-run",)).stdout
    return sorted(re.findall(r"^would run: (\w+)", output, re.MULTILINE))


def test_every_stage_leaves_an_artefact_and_an_executed_notebook(project: Path) -> None:
    study = project / "runs" / "test"
    for stage, name in STAGES.items():
        manifest = artifacts.read_manifest(study / stage)
        assert manifest["made_by"]["stage"] == stage.split("/")[0]
        assert manifest["provenance"]["torch"]
        cells = nbformat.read(study / "notebooks" / f"{name}.ipynb", as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code if cell.source)
        assert "peak_memory_gib" in str(code[-1].outputs)
    suffixes = {p.suffix for p in study.rglob("*") if p.is_file() and "figures" not in p.parts}
    assert suffixes <= {".json", ".parquet", ".safetensors", ".ipynb", ".log", ".lock"}
    assert not list(study.rglob("*.pieces"))


def test_a_run_leaves_the_repository_clean(project: Path) -> None:
    assert git(project, "status", "--porcelain") == ""
    assert not (project / "figures").exists()


def test_figures_come_with_their_data_and_provenance(project: Path) -> None:
    figures = project / FIGURES
    for name in FIGURE_NAMES:
        for suffix in ("csv", "pdf", "png"):
            assert (figures / f"{name}.{suffix}").stat().st_size > 100
    assert r"\begin{tabular}" in (figures / "table_findings.tex").read_text()
    for folder in (figures / "exploration", figures):
        record = json.loads((folder / "provenance.json").read_text())
        assert set(record["files"]) == {file.name for file in folder.glob("*.*")} - {"provenance.json"}
        for name, described in record["files"].items():
            assert artifacts.describe(folder / name) == described
        assert record["inputs"] == {
            stage: artifacts.content_fingerprint(project / "runs" / "test" / stage) for stage in STAGES
        }
    runs = {stage: described["runs"] for stage, described in record["stages"].items()}
    assert runs == {"search": 2, "finetuning": 4, "influence": 4}


@pytest.mark.slow
def test_redrawing_from_the_tables_gives_the_same_figures(project: Path, tmp_path: Path) -> None:
    figures = shutil.copytree(project / FIGURES, tmp_path / "figures")
    before = {p: p.read_bytes() for p in figures.rglob("*.*")}
    run(project, "modspec.figures.save", str(figures))
    assert {p: p.read_bytes() for p in figures.rglob("*.*")} == before


def test_a_second_run_does_nothing_and_says_so(project: Path) -> None:
    before = fingerprints(project / "runs" / "test")
    assert "Nothing to be done" in snakemake(project).stdout
    assert fingerprints(project / "runs" / "test") == before


@pytest.mark.slow
def test_only_what_a_change_affects_runs_again(project: Path) -> None:
    assert planned(project, "top_k=11") == ["exploration", "figures", *["influence"] * 4]
    assert planned(project, "confidence=0.9") == ["exploration", "figures"]
    everything = ["exploration", "figures", *["finetuning"] * 4, *["influence"] * 4, *["search"] * 2]
    assert planned(project, "threshold=0.9") == everything


def test_a_deleted_artefact_will_be_made_again(copy: Path) -> None:
    shutil.rmtree(copy / "runs" / "test" / "finetuning" / "sft-seed1")
    assert planned(copy) == ["exploration", "figures", "finetuning", "influence"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("threshold=1.5", "threshold: 1.5 (float); allowed: less than or equal to 1"),
        ("languages=[en, xx]", "languages: intents lacks xx"),
    ],
)
def test_a_wrong_parameter_stops_snakemake_before_any_job(project: Path, config: str, message: str) -> None:
    done = snakemake(project, config, "study=wrong", check=False)
    assert done.returncode != 0
    assert sum(message in line for line in done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stdout
    assert not (project / "runs" / "wrong").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"treshold": 0.9}, "treshold: 0.9 is not a parameter"),
        ({"task": "nli"}, "task: 'nli' is not known"),
        ({"top_k": 500}, "top_k: 500; allowed: at most the 56 training examples"),
    ],
)
def test_a_wrong_parameter_is_found_by_the_checks_that_snakemake_makes(
    project: Path, config: dict, message: str
) -> None:
    with pytest.raises(InputError) as error:
        study = resolve({"preset": str(project / "notebooks" / "presets" / "test.yaml"), **config})
        first = study.parameters("search", seed=study.seeds[0])
        check_languages(first.task, first.languages, first.data_dir)
    assert message in str(error.value)


@pytest.mark.slow
def test_papermill_alone_continues_from_stage_one(copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    given = ["-p", "study_dir", "runs/test", "-p", "encoder", "tiny", "-y", '{"languages": ["en", "de"]}']
    sizes = [
        f"-p {split}_per_language {n}".split() for split, n in (("train", 30), ("dev", 20), ("test", 20))
    ]
    given += ["-p", "condition", "sft_union", *sum(sizes, [])]

    def papermill(*arguments: str, check: bool = False) -> subprocess.CompletedProcess:
        return run(
            copy, "papermill", "notebooks/02_finetuning.ipynb", str(out), *given, *arguments, check=check
        )

    # Also from the notebooks' own folder, as JupyterLab starts them.
    papermill("--cwd", "notebooks", "-p", "epochs", "1", check=True)
    artefact = copy / "runs" / "test" / "finetuning" / "sft_union-seed0"
    assert artifacts.read_manifest(artefact)["made_by"]["parameters"]["epochs"] == 1
    for name, value, message in (
        (
            "epoch",
            "1",
            "InputError: epoch: 1 is not a parameter of this stage; allowed: epochs (did you mean it?)",
        ),
        ("data_seed", "1", "search/seed0: was made from another data (task, languages, sizes"),
        ("seed", "7", "search/seed7: no manifest.json; run the stage that makes it first"),
    ):
        done = papermill("-p", name, value)
        assert done.returncode != 0
        assert message in done.stdout


@pytest.mark.slow
def test_a_truncated_input_is_named(copy: Path) -> None:
    masks = copy / "runs" / "test" / "search" / "seed0" / "masks.safetensors"
    masks.write_bytes(masks.read_bytes()[:-3])
    notebook = "runs/test/notebooks/02_finetuning-sft-seed0.ipynb"
    done = snakemake(copy, "finetuning={epochs: 3}", check=False, extra=(notebook,))
    assert done.returncode != 0
    assert "search/seed0/masks.safetensors: truncated or altered" in done.stdout


def copied(project: Path, action: str) -> None:
    """Publish or restore the study."""
    run(project, "modspec.workflow.publishing", action, "test")


@pytest.mark.slow
def test_what_is_published_suffices_to_go_on(copy: Path) -> None:
    """As in a new clone: tables and notebooks are there, weights, scores and Snakemake's records are not."""
    study, published = copy / "runs" / "test", copy / "figures" / "test"
    (published / "calibration").mkdir(parents=True)
    for kept_or_not in ("calibration/kept.csv", "no_longer_drawn.csv"):
        (published / kept_or_not).touch()
    figures = {file.name: file.read_bytes() for file in (study / "figures").iterdir() if file.is_file()}
    copied(copy, "publish")
    assert {file.name: file.read_bytes() for file in published.iterdir() if file.is_file()} == figures
    assert (published / "calibration" / "kept.csv").exists()
    executed = {file.name for file in (copy / "notebooks" / "executed" / "test").iterdir()}
    assert executed == {file.name for file in (study / "notebooks").glob("*.ipynb")}
    for lost in ("runs", ".snakemake"):
        shutil.rmtree(copy / lost)
    copied(copy, "restore")
    assert {p.name for p in study.iterdir()} == {"search", "finetuning", "influence", "notebooks"}
    assert planned(copy) == ["exploration", "figures"]
    # Of what was not published, only what is asked for is made again.
    shutil.rmtree(study / "influence" / "sft-seed1")
    assert planned(copy) == ["exploration", "figures", "finetuning", "influence"]


@pytest.mark.slow
def test_a_search_by_language_gives_the_same_masks(copy: Path) -> None:
    search, notebook = copy / "runs/test/search/seed0", f"runs/test/notebooks/{STAGES['search/seed0']}.ipynb"
    before = artifacts.content_fingerprint(search)
    shutil.rmtree(search)
    output = snakemake(copy, "search_by_language=true", extra=(notebook,)).stdout
    assert "(5 of 5)" in output  # jobs: two languages, two pooled-others masks, and the notebook
    log = copy / "runs/test/logs/01_subnetwork_search-seed0.log"
    assert "already done: seed0.pieces/de" in log.read_text()
    assert artifacts.content_fingerprint(search) == before
    assert [place.name for place in search.parent.glob("seed0*")] == ["seed0"]  # no records and pieces
    again = snakemake(copy, "search_by_language=true", extra=(notebook,)).stdout
    assert "Nothing to be done" in again


@pytest.mark.slow
def test_languages_are_left_out_on_request_resumed_and_published(copy: Path) -> None:
    study = copy / "runs" / "test"
    output = snakemake(copy, "seeds=0", extra=("leave_one_out",)).stdout
    assert "started: leave one out, full, seed 0" in output and "started: finetuning" not in output
    artefacts = {artefact.name for artefact in (study / "leave_one_out").iterdir()}
    assert artefacts == {"full-seed0", "sft-seed0"}
    cells = nbformat.read(study / "notebooks" / "06_leave_one_out-sft-seed0.ipynb", as_version=4).cells
    assert "nats of margin more than leaving out a random part" in str(cells[-3].outputs)
    assert "Nothing to be done" in snakemake(copy, "seeds=0", extra=("leave_one_out",)).stdout
    assert planned(copy) == []  # the study itself does not ask for it
    # One that does has it before its figures, which answer Q7 from it.
    assert {"leave", "figures"} <= set(planned(copy, "left_out_seeds=1"))
    copied(copy, "publish")
    shutil.rmtree(study / "leave_one_out" / "full-seed0")
    again = snakemake(copy, "seeds=0", extra=("leave_one_out", "--dry-run")).stdout
    assert re.findall("would run: (.*)", again) == ["leave one out, full, seed 0"]
    copied(copy, "restore")
    assert (study / "leave_one_out" / "full-seed0" / "margins.parquet").exists()


@pytest.mark.slow
def test_stage_four_gives_the_same_tables_from_what_is_published(copy: Path) -> None:
    answers = (copy / FIGURES / "questions.csv").read_bytes()
    copied(copy, "publish")
    for lost in ("runs", ".snakemake"):
        shutil.rmtree(copy / lost)
    copied(copy, "restore")
    snakemake(copy)
    assert (copy / FIGURES / "questions.csv").read_bytes() == answers


def test_of_an_unfinished_study_what_is_finished_is_published(copy: Path) -> None:
    study, published = copy / "runs" / "test", copy / "figures" / "test"
    for missing in ("influence", "figures"):
        shutil.rmtree(study / missing)
    finished = {artefact.name for artefact in (study / "finetuning").iterdir()}
    (study / "finetuning" / "sft-seed1.pieces" / "half").mkdir(parents=True)
    copied(copy, "publish")
    assert {file.name for file in published.iterdir()} == {"artefacts"}
    assert {stage.name for stage in (published / "artefacts").iterdir()} == {"search", "finetuning"}
    kept = {artefact.name for artefact in (published / "artefacts" / "finetuning").iterdir()}
    assert kept == finished >= set(RUNS)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_result(copy: Path) -> None:
    """The whole process group dies, as in a power cut, twice: each time one part of a stage is finished."""
    study = copy / "runs" / "test"
    before = fingerprints(study)
    for lost in (
        "search/seed0",
        "finetuning/sft-seed1",
        "scores/sft-seed0",
        "influence/sft-seed0",
        "figures",
    ):
        shutil.rmtree(study / lost)
    for part in ("search/seed0.pieces/en", "scores/sft-seed0.pieces/none"):
        kill_once_there(copy, study / part)
        assert not list(study.glob("figures/*"))
    output = snakemake(copy).stdout
    assert "Nothing to be done" not in output
    assert fingerprints(study) == before
    assert "en" in load_file(study / "search" / "seed0" / "masks.safetensors")
    assert git(copy, "status", "--porcelain") == ""


def kill_once_there(project: Path, part: Path) -> None:
    """Start the study and kill it as soon as ``part`` is finished."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "preset=test"]
    process = subprocess.Popen(command, cwd=project, env=environment(project), start_new_session=True)
    deadline = time.monotonic() + 600
    while not (part / "manifest.json").exists() and process.poll() is None:
        assert time.monotonic() < deadline, "the part was never finished"
        time.sleep(0.02)
    kill_all(process.pid)
    process.wait()
    assert part.exists(), "killed too late to test anything"


def kill_all(session: int) -> None:
    """Send SIGKILL to every process of a session: kernels have process groups of their own."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                pass
