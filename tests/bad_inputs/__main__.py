"""Send every bad input through its real command, in a process of its own, and write a table of the answers.

    python -m tests.bad_inputs bad_inputs.csv [words of the names to run]

Half an hour and more. A table that is there is continued: to send everything again, delete it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tests.bad_inputs import ALL
from tests.bad_inputs.answers import BadInput, complaints

ROOT = Path(__file__).parents[2]

COMMANDS: dict[str, Callable[..., list[str]]] = {
    "data check": lambda *words: ["-m", "modspec", "data", "check", *words],
    "encoder check": lambda *words: ["-m", "modspec", "encoder", "check", *words],
    "study": lambda *words: "-m snakemake --dry-run --cores 1 --quiet all --config".split() + list(words),
    "notebook": lambda number, text: [
        *"-m papermill --kernel python3 --no-progress-bar --log-level ERROR".split(),
        str(next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))),
        os.devnull,
        "--parameters_yaml",
        text,
    ],
}


def sent(bad: BadInput) -> dict[str, Any]:
    """Send a bad input through its command; return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *COMMANDS[bad.command](*bad.write(Path(folder)))]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        seconds = time.monotonic() - start
    # A dry run of Snakemake prints its errors as output.
    printed = f"{done.stdout}\n{done.stderr}".strip().splitlines()
    lines = [line.removeprefix("error: ").removeprefix("InputError: ") for line in printed]
    line = next(
        (line for line in lines if all(part in line for part in bad.answer)), lines[-1] if lines else None
    )
    wrong = complaints(bad, line) + ["exit code 0"] * (done.returncode == 0)
    # papermill shows where in the notebook the error was raised; nothing else may show a traceback.
    wrong += ["traceback"] * ("Traceback" in "".join(printed) and bad.command != "notebook")
    return {
        "command": bad.command,
        "input": bad.name,
        "exit code": done.returncode,
        "seconds": round(seconds, 1),
        "line": line,
        "verdict": "; ".join(wrong) or "pass",
    }


def main() -> None:
    """Send bad inputs through the real commands, one after the other."""
    file, *words = sys.argv[1:]
    chosen = [bad for bad in ALL if not words or any(word in f"{bad.command} {bad.name}" for word in words)]
    table = pd.read_csv(file).fillna("").to_dict("records") if Path(file).exists() else []
    done = {(row["command"], row["input"]) for row in table}
    for bad in (bad for bad in chosen if (bad.command, bad.name) not in done):
        table.append(sent(bad))
        if table[-1]["verdict"] != "pass":
            print(f"{bad.command}, {bad.name}: {table[-1]['verdict']}: {table[-1]['line']}", file=sys.stderr)
        pd.DataFrame(table).to_csv(file, index=False)
    failed = sum(row["verdict"] != "pass" for row in table)
    print(f"{len(table) - failed} of {len(table)} bad inputs were refused by one line; table: {file}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
