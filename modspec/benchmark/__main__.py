"""``make benchmark``: our influence scores against other packages', on identical work.

Every run is a process of its own (``modspec.benchmark.timed_run``). Systems alternate over several rounds, so
that other work of the machine affects all alike. A package that would need more than a budget of seconds for
all training examples is compared at the largest number that fits, and ours is run at that size too. Results
are kept as they come: an interrupted benchmark goes on where it stopped, and a changed system is measured
anew once its files in ``runs/benchmark/results`` are deleted.
"""

import argparse
import platform
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distributions
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch

from modspec.benchmark.systems import SYSTEMS
from modspec.benchmark.tables import comparison
from modspec.benchmark.timed_run import Run, timed
from modspec.benchmark.workloads import WORKLOADS, prepare
from modspec.errors import InputError
from modspec.figures import captions, save
from modspec.models.device_and_precision import processor
from modspec.workflow import artifacts
from modspec.workflow.process_environment import ALLOCATOR
from modspec.workflow.provenance import git_state

OURS = [name for name, system in SYSTEMS.items() if system.package is None]
PROBES = (8, 32)  # training examples from whose times those for all are extrapolated
SCALED, SCALED_TASK = "b", "Task intents, encoder e5-small"  # the workload of the scaling runs
SCALES = {  # which examples grow -> numbers of training and evaluation examples
    "train": [(n, 10) for n in (16, 32, 64, 128, 256, 512)],
    "evaluation": [(32, n) for n in (5, 10, 20, 50)],
}


@dataclass(frozen=True)
class Benchmark:
    """The runs of one invocation. Every result is kept on disk, so a second request costs nothing."""

    directory: Path
    systems: Sequence[str]
    threads: int
    budget: float  # seconds of a run

    def run(self, workload: str, system: str, train: int, evaluation: int, repeat: int = 1) -> dict[str, Any]:
        """Return the result of one run: of another package within twice the budget, of ours without limit."""
        run = Run(workload, system, train, evaluation, self.threads, repeat)
        limit = None if system in OURS else 2 * self.budget
        result = timed(run, self.directory / workload, self.directory / "results", limit)
        outcome = result.get("error") or f"{result['seconds']:.2f} s"
        print(f"{workload}  {system:17} {train:5} x {evaluation:<3} run {repeat}: {outcome}", flush=True)
        return result

    def compare(self, workload: str, train: int, evaluation: int, rounds: int) -> list[dict[str, Any]]:
        """Run all systems in turn, each at the size that it manages, and ours at every such size."""

        def probe(system: str) -> int:
            run = partial(self.run, workload, system, evaluation=evaluation)
            return train if system in OURS else manageable(run, train, self.budget)

        sizes = {system: probe(system) for system in self.systems}
        smaller = sorted({*sizes.values()} - {train}, reverse=True)
        plan = [*sizes.items(), *((system, n) for n in smaller for system in self.systems if system in OURS)]
        results: dict[tuple[str, int], list[dict[str, Any]]] = {planned: [] for planned in plan}
        for repeat, (system, size) in product(range(1, rounds + 1), plan):
            so_far = results[system, size]
            if not any("error" in result for result in so_far):
                so_far.append(self.run(workload, system, size, evaluation, repeat))
        return [result for several in results.values() for result in several]

    def scale(self, train_limit: int, evaluation_limit: int) -> pd.DataFrame:
        """Run every system at growing sizes until a run fails or exceeds a quarter of the budget.

        Returns:
            One row per run: seconds and peak_gib; ``axis``: which examples grow, "train" or "evaluation".
        """
        rows = []
        for system, (axis, sizes) in product(self.systems, SCALES.items()):
            for train, evaluation in sizes:
                if train <= train_limit and evaluation <= evaluation_limit:
                    result = self.run(SCALED, system, train, evaluation)
                    if "error" not in result:
                        rows.append(result | {"axis": axis})
                    if result.get("seconds", np.inf) > self.budget / 4:
                        break
        return pd.DataFrame(rows, columns=["axis", "system", "train", "evaluation", "seconds", "peak_gib"])


def manageable(run: Callable[[int], dict[str, Any]], train: int, budget: float) -> int:
    """Return the largest number of training examples, up to ``train``, whose run fits the budget.

    Args:
        run: takes a number of training examples, returns the result of a run.
        train: the number wanted.
        budget: seconds.

    Returns:
        A number extrapolated from the times of PROBES: ``train``, or the smallest probe times a power of two.
        The size of a probe where this probe fails or the next one would not fit.
    """
    seconds = []
    for size in PROBES:
        if size >= train:
            return train
        result = run(size)
        if "error" in result:
            return size
        seconds.append(result["seconds"])
        if 2 * seconds[-1] > budget and size < PROBES[-1]:
            return size
    each = (seconds[1] - seconds[0]) / (PROBES[1] - PROBES[0])
    if seconds[0] + each * (train - PROBES[0]) <= budget:
        return train
    most = PROBES[0] + (budget - seconds[0]) / each
    return PROBES[0] * 2 ** max(int(np.log2(most / PROBES[0])), 0)


def machine(threads: int) -> dict[str, Any]:
    """Describe what the benchmark ran on and with, without names of hosts or directories."""
    packages = "torch", "transformers", *sorted({s.package for s in SYSTEMS.values() if s.package})
    installed = {package.name: package.version for package in distributions()}
    return {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": psutil.cpu_count(logical=False),
        "threads": threads,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: installed.get(name, "not installed") for name in packages},
        "allocator": ALLOCATOR,
        **git_state(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m modspec.benchmark", description=__doc__.split("\n\n")[1])
    for name, known in (("--workloads", WORKLOADS), ("--systems", SYSTEMS)):
        parser.add_argument(name, type=partial(_names, known), default=list(known), help="default: all")
    parser.add_argument("--rounds", type=int, default=3, help="runs of every system (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every run (%(default)s)")
    parser.add_argument("--budget", type=float, default=600, help="seconds of a run (%(default)s)")
    parser.add_argument("--sizes", type=_size, help="TRAINxEVALUATION, instead of every workload's own")
    for name, folder in (("--directory", "runs/benchmark"), ("--figures", "figures/benchmark")):
        parser.add_argument(name, type=Path, default=Path(folder), help="default: %(default)s")
    given = parser.parse_args(arguments)

    benchmark = Benchmark(given.directory, given.systems, given.threads, given.budget)
    results, scaled = [], pd.DataFrame()
    for name in given.workloads:
        workload = WORKLOADS[name]
        train, evaluation = given.sizes or (workload.train, workload.evaluation)
        try:
            prepare(name, given.directory / name)
        except InputError as error:
            print(f"{name}  left out: {error}")
            continue
        results += benchmark.compare(name, train, evaluation, given.rounds)
        if name == SCALED:
            ours = [system for system in given.systems if system in OURS]
            results += [benchmark.run(name, ours[-1], 10 * train, evaluation)] if ours else []
            scaled = benchmark.scale(train, evaluation)
    if not results:
        raise SystemExit("error: no workload could be prepared")
    table = comparison(results, given.directory)
    given.figures.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.figures / "influence_benchmark.csv", index=False, float_format="%.6g")
    described = machine(given.threads)
    artifacts.write_json(given.figures / "machine.json", described)
    if len(scaled):
        save.save_figure("influence_scaling", scaled, given.figures)
        texts = captions.of_benchmark(SCALED_TASK, described)
        captions.write_captions(given.figures, "benchmark", texts)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}", na_rep=""))


def _names(known: Collection[str], text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}; allowed: {', '.join(known)}")
    return names


def _size(text: str) -> tuple[int, int]:
    if not (size := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: TRAINxEVALUATION, at least 1x1, as in 12x4")
    return int(size[1]), int(size[2])


if __name__ == "__main__":
    main()
