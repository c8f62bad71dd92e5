"""What a machine gives a study: disk, and memory, also where a container or a cluster limits it."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from modspec.errors import InputError, quoted_path

GIB = 2**30
OWN_GROUPS = Path("/proc/self/cgroup")
# Where version 2 and version 1 of control groups are mounted, and what each calls the limit of memory.
CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
)


def memory_limit() -> int:
    """Return the bytes of memory that this process may use: the machine's, or what its control group may."""
    return min([psutil.virtual_memory().total, *_cgroup_limits()])


def _cgroup_limits() -> Iterator[int]:
    """Yield the limits of the control groups that this process is in, and of those around them."""
    if not OWN_GROUPS.exists():
        return
    groups = [line.split(":", 2)[2] for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines()]
    for (mount, name), group in ((where, group) for where in CGROUPS for group in groups):
        # Within a container the group's path may not be there: the mount itself is then the container's.
        inner = Path(group.lstrip("/"))
        for folder in (inner, *inner.parents):
            file = mount / folder / name
            if file.is_file() and (limit := file.read_text(encoding="ascii").strip()).isdigit():  # or "max"
                yield int(limit)


def free_disk(directory: Path) -> int:
    """Return the free bytes of the file system that a directory lies on, or will lie on."""
    return shutil.disk_usage(_existing(directory)).free


def used_disk(*directories: Path) -> int:
    """Return the bytes of all files in directories, which may not be there."""
    files = (file for directory in directories for file in directory.rglob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())


def check_writable(name: str, directory: Path) -> None:
    """Raise InputError for a directory that cannot be made, or be written to, or one of whose folders cannot.

    Args:
        name: of the parameter that decides the directory.
        directory: one that need not be there.
    """
    start = _existing(directory)
    for folder in (start, *(start.iterdir() if start == directory and start.is_dir() else ())):
        if folder == start and not folder.is_dir():
            raise InputError(f"{name}: {quoted_path(folder)} is a file; allowed: a directory")
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
            reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
            raise InputError(
                f"{name}: {quoted_path(folder)} cannot be written to ({reason}); "
                "allowed: a directory that can"
            )


def _existing(directory: Path) -> Path:
    """Return the directory, or the innermost of those around it that is there."""
    return next(folder for folder in (directory, *directory.absolute().parents) if os.path.lexists(folder))
