"""The environment variables of every process that the project starts.

``python -m modspec.workflow.process_environment MODULE [ARGUMENT ...]`` runs a module with them.
"""

import os
import sys
from pathlib import Path

# By default glibc returns every large block that is freed, and fetching it again page by page can cost more
# than computing with it. Blocks over 128 MiB are returned all the same: keeping them fragments memory.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**27),
    "MALLOC_TRIM_THRESHOLD_": str(2**36),
    "MALLOC_TOP_PAD_": str(2**26),
}


def process_environment(threads: int | None = None) -> dict[str, str]:
    """Return variables to set before a process starts, since libraries read them when they are loaded.

    Args:
        threads: of the process; None leaves it to the machine.
    """
    kernels = Path(sys.prefix, "share", "jupyter")
    variables = {
        **ALLOCATOR,
        # Threads that wait for others of their process sleep instead of spinning: two busy processes with two
        # threads each on two cores otherwise take a multiple of the time (docs/running.md).
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",  # its warning on forks says nothing of use here
        "PYTHONWARNINGS": "ignore:IProgress not found",  # progress bars are text on purpose
        "PYTHONUTF8": "1",  # whatever the locale: texts and notebooks are UTF-8
        # A cluster's modules or a user may have a kernel of the same name: this environment's comes first.
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(kernels), os.environ.get("JUPYTER_PATH")])),
    }
    if threads is not None:
        variables["OMP_NUM_THREADS"] = str(threads)
    return variables


if __name__ == "__main__":
    os.execve(sys.executable, [sys.executable, "-m", *sys.argv[1:]], {**os.environ, **process_environment()})
