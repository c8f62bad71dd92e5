"""Figures: drawn from any plausible study, legible, the same bytes again, without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from modspec.errors import InputError
from modspec.figures import frames, save
from modspec.figures.save import FIGURES
from modspec.figures.style import DOUBLE, SINGLE
from modspec.workflow import artifacts, provenance
from modspec.workflow.fingerprints import definitions
from tests.helpers.frames import SMALL, STUDIES, drawn
from tests.helpers.legible import assert_legible

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every figure of the smallest study, with one condition, as :func:`save_figure` leaves it."""
    directory = tmp_path_factory.mktemp("figures")
    for name, frame in SMALL.items():
        if "condition" in frame:
            frame = frame[frame["condition"] == "sft"]
        save.save_figure(name, frame, directory / "tiny" / "seed0")
    return directory


def test_every_figure_of_the_study_is_tested_and_decides_when_stage_four_runs_again() -> None:
    assert {(draw.__module__, name) for name, draw in FIGURES.items()} <= definitions("figures")
    # In tests/figures/test_calibration.py.
    calibration = {"false_positive_rates", "dose_response", "verdict_rates"}
    truth = {"planted_heads", "template_truth", "datamodeling"}  # in tests/figures/test_calibration.py
    counterfactual = {"leave_one_out"}  # in tests/figures/test_leave_one_out.py
    damage = {"share_by_accuracy"}  # in tests/figures/test_damage.py
    benchmark = {"influence_scaling"}  # in tests/figures/test_influence_scaling.py
    others = calibration | truth | counterfactual | damage | benchmark
    assert set(FIGURES) == others | set(SMALL)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("study", STUDIES, ids=str)
def test_legible(study: tuple[int, int], name: str) -> None:
    assert_legible(drawn(study, name))


PUBLISHED = [path for name in FIGURES for path in sorted((REPOSITORY / "figures").rglob(f"{name}.csv"))]


@pytest.mark.slow
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: "/".join(path.parts[-2:]))
def test_what_is_published_is_legible(path: Path) -> None:
    assert_legible(FIGURES[path.stem](frames.read(path.read_bytes(), str(path))))


def test_saved_files_are_complete_and_leave_no_temporary_ones(saved: Path) -> None:
    found = {path.name for path in saved.rglob("*") if path.is_file()}
    assert found == {name + suffix for name in SMALL for suffix in (".csv", ".pdf", ".png")}
    for path in saved.rglob("*.pdf"):
        pdf = path.read_bytes()
        assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"/CreationDate" not in pdf


@pytest.mark.slow
def test_redraw_without_torch_gives_the_same_bytes(saved: Path) -> None:
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    figures = [path for path in before if path.suffix != ".csv"]
    for path in figures:
        path.unlink()
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'datasets'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent)\n"
        "from modspec.figures.save import main\n"
        f"main([{str(saved)!r}])\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    # Another hash seed, another matplotlibrc: neither may show.
    (saved / "matplotlibrc").write_text("font.size: 20\nsavefig.dpi: 30\n", encoding="utf-8")
    environment = {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONHASHSEED": "77",
        "MATPLOTLIBRC": str(saved),
        "MPLCONFIGDIR": str(saved / "cache"),
    }
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPOSITORY)
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) == {str(path) for path in figures}
    assert [str(path) for path, content in before.items() if path.read_bytes() != content] == []


def test_figures_that_look_otherwise_are_said_to_be_redrawn(tmp_path: Path) -> None:
    """Their tables are not: nothing but a run makes these what a record says."""
    save.save_figure("share_change", SMALL["share_change"], tmp_path)
    provenance.write(tmp_path, {"parameters": {}})
    record = json.loads((tmp_path / "provenance.json").read_text())
    before = (tmp_path / "provenance.json").read_bytes()
    save.redraw(tmp_path)
    assert (tmp_path / "provenance.json").read_bytes() == before

    csv = tmp_path / "share_change.csv"
    csv.write_text(csv.read_text().replace("sft_random", "sft_union"))
    save.redraw(tmp_path)
    after = json.loads((tmp_path / "provenance.json").read_text())
    assert after.pop("redrawn") == provenance.git_state()
    for suffix in ("pdf", "png"):
        name = f"share_change.{suffix}"
        assert after["files"][name] == artifacts.describe(tmp_path / name) != record["files"].pop(name)
        del after["files"][name]
    assert after == record


def test_save_draws_what_the_csv_says(tmp_path: Path) -> None:
    """Digits that the CSV does not keep are not drawn; a language may be called ``nan``."""
    frame = SMALL["share_change"].replace({"language": {"de": "nan"}})
    frame["value"] += 1 / 3e9
    fig = save.save_figure("share_change", frame, tmp_path)
    kept = pd.read_csv(tmp_path / "share_change.csv", keep_default_na=False)
    first = kept[(kept["condition"] == "sft") & (kept["train_gradient_mask"] == "test_example")]
    first = first[first["baseline"] == "full, no mask"].set_index("language")
    assert [t.get_text() for t in fig.axes[2].get_xticklabels()] == ["nan", "en"]
    points = next(line for line in fig.axes[0].lines if line.get_marker() == "s")
    heights = dict(zip(np.round(points.get_xdata()), points.get_ydata(), strict=True))
    assert heights == {0: 100 * first["value"]["nan"], 1: 100 * first["value"]["en"]}


def test_colours_do_not_depend_on_what_else_is_drawn() -> None:
    frame = SMALL["specialization"]
    for kinds in (["random"], ["own", "random"]):
        fig = FIGURES["specialization"](frame[frame["mask_kind"].isin(kinds)])
        lines = [line for line in fig.axes[0].lines if line.get_marker() == "D"]
        assert {to_hex(line.get_color()) for line in lines} == {"#cc79a7"}


@pytest.mark.parametrize("name", SMALL)
def test_a_missing_column_is_named(name: str, tmp_path: Path) -> None:
    column = SMALL[name].columns[-1]
    path = tmp_path / f"{name}.csv"
    SMALL[name].drop(columns=column).to_csv(path, index=False)
    with pytest.raises(InputError, match=f"^{path}: column {column} is missing; needed: .*"):
        save.redraw(tmp_path)
    with pytest.raises(InputError, match=f"column {column} is missing"):
        save.save_figure(name, SMALL[name].drop(columns=column), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "column condition is missing"),
        (b"HEADER\n", "column condition is empty"),
        (b"HEADER\nROW,1,0,2,9\nROW,x,0,2,9\n", ":3: value is 'x', not"),
        (b"HEADER\nROW,inf,0,2,9\n", ":2: value is 'inf', not a finite number"),
        (b"HEADER\nROW,1,0,2,\n", ":2: examples is '', not a finite number"),
        (
            b"HEADER\nSFT,own_language,de,BASE,1,0,2,9\n",
            ":2: condition is 'SFT', not one of full; one_",
        ),
        (b"HEADER\nROW,1,0,2,9\nROW,1,0,2,9\n", "more than one row for"),
        (b"HEADER\nROW,1,0,2,9,7,7\n", "more cells than its header"),
        (b"HEADER\nROW,1,0,2,9\nROW,1,0,2,9,7\n", "not a CSV in UTF-8"),
        (b"HEADER\nsft,own_language,\xff,BASE,1,0,2,9\n", "not a CSV in UTF-8"),
    ],
)
def test_bad_csv_is_one_line_with_file_and_place(content: bytes, message: str, tmp_path: Path) -> None:
    header = b"condition,train_gradient_mask,language,baseline,value,low,high,examples"
    path = tmp_path / "share_change.csv"
    row = b"sft,own_language,de,BASE"
    content = content.replace(b"HEADER", header).replace(b"ROW", row)
    path.write_bytes(content.replace(b"BASE", b'"full, no mask"'))
    with pytest.raises(SystemExit) as stopped:
        save.main([str(tmp_path)])
    text = str(stopped.value)
    assert text.startswith(f"error: {path}") and message in text and "\n" not in text
    assert [found.name for found in tmp_path.iterdir()] == ["share_change.csv"]


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds none of .*head_masks, "):
        save.redraw(tmp_path)
    with pytest.raises(InputError, match="name: 'heads' is no figure; allowed: .*head_masks, "):
        save.save_figure("heads", SMALL["head_masks"], tmp_path)
    dot = SMALL["specialization"].assign(score="dot")
    with pytest.raises(InputError, match="specialization.csv: column score has no 'cosine'"):
        FIGURES["specialization"](dot)


@pytest.mark.parametrize("name", ["questions", "share_by_k", "in_language_share"])
def test_a_figure_takes_a_width_and_serifs(name: str) -> None:
    frame = SMALL[name]
    fig = FIGURES[name](frame, width=4.5, serif=True)
    assert fig.get_figwidth() == 4.5
    texts = [text for text in fig.findobj(Text) if text.get_text()]
    assert {text.get_fontfamily()[0] for text in texts} == {"STIXGeneral"}
    assert min(text.get_size() for text in texts) >= 7
    assert FIGURES[name](frame).get_figwidth() in (SINGLE, DOUBLE)


def test_figures_for_a_paper_go_elsewhere_and_leave_the_published_ones(tmp_path: Path) -> None:
    directory = tmp_path / "figures" / "mine"
    save.save_figure("share_by_k", SMALL["share_by_k"], directory)
    before = {file: file.read_bytes() for file in directory.iterdir()}
    paper = tmp_path / "paper"
    save.main([str(directory.parent), "--to", str(paper), "--width", "page", "--style", "acl"])
    assert {file: file.read_bytes() for file in directory.iterdir()} == before
    assert {file.name for file in (paper / "mine").iterdir()} == {"share_by_k.pdf", "share_by_k.png"}
    assert (paper / "mine" / "share_by_k.png").read_bytes() != before[directory / "share_by_k.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "wide"], "width: 'wide'; allowed: column, page, or inches from 1 to 40"),
        (["--width", "0.2"], "width: '0.2'; allowed: column, page, or inches from 1 to 40"),
        (["--style", "neurips"], "style: 'neurips'; allowed: acl, or none"),
    ],
)
def test_a_look_that_there_is_not_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=f"^error: {re.escape(message)}$"):
        save.main([str(tmp_path), *arguments])
