"""Run one notebook as a job of a study: ``python -m modspec.workflow.run_notebook SOURCE EXECUTED LOG …``.

The executed notebook appears, whole and tidied, only if every cell ran. One that failed stays in the folder
``unfinished`` beside it and shows the error. What the notebook prints goes to the log as it is printed: the
last line of the log says where the job is. Standard error says why it failed.
"""

import argparse
import os
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from modspec.workflow.process_environment import process_environment

STOPPED = "stopped on request"
WAIT = 60  # seconds that a job waits for an earlier one, of a killed run, to go away


def run_notebook(source: Path, executed: Path, log: Path, parameters: dict[str, Any]) -> None:
    """Execute ``source``, and move it to ``executed`` on success.

    Raises:
        PapermillExecutionError: a cell failed.
        DeadKernelError: the kernel was killed.
        Timeout: another process runs this job.
    """
    # Imported late, since libraries read the environment when they are loaded; Snakemake needs none.
    from papermill import execute_notebook

    from modspec.workflow.executed_notebooks import keep_tidied

    unfinished = executed.parent / "unfinished" / executed.name
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    # The parent process may have been killed, and this job's predecessor not yet have noticed.
    with (
        FileLock(unfinished.with_name(f".{executed.name}.lock"), timeout=WAIT),
        log.open("a", encoding="utf-8") as file,
    ):
        file.write(f"\n{datetime.now():%Y-%m-%d %H:%M:%S} starting\n")
        file.flush()
        execute_notebook(
            source,
            unfinished,
            parameters,
            kernel_name="python3",
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # it warns of every connection and end
            progress_bar=False,
            stdout_file=file,
            stderr_file=file,
        )
        keep_tidied(unfinished, executed)


def end_with(parent: int) -> None:
    """End this process, and with it its kernel, once its parent is gone; called in a thread of its own.

    A run that is killed cannot stop its jobs. Left alone, they would compute beside those of the next run.
    """
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)  # ends the kernel too; if that hangs, the kernel sees it for itself
    time.sleep(10)
    os._exit(1)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m modspec.workflow.run_notebook", description=__doc__)
    for name in ("source", "executed", "log"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--threads", type=int, help="of the kernel (default: what the machine has)")
    parser.add_argument("-y", "--parameters", type=yaml.safe_load, default={}, help="a YAML mapping")
    given = parser.parse_args()
    os.environ.update(process_environment(given.threads))
    threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
    unfinished = given.executed.parent / "unfinished" / given.executed.name
    # Else jsonschema, which checks notebooks, builds a grammar of web addresses for seconds. They have none.
    sys.modules["rfc3987_syntax"] = None
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        run_notebook(given.source, given.executed, given.log, given.parameters)
        return
    except PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        reason = "the kernel was killed; if not by you, then most likely for lack of memory"
    except Timeout:
        reason = f"another process has been running this job for more than {WAIT} seconds"
    except KeyboardInterrupt:
        reason = STOPPED
    except OSError as error:
        reason = f"{type(error).__name__}: {error}"
    sys.exit(f"notebook: {unfinished}\n{reason}")


if __name__ == "__main__":
    main()
