"""Disturb a very small study in every way that a real machine does, and compare it with an undisturbed run.

    .venv/bin/python -m tests.reliability --kills 100 --out docs/reliability.md

Every trial is a row of the CSV beside the report. A session that is interrupted continues there. Takes one
to two minutes per trial on two cores. Needs Linux; as root, it also fills and locks a real file system.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from modspec.workflow.provenance import git_state
from tests.reliability.altered_files import altered
from tests.reliability.full_disks import full_disks
from tests.reliability.kills import kills, moments
from tests.reliability.laboratory import PHASES, Laboratory
from tests.reliability.self_test import BUILT_IN, self_test
from tests.reliability.surroundings import clock, directories, starts
from tests.reliability.trials import Group, Trial

NUMBERS = {"kills": 100, "moments": 10, "disk": 20, "altered": 24, "starts": 4, "directories": 6, "clock": 4}
FIELDS = [*Trial("", "", "", "").row(), "commit"]
SHARES = {"search": 10, "finetuning": 10, "scoring": 12, "influence tables": 10, "figures": 10}
SHARES |= {
    "publish": 24,
    "restore": 24,
}  # per cent of the kills; these cost seconds, not minutes

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


def arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability", description=__doc__.partition("\n")[0]
    )
    for name, number in NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"number of trials ({number})")
    parser.add_argument("--only", choices=GROUPS, help="one group of trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget", type=float, default=float("inf"), help="minutes after which no trial starts"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/reliability.md"), help="report; a CSV lies beside it"
    )
    scratch = Path(tempfile.gettempdir()) / "modspec-reliability"
    parser.add_argument("--scratch", type=Path, default=scratch, help="a directory for copies of the project")
    return parser.parse_args()


def read(file: Path) -> list[dict[str, str]]:
    """Return the trials so far."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def add(file: Path, trials: list[Trial]) -> None:
    """Append trials to the CSV."""
    new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(trial.row() | {"commit": git_state()["commit"][:7]} for trial in trials)


def wanted(group: str, given: argparse.Namespace, rows: list[dict[str, str]]) -> Counter:
    """Return how many trials of a group are still to be made, kills by phase."""
    done = Counter(row["phase"] if group == "kills" else group for row in rows if row["group"] == group)
    if group == "kills":
        return Counter({phase: -(-given.kills * share // 100) for phase, share in SHARES.items()}) - done
    return Counter({group: len(BUILT_IN) if group == "self-test" else getattr(given, group)}) - done


def main() -> None:
    """Make the trials that are missing, and write the report."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # ends the study that runs, too
    given = arguments()
    table = given.out.with_suffix(".csv")
    end = time.monotonic() + given.budget * 60
    lab = Laboratory(given.scratch.resolve(), say)
    for name in [given.only] if given.only else GROUPS:
        fruitless = 0
        while time.monotonic() < end and fruitless < 5:
            rows = read(table)
            if not (missing := wanted(name, given, rows)):
                break
            started = time.monotonic()
            trials = GROUPS[name](lab, random.Random(f"{given.seed} {name} {len(rows)} {fruitless}"), missing)
            for trial in trials:
                trial.seconds = f"{(time.monotonic() - started) / len(trials):.0f}"
                say(" | ".join(trial.row().values()))
            add(table, trials)
            fruitless = 0 if trials else fruitless + 1
    given.out.write_text(report(read(table), table.name), encoding="utf-8")
    say(f"report: {given.out}")


def say(line: str) -> None:
    """Print a line at once."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


DISTURBANCES = {
    "self-test": "faults built into the copy of the project, which the script must notice",
    "kills": "SIGKILL at a chosen file operation: of all processes, of one, or of the memory killer's choice",
    "moments": "SIGKILL of the whole process tree at a random moment",
    "disk": "disk full: a small file system, and file operations that fail",
    "altered": "a file truncated, emptied, altered or deleted",
    "starts": "the same study started two or four times at once",
    "directories": "results read-only, or gone, in the middle of a run",
    "clock": "clock set back by a day",
}


REPORT = """# Reliability

A very small study was disturbed, and the same command ran again. A trial is without fault if

- masks, scores, tables and figures are, byte for byte, those of an undisturbed run;
- nothing stood half in its place right after the disturbance;
- nothing that was finished was made again;
- the run said why it failed, or what it repaired.

The memory killer is imitated: the process that the system would choose, by its `oom_score`, gets SIGKILL. A
clock that is set back is imitated by files that are dated a day later.

{machine}, Python {python}; commit {commits}. Generated by `python -m tests.reliability`; every trial is a
row of [the table]({table}).

| disturbance | trials | with faults |
|---|---|---|
{groups}

Kills by phase:

| phase | kills | with faults |
|---|---|---|
{phases}

Kills by what was killed:

| killed | kills | with faults |
|---|---|---|
{kinds}

## Faults

{faults}
"""


def report(rows: list[dict[str, str]], table: str) -> str:
    """Return the trials as Markdown."""

    def counts(field: str, names: dict[str, str], rows: list[dict[str, str]]) -> str:
        chosen = {name: [row for row in rows if row[field] == code] for code, name in names.items()}
        faulty = {name: sum(bool(row["faults"]) for row in trials) for name, trials in chosen.items()}
        return "\n".join(f"| {name} | {len(trials)} | {faulty[name]} |" for name, trials in chosen.items())

    killed = [row for row in rows if row["group"] in ("kills", "moments")]
    faults = [row for row in rows if row["faults"]]
    listed = [f"- {row['group']}, {row['disturbance']}, `{row['place']}`: {row['faults']}" for row in faults]
    return REPORT.format(
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        python=platform.python_version(),
        commits=", ".join(dict.fromkeys(row["commit"] for row in rows)),
        table=table,
        groups=counts("group", DISTURBANCES, rows),
        phases=counts("phase", {phase: phase for phase in (*PHASES, "start")}, killed),
        kinds=counts(
            "disturbance", {kind: kind for kind in sorted({r["disturbance"] for r in killed})}, killed
        ),
        faults="\n".join(listed) or "None.",
    )


if __name__ == "__main__":
    main()
