"""Disks that are full: a small file system, and file operations that fail."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter

from tests.reliability.kills import CHAIN
from tests.reliability.laboratory import PHASES, SNAKEMAKE, Laboratory, Study, halves, phase_of
from tests.reliability.trials import Trial, complete, said


def mounted(study: Study, size: int) -> bool:
    """Put the results on a file system in memory of ``size`` bytes; return whether that was possible."""
    (study.project / "runs").mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(study.project / "runs")]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


def resize(study: Study, options: str) -> None:
    """Change the options of the mounted file system."""
    command = ["mount", "-o", f"remount,{options}", str(study.project / "runs")]
    subprocess.run(command, check=True, capture_output=True)


def unmount(study: Study) -> None:
    """Take the file system away."""
    subprocess.run(["umount", "--lazy", str(study.project / "runs")], capture_output=True)


def full_disks(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Fill the disk: really, with a small file system that grows, or at chosen file operations."""
    number, study = min(5, wanted["disk"]), lab.new("disk")
    try:
        if rng.random() < 0.6 and mounted(study, 1 << 14):
            return full_chain(lab, rng, study, number)
        return full_places(lab, rng, study, number)
    finally:
        unmount(study)
        study.remove()


def full_chain(lab: Laboratory, rng: random.Random, study: Study, number: int) -> list[Trial]:
    """Run a study on a disk that is full at ``number`` moments."""
    used = int(subprocess.check_output(["du", "-sk", str(lab.done / "runs")]).split()[0]) << 10
    trials = []
    for size in sorted(int(rng.uniform(0.02, 1) * used) for _ in range(number)):
        resize(study, f"size={size}")
        outcome = study.run(*SNAKEMAKE)
        if outcome.code == 0:
            break
        phase = phase_of(outcome.operations[-1]) if outcome.operations else "start"
        trial = Trial("disk", phase, "real: a file system in memory", f"{size >> 10} KiB of {used >> 10}")
        trial.faults += [f"half: {one}" for one in halves(study.results, lab.reference)]
        trial.faults += said(outcome, study, r"No space left|Errno 28|os error 28|Disk quota")
        trials.append(trial)
    resize(study, "size=1g")
    complete(lab, study, trials)
    return trials


def full_places(lab: Laboratory, rng: random.Random, study: Study, number: int) -> list[Trial]:
    """Run a study in which ``number`` chosen file operations fail because the disk is full."""
    trials = []
    phases = sorted((rng.choice(list(CHAIN)) for _ in range(number)), key=PHASES.index)
    for phase in phases:
        places = [one for one in lab.ahead(study, phase) if one.startswith(("open", "os.mkdir"))]
        if not places:
            continue
        plan = {"place": rng.choice(places), "act": "full"}
        outcome = study.run(*SNAKEMAKE, plan=plan)
        if outcome.fired is None:
            continue
        trial = Trial("disk", phase, "made up: one file operation fails", plan["place"])
        trial.faults += [f"half: {one}" for one in halves(study.results, lab.reference)]
        trial.faults += said(outcome, study, r"No space left") if outcome.code else []
        trials.append(trial)
    complete(lab, study, trials)
    return trials
