"""The provenance of a result: code, packages, machine, time and memory."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from modspec.workflow import artifacts
from modspec.workflow.paths import project_root

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "pandas", "papermill")
_STARTED = time.monotonic()


def provenance(hardware: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return how this process came to its results, as JSON values.

    Args:
        hardware: device, threads and precision, from ``modspec.models.device_and_precision.hardware()``
            where torch computed something.

    Returns:
        Commit, versions, machine, ``hardware``, seconds since this module was loaded, and the largest
        memory of the process so far (GiB).
    """
    return {
        **git_state(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        **(hardware or {}),
        "wall_seconds": round(time.monotonic() - _STARTED, 1),
        "peak_memory_gib": round(peak_memory() / 2**30, 2),
    }


def computed_on(record: Mapping[str, Any]) -> str:
    """Return in words what computed a result, from its :func:`provenance`; results of two kinds of processor
    differ in their last digits, and so do trained models."""
    names = ("processor", "instructions") if record.get("device", "CPU") == "CPU" else ("device",)
    known = [record[name] for name in (*names, "auto_precision") if name in record]
    return ", ".join(known).replace("torch.", "") or "not recorded"


def write(directory: Path, content: dict[str, Any]) -> None:
    """Write ``provenance.json``: ``content``, and the checksums of tables and figures in ``directory``."""
    files = _described(directory, ".csv", ".pdf", ".png", ".tex", ".md")
    artifacts.write_json(directory / "provenance.json", {**content, "files": files})


def read(directory: Path) -> dict[str, Any]:
    """Return the content of ``provenance.json``; an empty record where there is none."""
    file = directory / "provenance.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def redrawn(directory: Path) -> None:
    """Update ``provenance.json``, where there is one, after figures were drawn again and look different.

    The checksums of the figures change, and ``redrawn`` names the code that drew them. Checksums of tables
    stay: only a run changes tables.
    """
    record = read(directory)
    if not record:
        return
    files = record["files"] | _described(directory, ".pdf", ".png")
    if files != record["files"]:
        content = {**record, "files": files, "redrawn": git_state()}
        artifacts.write_json(directory / "provenance.json", content)


def _described(directory: Path, *suffixes: str) -> dict[str, Any]:
    files = sorted(file for file in directory.iterdir() if file.suffix in suffixes)
    return {file.name: artifacts.describe(file) for file in files}


def git_state() -> dict[str, Any]:
    """Return the checkout's commit and whether its sources have uncommitted changes; "unknown" outside one.

    Published results are not sources: publishing them does not make the next study dirty.
    """

    def git(*arguments: str) -> str:
        # Whose code runs may as well be asked for its commit, though another user owns the checkout (a shared
        # directory, a container); and a question does not lock the index against the user's own commands.
        command = ["git", "-c", "safe.directory=*", "--no-optional-locks", *arguments]
        return subprocess.check_output(
            command, cwd=project_root(), stderr=subprocess.DEVNULL, text=True
        ).strip()

    try:
        changes = git("status", "--porcelain", "--", ".", ":!figures", ":!notebooks/executed")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": "unknown"}


def peak_memory() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    if sys.platform == "linux":  # getrusage's starts, in a new process, from what the parent held
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def as_table(*parts: dict[str, Any]) -> pd.DataFrame:
    """Return provenance as a two-column table, for the last cell of a notebook."""
    rows = [(key, str(value)) for part in parts for key, value in part.items()]
    return pd.DataFrame(rows, columns=["what", "value"]).set_index("what")
