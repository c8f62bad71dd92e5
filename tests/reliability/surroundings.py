"""What happens around a run: other runs, directories that are locked or gone, a clock that is set back."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.reliability.full_disks import mounted, resize, unmount
from tests.reliability.kills import CHAIN
from tests.reliability.laboratory import SNAKEMAKE, Laboratory, Study, halves, phase_of
from tests.reliability.trials import Trial, complete, last_line, said


def starts(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Start the same study two or four times at once."""
    number = 2 + 2 * (wanted["starts"] % 2)
    study = lab.new("starts")
    delay = rng.choice([0, 0, rng.uniform(0, 10)])
    processes = []
    for one in range(number):
        processes.append(study.start(*SNAKEMAKE, output=f"output{one}"))
        time.sleep(delay)
    outcomes = [study.wait(one, output=f"output{i}") for i, one in enumerate(processes)]
    trial = Trial("starts", "", f"{number} at once", f"{delay:.1f} s between them")
    trial.note = f"exit codes {[one.code for one in outcomes]};"
    for outcome in outcomes:
        if "Traceback" in outcome.output:
            error = re.findall(r"^\w*Error: .+$", outcome.output, re.MULTILINE)
            trial.faults.append(f"one start ends with a traceback: {(error or [''])[-1]}")
        elif outcome.code != 0:
            trial.note += f" {last_line(outcome)};"
    if all(outcome.code != 0 for outcome in outcomes):
        trial.faults.append("none of them succeeded")
    complete(lab, study, [trial])
    study.remove()
    return [trial]


def directories(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Make results read-only, or let them vanish, while the study runs."""
    ways = ("read-only", "vanished, then back", "vanished for good")
    way = ways[wanted["directories"] % len(ways)]
    study = lab.new("directories")
    real = way == "read-only" and mounted(study, 1 << 30)
    try:
        return [disturb_directory(lab, rng, study, way, real)]
    finally:
        unmount(study)
        study.remove()


def disturb_directory(lab: Laboratory, rng: random.Random, study: Study, way: str, real: bool) -> Trial:
    """Stop a run at a random place, take its results away, and let it go on."""
    place = rng.choice([one for one in lab.places if phase_of(one) in CHAIN])
    process = study.start(*SNAKEMAKE, plan={"place": place})
    outcome = study.wait(process)
    trial = Trial("directories", phase_of(place), way, place)
    if outcome.fired is None:
        trial.note = "ended before"
        return trial
    away = study.root / "away"
    if way != "read-only":
        study.results.rename(away)
    elif real:  # refused while a file is open for writing, as it is in real life
        subprocess.run(["mount", "-o", "remount,ro", str(study.project / "runs")], capture_output=True)
    else:
        access(study.results, writable=False)
    os.kill(outcome.fired["pid"], signal.SIGCONT)
    (study.hook / "fired.json").unlink()
    outcome = study.wait(process)
    trial.note = f"exit code {outcome.code}: {last_line(outcome)}"
    if real:
        resize(study, "rw")
    elif way == "read-only":
        access(study.results, writable=True)
    if way == "vanished, then back":
        shutil.rmtree(study.results, ignore_errors=True)
        away.rename(study.results)
    if outcome.code and way == "read-only":
        trial.faults += said(
            outcome, study, r"Read-only file system|Permission denied|read-only|not writable"
        )
    trial.faults += [f"half: {one}" for one in halves(study.results, lab.reference)]
    complete(lab, study, [trial])
    return trial


def access(results: Path, *, writable: bool) -> None:
    """Forbid or allow writing into every directory of a run."""
    for path in [results, *(path for path in results.rglob("*") if path.is_dir())]:
        path.chmod(0o755 if writable else 0o555)


def clock(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Set the clock back by a day: every file that exists is then a day in the future."""
    ways = ("while it runs", "between a kill and the next run", "after the run", "before the run")
    way = ways[wanted["clock"] % len(ways)]
    study = lab.new("clock", done=way == "after the run")
    trial = Trial("clock", "", f"set back by a day {way}", "")
    if way in ways[:2]:
        trial.place = rng.choice([one for one in lab.places if phase_of(one) in CHAIN])
        process = study.start(*SNAKEMAKE, plan={"place": trial.place})
        fired = study.wait(process).fired
        if fired and way == ways[1]:
            study.kill_tree(process)
        into_the_future(study)
        if fired and way == ways[0]:
            os.kill(fired["pid"], signal.SIGCONT)
            (study.hook / "fired.json").unlink()
            study.wait(process)
    else:
        into_the_future(study)
    complete(lab, study, [trial])
    again = study.run(*SNAKEMAKE)
    trial.note += (
        f" the next run: {'nothing to do' if 'Nothing to be done' in again.output else 'jobs again'}"
    )
    complete(lab, study, [trial], again)
    study.remove()
    return [trial]


def into_the_future(study: Study) -> None:
    """Date every file of the project a day later: that is what a clock set back looks like."""
    for path in study.project.rglob("*"):
        if not path.is_symlink():
            times = path.stat()
            os.utime(path, (times.st_atime + 86400, times.st_mtime + 86400))
