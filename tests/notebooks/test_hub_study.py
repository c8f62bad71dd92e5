"""The preset paper-xnli at toy size, with data and encoder from a hub, to its first checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from modspec.workflow import artifacts
from tests.helpers.hub_repositories import xlm_roberta, xnli
from tests.helpers.hub_server import HubServer
from tests.notebooks.conftest import copy_project, environment

TOY = (
    "preset=paper-xnli",
    "study=toy",
    "encoder=FacebookAI/xlm-roberta-base@v1",
    "languages=[en, de]",
    "train_per_language=55",
    "dev_per_language=20",
    "test_per_language=20",
    "evaluation_per_language=5",
    "search={epochs: 1, importance_examples: 20, learning_rate: 0.001}",
    "finetuning={epochs: 1, learning_rate: 0.001}",
)


@pytest.mark.slow
def test_paper_xnli_runs_from_the_hub_to_its_first_checkpoint(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    data, model = xnli(), xlm_roberta()
    model.tags["v1"] = model.files
    model.files = {**model.files, "README.md": b"newer"}
    target = "runs/toy/notebooks/02_finetuning-full-seed0.ipynb"
    with HubServer({"datasets/facebook/xnli": data, "models/FacebookAI/xlm-roberta-base": model}) as hub:
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", target, "--cores", "1", "--config", *TOY],
            cwd=project,
            env=environment(project) | hub.environment(tmp_path / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        asked = [path for method, path, status in hub.requests if method == "GET" and status == 200]
    assert sum(path.endswith("model.safetensors") for path in asked) == 1  # later jobs have it in their cache
    study = project / "runs" / "toy"
    pinned, commit = model.commit("v1"), data.commit("main")
    for stage in ("search/seed0", "finetuning/full-seed0", "checkpoints/full-seed0"):
        manifest = artifacts.read_manifest(study / stage)
        assert manifest["made_by"]["encoder"] == f"FacebookAI/xlm-roberta-base:{pinned}"
        commits = {"facebook/xnli": commit, "FacebookAI/xlm-roberta-base@v1": pinned}
        assert manifest["provenance"]["hub"] == commits
    weights = list((study / "checkpoints" / "full-seed0").glob("*.safetensors"))
    assert weights
    for checkpoint in weights:
        assert any(name.startswith("roberta.encoder.layer.1.") for name in load_file(checkpoint))
    assert commit in (project / target).read_text()
    assert "HF_TOKEN" not in os.environ  # what is public needs none
