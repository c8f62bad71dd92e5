"""Files and directories written whole or not at all, and checksums of files."""

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def sha256(file: Path) -> str:
    """Return the file's checksum in hexadecimal."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_whole(file: Path, content: bytes | str) -> None:
    """Write ``file`` in one step: a killed process leaves the old file or the new one, never a half."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with part.open("wb") as handle:
        handle.write(content.encode() if isinstance(content, str) else content)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(part, file)


@contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """Yield an empty directory to fill; on success, move it to ``directory`` in one rename.

    The new directory replaces an older one; an error leaves the older one as it was. All files are flushed to
    disk before the rename, so that a power cut leaves no directory with half-written files. A killed process
    leaves only a directory with its process id in the name, which the next one on this machine removes.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{directory.name}.{socket.gethostname()}."
    for abandoned in directory.parent.glob(f"{prefix}*"):
        pid = abandoned.name.removeprefix(prefix).partition(".")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(abandoned, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}.", dir=directory.parent))
    try:
        yield building
        for file in building.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        building.chmod(0o755)  # others may read what one user made, which mkdtemp forbids
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
