"""The whole study, run small: what users get, what runs again when, and what a killed run leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from safetensors.numpy import load_file

from modspec.workflow import artifacts
from tests.notebooks.conftest import ROOT, copy_project, run, snakemake

RUNS = [f"{condition}-seed{seed}" for condition in ("full", "sft") for seed in (0, 1)]
STAGES = {
    **{f"search/seed{seed}": f"01_subnetwork_search-seed{seed}" for seed in (0, 1)},
    **{f"finetuning/{run}": f"02_finetuning-{run}" for run in RUNS},
    **{f"influence/{run}": f"03_influence_scoring-{run}" for run in RUNS},
}
FIGURES = [
    "head_masks",
    "mask_overlap",
    "pruning_trajectories",
    "accuracy",
    "in_language_share",
    "specialization",
    "influence_matrix",
    "share_change",
    "layer_share",
    "head_share",
    "head_influence",
    "claims",
    "sensitivity",
    "share_by_k",
]


def fingerprints(study: Path) -> dict[str, str]:
    stages = [*STAGES, *(f"scores/{run}" for run in RUNS)]
    return {stage: artifacts.content_fingerprint(study / stage) for stage in stages}


def planned(project: Path, *config: str) -> list[str]:
    """Rules that Snakemake would run, without running them."""
    output = snakemake(project, *config, extra=("--dry-run",)).stdout
    return sorted(line.split()[1].rstrip(":") for line in output.splitlines() if "rule " in line[:10])


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
    suffixes = {p.suffix for p in study.rglob("*") if p.is_file()}
    assert suffixes <= {".json", ".parquet", ".safetensors", ".ipynb"}
    assert not list(study.rglob("*.parts"))


def test_figures_come_with_their_data_and_provenance(project: Path) -> None:
    figures = project / "figures" / "test"
    for name in FIGURES:
        for suffix in ("csv", "pdf", "png"):
            assert (figures / f"{name}.{suffix}").stat().st_size > 100
    assert r"\begin{tabular}" in (figures / "claims.tex").read_text()
    record = json.loads((figures / "provenance.json").read_text())
    for name, described in record["files"].items():
        assert artifacts.describe(figures / name) == described
    assert record["inputs"] == {
        stage: artifacts.content_fingerprint(project / "runs" / "test" / stage) for stage in STAGES
    }
    runs = {stage: described["runs"] for stage, described in record["stages"].items()}
    assert runs == {"search": 2, "finetuning": 4, "influence": 4}


def test_redrawing_from_the_tables_gives_the_same_figures(project: Path) -> None:
    figures = project / "figures" / "test"
    before = {p.name: p.read_bytes() for p in figures.iterdir()}
    run(project, "modspec.figures.save", "figures")
    assert {p.name: p.read_bytes() for p in figures.iterdir()} == before


def test_a_second_run_does_nothing_and_says_so(project: Path) -> None:
    before = fingerprints(project / "runs" / "test")
    assert "Nothing to be done" in snakemake(project).stdout
    assert fingerprints(project / "runs" / "test") == before


def test_only_what_a_change_affects_runs_again(project: Path) -> None:
    assert planned(project, "top_k=11") == ["all", "figures", *["influence"] * 4]
    assert planned(project, "resamples=200") == ["all", "figures"]
    everything = ["all", "figures", *["finetuning"] * 4, *["influence"] * 4, *["search"] * 2]
    assert planned(project, "threshold=0.9") == everything


def test_a_deleted_artefact_is_made_again(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    before = fingerprints(copy / "runs" / "test")
    shutil.rmtree(copy / "runs" / "test" / "finetuning" / "sft-seed1")
    output = snakemake(copy).stdout
    assert "localrule finetuning" in output and "localrule search" not in output
    assert fingerprints(copy / "runs" / "test") == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("threshold=1.5", "threshold: 1.5 (float); allowed: less than or equal to 1"),
        ("treshold=0.9", "treshold: 0.9 is not a parameter"),
        ("languages=[en, xx]", "languages: intents lacks xx"),
        ("task=nli", "task: 'nli' is not known"),
        ("top_k=500", "top_k: 500; allowed: at most the 56 training examples"),
    ],
)
def test_a_wrong_parameter_stops_snakemake_before_any_job(project: Path, config: str, message: str) -> None:
    done = snakemake(project, config, "study=wrong", check=False)
    assert done.returncode != 0
    assert sum(message in line for line in done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stdout
    assert not (project / "runs" / "wrong").exists()


def test_papermill_alone_continues_from_stage_one(project: Path, tmp_path: Path) -> None:
    common = ["-p", "study_dir", "runs/test", "-p", "encoder", "tiny", "-y", '{"languages": ["en", "de"]}']
    sizes = [
        "-p",
        "train_per_language",
        "30",
        "-p",
        "dev_per_language",
        "20",
        "-p",
        "test_per_language",
        "20",
        "-p",
        "condition",
        "sft_union",
    ]
    out = tmp_path / "out.ipynb"
    notebook = "notebooks/02_finetuning.ipynb"
    # Also from the notebooks' own folder, as JupyterLab starts them.
    run(project, "papermill", "--cwd", "notebooks", notebook, str(out), *common, *sizes, "-p", "epochs", "1")
    accuracy = project / "runs" / "test" / "finetuning" / "sft_union-seed0"
    assert artifacts.read_manifest(accuracy)["made_by"]["parameters"]["epochs"] == 1

    done = run(project, "papermill", notebook, str(out), *common, "-p", "epoch", "1", check=False)
    assert done.returncode != 0
    assert (
        "InputError: epoch: 1 is not a parameter of this stage; allowed: epochs (did you mean it?)"
        in done.stdout
    )

    done = run(project, "papermill", notebook, str(out), *common, "-p", "data_seed", "1", check=False)
    assert done.returncode != 0
    assert "search/seed0: was made from another data (task, languages, sizes" in done.stdout

    done = run(project, "papermill", notebook, str(out), *common, *sizes, "-p", "seed", "7", check=False)
    assert done.returncode != 0
    assert "search/seed7: no manifest.json; run the stage that makes it first" in done.stdout


def test_a_truncated_input_is_named(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    masks = copy / "runs" / "test" / "search" / "seed0" / "masks.safetensors"
    masks.write_bytes(masks.read_bytes()[:-3])
    done = snakemake(copy, "finetuning={epochs: 3}", check=False)
    assert done.returncode != 0
    assert "search/seed0/masks.safetensors: truncated or altered" in done.stdout


def test_what_is_published_suffices_to_go_on(project: Path, tmp_path: Path) -> None:
    """As in a new clone: tables and notebooks are there, weights, scores and Snakemake's records are not."""
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    shutil.copy(ROOT / "Makefile", copy)
    claims = (copy / "figures" / "test" / "claims.csv").read_bytes()
    make = ["make", "-C", str(copy), "PRESET=test"]
    subprocess.run([*make, "publish"], check=True)
    for lost in ("runs", ".snakemake"):
        shutil.rmtree(copy / lost)
    subprocess.run([*make, "restore"], check=True)
    assert {p.name for p in (copy / "runs" / "test").iterdir()} == {
        "search",
        "finetuning",
        "influence",
        "notebooks",
    }
    assert planned(copy) == ["all", "figures"]
    snakemake(copy)
    assert (copy / "figures" / "test" / "claims.csv").read_bytes() == claims
    # Of what was not published, only what is asked for is made again.
    shutil.rmtree(copy / "runs" / "test" / "influence" / "sft-seed1")
    assert planned(copy) == ["all", "figures", "finetuning", "influence"]


def test_of_an_unfinished_study_what_is_finished_is_published(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    shutil.copy(ROOT / "Makefile", copy)
    study, kept = copy / "runs" / "test", copy / "figures" / "test" / "artefacts"
    shutil.rmtree(study / "influence")
    finished = {artefact.name for artefact in (study / "finetuning").iterdir()}
    (study / "finetuning" / "sft-seed1.parts" / "half").mkdir(parents=True)
    subprocess.run(["make", "-C", str(copy), "PRESET=test", "publish"], check=True)
    assert {stage.name for stage in kept.iterdir()} == {"search", "finetuning"}
    assert {artefact.name for artefact in (kept / "finetuning").iterdir()} == finished >= set(RUNS)


@pytest.mark.parametrize("moment", ["search/seed0.parts/en", "scores/sft-seed0.parts/none"])
def test_a_killed_run_resumes_to_the_same_result(project: Path, tmp_path: Path, moment: str) -> None:
    """The whole process group dies, as in a power cut, once a stage has finished one of its parts."""
    copy = copy_project(tmp_path)
    if moment.startswith("scores"):
        for done in ("runs/test/search", "runs/test/finetuning", "runs/test/notebooks"):
            shutil.copytree(project / done, copy / done)
        for notebook in (copy / "runs" / "test" / "notebooks").glob("03_*"):
            notebook.unlink()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", "preset=test"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy)}
    process = subprocess.Popen(command, cwd=copy, env=environment, start_new_session=True)
    part = copy / "runs" / "test" / moment
    deadline = time.monotonic() + 240
    while not (part / "manifest.json").exists() and process.poll() is None:
        assert time.monotonic() < deadline, "the part was never finished"
        time.sleep(0.02)
    kill_all(process.pid)
    process.wait()
    assert part.exists(), "killed too late to test anything"
    stamp = (part / "manifest.json").stat().st_mtime_ns

    output = snakemake(copy).stdout
    assert "Nothing to be done" not in output
    assert stamp  # the part was there before the second run, which removes it when it is gathered
    assert fingerprints(copy / "runs" / "test") == fingerprints(project / "runs" / "test")
    assert "en" in load_file(copy / "runs" / "test" / "search" / "seed0" / "masks.safetensors")


def kill_all(session: int) -> None:
    """SIGKILL to every process of a session: kernels have process groups of their own."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                pass
