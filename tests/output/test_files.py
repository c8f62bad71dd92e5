"""Files and directories appear whole or not at all."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from modspec.output.files import put_back, sha256, whole_directory, write_whole


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
from modspec.output.files import whole_directory
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


def write_killed_at(operation: int, place: Path) -> None:
    """Write a directory; kill this process before the given file operation of the move."""
    seen = []

    def kill(event: str, _: tuple) -> None:
        if event in ("os.rename", "shutil.rmtree", "os.remove", "os.rmdir"):
            seen.append(event)
            if len(seen) == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    with whole_directory(place) as building:
        for name in ("one", "two"):
            (building / name).write_text("new")
        sys.addaudithook(kill)


def test_a_kill_during_the_move_loses_neither_directory(tmp_path: Path) -> None:
    """One process is killed before the first file operation of the move, the next before the second, …"""
    left = set()
    for operation in range(1, 20):
        place = tmp_path / str(operation) / "a"
        with whole_directory(place) as building:
            for name in ("one", "two"):
                (building / name).write_text("older")
        process = multiprocessing.get_context("fork").Process(target=write_killed_at, args=(operation, place))
        process.start()
        process.join()
        put_back(place)
        texts = [file.read_text() for file in sorted(place.iterdir())]
        assert texts in (["older"] * 2, ["new"] * 2)
        left.add(texts[0])
        with whole_directory(place) as building:
            (building / "one").write_text("newer")
        assert [path.name for path in place.parent.iterdir()] == ["a"]
        assert [file.read_text() for file in place.iterdir()] == ["newer"]
        if process.exitcode == 0:
            break
    assert process.exitcode == 0 and operation > 5 and left == {"older", "new"}


def test_of_two_that_move_at_the_same_time_the_last_wins(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "a") as outer:
        (outer / "file").write_text("outer")
        with whole_directory(tmp_path / "a") as inner:
            (inner / "file").write_text("inner")
    assert (tmp_path / "a" / "file").read_text() == "outer"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_move_that_fails_leaves_the_older_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with whole_directory(tmp_path / "a") as building:
        (building / "file").write_text("older")
    with pytest.raises(FileNotFoundError), whole_directory(tmp_path / "a") as building:
        (building / "file").write_text("new")
        rename = os.rename

        def lose(source: Path, target: Path) -> None:
            rename(source, target)
            if Path(source) == tmp_path / "a":
                shutil.rmtree(building)

        monkeypatch.setattr(os, "rename", lose)
    assert (tmp_path / "a" / "file").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_write_whole_leaves_nothing_beside_after_an_error_or_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import os, signal
from pathlib import Path
from modspec.output.files import write_whole
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_whole(Path({str(tmp_path / "a")!r}), "half")
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=os.getcwd()).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name != "a"
    write_whole(tmp_path / "a", "older")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
