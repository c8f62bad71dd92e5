"""Files truncated, emptied, altered or deleted: which, and what is removed for them to be read again."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.reliability.laboratory import PUBLISHING, RUNS, SNAKEMAKE, STUDY, Laboratory, Study
from tests.reliability.trials import Trial, complete, last_line, lines

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
