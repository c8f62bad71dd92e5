"""One notebook as a job of a study, run by the command that the Snakefile uses."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

COMMAND = [sys.executable, "-m", "modspec.workflow.run_notebook"]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Where the source, the executed notebook and the log are."""
    return [tmp_path / "a b.ipynb", tmp_path / "done" / "01.ipynb", tmp_path / "job.log"]


def write(source: Path, *cells: str) -> None:
    parameters = new_code_cell("word = 'none'", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    cells = [parameters, *map(new_code_cell, cells)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)


def run(paths: list[Path], *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    command = [*COMMAND, *map(str, paths), *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)


def test_success_leaves_the_executed_notebook_and_a_log(paths: list[Path], tmp_path: Path) -> None:
    source, executed, log = paths
    # A module system's kernel of the same name must not be used.
    kernel = tmp_path / "cluster" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [
        "/usr/bin/env",
        "FOREIGN=1",
        sys.executable,
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
    ]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "Cluster", "language": "python"}))
    show = "import os; print(word, os.environ['OMP_NUM_THREADS'], os.environ.get('FOREIGN'))"
    write(source, show, "import sys; print('\\r 0 %\\r100 %', file=sys.stderr)")
    done = run(paths, "--threads", "3", "--parameters", "{word: no}", JUPYTER_PATH=str(kernel.parents[2]))
    assert (done.returncode, done.stderr) == (0, "")
    outputs = [cell.outputs for cell in nbformat.read(executed, as_version=4).cells]
    assert [o[0].text for o in outputs if o] == ["False 3 None\n", "100 %\n"]
    lines = log.read_text().splitlines()
    assert lines[1].endswith("starting") and "False 3 None" in lines
    assert not [*executed.parent.joinpath("unfinished").glob("*.ipynb")]


def test_failure_keeps_the_notebook_apart_and_names_its_cause(paths: list[Path]) -> None:
    source, executed, _ = paths
    write(source, "print('said')", "raise ValueError('seed: -1; allowed: from 0')")
    done = run(paths)
    unfinished = executed.parent / "unfinished" / "01.ipynb"
    assert done.returncode == 1
    assert done.stderr == f"notebook: {unfinished}\nValueError: seed: -1; allowed: from 0\n"
    assert "said" in unfinished.read_text() and not executed.exists()


def test_a_killed_kernel_is_told_from_an_error(paths: list[Path]) -> None:
    write(paths[0], "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    done = run(paths)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "the kernel was killed; if not by you, then most likely for"
    )


def test_a_job_ends_with_the_run_that_started_it(paths: list[Path], tmp_path: Path) -> None:
    started = tmp_path / "kernel"
    write(paths[0], f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    parent = f"import subprocess, sys; subprocess.run({[*COMMAND, *map(str, paths)]!r})"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        wait_for(lambda: started.exists() and started.read_text())
        job, kernel = psutil.Process(process.pid).children()[0], psutil.Process(int(started.read_text()))
        process.kill()
    wait_for(lambda: not job.is_running() and not kernel.is_running())
    assert not paths[1].exists()


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.2)
