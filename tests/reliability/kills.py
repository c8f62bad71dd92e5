"""Kills at chosen file operations, and of the whole process tree at random moments."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from tests.reliability.laboratory import (
    PUBLISHING,
    SNAKEMAKE,
    STUDY,
    Laboratory,
    Study,
    content,
    differences,
    finished,
    halves,
    made_again,
    phase_of,
)
from tests.reliability.trials import Trial, complete, last_line, note

CHAIN = {
    "search": 2,
    "finetuning": 2,
    "scoring": 3,
    "influence tables": 2,
    "figures": 2,
}  # kills in one study
KINDS = ("whole tree", "process alone", "memory killer")


def kills(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Kill at chosen file operations."""
    if stages := [phase for phase in CHAIN if wanted[phase] > 0]:
        return kill_chain(lab, rng, {phase: min(CHAIN[phase], wanted[phase]) for phase in stages})
    return [kill_copying(lab, rng, rng.choice([phase for phase, number in wanted.items() if number > 0]))]


def kill_chain(lab: Laboratory, rng: random.Random, quota: dict[str, int]) -> list[Trial]:
    """Kill one study ``quota`` times in its phases, and let it be completed."""
    study, trials = lab.new("kills"), []
    outcome = None
    for phase in (phase for phase, number in quota.items() for _ in range(number)):
        places = lab.ahead(study, phase)
        if not places:
            continue
        plan = {"place": rng.choice(places), "delay": rng.choice([0, 0, rng.uniform(0, 0.2)])}
        before = finished(study.results)
        process = study.start(*SNAKEMAKE, plan=plan)
        outcome = study.wait(process)
        if trials and (again := made_again(outcome.operations, before)):
            note(trials[-1:], f"was finished and was made again: {', '.join(again)}")
        if outcome.code is not None:  # it ended before the place was reached
            if outcome.code == 0:
                break
            note(trials[-1:], f"failed without another disturbance: {last_line(outcome)}")
            continue
        if outcome.fired is None:
            study.kill_tree(process)
            note(trials[-1:], "hangs")
            continue
        kind = rng.choice(KINDS)
        where = plan["place"] + (f" +{plan['delay']:.2f} s" if plan["delay"] else "")
        trials.append(Trial("kills", phase, study.kill(process, kind, outcome.fired["pid"]), where))
        trials[-1].faults += [f"half: {one}" for one in halves(study.results, lab.reference)]
        if kind != "whole tree":
            outcome = study.wait(process)
            if outcome.code is None:
                study.kill_tree(process)
                note(trials[-1:], "hangs after its process was killed")
        else:
            outcome = None
    complete(lab, study, trials, outcome if outcome and outcome.code == 0 else None)
    study.remove()
    return trials


def moments(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Kill the whole tree of one study at a few random moments, and let it be completed."""
    study, trials = lab.new("moments"), []
    for _ in range(min(6, wanted["moments"])):
        before = finished(study.results)
        seconds = rng.uniform(1, lab.seconds)
        process = study.start(*SNAKEMAKE)
        outcome = study.wait(process, seconds=seconds)
        if trials and (again := made_again(outcome.operations, before)):
            note(trials[-1:], f"was finished and was made again: {', '.join(again)}")
        if outcome.code is not None:
            break
        study.kill_tree(process)
        phase = phase_of(outcome.operations[-1]) if outcome.operations else "start"
        trials.append(Trial("moments", phase, "whole tree", f"after {seconds:.1f} s"))
        trials[-1].faults += [f"half: {one}" for one in halves(study.results, lab.reference)]
    complete(lab, study, trials)
    study.remove()
    return trials


def tree(directory: Path) -> dict[str, bytes]:
    """Return the files of a directory and their content."""
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


def standing(parent: Path, name: str) -> dict[str, bytes]:
    """Return what stands at a published place, or was moved aside and will be put back."""
    places = [parent / name, *parent.glob(f".{name}.*.older")]
    return next((tree(place) for place in places if place.exists()), {})


def kill_copying(lab: Laboratory, rng: random.Random, command: str, at: str | None = None) -> Trial:
    """Kill publishing over older results, or restoring, at one of its file operations; then do it again."""
    study = lab.new(command, done=True)
    places = {"results": study.project / "figures", "notebooks": study.project / "notebooks" / "executed"}
    arguments = (PUBLISHING, command, STUDY)
    study.run(PUBLISHING, "publish", STUDY)
    new = {name: tree(place / STUDY) for name, place in places.items()}
    if command == "publish":
        for place in places.values():  # what was published before differs in every file
            for file in (place / STUDY).rglob("*"):
                if file.is_file():
                    file.write_text("older")
        (places["results"] / STUDY / "older.csv").touch()
    else:
        shutil.rmtree(study.results)
    older = {name: tree(place / STUDY) for name, place in places.items()}
    if at is None:
        rehearsal = Study(lab.scratch / "rehearsal", study.project)
        at = rng.choice(list(dict.fromkeys(rehearsal.run(*arguments).operations)))
        rehearsal.remove()
    plan = {"place": at, "delay": rng.choice([0, 0, 0, rng.uniform(0, 0.05)])}
    process = study.start(*arguments, plan=plan)
    outcome = study.wait(process)
    trial = Trial("kills", command, "whole tree", plan["place"])
    if outcome.code is None:
        study.kill_tree(process)
    else:
        trial.note = "ended before the kill"
    if command == "publish":
        for name, place in places.items():
            if standing(place, STUDY) not in (older[name], new[name]):
                trial.faults.append(f"{name}: neither the older nor the new ones stand, nor are they aside")
    else:
        trial.faults += [f"half: {one}" for one in halves(study.results, lab.reference)]
    again = study.run(*arguments)
    if again.code != 0:
        trial.faults.append(f"the same command fails: {last_line(again)}")
    for name, place in places.items():
        if tree(place / STUDY) != new[name]:
            trial.faults.append(f"{name}: differ after the same command ran again")
        if left := [path.name for path in place.glob(".*")]:
            trial.note += f" left behind: {', '.join(left)}"
    if command == "restore":
        restored = content(study.results)
        stages = ("search/", "finetuning/", "influence/")
        expected = {name: value for name, value in lab.reference.items() if name.startswith(stages)}
        if different := differences(restored, expected):
            trial.faults.append(f"differs from what was published: {', '.join(different[:5])}")
    study.remove()
    return trial
