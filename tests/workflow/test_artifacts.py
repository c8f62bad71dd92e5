"""Artefacts are whole or absent, and damage is found and named."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from modspec.errors import InputError
from modspec.stages.resuming import resumable
from modspec.workflow import artifacts

MADE_BY = {"stage": "test", "parameters": {"languages": ["en", "de"], "step": 0.1}}


def write(directory: Path, text: str = "masks", made_by: dict = MADE_BY) -> None:
    with artifacts.writing(directory, made_by) as building:
        (building / "masks.txt").write_text(text)
        (building / "scores.txt").write_text("scores")


def test_a_written_artefact_is_current_for_what_made_it_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "a")
    assert artifacts.is_current(
        tmp_path / "a", {**MADE_BY, "parameters": {"step": 0.1, "languages": ("en", "de")}}
    )
    assert not artifacts.is_current(tmp_path / "a", {**MADE_BY, "stage": "other"})
    assert artifacts.is_current(tmp_path / "a", {**MADE_BY, "stage": "other"}, but_for="stage")
    assert not artifacts.is_current(tmp_path / "a", {"stage": "test", "parameters": {}}, but_for="stage")
    assert not artifacts.is_current(tmp_path / "b", MADE_BY)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damage_is_named_when_read_and_repaired_when_made_again(tmp_path, damage, capsys) -> None:
    directory = tmp_path / "search" / "seed0"
    write(directory)
    file = directory / "masks.txt"
    if damage == "missing":
        file.unlink()
    else:
        file.write_text("mask" if damage == "truncated" else "maskz")
    with pytest.raises(InputError, match=r"seed0/masks\.txt: (truncated or altered|missing).*delete .*seed0"):
        artifacts.read_manifest(directory)
    resumable(directory, MADE_BY, lambda building: (building / "masks.txt").write_text("again"))
    assert "masks.txt" in capsys.readouterr().out
    artifacts.read_manifest(directory)
    assert file.read_text() == "again"


def test_a_truncated_manifest_and_an_absent_artefact_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(InputError, match=r"a/manifest\.json: truncated or altered"):
        artifacts.read_manifest(tmp_path / "a")
    with pytest.raises(InputError, match=r"b: no manifest\.json; run the stage"):
        artifacts.read_manifest(tmp_path / "b")


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "a", "first")
    with pytest.raises(ZeroDivisionError), artifacts.writing(tmp_path / "a", MADE_BY) as building:
        (building / "masks.txt").write_text("second")
        raise ZeroDivisionError
    assert (tmp_path / "a" / "masks.txt").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_process_killed_while_writing_leaves_no_artefact(tmp_path: Path) -> None:
    code = f"""
        import os, signal
        from modspec.workflow import artifacts
        with artifacts.writing({str(tmp_path / "a")!r}, {MADE_BY!r}) as building:
            (building / "masks.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=os.getcwd())
    assert killed.returncode == -signal.SIGKILL
    assert not artifacts.is_current(tmp_path / "a", MADE_BY)
    assert len(list(tmp_path.iterdir())) == 1
    write(tmp_path / "a")
    assert artifacts.is_current(tmp_path / "a", MADE_BY)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_content_decides_the_fingerprint_and_provenance_does_not(tmp_path: Path) -> None:
    for name, seconds, text in (("a", 1, "same"), ("b", 2, "same"), ("c", 1, "other")):
        with artifacts.writing(tmp_path / name, MADE_BY, partial(dict, wall_seconds=seconds)) as building:
            (building / "masks.txt").write_text(text)
    prints = [artifacts.content_fingerprint(tmp_path / name) for name in "abc"]
    assert prints[0] == prints[1] != prints[2]
    provenance = json.loads((tmp_path / "b" / "manifest.json").read_text())["provenance"]
    assert provenance == {"wall_seconds": 2}
