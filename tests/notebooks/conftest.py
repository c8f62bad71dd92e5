"""A copy of the project to run in, and the study that the tests run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.browser import chromium

__all__ = ["chromium"]

ROOT = Path(__file__).parents[2]

PRESET = """
seeds: [0, 1]
conditions: [full, sft]
data:
  encoder: tiny
  languages: [en, de]
  train_per_language: 30
  dev_per_language: 20
  test_per_language: 20
search: {epochs: 1, learning_rate: 0.001, weight_decay: 5e-5, importance_examples: 10}
finetuning: {epochs: 2, learning_rate: 0.001, training_checkpoints: 2}
influence: {scored_per_language: 28, evaluation_per_language: 3, top_k: 10, top_ks: [5, 10], checkpoints: all}
influence_by_condition:
  full:
    mask_kinds:
      [none, own, pooled_others, accuracy_matched, other_language, other_seed, random, dose, inherited]
    random_draws: 2
    over_training: true
  sft: {mask_kinds: [none, own], train_gradient_masks: [test_example, own_language], by_part: false}
"""


def copy_project(target: Path) -> Path:
    """Return a git repository with everything that a study runs on, and nothing that one left behind."""
    for name in ("notebooks", "modspec", "profiles"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "executed"))
    for name in ("Snakefile", "Makefile", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, target / name)
    (target / "notebooks" / "presets" / "test.yaml").write_text(PRESET)
    git(target, "init", "--quiet")
    git(target, "add", ".")
    git(target, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "project")
    return target


def git(project: Path, *arguments: str) -> str:
    """Run git in the project; return what it prints."""
    return subprocess.run(
        ["git", *arguments], cwd=project, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def run(project: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run ``python -m command`` in the project."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout[-4000:]
    return done


def environment(project: Path) -> dict[str, str]:
    """Return variables under which the project's own package is used, with one thread per process."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project)}


def snakemake(project: Path, *config: str, check: bool = True, extra: tuple[str, ...] = ()):
    """Run the command that users type."""
    return run(project, "snakemake", "--cores", "2", *extra, "--config", "preset=test", *config, check=check)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the test study has been run once, undisturbed. Tests that change it copy it."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    snakemake(project)
    return project
