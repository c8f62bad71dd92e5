"""A study on a real SLURM: shards are jobs, the node dies while they run, and the scores are the same.

Skipped where SLURM or Snakemake's plugin is missing. To see it: pytest -s -m slow tests/cluster
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modspec.workflow.artifacts import MANIFEST, content_fingerprint
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
NOTEBOOK = "runs/cluster/notebooks/03_influence_scoring-full-seed0.ipynb"
PIECES, SCORES = (f"runs/cluster/scores/full-seed0{suffix}" for suffix in (".pieces", ""))
PROFILE = ("--profile", "profiles/slurm", "--slurm-status-command", "squeue")
PROFILE += ("--slurm-init-seconds-before-status-checks", "2")
RESOURCES = ("--default-resources", "mem_mb=500*attempt", "runtime=30", "slurm_partition=ci")
PATIENCE = 1500  # seconds: without its status command the plugin waits forever


@pytest.fixture(scope="module")
def node() -> Iterator[None]:
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("slurmctld", "slurmd", "munged")):
        pytest.skip("needs root and: apt-get install slurmctld slurmd slurm-client munge")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("needs snakemake-executor-plugin-slurm")
    started = slurm("start")
    if "in use" in started.stderr:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    yield
    slurm("stop")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("cluster") / "project")
    (project / "notebooks" / "presets" / "cluster.yaml").write_text(PRESET)
    return project


def slurm(action: str) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", str(SCRIPT), action], capture_output=True, text=True, timeout=120)


def settings(shards: int) -> tuple[str, ...]:
    return ("--config", "preset=cluster", f"scoring_shards={shards}")


@pytest.mark.slow
def test_a_node_that_dies_costs_its_shards_their_unfinished_blocks(node, project: Path) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    command = ["snakemake", *PROFILE, *RESOURCES, *settings(2), "--", NOTEBOOK]
    output = project / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=project,
            env=environment(project),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        while not (finished := list((project / PIECES).glob("*.blocks/*/" + MANIFEST))):
            assert process.poll() is None and time.monotonic() < began + PATIENCE, output.read_text()
            time.sleep(0.2)
        say(f"killing the node; jobs: {queue()}")
        slurm("kill")
        made = {block: block.stat().st_ino for block in (project / PIECES).glob("*.blocks/*/" + MANIFEST)}
        assert made.keys() >= set(finished)
        assert slurm("revive").returncode == 0
        say(f"the node is back; {len(made)} blocks had been finished")
        blocks: dict[Path, int] = {}
        while process.poll() is None:
            assert time.monotonic() < began + PATIENCE, output.read_text()
            for block in made:  # they are removed once all is scored
                if block.exists():
                    blocks[block] = block.stat().st_ino
            time.sleep(0.2)
    finally:
        process.kill()
    say(f"the run ended with status {process.returncode}")
    print(text := output.read_text())
    assert process.returncode == 0, text[-4000:]
    assert blocks == made  # none was made again
    assert len(re.findall("^FAILED: scoring shard", text, re.MULTILINE)) >= 1
    assert len(re.findall("^done: scoring shard", text, re.MULTILINE)) == 2
    assert not (project / PIECES).exists()

    again = run(project, *command[:1], "--dry-run", "--cores", "1", *settings(2), "--", NOTEBOOK)
    assert "Nothing to be done" in again.stdout  # although the records of shards are gone
    by_shards = content_fingerprint(project / SCORES)
    for stage in ("scores", "influence"):
        shutil.rmtree(project / "runs" / "cluster" / stage)
    run(project, "snakemake", "--cores", "1", *settings(1), "--", NOTEBOOK)
    say("scored again without SLURM, in one piece")
    assert content_fingerprint(project / SCORES) == by_shards


def queue() -> str:
    """Return SLURM's jobs: number, state and comment, which names the rule."""
    done = subprocess.run(["squeue", "-h", "-o", "%i %T %k"], capture_output=True, text=True, timeout=20)
    return "; ".join(done.stdout.split("\n")[:-1])
