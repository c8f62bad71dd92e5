"""Artefacts: directories of files that say what made them, written whole or not at all.

An artefact is a directory of safetensors, parquet, CSV or JSON files plus ``manifest.json``:

    made_by     what decides the content: stage, parameters, data and encoder fingerprints, inputs
    files       sha256 and size of every file
    provenance  how it came about: commit, versions, device, seconds (never compared)

It is built beside its place and moved there in one rename, so a killed run leaves either nothing or
everything. Reading checks every file against the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from modspec.errors import InputError

MANIFEST = "manifest.json"


@contextmanager
def writing(
    directory: str | Path,
    made_by: Mapping[str, Any],
    provenance: Callable[[], Mapping[str, Any]] = dict,
) -> Iterator[Path]:
    """Yields an empty directory to fill; moves it to ``directory`` with a manifest if no error came.

    What stood there before is replaced. ``made_by`` and what ``provenance`` returns at the end are JSON.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(directory)
    prefix = f".{directory.name}.{socket.gethostname()}.{os.getpid()}."
    building = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
    try:
        yield building
        manifest = {
            "made_by": made_by,
            "files": {name: describe(building / name) for name in _file_names(building)},
            "provenance": provenance(),
        }
        for name in manifest["files"]:
            _sync(building / name)
        _write_synced(building / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
        building.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def is_current(directory: str | Path, made_by: Mapping[str, Any]) -> bool:
    """True if the artefact is there, intact, and was made from exactly this.

    Damaged ones are reported on standard output and count as absent, so that resuming repairs them.
    """
    directory = Path(directory)
    if not (directory / MANIFEST).exists():
        return False
    try:
        manifest = read_manifest(directory)
    except InputError as error:
        print(f"making it again: {error}")
        return False
    return manifest["made_by"] == json.loads(json.dumps(made_by))


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """The manifest, after checking every file against it.

    Raises InputError naming what is missing, truncated or altered.
    """
    directory = Path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
    except FileNotFoundError:
        raise InputError(f"{directory}: no {MANIFEST}; run the stage that makes it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError):
        raise InputError(f"{directory / MANIFEST}: truncated or altered; {_remedy(directory)}") from None
    for name, described in files.items():
        if not (directory / name).exists():
            raise InputError(f"{directory / name}: missing, but in the manifest; {_remedy(directory)}")
        if describe(directory / name) != described:
            raise InputError(
                f"{directory / name}: truncated or altered (its sha256 is not the manifest's); "
                f"{_remedy(directory)}"
            )
    return manifest


def content_fingerprint(directory: str | Path) -> str:
    """sha256 over the files of an artefact; provenance has no part in it. Checks them on the way."""
    return fingerprint(read_manifest(directory)["files"])


def fingerprint(value: Any) -> str:
    """sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _remove_abandoned(directory: Path) -> None:
    """Remove what killed processes of this machine left half built beside ``directory``."""
    prefix = f".{directory.name}.{socket.gethostname()}."
    for left in directory.parent.glob(f"{prefix}*"):
        pid = left.name.removeprefix(prefix).partition(".")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _remedy(directory: Path) -> str:
    return f"delete {directory} and run its stage again"


def _file_names(directory: Path) -> list[str]:
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())


def describe(path: Path) -> dict[str, Any]:
    """sha256 and size of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


def write_json(file: Path, value: Any) -> None:
    """A JSON file, written whole or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    _write_synced(part, json.dumps(value, indent=1, sort_keys=True) + "\n")
    os.replace(part, file)


def _write_synced(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def _sync(file: Path) -> None:
    """Flush to disk: after a power cut, a manifest must not outlive the files that it names."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
