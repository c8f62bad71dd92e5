"""One run of a study at a time."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modspec.errors import InputError
from modspec.workflow.run_lock import lock_study

HOLDER = """
import sys
from pathlib import Path
from modspec.workflow.run_lock import lock_study
lock_study(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_is_told_who_runs_it_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    study = tmp_path / "runs" / "mine"
    command = [sys.executable, "-c", HOLDER, study]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError) as caught:
            lock_study(study)
        pattern = (
            r"study: 'mine' is already running, started by \S.* on \S+ "
            rf"\(process {holder.pid}\) at \d{{4}}-\d\d-\d\d "
        )
        assert re.match(pattern, str(caught.value))
        lock_study(tmp_path / "runs" / "other")
        holder.kill()
    lock_study(study)
    assert json.loads((study / ".run.json").read_text())["pid"] == os.getpid()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        lock_study(tmp_path / "mine")


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        lock_study(tmp_path / "runs" / "mine")
