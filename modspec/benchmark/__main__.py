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
from collections.abc import Callable, Sequence
from importlib.metadata import distributions
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from modspec.benchmark import workloads
from modspec.benchmark.systems import SYSTEMS
from modspec.benchmark.tables import comparison, scaling
from modspec.benchmark.timed_run import Run, timed
from modspec.benchmark.workloads import WORKLOADS
from modspec.errors import InputError
from modspec.figures import save
from modspec.workflow import artifacts
from modspec.workflow.allocator import ALLOCATOR
from modspec.workflow.provenance import git_state

OURS = [name for name, system in SYSTEMS.items() if system.package is None]
PROBES = (8, 32)  # training examples from whose times those for all are extrapolated
SCALED = "b"  # the workload of the scaling runs
TRAIN_SIZES, TRAIN_FIXED = (16, 32, 64, 128, 256, 512), 10
EVALUATION_SIZES, EVALUATION_FIXED = (5, 10, 20, 50), 32


class Benchmark:
    """The runs of one invocation. Every result is kept on disk, so a second request costs nothing."""

    def __init__(self, directory: Path, systems: Sequence[str], threads: int, budget: float) -> None:
        self.directory = directory
        self.systems = systems
        self.threads = threads
        self.budget = budget

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
        sizes = {s: train for s in self.systems}
        for system in [s for s in self.systems if s not in OURS]:
            sizes[system] = manageable(
                lambda n, system=system: self.run(workload, system, n, evaluation), train, self.budget
            )
        plan = [(system, size) for system, size in sizes.items()]
        smaller = sorted({size for size in sizes.values() if size < train}, reverse=True)
        plan += [(system, size) for size in smaller for system in self.systems if system in OURS]
        results: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for repeat in range(1, rounds + 1):
            for system, size in plan:
                so_far = results.setdefault((system, size), [])
                if not any("error" in result for result in so_far):
                    so_far.append(self.run(workload, system, size, evaluation, repeat))
        return [result for several in results.values() for result in several]

    def scale(self, train_limit: int, evaluation_limit: int) -> list[dict[str, Any]]:
        """Run every system at growing sizes until a run fails or exceeds a quarter of the budget."""
        results = []
        axes = {
            "train": [(n, TRAIN_FIXED) for n in TRAIN_SIZES],
            "evaluation": [(EVALUATION_FIXED, n) for n in EVALUATION_SIZES],
        }
        for system, (axis, sizes) in product(self.systems, axes.items()):
            for train, evaluation in sizes:
                if train <= train_limit and evaluation <= evaluation_limit:
                    result = self.run(SCALED, system, train, evaluation)
                    if "error" in result:
                        break
                    results.append(result | {"axis": axis})
                    if result["seconds"] > self.budget / 4:
                        break
        return results


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
        "processor": _processor(),
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
    parser.add_argument("--workloads", type=_names(WORKLOADS), default=list(WORKLOADS), help="default: all")
    parser.add_argument("--systems", type=_names(SYSTEMS), default=list(SYSTEMS), help="default: all")
    parser.add_argument("--rounds", type=int, default=3, help="runs of every system (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every run (%(default)s)")
    parser.add_argument("--budget", type=float, default=600, help="seconds of a run (%(default)s)")
    parser.add_argument("--sizes", type=_size, help="TRAINxEVALUATION, instead of every workload's own")
    parser.add_argument("--directory", type=Path, default=Path("runs/benchmark"), help="default: %(default)s")
    parser.add_argument(
        "--figures", type=Path, default=Path("figures/benchmark"), help="default: %(default)s"
    )
    given = parser.parse_args(arguments)

    benchmark = Benchmark(given.directory, given.systems, given.threads, given.budget)
    results, scaled = [], []
    for name in given.workloads:
        workload = WORKLOADS[name]
        train, evaluation = given.sizes or (workload.train, workload.evaluation)
        try:
            workloads.prepare(name, given.directory / name)
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
    artifacts.write_json(given.figures / "machine.json", machine(given.threads))
    if scaled:
        save.save_figure("influence_scaling", scaling(scaled), given.figures)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}", na_rep=""))


def _names(known: dict[str, Any]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r}; allowed: {', '.join(known)}")
        return names

    return parse


def _size(text: str) -> tuple[int, int]:
    if not (size := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: TRAINxEVALUATION, at least 1x1, as in 12x4")
    return int(size[1]), int(size[2])


def _processor() -> str:
    """The processor's model name."""
    file = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return name[1] if name else platform.processor()


if __name__ == "__main__":
    main()
