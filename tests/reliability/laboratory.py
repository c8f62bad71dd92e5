"""A very small study that can be run, disturbed, and compared with an undisturbed run."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from modspec.errors import InputError
from modspec.output.files import sha256
from modspec.workflow.artifacts import MANIFEST, fingerprint, read_manifest
from tests.notebooks.conftest import copy_project

STUDY = "reliability"
RUNS = f"runs/{STUDY}"
PRESET = """
seeds: [0]
conditions: [full, sft]
data:
  encoder: tiny
  languages: [en, de]
  train_per_language: 16
  dev_per_language: 12
  test_per_language: 10
search:
  {start_languages: [en], start_epochs: 1, epochs: 1, learning_rate: 0.001, importance_examples: 8}
finetuning: {start_languages: [en], start_epochs: 1, epochs: 2, learning_rate: 0.001}
influence:
  evaluation_per_language: 4
  top_k: 4
  top_ks: [4]
  checkpoints: all
  mask_kinds: [none, own]
  batch_size: 4
  memory_gib: 0.001 # so that scores are computed block by block
influence_by_condition:
  sft: {mask_kinds: [none, random], by_part: false}
"""
SNAKEMAKE = ("snakemake", "--cores", "2", "--config", f"preset={STUDY}")
PUBLISHING = "modspec.workflow.publishing"
PHASES = ("search", "finetuning", "scoring", "influence tables", "figures", "publish", "restore")
# What a path of a run belongs to: the first that matches.
PHASE_OF = {
    r"/checkpoints/\.?start-|/search/|/01_": "search",
    r"/checkpoints/|/finetuning/|/02_": "finetuning",
    r"/scores/|/03_": "scoring",
    r"/influence/": "influence tables",
    r"/figures/|/04_": "figures",
}
PATIENCE = 1800  # seconds until a run counts as hung


def phase_of(place: str) -> str:
    """Return the phase that a file operation of a run belongs to."""
    return next((phase for pattern, phase in PHASE_OF.items() if re.search(pattern, place)), "start")


@dataclass
class Outcome:
    """What a run left: exit code, output, and the file operations that it made."""

    code: int | None
    output: str
    operations: list[str]
    fired: dict | None  # where the plan stopped it


class Study:
    """One copy of the project, its results, and the hook of :mod:`tests.reliability.faults`."""

    def __init__(self, root: Path, source: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        self.root, self.project, self.hook = root, root / "project", root / "hook"
        shutil.copytree(source, self.project, symlinks=True)
        self.hook.mkdir()
        shutil.copy(Path(__file__).with_name("faults.py"), self.hook / "sitecustomize.py")
        self.results = self.project / RUNS
        self.seen: dict[int, psutil.Process] = {}

    def start(self, *command: str, plan: dict | None = None, output: str = "output") -> subprocess.Popen:
        """Start ``python -m command`` with a plan for the hook."""
        for name in ("plan.json", "fired.json", "fired.json.part", "operations.log"):
            (self.hook / name).unlink(missing_ok=True)
        if plan:
            (self.hook / "plan.json").write_text(json.dumps({"act": "stop", "delay": 0} | plan))
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": f"{self.hook}{os.pathsep}{self.project}",
        }
        with (self.root / output).open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.project,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill_tree, process)  # this script may be interrupted
        return process

    def wait(
        self, process: subprocess.Popen, *, seconds: float = PATIENCE, output: str = "output"
    ) -> Outcome:
        """Wait until a run ends, its plan stops a process, or the time is over."""
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            self.tree(process)
            if (fired := self.fired()) and self.stopped(fired["pid"]):
                break
            time.sleep(0.05)
        log = self.hook / "operations.log"
        operations = log.read_text().splitlines() if log.exists() else []
        text = (self.root / output).read_text(errors="replace")
        return Outcome(process.poll(), text, operations, self.fired())

    def run(self, *command: str, plan: dict | None = None) -> Outcome:
        """Run a command to its end, or to where its plan stops it."""
        return self.wait(self.start(*command, plan=plan))

    def fired(self) -> dict | None:
        """Return where the plan was carried out, once it was."""
        file = self.hook / "fired.json"
        return json.loads(file.read_text()) if file.exists() else None

    @staticmethod
    def stopped(pid: int) -> bool:
        """Return whether a process is stopped."""
        try:
            return psutil.Process(pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def tree(self, process: subprocess.Popen) -> list[psutil.Process]:
        """Return the processes of a run, the kernels among them, that now exist."""
        now = []
        if process.poll() is None:  # else its id may belong to another process by now
            top = psutil.Process(process.pid)
            now = [top, *top.children(recursive=True)]
        self.seen |= {one.pid: one for one in now}
        return now

    def kill(self, process: subprocess.Popen, kind: str, stopped: int | None = None) -> str:
        """Kill what ``kind`` says; return the name of what was killed."""
        if kind == "whole tree":
            self.kill_tree(process)
            return kind
        if kind == "memory killer":  # as the system's: the process that holds most
            victim = max(self.tree(process), key=oom_score)
        else:
            victim = psutil.Process(stopped)
        name = "kernel" if "ipykernel_launcher" in " ".join(victim.cmdline()) else "other process"
        victim.send_signal(signal.SIGKILL)
        if stopped is not None and stopped != victim.pid:
            os.kill(stopped, signal.SIGCONT)
        return f"{kind}: {name}" if kind == "memory killer" else f"{name} alone"

    def kill_tree(self, process: subprocess.Popen) -> None:
        """Kill every process of a run, as a power cut does: all stop first, and none sees another's end."""
        self.tree(process)
        for act in (signal.SIGSTOP, signal.SIGKILL):
            while True:
                known = len(self.seen)
                for one in self.seen.values():
                    if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                        one.send_signal(act)
                self.tree(process)
                if len(self.seen) == known:
                    break
        process.wait()
        self.seen.clear()

    def remove(self) -> None:
        """Remove the copy, after killing what an earlier kill left running."""
        for one in self.seen.values():
            if one.is_running():
                one.kill()
        shutil.rmtree(self.root, ignore_errors=True)


def oom_score(process: psutil.Process) -> int:
    """Return how likely the system's memory killer is to choose a process."""
    try:
        return int(Path(f"/proc/{process.pid}/oom_score").read_text())
    except OSError:
        return -1


def finished(results: Path) -> dict[str, int]:
    """Return every finished artefact and piece of a run, with its manifest's inode."""
    return {
        str(manifest.parent.relative_to(results)): manifest.stat().st_ino
        for manifest in results.rglob(MANIFEST)
        if not any(part.startswith(".") for part in manifest.relative_to(results).parts)
    }


def superseded(directory: Path) -> bool:
    """Return whether a directory lies in pieces of an artefact that is finished: they are being removed."""
    for folder in (directory, *directory.parents):
        if folder.suffix in (".pieces", ".blocks") and (folder.with_suffix("") / MANIFEST).exists():
            return True
    return False


def halves(results: Path, reference: dict[str, str]) -> list[str]:
    """Return everything in its place that is neither whole nor absent.

    Args:
        results: of a run, finished or not.
        reference: see :func:`content`, of an undisturbed run.
    """
    wrong = []
    for folder, folders, files in os.walk(results):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "unfinished"]
        place = Path(folder)
        names = [n for n in files if not n.startswith(".") and not n.endswith((".lock", ".log"))]
        inside = str(place.relative_to(results))
        if inside == "figures":
            for name in names:
                if name == "provenance.json":
                    wrong += [] if is_json(place / name) else [f"figures/{name}"]
                elif sha256(place / name) != reference.get(f"figures/{name}"):
                    wrong.append(f"figures/{name}")
        elif inside == "notebooks":
            wrong += [f"notebooks/{name}" for name in names if not is_json(place / name)]
        elif inside.split("/")[0] in ("search", "finetuning", "checkpoints", "scores", "influence"):
            if names and not superseded(place):
                try:
                    read_manifest(place)
                except InputError as error:
                    wrong.append(str(error).replace(f"{results}{os.sep}", ""))
    return wrong


def is_json(file: Path) -> bool:
    """Return whether a file is whole JSON."""
    try:
        json.loads(file.read_bytes())
    except ValueError:
        return False
    return True


def content(results: Path) -> dict[str, str]:
    """Return the checksum of every artefact, with what made it, of every table and of every figure."""
    found = {}
    for place in finished(results):
        try:
            manifest = read_manifest(results / place)
            found[place] = fingerprint([manifest["made_by"], manifest["files"]])
        except InputError as error:
            found[place] = str(error)
    figures = results / "figures"
    for file in sorted(figures.iterdir()) if figures.is_dir() else []:
        if file.name == "provenance.json" and is_json(file):
            record = json.loads(file.read_bytes())
            found["figures/provenance.json"] = fingerprint([record.get("files"), record.get("inputs")])
        elif file.is_file() and not file.name.startswith("."):
            found[f"figures/{file.name}"] = sha256(file)
    return found


def differences(found: dict[str, str], reference: dict[str, str]) -> list[str]:
    """Return the names whose content differs, or that only one of the two has."""
    names = found.keys() | reference.keys()
    return sorted(name for name in names if found.get(name) != reference.get(name))


def leftovers(results: Path) -> list[str]:
    """Return what a finished run should not have left: pieces, half-built directories, failed notebooks.

    Locks stay, and ``.run.json``, which says whose a lock was.
    """
    left = [path for pattern in (".*", "*.pieces") for path in results.rglob(pattern)]
    left += list((results / "notebooks" / "unfinished").glob("*"))
    left = [path for path in left if not path.name.endswith((".lock", ".run.json"))]
    return sorted(str(path.relative_to(results)) for path in left)


def made_again(operations: Iterable[str], before: dict[str, int]) -> list[str]:
    """Return the artefacts and pieces that were finished before a run, and that the run made nevertheless."""
    made = {op.partition(f" {RUNS}/")[2] for op in operations if op.startswith("os.rename ")}
    return sorted(made & before.keys())


class Laboratory:
    """The project to copy, the undisturbed run, and the places that its file operations pass."""

    def __init__(self, scratch: Path, say: Callable[[str], None]) -> None:
        self.scratch, self.say = scratch, say
        self.reference_file = scratch / "reference.json"
        self.template, self.done = scratch / "template", scratch / "done"
        if not self.reference_file.exists():
            self._prepare()
        kept = json.loads(self.reference_file.read_text())
        self.reference: dict[str, str] = kept["content"]
        self.places: list[str] = kept["places"]
        self.seconds: float = kept["seconds"]

    def _prepare(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        source = self.scratch / "source"
        copy_project(source)
        (source / "notebooks" / "presets" / f"{STUDY}.yaml").write_text(PRESET)
        study = Study(self.scratch / "first", source)
        places, started = [], time.monotonic()
        outcome = study.run(*SNAKEMAKE)
        seconds = time.monotonic() - started
        if outcome.code != 0:
            raise SystemExit(f"error: the undisturbed run failed\n{outcome.output[-3000:]}")
        places += outcome.operations
        found = content(study.results)
        shutil.move(study.project, self.done)
        shutil.copytree(
            self.done,
            self.template,
            ignore=lambda folder, _: ["runs", ".snakemake"] if folder == str(self.done) else [],
        )
        record = {"content": found, "places": list(dict.fromkeys(places)), "seconds": seconds}
        self.reference_file.write_text(json.dumps(record, indent=1))
        self.say(f"undisturbed run: {seconds:.0f} s, {len(found)} artefacts, tables and figures")
        study.remove()

    def new(self, name: str, *, done: bool = False) -> Study:
        """Return a new copy of the project, with a finished run if ``done``."""
        return Study(self.scratch / name, self.done if done else self.template)

    def ahead(self, study: Study, phase: str) -> list[str]:
        """Return the places of a phase that the study has not yet passed."""
        return [place for place in self.places if phase_of(place) == phase and not passed(study, place)]


def passed(study: Study, place: str) -> bool:
    """Return whether what a file operation works on is already finished."""
    path = Path(place.partition(" ")[2])
    parts = [re.sub(r"^\.(.+)\.\*.*$", r"\1", part) for part in path.parts]
    for end in range(3, len(parts) + 1):
        folder = Path(*parts[:end])
        for one in (folder, folder.with_suffix("") if folder.suffix in (".pieces", ".blocks") else folder):
            if (study.project / one / MANIFEST).exists() or (study.project / one).is_file():
                return True
    return False
