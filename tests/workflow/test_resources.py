"""What a machine gives: limits of control groups, disk, and places that can be written to."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from modspec.errors import InputError
from modspec.workflow import resources
from modspec.workflow.resources import check_writable, free_disk, memory_limit, used_disk


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups of both versions; this process is in the group /a/b."""
    (tmp_path / "own").write_text("4:memory,cpu:/a/b\n0::/a/b\n")
    mounts = ((tmp_path / "v2", "memory.max"), (tmp_path / "v1", "memory.limit_in_bytes"))
    for mount, _ in mounts:
        (mount / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(resources, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(resources, "CGROUPS", mounts)
    return tmp_path


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"v2/a/b/memory.max": "max"}, None),
        ({"v2/a/b/memory.max": "9000"}, 9000),
        ({"v2/a/b/memory.max": "9000", "v2/a/memory.max": "8000"}, 8000),  # a limit counts for what is within
        ({"v2/memory.max": "7000"}, 7000),  # as in a container
        ({"v1/a/b/memory.limit_in_bytes": "6000"}, 6000),
        ({"v1/a/b/memory.limit_in_bytes": str(2**63 - 4096)}, None),  # how version 1 says that there is none
        ({"v2/other/memory.max": "5000"}, None),
    ],
)
def test_memory_is_what_the_control_groups_leave(groups: Path, limits: dict, expected: int | None) -> None:
    for file, limit in limits.items():
        (groups / file).parent.mkdir(exist_ok=True)
        (groups / file).write_text(f"{limit}\n")
    assert memory_limit() == (psutil.virtual_memory().total if expected is None else expected)


def test_disk_is_that_of_the_place_even_before_it_is_there(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "runs" / "mine") == pytest.approx(free_disk(tmp_path), rel=0.1)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(700))
    (tmp_path / "c").write_bytes(bytes(900))
    assert used_disk(tmp_path / "a", tmp_path / "none") == 700


def test_a_place_under_a_file_is_refused(tmp_path: Path) -> None:
    check_writable("study", tmp_path / "runs" / "mine")
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match=r"^study: '.*/runs' is a file; allowed: a directory$"):
        check_writable("study", tmp_path / "runs" / "mine")
    assert not (tmp_path / "mine").exists()
