"""What README says can be typed, works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from modspec.workflow.parameters import STAGES, DataParameters, Parameters, ResultsParameters

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_library_example_runs(e5_small_available: None) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "heads kept" in done.stdout or "full mask" in done.stdout
    shares = re.findall(r"^(en|de) +(\d\.\d+)$", done.stdout, re.MULTILINE)
    assert sum(float(share) for _, share in shares) == pytest.approx(1)


def test_every_parameter_is_in_its_row_of_the_table() -> None:
    rows = {
        "all of 00 to 03": set(DataParameters.model_fields),
        "00 calibration": set(STAGES["calibration"].model_fields) - set(DataParameters.model_fields),
        "01 subnetwork search": set(STAGES["search"].model_fields) - set(DataParameters.model_fields),
        "02 fine-tuning": set(STAGES["finetuning"].model_fields) - set(DataParameters.model_fields),
        "03 influence scoring": set(STAGES["influence"].model_fields) - set(DataParameters.model_fields),
        "04 figures": set(STAGES["figures"].model_fields),
        "05 results": set(ResultsParameters.model_fields),
    }
    for name, fields in rows.items():
        (cells,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", README, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", cells)) == fields - set(Parameters.model_fields), name


def test_every_make_target_and_file_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in set(re.findall(r"`((?:modspec|notebooks|figures)/[\w./]+\w)`", README)):
        assert (ROOT / name).exists(), name


def test_the_commands_of_the_table_are_accepted() -> None:
    commands = re.findall(r"`\.venv/bin/snakemake --cores 2 --config (.*?)`", README)
    assert commands
    for settings in commands:
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--dry-run",
            "--cores",
            "2",
            "--config",
            *shlex.split(settings),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
