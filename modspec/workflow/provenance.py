"""What produced a result: code, packages, machine, time and memory."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from modspec.workflow import artifacts
from modspec.workflow.paths import project_root

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "pandas", "papermill")
_STARTED = time.monotonic()


def provenance() -> dict[str, Any]:
    """Commit, versions, device, threads, seconds since modspec was loaded, peak memory of the process."""
    record: dict[str, Any] = git_state()
    record["python"] = platform.python_version()
    record |= {name: version(name) for name in PACKAGES}
    record["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if torch := sys.modules.get("torch"):
        from modspec.models.device_and_precision import (  # imports torch, which figures do without
            choose_device,
            choose_precision,
        )

        cuda = torch.cuda.is_available()
        record["device"] = torch.cuda.get_device_name() if cuda else "CPU"
        record["instructions"] = torch.backends.cpu.get_cpu_capability()
        record["auto_precision"] = str(choose_precision("auto", choose_device()))
        record["threads"] = torch.get_num_threads()
        if cuda:
            record["peak_gpu_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    record["wall_seconds"] = round(time.monotonic() - _STARTED, 1)
    record["peak_memory_gib"] = round(peak_memory() / 2**30, 2)
    return record


def write(directory: Path, content: dict[str, Any]) -> None:
    """``provenance.json``: ``content``, and the sha256 of every table and figure in ``directory``."""
    files = _described(directory, ".csv", ".pdf", ".png", ".tex")
    artifacts.write_json(directory / "provenance.json", {**content, "files": files})


def redrawn(directory: Path) -> None:
    """Keep ``provenance.json`` true, where there is one, of figures that now look otherwise: their sha256,
    and under ``redrawn`` the code. Tables are left as described: nothing but a run changes them."""
    file = directory / "provenance.json"
    if not file.exists():
        return
    record = json.loads(file.read_text(encoding="utf-8"))
    files = record["files"] | _described(directory, ".pdf", ".png")
    if files != record["files"]:
        artifacts.write_json(file, {**record, "files": files, "redrawn": git_state()})


def _described(directory: Path, *suffixes: str) -> dict[str, Any]:
    files = sorted(file for file in directory.iterdir() if file.suffix in suffixes)
    return {file.name: artifacts.describe(file) for file in files}


def git_state() -> dict[str, Any]:
    """Commit of the checkout and whether its sources had uncommitted changes; "unknown" outside one.

    Published results are no sources: a study that redraws them does not make itself dirty.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=project_root(), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changes = git("status", "--porcelain", "--", ".", ":!figures", ":!notebooks/executed")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": "unknown"}


def peak_memory() -> int:
    """Largest resident set of this process so far, in bytes."""
    if sys.platform == "linux":  # getrusage's starts, in a new process, from what the parent held
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def as_table(*parts: dict[str, Any]) -> pd.DataFrame:
    """Provenance as a two-column table, for the last cell of a notebook."""
    rows = [(key, str(value)) for part in parts for key, value in part.items()]
    return pd.DataFrame(rows, columns=["what", "value"]).set_index("what")
