"""Every published figure names what made it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from modspec.workflow import figure_origin
from modspec.workflow.figure_origin import origin

ROOT = Path(__file__).parents[2]


def test_a_figure_names_notebook_commit_and_commands() -> None:
    found = dict(re.split(r": +", line, maxsplit=1) for line in origin("xnli-v1/layer_share").splitlines())
    folder = "figures/xnli-v1/exploration"
    assert found["figure"] == f"{folder}/layer_share.png"
    assert found["drawn from"] == f"{folder}/layer_share.csv"
    assert found["by notebook"] == "notebooks/07_exploration.ipynb"
    record = json.loads((ROOT / folder / "provenance.json").read_text())
    assert found["at commit"] == record["provenance"]["commit"]
    # `make study` alone would take the hub's data, which is another study.
    command = ".venv/bin/snakemake --cores 2 --config preset=xnli-v1 data_dir=DIRECTORY"
    assert found["make it again"] == command and "docs/data.sha256" in found["DIRECTORY"]
    assert found["from published artefacts"] == f"make restore PRESET=xnli-v1, then {command}"
    assert origin("xnli-v1/exploration/layer_share") == origin("xnli-v1/layer_share")


def test_every_published_figure_has_a_notebook_that_is_there() -> None:
    figures = [file.relative_to(ROOT / "figures") for file in (ROOT / "figures").rglob("*.png")]
    assert len(figures) > 50
    for file in figures:
        lines = origin(file.with_suffix("").as_posix())
        named = re.findall(r"(?:by notebook|executed): +(.*)", lines)
        assert all((ROOT / notebook).exists() for notebook in named), file
        without = file.parts[0] == "benchmark" or file.as_posix() == "results/verdict_rates.png"
        assert bool(named) != without, file


@pytest.mark.parametrize(
    ("figure", "command"),
    [
        ("benchmark/influence_scaling", "make benchmark"),
        ("results/questions", "make results"),
        ("embedded/questions", "make study PRESET=embedded"),
        ("results/verdict_rates", ".venv/bin/python -m modspec.calibration.verdict_rates"),
        ("embedded/datamodeling", "make calibration PRESET=embedded"),
    ],
)
def test_what_no_study_made_names_its_own_command(figure: str, command: str) -> None:
    assert re.findall(r"make it again: +(.*)", origin(figure)) == [command]


def test_an_unknown_figure_is_refused_with_those_that_are_alike(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        SystemExit, match="^error: FIGURE: 'xnli-v1/layer_shares' is not published; allowed.*layer_share"
    ):
        figure_origin.main(["xnli-v1/layer_shares"])
    figure_origin.main(["xnli-v1/questions"])
    assert "notebooks/04_figures.ipynb" in capsys.readouterr().out
