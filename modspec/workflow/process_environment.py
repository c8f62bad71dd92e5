"""The environment variables of every process that the project starts.

``python -m modspec.workflow.process_environment MODULE [ARGUMENT ...]`` runs a module with them.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from modspec.workflow.paths import project_root

# By default glibc returns every large block that is freed, and fetching it again page by page can cost more
# than computing with it. Blocks over 128 MiB are returned all the same: keeping them fragments memory.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**27),
    "MALLOC_TRIM_THRESHOLD_": str(2**36),
    "MALLOC_TOP_PAD_": str(2**26),
    # Pages of 2 MiB instead of 4 KiB, where the system gives them on request: fewer to fetch and look up.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
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
        "PYTHONUTF8": "1",  # whatever the locale: texts and notebooks are UTF-8
        # A cluster's modules or a user may have a kernel of the same name: this environment's comes first.
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(kernels), os.environ.get("JUPYTER_PATH")])),
    }
    if threads is not None:
        variables["OMP_NUM_THREADS"] = str(threads)
    return variables | _home()


def _home() -> dict[str, str]:
    """Return another home directory where this one cannot be written, as in many containers.

    Jupyter and matplotlib need one. What is in the caches of the home that cannot be written is still read.
    """
    home = Path(os.path.expanduser("~"))
    if home.is_absolute() and os.access(home, os.W_OK | os.X_OK):
        return {}
    other = project_root() / "runs" / ".home"
    with suppress(OSError):  # a checkout that cannot be written: nothing is run there
        other.mkdir(parents=True, exist_ok=True)
    caches = {"MODSPEC_CACHE": home / ".cache/modspec", "HF_HOME": home / ".cache/huggingface"}
    kept = {name: str(place) for name, place in caches.items() if name not in os.environ and place.is_dir()}
    return {"HOME": str(other), **kept}


if __name__ == "__main__":
    os.execve(sys.executable, [sys.executable, "-m", *sys.argv[1:]], {**os.environ, **process_environment()})
