"""A scoring on a real SLURM: shards are jobs, the node dies while they run, and the scores are the same.

Skipped where SLURM or Snakemake's plugin is missing. To see it: pytest -s -m slow tests/cluster
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from modspec.stages.finetuning import finetune_condition
from modspec.stages.material import load_material
from modspec.stages.scoring import keep_scores
from modspec.stages.search import search_all
from modspec.workflow.artifacts import MANIFEST, content_fingerprint
from modspec.workflow.presets import resolve
from tests.notebooks.conftest import copy_project, environment, run

SCRIPT = Path(__file__).with_name("slurm_on_one_machine.sh")
PRESET = """
seeds: [0]
conditions: [full]
data:
  {encoder: tiny, languages: [en, de], train_per_language: 16, dev_per_language: 12, test_per_language: 10}
search: {epochs: 1, learning_rate: 0.001, importance_examples: 8}
finetuning: {epochs: 1, learning_rate: 0.001}
influence:
  {evaluation_per_language: 4, top_k: 4, top_ks: [4], mask_kinds: [none, own], batch_size: 1, memory_gib: 1}
"""
TRAINED = ("01_subnetwork_search-seed0", "02_finetuning-full-seed0")
SCORED = "runs/cluster/notebooks/03_influence_scoring-full-seed0.ipynb"
PIECES, SCORES = (f"runs/cluster/scores/full-seed0{suffix}" for suffix in (".pieces", ""))
FINISHED = f"*.blocks/[!.]*/{MANIFEST}"  # a block that is being made has a hidden directory
SETTINGS = ("--config", "preset=cluster", "scoring_shards=2", "--", SCORED)
PROFILE = ("--profile", "profiles/slurm", "--slurm-status-command", "squeue")
PROFILE += ("--slurm-init-seconds-before-status-checks", "2")
PROFILE += ("--default-resources", "mem_mb=500*attempt", "runtime=30", "slurm_partition=ci")
PATIENCE = 1200  # seconds: without its status command the plugin waits forever


@pytest.fixture(scope="module")
def node() -> Iterator[None]:
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("slurmctld", "slurmd", "munged")):
        pytest.skip("needs root and: apt-get install slurmctld slurmd slurm-client munge")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("needs snakemake-executor-plugin-slurm")
    with FileLock(Path(tempfile.gettempdir()) / "modspec-slurm.lock"):  # a machine has one at a time
        started = slurm("start")
        if started.returncode != 0:  # the site's own SLURM may be in use
            pytest.skip(f"SLURM cannot be started: {started.stderr.strip()}")
        yield
        slurm("stop")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with stages 1 and 2 done. They run outside SLURM, where jobs start slowly."""
    project = copy_project(tmp_path_factory.mktemp("cluster") / "project")
    preset = project / "notebooks" / "presets" / "cluster.yaml"
    preset.write_text(PRESET)
    search, finetuning = parameters(project, "search"), parameters(project, "finetuning")
    torch.set_num_threads(1)  # as in jobs
    material = load_material(search)
    search_all(material, search)
    finetune_condition(material, finetuning)
    for name in TRAINED:
        notebook = (project / SCORED).with_name(f"{name}.ipynb")
        notebook.parent.mkdir(exist_ok=True)
        notebook.touch()
    return project


def parameters(project: Path, stage: str):
    """Return a stage's parameters, in the project's study."""
    study = resolve({"preset": str(project / "notebooks" / "presets" / "cluster.yaml")})
    return study.parameters(stage).model_copy(update={"study_dir": str(project / "runs" / "cluster")})


def slurm(action: str) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", str(SCRIPT), action], capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_node_that_dies_costs_its_shards_their_unfinished_blocks(node, project: Path) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    output = project / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *PROFILE, *SETTINGS],
            cwd=project,
            env=environment(project),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        while not (finished := list((project / PIECES).glob(FINISHED))):
            assert process.poll() is None and time.monotonic() < began + PATIENCE, output.read_text()
            time.sleep(0.1)
        say(f"killing the node; jobs: {queue()}")
        slurm("kill")
        made = {block: block.stat().st_ino for block in (project / PIECES).glob(FINISHED)}
        assert made.keys() >= set(finished)
        assert slurm("revive").returncode == 0
        say(f"the node is back; {len(made)} blocks had been finished")
        blocks: dict[Path, int] = {}
        asked_for: set[str] = set()
        while process.poll() is None:
            assert time.monotonic() < began + PATIENCE, output.read_text()
            for block in made:  # they are removed once all is scored
                if block.exists():
                    blocks[block] = block.stat().st_ino
            asked_for |= set(re.findall(r"RUNNING (\S+) .*scoring_shard", queue()))
            time.sleep(0.5)
    finally:
        process.kill()
    say(f"the run ended with status {process.returncode}")
    print(text := output.read_text())
    assert process.returncode == 0, text[-4000:]
    assert blocks == made  # none was made again
    assert len(re.findall("^FAILED: scoring shard", text, re.MULTILINE)) >= 1
    assert len(re.findall("^done: scoring shard", text, re.MULTILINE)) == 2
    assert "1000M" in asked_for  # twice the memory of the first attempt
    assert not (project / PIECES).exists()

    again = run(project, "snakemake", "--dry-run", "--cores", "1", *SETTINGS)
    assert "Nothing to be done" in again.stdout  # although the records of shards are gone
    by_shards = content_fingerprint(project / SCORES)
    shutil.rmtree(project / SCORES)
    influence = parameters(project, "influence")
    assert content_fingerprint(keep_scores(load_material(influence), influence)) == by_shards
    say("scored again without SLURM, in one piece: the same scores")


def queue() -> str:
    """Return SLURM's jobs: number, state, memory and comment, which names the rule."""
    done = subprocess.run(["squeue", "-h", "-o", "%i %T %m %k"], capture_output=True, text=True, timeout=20)
    return "; ".join(done.stdout.split("\n")[:-1])
