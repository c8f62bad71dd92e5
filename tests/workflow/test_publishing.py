"""Publishing and restoring: checked first, then whole or not at all, and nothing is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from modspec.analysis import strongest_examples
from modspec.errors import InputError
from modspec.workflow import artifacts
from modspec.workflow.publishing import main, publish, restore

ARTEFACTS = ("search/seed0", "finetuning/full-seed0", "influence/full-seed0")
NOTEBOOKS = ("01_subnetwork_search-seed0", "02_finetuning-full-seed0", "03_influence_scoring-full-seed0")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which study "a" has been run."""
    (tmp_path / "modspec").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    finish("new")
    return tmp_path


def finish(text: str) -> None:
    """Write the files of a finished run."""
    run = Path("runs/a")
    for place in ARTEFACTS:
        with artifacts.writing(run / place, {"stage": place, "parameters": {"seed": 0}}) as building:
            (building / "table.csv").write_text(text)
    for folder in ("notebooks", "figures"):
        (run / folder).mkdir(exist_ok=True)
    for name in (*NOTEBOOKS, "04_figures"):
        (run / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": [text]}))
    (run / "figures" / f"{text}.csv").write_text(text)
    record = {"files": {f"{text}.csv": artifacts.describe(run / "figures" / f"{text}.csv")}}
    (run / "figures" / "provenance.json").write_text(json.dumps(record))


def content(directory: str) -> dict[str, str]:
    files = sorted(file for file in Path(directory).rglob("*") if file.is_file())
    return {str(file.relative_to(directory)): file.read_text() for file in files}


def test_publishing_copies_what_is_finished_and_replaces_what_was_published(capsys) -> None:
    for name in ("figures/a/old.csv", "figures/a/calibration/kept.csv", "figures/a/artefacts/search/s9/x"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("runs/a/figures/.half.csv.host.1").touch()
    Path("runs/a/search/seed1.pieces").mkdir()
    publish("a")
    tables = {f"artefacts/{place}/{name}" for place in ARTEFACTS for name in ("manifest.json", "table.csv")}
    assert set(content("figures/a")) == tables | {"new.csv", "provenance.json", "calibration/kept.csv"}
    assert content("notebooks/executed/a") == content("runs/a/notebooks")
    assert "runs/a/search lacks it: search/s9" in capsys.readouterr().out


def test_what_the_run_lacks_stays_published(project: Path) -> None:
    publish("a")
    before = content("figures/a")
    for gone in ("influence", "figures"):
        shutil.rmtree(project / "runs" / "a" / gone)
    publish("a")
    assert content("figures/a") == before


def test_restoring_gives_back_the_artefacts_and_the_notebooks_in_order(project: Path) -> None:
    publish("a")
    kept = content("runs/a")
    (project / "runs").rename(project / "lost")
    assert len(restore("a")) == len(ARTEFACTS)
    restored = content("runs/a")
    assert restored.items() <= kept.items() and "figures/new.csv" not in restored
    times = [Path(f"runs/a/notebooks/{name}.ipynb").stat().st_mtime_ns for name in NOTEBOOKS]
    newest = max(file.stat().st_mtime_ns for file in Path("runs/a").rglob("*.csv"))
    assert times == sorted(times) and times[0] >= newest
    assert restore("a") == []


def test_strongest_examples_are_published_for_the_first_seed_alone(project: Path) -> None:
    for seed in (0, 1, 2):
        origin = {"stage": "influence", "parameters": {"seed": seed}}
        with artifacts.writing(f"runs/a/influence/sft-seed{seed}", origin) as building:
            for name in ("table.csv", strongest_examples.FILE):
                (building / name).write_text(name)
    runs = [Path(f"runs/a/influence/sft-seed{seed}") for seed in (0, 1, 2)]
    before = [artifacts.content_fingerprint(run) for run in runs]
    for again in (False, True):  # published anew from what was restored, nothing more is lost
        publish("a")
        published = [Path("figures/a/artefacts/influence") / run.name for run in runs]
        assert [(run / strongest_examples.FILE).exists() for run in published] == [True, False, False]
        assert all((run / "table.csv").exists() for run in published)
        assert [strongest_examples.was_not_published(run) for run in published] == [False, True, True]
        assert [artifacts.content_fingerprint(run) for run in published] == before
        assert "left_out" not in json.loads((published[0] / "manifest.json").read_text())
        if not again:
            assert restore("a") == []  # the run has them all, and keeps them
            assert all((run / strongest_examples.FILE).exists() for run in runs)
            (project / "runs").rename(project / "lost")
            restore("a")
    with pytest.raises(InputError, match="published for the study's first seed alone"):
        strongest_examples.read_strongest_examples(runs[1])
    for run in published[1:]:
        damage(f"{run}/table.csv")
        with pytest.raises(InputError, match="truncated or altered"):
            artifacts.read_manifest(run)


def damage(file: str) -> None:
    Path(file).write_bytes(Path(file).read_bytes()[:-3])


@pytest.mark.parametrize(
    "file",
    [
        "search/seed0/table.csv",
        "influence/full-seed0/manifest.json",
        "figures/new.csv",
        "figures/provenance.json",
        "notebooks/04_figures.ipynb",
    ],
)
def test_damage_is_named_and_nothing_is_published(file: str) -> None:
    publish("a")
    finish("newer")
    before = content("figures/a"), content("notebooks/executed/a")
    damage(f"runs/a/{file.replace('new.csv', 'newer.csv')}")
    with pytest.raises(InputError, match="truncated or altered") as error:
        publish("a")
    assert file.replace("new.csv", "newer.csv") in str(error.value)
    assert (content("figures/a"), content("notebooks/executed/a")) == before


def test_damage_of_what_was_published_is_named_and_nothing_is_restored(project: Path) -> None:
    publish("a")
    (project / "runs").rename(project / "lost")
    damage("figures/a/artefacts/influence/full-seed0/table.csv")
    with pytest.raises(InputError, match="full-seed0/table.csv: truncated or altered"):
        restore("a")
    assert not Path("runs").exists()


def test_restoring_never_overwrites_other_results() -> None:
    publish("a")
    finish("newer")
    before = content("runs/a")
    with pytest.raises(InputError, match="search/seed0: has other results than a's published ones"):
        restore("a")
    assert content("runs/a") == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("publish b", "study: b; allowed: a study with finished results, and"),
        ("restore b", "study: b; allowed: a published one, and"),
        ("publish ../a", "study: '../a'; allowed: the name of a folder"),
    ],
)
def test_a_wrong_study_is_named_in_one_line(command: str, message: str) -> None:
    with pytest.raises(SystemExit) as error:
        main(command.split())
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not Path("figures").exists()


def publish_killed_at(rename: int) -> None:
    """Publish; kill this process before its given rename."""
    seen = []

    def kill(event: str, _: tuple) -> None:
        if event == "os.rename":
            seen.append(event)
            if len(seen) == rename:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    publish("a")


def test_a_kill_at_any_rename_loses_nothing() -> None:
    older = []
    for rename in range(1, 9):
        finish("older")
        publish("a")
        older.append(content("figures/a"))
        finish("new")
        process = multiprocessing.get_context("fork").Process(target=publish_killed_at, args=(rename,))
        process.start()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        standing = [content(str(place)) for place in Path("figures").iterdir()]
        assert older[0] in standing or not killed  # it may have been moved aside
        publish("a")
        assert content("figures/a")["new.csv"] == "new" and "older.csv" not in content("figures/a")
        assert [place.name for place in Path("figures").iterdir()] == ["a"]
        if not killed:
            break
    assert rename == 7 and not killed  # twice: refused, aside, in place
