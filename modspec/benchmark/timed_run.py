"""One timed run of a system on a workload, in a process of its own.

The process warms up on a few training and all evaluation examples, so that no system is timed on its first
touch of memory (a virtual machine can need seconds a gigabyte for that, now and then), loads classifier and
examples anew, and times from these to scores.

All systems get the same allocator settings: by default glibc returns every large block that is freed, and
fetching it again page by page is what dattri then spends most of its time on; captum's linear setting,
kronfluence and ours gain 12 to 14 %, captum's default and trak nothing. Blocks over 128 MiB are returned all
the same: keeping those as well made dattri and trak run out of memory, since aligned blocks fragment.
"""

from __future__ import annotations

import argparse
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

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**27),
    "MALLOC_TRIM_THRESHOLD_": str(2**36),
    "MALLOC_TOP_PAD_": str(2**26),
}
WARM_UP = 4  # training examples


@dataclass(frozen=True)
class Run:
    """What is run; ``repeat`` counts the runs of the same."""

    workload: str
    system: str
    train: int
    evaluation: int
    threads: int
    repeat: int

    @property
    def name(self) -> str:
        """File name of the result, without suffix."""
        size = f"{self.train}x{self.evaluation}-{self.threads}t"
        return f"{self.workload}-{self.system.replace(' ', '_')}-{size}-{self.repeat}"


def timed(run: Run, workload: Path, results: Path, limit: float | None) -> dict[str, Any]:
    """The run's result, from its file in ``results`` or else from running it.

    A result holds the fields of ``Run`` and either ``seconds``, ``peak_gib``, ``relative_error`` and of ours
    the machine's rates, or ``error``: one line on what went wrong, be it ``limit`` seconds gone by. Scores
    lie beside it as safetensors, what the process printed as a log.
    """
    file = results / f"{run.name}.json"
    if not file.exists():
        results.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "modspec.benchmark.timed_run",
            str(workload),
            str(file),
            json.dumps(asdict(run)),
        ]
        threads = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS"], str(run.threads))
        with file.with_suffix(".log").open("w") as log:
            try:
                done = subprocess.run(
                    command, env=os.environ | ALLOCATOR | threads, stdout=log, stderr=log, timeout=limit
                )
                error = f"ended with status {done.returncode}; see {file.with_suffix('.log').name}"
            except subprocess.TimeoutExpired:
                error = f"not done after {limit:.0f} s"
        if not file.exists():
            artifacts.write_json(file, asdict(run) | {"error": error})
    return json.loads(file.read_text(encoding="utf-8"))


def work(run: Run, workload: Path, file: Path) -> None:
    """Run in this process and write the result; what the system raises becomes its ``error``."""
    torch.set_num_threads(run.threads)
    process = psutil.Process()
    system = SYSTEMS[run.system]

    def loaded(train: int, evaluation: int) -> tuple:
        examples = [
            workloads.load_examples(workload, split, count)
            for split, count in (("train", train), ("evaluation", evaluation))
        ]
        return workloads.load_classifier(workload), *examples

    try:
        system.score(*loaded(WARM_UP, run.evaluation))
        task = loaded(run.train, run.evaluation)
        # kronfluence collects garbage, which would walk all that others import.
        gc.collect()
        gc.freeze()
        before = process.memory_info().rss
        start = time.perf_counter()
        scores = system.score(*task)
        seconds = time.perf_counter() - start
    except Exception as error:
        reason = str(error).strip().splitlines() or [""]
        artifacts.write_json(file, asdict(run) | {"error": f"{type(error).__name__}: {reason[0]}"})
        raise
    result = asdict(run) | {
        "seconds": seconds,
        "peak_gib": peak_memory(process) / 2**30,
        "loaded_gib": before / 2**30,
        "relative_error": workloads.relative_error(scores["dot"], workload, system.covers),
    }
    if system.package is None:
        result["bandwidth"] = machine_rates.bandwidth()
        for dtype in (torch.float32, torch.bfloat16):
            result[f"{dtype}".removeprefix("torch.")] = machine_rates.matrix_rate(dtype)
    save_file(dict(scores), file.with_suffix(".safetensors"))
    artifacts.write_json(file, result)


def peak_memory(process: psutil.Process) -> int:
    """Largest resident set so far, in bytes.

    Not getrusage's, which in a new process starts from what its parent held.
    """
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m modspec.benchmark.timed_run", description=work.__doc__)
    parser.add_argument("workload", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("run", type=json.loads, help="the fields of Run as JSON")
    arguments = parser.parse_args()
    if sys.platform == "linux":  # an allocation that fails is reported; a process killed for memory is not
        available = psutil.virtual_memory().available
        resource.setrlimit(resource.RLIMIT_AS, (available, available))
    work(Run(**arguments.run), arguments.workload, arguments.file)


if __name__ == "__main__":
    main()
