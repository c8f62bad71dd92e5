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
    found = dict(re.split(r": +", line, maxsplit=1) for line in origin("xnli/layer_share").splitlines())
    folder = "figures/xnli/exploration"
    assert found["figure"] == f"{folder}/layer_share.png"
    assert found["drawn from"] == f"{folder}/layer_share.csv"
    assert found["by notebook"] == "notebooks/07_exploration.ipynb"
    record = json.loads((ROOT / folder / "provenance.json").read_text())
    assert found["at commit"] == record["provenance"]["commit"]
    assert found["make it again"] == "make study PRESET=xnli"
    assert found["from published artefacts"] == "make restore PRESET=xnli, then make study PRESET=xnli"
    assert origin("xnli/exploration/layer_share") == origin("xnli/layer_share")


def test_every_published_figure_has_a_notebook_that_is_there() -> None:
    figures = [file.relative_to(ROOT / "figures") for file in (ROOT / "figures").rglob("*.png")]
    named = [file for file in figures if file.parts[0] not in ("benchmark", "results")]
    assert len(named) > 50
    for file in named:
        (notebook,) = re.findall(r"by notebook: +(.*)", origin(file.with_suffix("").as_posix()))
        assert (ROOT / notebook).exists(), file


def test_an_unknown_figure_is_refused_with_those_that_are_alike(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        SystemExit, match="^error: FIGURE: 'xnli/layer_shares' is not published; allowed.*layer_share"
    ):
        figure_origin.main(["xnli/layer_shares"])
    figure_origin.main(["xnli/questions"])
    assert "notebooks/04_figures.ipynb" in capsys.readouterr().out
