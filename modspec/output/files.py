"""Files and directories written whole or not at all, and checksums of files."""

import errno
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

OLDER = ".older"  # ends the name of a directory that was moved aside for a new one


def sha256(file: Path) -> str:
    """Return the file's checksum in hexadecimal."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_whole(file: Path, content: bytes | str) -> None:
    """Write ``file`` in one step: a killed process leaves the old file or the new one, never a half."""
    for abandoned in _abandoned(file):
        abandoned.unlink(missing_ok=True)
    part = file.with_name(f"{_unfinished(file)}{os.getpid()}")
    try:
        with part.open("wb") as handle:
            handle.write(content.encode() if isinstance(content, str) else content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """Yield an empty directory to fill; on success, move it to ``directory``.

    The new directory replaces an older one; an error leaves the older one as it was. All files are flushed to
    disk before the move, so that a power cut leaves no directory with half-written files. A killed process
    leaves directories with its process id in the name, which the next one on this machine removes. Among them
    may be the older directory (see :func:`put_back`), which is then put back, not removed.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    put_back(directory)
    for abandoned in _abandoned(directory):
        shutil.rmtree(abandoned, ignore_errors=True)
    prefix = f"{_unfinished(directory)}{os.getpid()}."
    building = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
    try:
        yield building
        for file in building.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        building.chmod(0o755)  # others may read what one user made, which mkdtemp forbids
        _move(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def put_back(directory: Path) -> None:
    """Put the older directory back where a process was killed while it put a new one in its place.

    A directory cannot replace another one that is not empty. So the older one is moved aside first, and for a
    moment there is none. It is removed only when the new one is in place.
    """
    for abandoned in _abandoned(directory):
        if abandoned.name.endswith(OLDER) and not directory.exists():
            with suppress(FileNotFoundError):  # another process has just put it back
                os.rename(abandoned, directory)


def _move(building: Path, directory: Path) -> None:
    """Move ``building`` to ``directory``; of processes that do so at the same time, the last one wins."""
    older = building.with_name(building.name + OLDER)
    try:
        while True:
            try:
                os.replace(building, directory)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            shutil.rmtree(older, ignore_errors=True)
            with suppress(FileNotFoundError):  # another process has just moved it
                os.rename(directory, older)
    except BaseException:
        if older.exists() and not directory.exists():
            os.rename(older, directory)
        raise
    shutil.rmtree(older, ignore_errors=True)


def _unfinished(target: Path) -> str:
    """Return how names of what is not yet ``target`` begin; the process id follows."""
    return f".{target.name}.{socket.gethostname()}."


def _abandoned(target: Path) -> list[Path]:
    """Return what processes of this machine that no longer run left beside ``target``."""
    prefix = _unfinished(target)
    beside = target.parent.iterdir() if target.parent.is_dir() else ()
    left = [path for path in beside if path.name.startswith(prefix)]
    pids = [path.name.removeprefix(prefix).partition(".")[0] for path in left]
    return [
        path
        for path, pid in zip(left, pids, strict=True)
        if pid.isdigit() and not psutil.pid_exists(int(pid))
    ]
