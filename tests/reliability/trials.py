"""A trial: one disturbance, after which the same command runs again, and all is compared."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from tests.reliability.laboratory import (
    SNAKEMAKE,
    Laboratory,
    Outcome,
    Study,
    content,
    differences,
    finished,
    leftovers,
    made_again,
)

ATTEMPTS = 4  # runs of the same command after a disturbance, at most


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
