"""The disturbances: each is tried, then the same command runs again, and all is compared."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.reliability.laboratory import (
    PHASES,
    PUBLISHING,
    RUNS,
    SNAKEMAKE,
    STUDY,
    Laboratory,
    Outcome,
    Study,
    content,
    differences,
    finished,
    halves,
    leftovers,
    made_again,
    phase_of,
)

ATTEMPTS = 4  # runs of the same command after a disturbance, at most
CHAIN = {
    "search": 2,
    "finetuning": 2,
    "scoring": 3,
    "influence tables": 2,
    "figures": 2,
}  # kills in one study
KINDS = ("whole tree", "process alone", "memory killer")


@dataclass
class Trial:
    """One disturbance and what came of it; every list of faults should be empty."""

    group: str
    phase: str
    disturbance: str
    place: str
    faults: list[str] = field(default_factory=list)
    note: str = ""
    seconds: str = ""

    def row(self) -> dict[str, str]:
        """Return the trial as a row of the CSV."""
        texts = asdict(self) | {"faults": "; ".join(self.faults), "result": "fault" if self.faults else "ok"}
        return {name: " ".join(text.split())[:300] for name, text in texts.items()}


# Makes a few trials. The counter says how many are still wanted, by phase or else by group.
Group = Callable[[Laboratory, random.Random, Counter], list[Trial]]


def complete(lab: Laboratory, study: Study, trials: list[Trial], first: Outcome | None = None) -> Outcome:
    """Run the study until it succeeds, compare it with the undisturbed run, and note faults in ``trials``."""
    outcome, attempts = first, 0
    while outcome is None or outcome.code != 0:
        if attempts == ATTEMPTS:
            note(trials, f"still fails after {attempts} runs: {last_line(outcome)}")
            return outcome
        before = finished(study.results)
        outcome = study.run(*SNAKEMAKE)
        attempts += 1
        if again := made_again(outcome.operations, before):
            note(trials[-1:], f"was finished and was made again: {', '.join(again)}")
    if different := differences(content(study.results), lab.reference):
        note(trials, f"differs from the undisturbed run: {', '.join(different[:5])}")
    if left := leftovers(study.results):
        for trial in trials:
            trial.note += f" left behind: {', '.join(left[:3])}"
    return outcome


def note(trials: list[Trial], fault: str) -> None:
    """Add a fault to all trials that it may come from."""
    for trial in trials:
        trial.faults.append(fault)


def last_line(outcome: Outcome | None) -> str:
    """Return the last line of a run's output."""
    return (outcome.output.strip().splitlines() or [""])[-1] if outcome else ""


# Kills


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


# Full disks


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


def lines(outcome: Outcome, study: Study) -> dict[str, list[str]]:
    """Return what a run said: in the terminal, and in logs and notebooks."""
    notebooks = [*study.results.glob("notebooks/**/*.ipynb"), *study.results.glob("logs/**/*")]
    files = [file for file in notebooks if file.is_file()]
    said = [line for file in files for line in file.read_text(errors="replace").splitlines()]
    return {"terminal": outcome.output.splitlines(), "notebooks and logs": said}


def said(outcome: Outcome, study: Study, pattern: str) -> list[str]:
    """Return a fault unless a line of a run's output, in the terminal, says the pattern."""
    if any(re.search(pattern, line) for line in lines(outcome, study)["terminal"]):
        return []
    return [f"the terminal does not say why it failed: {last_line(outcome)}"]


# Altered files: which file, and what is removed for it to be read again

FIGURES_AGAIN = ("figures/provenance.json", "notebooks/04_figures.ipynb")
ALTERED = {
    "search/seed0/*": ("finetuning/full-seed0",),
    "search/seed0/[it]*.parquet": FIGURES_AGAIN,
    "checkpoints/start-seed0-*/*": ("search/seed0", "search/seed0.pieces"),
    "checkpoints/full-seed0/*": ("scores/full-seed0", "influence/full-seed0"),
    "finetuning/sft-seed0/*": FIGURES_AGAIN,
    "scores/full-seed0/*": ("influence/full-seed0",),
    "influence/full-seed0/*": FIGURES_AGAIN,
    "search/seed0.pieces/*/*": (),
    "scores/full-seed0.pieces/*/*": (),
    "figures/*.csv": "publish",
    "notebooks/0[1234]*.ipynb": "publish",
    "figures/artefacts/*/*/*": "restore",
}


def truncate(file: Path, rng: random.Random) -> None:
    """Keep the first half."""
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path, rng: random.Random) -> None:
    """Keep nothing."""
    os.truncate(file, 0)


def flip(file: Path, rng: random.Random) -> None:
    """Change one bit."""
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(7)
    file.write_bytes(data)


def zeros(file: Path, rng: random.Random) -> None:
    """Write zeros in place of the second half, as some file systems do after a power cut."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def append(file: Path, rng: random.Random) -> None:
    """Add a byte."""
    file.write_bytes(file.read_bytes() + b"\n")


def delete(file: Path, rng: random.Random) -> None:
    """Remove the file, not the artefact."""
    file.unlink()


WAYS = (truncate, empty, flip, zeros, append, delete)


def altered(lab: Laboratory, rng: random.Random, wanted: Counter) -> list[Trial]:
    """Alter a file of a finished or killed run, and have it read again; each pattern has its turn."""
    return [alter(lab, rng, list(ALTERED)[wanted["altered"] % len(ALTERED)])]


def alter(lab: Laboratory, rng: random.Random, pattern: str, way: Callable | None = None) -> Trial:
    """Alter a file that fits the pattern; the run must name it, and then be as undisturbed."""
    study = killed_before(lab, pattern) if ".pieces" in pattern else lab.new("altered", done=True)
    remove, root = ALTERED.get(pattern, ALTERED["scores/full-seed0/*"]), study.results
    if remove == "restore":
        study.run(PUBLISHING, "publish", STUDY)
        root, pattern = study.project, pattern.replace("figures", f"figures/{STUDY}", 1)
    file = rng.choice(sorted(path for path in root.glob(pattern) if path.is_file()))
    name = str(file.relative_to(root))
    # Of a manifest, one byte more is still the same JSON; notebooks have no checksum.
    way = way or rng.choice(WAYS[:2] if file.suffix == ".ipynb" or file.name == "manifest.json" else WAYS)
    way(file, rng)
    trial = Trial("altered", "", way.__doc__.split("\n")[0].rstrip("."), name)
    if isinstance(remove, tuple):
        for place in remove:
            path = study.results / place
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        outcome = study.run(*SNAKEMAKE)
    else:
        if remove == "restore":
            shutil.rmtree(study.results)
        outcome = study.run(PUBLISHING, remove, STUDY)
    words = r"truncated|altered|missing|damaged"
    named = re.compile(rf"{re.escape(os.path.dirname(name))}.*({words})|({words}).*{re.escape(name)}")
    where = [place for place, text in lines(outcome, study).items() if any(map(named.search, text))]
    trial.note = f"named in: {where[0] if where else 'nothing'}"
    if not where:
        trial.faults.append(f"silent (exit code {outcome.code}): {last_line(outcome)}")
    if remove == "publish":
        if outcome.code == 0 or (study.project / "figures" / STUDY).exists():
            trial.faults.append("published nevertheless")
    elif remove == "restore":
        if outcome.code == 0 or study.results.exists():
            trial.faults.append("restored nevertheless")
    else:
        if outcome.code != 0:  # do what the message says: delete the artefact, and run its stage again
            shutil.rmtree(file.parent)
        complete(lab, study, [trial], outcome)
    study.remove()
    return trial


def killed_before(lab: Laboratory, pattern: str) -> Study:
    """Return a study that was killed when all pieces of an artefact were finished, and it was not."""
    artefact = pattern.partition(".pieces")[0]
    state = lab.scratch / artefact.replace("/", "-")
    if not state.exists():
        study = lab.new("altered")
        process = study.start(*SNAKEMAKE, plan={"place": f"os.rename {RUNS}/{artefact}"})
        if study.wait(process).fired is None:
            raise SystemExit(f"error: the run never moved {artefact} to its place")
        study.kill_tree(process)
        shutil.move(study.project, state)
        study.remove()
    return Study(lab.scratch / "altered", state)


# Several starts, directories, the clock


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


# The script itself: faults built into the copy, which it must find

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
    "a directory is filled in its place": ("modspec/files.py", IN_PLACE, in_place),
    "a file is written in its place": ("modspec/files.py", HALF_FILE, half_file),
    "checksums are not compared": ("modspec/workflow/artifacts.py", UNCHECKED, unchecked),
    "the older directory is removed first": ("modspec/files.py", REMOVED_FIRST, removed_first),
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


GROUPS: dict[str, Group] = {
    "self-test": self_test,
    "kills": kills,
    "moments": moments,
    "disk": full_disks,
    "altered": altered,
    "starts": starts,
    "directories": directories,
    "clock": clock,
}
