"""Provenance says which code ran, and whether it was what the commit holds."""

import subprocess
from pathlib import Path

import pytest

from modspec.workflow.provenance import as_table, computed_on, git_state, provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_and_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert git_state() == {"commit": "unknown", "dirty": "unknown"}
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.csv").write_text("result")
    assert git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "code.py").write_text("2")
    assert git_state() == {"commit": commit, "dirty": True}
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as in a container
    with pytest.raises(subprocess.CalledProcessError):
        git(tmp_path, "status")
    assert git_state() == {"commit": commit, "dirty": True}


def test_a_record_has_versions_time_and_memory() -> None:
    record = provenance()
    assert record["torch"] and record["wall_seconds"] >= 0 and 0.01 < record["peak_memory_gib"] < 100
    assert as_table(record, {"seed": 3}).loc["seed", "value"] == "3"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"device": "CPU", "processor": "A", "instructions": "AVX2", "auto_precision": "torch.float32"},
            "A, AVX2, float32",
        ),
        ({"device": "CPU", "instructions": "AVX2", "auto_precision": "torch.float32"}, "AVX2, float32"),
        ({"device": "a GPU", "processor": "A", "auto_precision": "torch.bfloat16"}, "a GPU, bfloat16"),
        ({"device": "CPU"}, "not recorded"),
    ],
)
def test_what_computed_a_result_is_said_as_far_as_it_is_recorded(record: dict[str, str], words: str) -> None:
    assert computed_on(record) == words
