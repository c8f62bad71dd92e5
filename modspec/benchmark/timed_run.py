"""One timed run of a system on a workload, in a process of its own.

The process warms up on a few training and all evaluation examples, so that no system is timed on its first
touch of memory (a virtual machine sometimes needs seconds per gigabyte for that), loads classifier and
examples anew, and times from these to scores.

All systems get the same allocator settings: by default glibc returns every large block that is freed, and
fetching it again page by page is what dattri then spends most of its time on; captum's linear setting,
kronfluence and ours gain 12 to 14 %, captum's default and trak nothing. Blocks over 128 MiB are returned all
the same: keeping those as well made dattri and trak run out of memory, since aligned blocks fragment.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.numpy import save_file

from modspec.benchmark import machine_rates, workloads
from modspec.benchmark.systems import SYSTEMS
from modspec.workflow import artifacts
from modspec.workflow.process_environment import process_environment
from modspec.workflow.provenance import peak_memory

WARM_UP = 4  # training examples


@dataclass(frozen=True)
class Run:
    """One run: system, workload and size."""

    workload: str
    system: str
    train: int
    evaluation: int
    threads: int
    repeat: int  # counts the runs of the same

    @property
    def name(self) -> str:
        """File name of the result, without suffix."""
        size = f"{self.train}x{self.evaluation}-{self.threads}t"
        return f"{self.workload}-{self.system.replace(' ', '_')}-{size}-{self.repeat}"


def timed(run: Run, workload: Path, results: Path, limit: float | None) -> dict[str, Any]:
    """Return the run's result, from its file in ``results`` or else from running it.

    Args:
        run: what is run.
        workload: directory of the workload's artefact.
        results: directory of the results. Scores lie beside them as safetensors, and a log of the process.
        limit: seconds after which a run is ended; None for no limit.

    Returns:
        The fields of ``Run`` and either ``seconds``, ``peak_gib``, ``relative_error`` and, of ours, the rates
        of the machine, or ``error``: one line on what went wrong.
    """
    file = results / f"{run.name}.json"
    if not file.exists():
        results.mkdir(parents=True, exist_ok=True)
        module, fields = "modspec.benchmark.timed_run", json.dumps(asdict(run))
        command = [sys.executable, "-m", module, workload, file, fields]
        environment = process_environment(run.threads) | {"MKL_NUM_THREADS": str(run.threads)}
        with file.with_suffix(".log").open("w") as log:
            try:
                done = subprocess.run(
                    command, env=os.environ | environment, stdout=log, stderr=log, timeout=limit
                )
                error = f"ended with status {done.returncode}; see {file.with_suffix('.log').name}"
            except subprocess.TimeoutExpired:
                error = f"not done after {limit:.0f} s"
        if not file.exists():
            artifacts.write_json(file, asdict(run) | {"error": error})
    return json.loads(file.read_text(encoding="utf-8"))


def work(run: Run, workload: Path, file: Path) -> None:
    """Run in this process and write the result. An exception of the system becomes its ``error``."""
    torch.set_num_threads(run.threads)
    system = SYSTEMS[run.system]

    def loaded(train: int, evaluation: int) -> tuple:
        return workloads.load_classifier(workload), *workloads.load_examples(workload, train, evaluation)

    try:
        system.score(*loaded(WARM_UP, run.evaluation))
        task = loaded(run.train, run.evaluation)
        # kronfluence collects garbage, which would walk all that others import.
        gc.collect()
        gc.freeze()
        start = time.perf_counter()
        scores = system.score(*task)
        seconds = time.perf_counter() - start
    except Exception as error:
        reason = str(error).strip().splitlines() or [""]
        artifacts.write_json(file, asdict(run) | {"error": f"{type(error).__name__}: {reason[0]}"})
        raise
    result = asdict(run) | {
        "seconds": seconds,
        "peak_gib": peak_memory() / 2**30,
        "relative_error": workloads.relative_error(scores["dot"], workload, system.covers),
    }
    if system.package is None:
        result["bandwidth"] = machine_rates.bandwidth()
        for dtype in (torch.float32, torch.bfloat16):
            result[f"{dtype}".removeprefix("torch.")] = machine_rates.matrix_rate(dtype)
    save_file(dict(scores), file.with_suffix(".safetensors"))
    artifacts.write_json(file, result)


def main() -> None:
    """Run :func:`work` on the command line's workload, file, and fields of ``Run`` as JSON."""
    workload, file, run = sys.argv[1:]
    if sys.platform == "linux":  # an allocation that fails is reported; a process killed for memory is not
        available = psutil.virtual_memory().available
        resource.setrlimit(resource.RLIMIT_AS, (available, available))
    work(Run(**json.loads(run)), Path(workload), Path(file))


if __name__ == "__main__":
    main()
