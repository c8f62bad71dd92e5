"""How a stage resumes: what is there, intact and made from the same is not made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modspec.models.device_and_precision import hardware
from modspec.workflow import artifacts
from modspec.workflow.provenance import provenance


def resumable(directory: Path, made_by: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Make an artefact unless it is already there, intact and made by the same; returns its directory."""
    if artifacts.is_current(directory, made_by):
        print(f"already done: {directory.parent.name}/{directory.name}")
    else:
        with artifacts.writing(directory, made_by, lambda: provenance(hardware())) as building:
            make(building)
    return directory
