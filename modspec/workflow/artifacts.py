"""Artefacts: directories of files that say what made them, written whole or not at all.

An artefact is a directory of safetensors, parquet, CSV or JSON files plus ``manifest.json``:

    made_by     what decides the content: stage, parameters, data and encoder fingerprints, inputs
    files       sha256 and size of every file
    provenance  how it came about: commit, versions, device, seconds (never compared)
    left_out    names of files that were not published; absent where all are there

It is built beside its place and moved there in one rename. So a killed run leaves nothing or the whole
artefact. Reading checks every file against the manifest.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modspec.errors import InputError
from modspec.output.files import sha256, whole_directory, write_whole

MANIFEST = "manifest.json"


@contextmanager
def writing(
    directory: str | Path, made_by: Mapping[str, Any], provenance: Callable[[], Mapping[str, Any]] = dict
) -> Iterator[Path]:
    """Yield an empty directory to fill; on success, add the manifest and move it to ``directory``.

    The new artefact replaces an older one. An error leaves the older one as it was.

    Args:
        directory: where the artefact will stand.
        made_by: JSON values that decide the content.
        provenance: called at the end; returns JSON values.
    """
    with whole_directory(Path(directory)) as building:
        yield building
        names = sorted(p.relative_to(building).as_posix() for p in building.rglob("*") if p.is_file())
        files = {name: describe(building / name) for name in names}
        write_json(building / MANIFEST, {"made_by": made_by, "files": files, "provenance": provenance()})


def is_current(directory: str | Path, made_by: Mapping[str, Any], *, but_for: str = "") -> bool:
    """Return whether the artefact exists, is intact, and was made from exactly ``made_by``.

    A damaged artefact is reported on standard output and counts as absent, so that resuming repairs it.

    Args:
        directory: of the artefact.
        made_by: JSON, everything that decides its content.
        but_for: a key of ``made_by`` whose value may differ.
    """
    directory = Path(directory)
    if not (directory / MANIFEST).exists():
        return False
    try:
        manifest = read_manifest(directory)
    except InputError as error:
        print(f"making it again: {error}")
        return False
    made_by = json.loads(json.dumps(made_by))
    return {**manifest["made_by"], but_for: None} == {**made_by, but_for: None}


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """Return the manifest, after checking every file against it.

    Raises:
        InputError: names the file that is missing, truncated or altered.
    """
    directory = Path(directory)
    remedy = f"delete {directory} and run its stage again"
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
    except FileNotFoundError:
        raise InputError(f"{directory}: no {MANIFEST}; run the stage that makes it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError):
        raise InputError(f"{directory / MANIFEST}: truncated or altered; {remedy}") from None
    for name in sorted(files.keys() - manifest.get("left_out", [])):
        file = directory / name
        if not file.exists():
            raise InputError(f"{file}: missing, but in the manifest; {remedy}")
        if describe(file) != files[name]:
            raise InputError(f"{file}: truncated or altered (its sha256 is not the manifest's); {remedy}")
    return manifest


def finished(stage: Path) -> list[Path]:
    """Return the directories of a stage's finished artefacts, sorted.

    Hidden directories, which a killed job leaves, are not among them, although they may have a manifest.
    """
    return sorted(manifest.parent for manifest in stage.glob(f"[!.]*/{MANIFEST}"))


def copy_without(directory: Path, place: Path, names: Iterable[str]) -> None:
    """Copy an artefact, but leave out those of its files that are named; its content fingerprint stays."""
    shutil.copytree(directory, place, ignore=lambda *_: names)
    manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    left_out = sorted({*manifest.get("left_out", []), *names} & manifest["files"].keys())
    if left_out:
        write_json(place / MANIFEST, manifest | {"left_out": left_out})


def content_fingerprint(directory: str | Path) -> str:
    """Return the sha256 over an artefact's files, not its provenance; checks the files on the way."""
    return fingerprint(read_manifest(directory)["files"])


def fingerprint(value: Any) -> str:
    """Return the sha256 of a JSON value; the order of its keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def describe(file: Path) -> dict[str, Any]:
    """Return sha256 and size (bytes) of a file."""
    return {"sha256": sha256(file), "bytes": file.stat().st_size}


def write_json(file: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(file, json.dumps(value, indent=1, sort_keys=True) + "\n")
