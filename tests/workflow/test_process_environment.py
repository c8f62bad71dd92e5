"""The environment of processes that the project starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modspec.workflow.process_environment import process_environment


def test_a_module_runs_with_the_variables_and_its_arguments(tmp_path: Path) -> None:
    module = tmp_path / "show.py"
    module.write_text("import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))")
    command = [sys.executable, "-m", "modspec.workflow.process_environment", "show", "a b", "--c"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    arguments, variables = json.loads(output)
    assert arguments == ["a b", "--c"]
    assert process_environment().items() <= variables.items()


def test_kernels_of_this_environment_come_before_those_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PATH", "/cluster/jupyter")
    own, cluster = process_environment()["JUPYTER_PATH"].split(os.pathsep)
    assert cluster == "/cluster/jupyter"
    assert (Path(own) / "kernels" / "python3" / "kernel.json").exists()


def test_threads_are_set_where_they_are_given() -> None:
    assert process_environment(3)["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in process_environment()


def test_a_home_that_cannot_be_written_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "HOME" not in process_environment()
    cache = tmp_path / "home" / ".cache" / "modspec"
    cache.mkdir(parents=True)
    monkeypatch.delenv("MODSPEC_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    variables = process_environment()
    assert Path(variables["HOME"]).parts[-2:] == ("runs", ".home") and Path(variables["HOME"]).is_dir()
    assert variables["MODSPEC_CACHE"] == str(cache)
    monkeypatch.setenv("HOME", "/nonexistent")
    assert "MODSPEC_CACHE" not in process_environment()
