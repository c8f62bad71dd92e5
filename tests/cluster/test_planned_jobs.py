"""What Snakemake plans where a search or a scoring is divided among jobs; nothing is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modspec.workflow.artifacts import MANIFEST
from modspec.workflow.piece_records import write_record
from tests.notebooks.conftest import copy_project, run

RUN, UNSEARCHED = Path("runs/test"), Path("runs/unsearched")
SCORED = f"{RUN}/notebooks/03_influence_scoring-full-seed0.ipynb"
SEARCHED = f"{UNSEARCHED}/notebooks/01_subnetwork_search-seed0.ipynb"
BY_LANGUAGE = ("search_by_language=true", "study=unsearched")
STARTED = ("search={start_languages: [en]}", "finetuning={start_languages: [en]}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages 1 and 2 seem to be done for one seed and condition."""
    project = copy_project(tmp_path_factory.mktemp("planned") / "project")
    notebooks = ("01_subnetwork_search-seed0", "02_finetuning-full-seed0")
    files = [f"notebooks/{name}.ipynb" for name in notebooks]
    files += [
        f"{stage}/{MANIFEST}" for stage in ("search/seed0", "finetuning/full-seed0", "checkpoints/full-seed0")
    ]
    for file in files:
        (project / RUN / file).parent.mkdir(parents=True, exist_ok=True)
        (project / RUN / file).touch()
    return project


def planned(project: Path, target: str, *config: str) -> list[str]:
    words = ("seeds=0", "conditions=[full]", "blind=true", "memory_gib=1", *config)
    command = ("snakemake", "--dry-run", "--cores", "1", "--config", "preset=test", *words, "--", target)
    output = run(project, *command).stdout
    return sorted(re.findall("^would run: (.*?)(?:, full)?, seed 0", output, re.MULTILINE))


def leave(pieces: Path, records: dict[str, str]) -> None:
    """Leave pieces and the records of the jobs that made one each, as finished jobs do."""
    for name, piece in records.items():
        (pieces / piece).mkdir(parents=True)
        (pieces / piece / MANIFEST).touch()
        write_record(pieces / "records" / f"{name}.json", [pieces / piece])


def test_every_shard_is_a_job_after_one_that_makes_control_masks(trained: Path) -> None:
    assert planned(trained, SCORED) == ["influence"]
    shards = [f"scoring shard {number} of 3" for number in range(3)]
    kinds = ("influence_by_condition={full: {mask_kinds: [none, own]}}",)
    assert planned(trained, SCORED, "scoring_shards=3", *kinds) == ["influence", *shards]
    assert planned(trained, SCORED, "scoring_shards=3") == ["control masks", "influence", *shards]


def test_only_a_shard_that_lost_a_piece_runs_again(trained: Path) -> None:
    pieces = trained / RUN / "scores" / "full-seed0.pieces"
    blocks = {"0of2": "none.blocks/a", "1of2": "none.blocks/b"}
    leave(pieces, {"control_masks": "accuracy-matched", **blocks})
    assert planned(trained, SCORED, "scoring_shards=2") == ["influence"]
    (pieces / "none.blocks/b" / MANIFEST).unlink()
    assert planned(trained, SCORED, "scoring_shards=2") == ["influence", "scoring shard 1 of 2"]


def test_every_language_is_searched_by_a_job(trained: Path) -> None:
    languages, pooled = ["search, de", "search, en"], ["pooled-others mask, de", "pooled-others mask, en"]
    assert planned(trained, SEARCHED, *BY_LANGUAGE, *STARTED) == [*pooled, "search", *languages, "warm start"]
    no_controls = ("pooled_others=false", "influence_by_condition={full: {mask_kinds: [none, own]}}")
    assert planned(trained, SEARCHED, *BY_LANGUAGE, *no_controls) == ["search", *languages]


def test_only_a_search_that_lost_a_piece_runs_again(trained: Path) -> None:
    """After it jobs that read the piece, which find their own pieces done."""
    pieces = trained / UNSEARCHED / "search" / "seed0.pieces"
    leave(pieces, {"warm_start": "../../checkpoints/start-seed0-1a2b3c4d"})
    leave(pieces, {f"language_search-{language}": language for language in ("en", "de")})
    leave(pieces, {f"pooled_others-{language}": f"pooled_others-{language}" for language in ("en", "de")})
    assert planned(trained, SEARCHED, *BY_LANGUAGE, *STARTED) == ["search"]
    (pieces / "en" / MANIFEST).unlink()
    pooled = ["pooled-others mask, de", "pooled-others mask, en"]
    assert planned(trained, SEARCHED, *BY_LANGUAGE, *STARTED) == [*pooled, "search", "search, en"]
