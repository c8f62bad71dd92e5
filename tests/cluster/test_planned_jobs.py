"""What Snakemake plans where a scoring is divided among jobs; nothing is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modspec.workflow.artifacts import MANIFEST
from modspec.workflow.scoring_shards import write_record
from tests.notebooks.conftest import copy_project, run

RUN = Path("runs/test")


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


def planned(project: Path, shards: int, *config: str) -> list[str]:
    words = (
        "seeds=0",
        "conditions=[full]",
        "blind=true",
        "memory_gib=1",
        f"scoring_shards={shards}",
        *config,
    )
    command = ("snakemake", "--dry-run", "--cores", "1", "--config", "preset=test", *words)
    return sorted(re.findall("^would run: (.*), full, seed 0", run(project, *command).stdout, re.MULTILINE))


def test_every_shard_is_a_job_after_one_that_makes_control_masks(trained: Path) -> None:
    assert planned(trained, 1) == ["influence"]
    shards = [f"scoring shard {number} of 3" for number in range(3)]
    kinds = ("influence_by_condition={full: {mask_kinds: [none, own]}}",)
    assert planned(trained, 3, *kinds) == ["influence", *shards]
    assert planned(trained, 3) == ["control masks", "influence", *shards]


def test_only_a_shard_that_lost_a_piece_runs_again(trained: Path) -> None:
    pieces = trained / RUN / "scores" / "full-seed0.pieces"
    records = {"control_masks": "accuracy-matched", "0of2": "none.blocks/a", "1of2": "none.blocks/b"}
    for name, piece in records.items():
        (pieces / piece).mkdir(parents=True)
        (pieces / piece / MANIFEST).touch()
        write_record(pieces / "shards" / f"{name}.json", [pieces / piece])
    assert planned(trained, 2) == ["influence"]
    (pieces / "none.blocks/b" / MANIFEST).unlink()
    assert planned(trained, 2) == ["influence", "scoring shard 1 of 2"]
