"""Faults built into the copy of the project, which the script must find."""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter
from collections.abc import Iterable

from tests.reliability.altered_files import FIGURES_AGAIN, alter, flip
from tests.reliability.kills import kill_copying
from tests.reliability.laboratory import RUNS, SNAKEMAKE, STUDY, Laboratory, halves
from tests.reliability.trials import Trial

IN_PLACE = """

@contextmanager
def whole_directory(directory):
    directory.mkdir(parents=True, exist_ok=True)
    yield directory
"""
HALF_FILE = """

def write_whole(file, content):
    import time
    content = content.encode() if isinstance(content, str) else content
    with open(file, "wb", buffering=0) as handle:
        handle.write(content[: len(content) // 2])
        time.sleep(0.5 * (file.suffix == ".csv"))
        handle.write(content[len(content) // 2 :])
"""
UNCHECKED = """

def read_manifest(directory):
    return json.loads((Path(directory) / MANIFEST).read_text())
"""
REMOVED_FIRST = """

def put_back(directory):
    pass


def _move(building, directory):
    if directory.exists():
        shutil.rmtree(directory)
    os.replace(building, directory)
"""


def built_in(lab: Laboratory, file: str, code: str) -> Laboratory:
    """Return a laboratory whose copies of the project have faulty code at the end of a module."""
    faulty = object.__new__(Laboratory)
    faulty.__dict__ |= vars(lab)
    for name in ("template", "done"):
        target = lab.scratch / f"faulty-{name}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(getattr(lab, name), target)
        with (target / file).open("a") as handle:
            handle.write(code)
        setattr(faulty, name, target)
    return faulty


def killed_at(lab: Laboratory, place: str, delay: float, again: Iterable[str] = ()) -> list[str]:
    """Kill a study at a place, a finished one where something is made again; return what is half."""
    study = lab.new("self-test", done=bool(again))
    for name in again:
        (study.results / name).unlink()
    process = study.start(*SNAKEMAKE, plan={"place": place, "delay": delay})
    study.wait(process)
    study.kill_tree(process)
    wrong = halves(study.results, lab.reference)
    study.remove()
    return wrong


def in_place(lab: Laboratory) -> list[str]:
    """Kill before the manifest of an artefact is written."""
    manifest = next(p for p in lab.places if p.startswith(f"open {RUNS}/search/") and "manifest" in p)
    return killed_at(lab, re.sub(r"/\.([^/]+?)\.\*(?=/)", r"/\1", manifest), 0)


def half_file(lab: Laboratory) -> list[str]:
    """Kill while a table is written."""
    return killed_at(lab, f"open {RUNS}/figures/accuracy.csv", 0.25, FIGURES_AGAIN)


def unchecked(lab: Laboratory) -> list[str]:
    """Change one bit of scores."""
    return alter(lab, random.Random(1), "scores/full-seed0/scores.safetensors", flip).faults


def removed_first(lab: Laboratory) -> list[str]:
    """Kill publishing before the published directory is replaced."""
    return kill_copying(lab, random.Random(1), "publish", f"os.rename figures/{STUDY}").faults


BUILT_IN = {
    "a directory is filled in its place": ("modspec/output/files.py", IN_PLACE, in_place),
    "a file is written in its place": ("modspec/output/files.py", HALF_FILE, half_file),
    "checksums are not compared": ("modspec/workflow/artifacts.py", UNCHECKED, unchecked),
    "the older directory is removed first": ("modspec/output/files.py", REMOVED_FIRST, removed_first),
}


def self_test(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Build a fault into the copy: the script must report it."""
    name, (file, code, find) = list(BUILT_IN.items())[-wanted["self-test"]]
    found = find(built_in(lab, file, code))
    trial = Trial("self-test", "", f"built in: {name}", file)
    if found:
        trial.note = f"caught: {'; '.join(found[:2])}"
    else:
        trial.faults.append("the script did not notice")
    return [trial]
