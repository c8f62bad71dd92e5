"""Files written whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


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
