"""How a stage resumes: what is there, intact and made from the same, is not made again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from modspec.downloads import hub
from modspec.influence import Arrays, Remember
from modspec.models.device_and_precision import hardware
from modspec.workflow import artifacts
from modspec.workflow.provenance import provenance


def resumable(directory: Path, made_by: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Make an artefact unless it is already there, intact and made by the same; return its directory.

    Args:
        directory: where the artefact lies.
        made_by: JSON, everything that decides its content.
        make: fills the empty directory that it is given.
    """
    if artifacts.is_current(directory, made_by):
        print(f"already done: {directory.parent.name}/{directory.name}")
    else:
        with artifacts.writing(directory, made_by, lambda: provenance(hardware() | _commits())) as building:
            make(building)
    return directory


def outlives(directory: Path, made_by: Mapping[str, Any], source: Path) -> bool:
    """Return whether an artefact is there, while the large one that it was made from is gone.

    Weights and scores are not published, and may be removed when they have been read. What was made from
    them then holds, if parameters, data, encoder and code are still those that made it.

    Args:
        directory: of the artefact.
        made_by: JSON, everything that decides its content; ``inputs`` are not compared.
        source: directory of the large artefact.
    """
    if (source / artifacts.MANIFEST).exists():
        return False
    if not artifacts.is_current(directory, made_by, but_for="inputs"):
        return False
    print(f"already done, and {source.parent.name}/{source.name} is gone: {directory.parent.name}")
    return True


def _commits() -> dict[str, Any]:
    """Return the commits of the hub's repositories that this process used, where it used any."""
    return {"hub": dict(hub.resolved)} if hub.resolved else {}


def remembering(
    directory: Path, made_by: Mapping[str, Any], prefix: str, asked_for: list[Path] | None = None
) -> Remember:
    """Return a function that keeps every finished block of scores as an artefact.

    A block that is already there, and was made by the same, is read instead of computed.

    Args:
        directory: where the blocks lie.
        made_by: JSON, everything that decides their content.
        prefix: begins their names.
        asked_for: the place of every block that is asked for is added to it.
    """

    def remember(name: str, compute: Callable[[], Arrays]) -> Arrays:
        block = directory / f"{prefix}-{name}"
        origin = {**made_by, "block": block.name}
        if asked_for is not None:
            asked_for.append(block)
        if not artifacts.is_current(block, origin):
            with artifacts.writing(block, origin) as building:
                save_file(dict(compute()), building / "scores.safetensors")
        return load_file(block / "scores.safetensors")

    return remember
