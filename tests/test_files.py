"""Files and directories appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from modspec.files import sha256, whole_directory, write_whole


def test_write_whole_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for content in ("é\n", b"\x00\xff"):
        write_whole(file, content)
        expected = content.encode() if isinstance(content, str) else content
        assert file.read_bytes() == expected and sha256(file) == hashlib.sha256(expected).hexdigest()
    assert list(tmp_path.iterdir()) == [file]


def test_whole_directory_replaces_an_older_one(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "a"
    for text in ("first", "second"):
        with whole_directory(directory) as building:
            (building / "inner").mkdir()
            (building / "inner" / f"{text}.txt").write_text(text)
    assert [file.name for file in (directory / "inner").iterdir()] == ["second.txt"]
    assert list(directory.parent.iterdir()) == [directory]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_an_error_leaves_the_older_directory(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "a") as building:
        (building / "file").write_text("first")
    with pytest.raises(ZeroDivisionError), whole_directory(tmp_path / "a") as building:
        (building / "file").write_text("second")
        raise ZeroDivisionError
    assert (tmp_path / "a" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from modspec.files import whole_directory
with whole_directory(Path({str(tmp_path / "a")!r})) as building:
    (building / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=os.getcwd())
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name != "a"
    with whole_directory(tmp_path / "a"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
