"""The texts of a study's strongest examples, kept so that pages can show them without data or encoder.

Scores and tables name examples by their ids. The texts are an artefact of their own: keeping them makes no
score and no table stale. A study holds one per sample of the data, ``texts/<start of its fingerprint>/``:
several where every seed draws its own training examples.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from modspec.analysis.strongest_examples import read_strongest_examples, was_not_published
from modspec.data.tasks import Task
from modspec.errors import InputError
from modspec.stages.resuming import resumable
from modspec.workflow import artifacts
from modspec.workflow.paths import texts_dir

FILE = "texts.parquet"
COLUMNS = ["split", "id", "language", "label", "text", "text_pair", "group"]


def keep_texts(run: Path, load: Callable[[], Task]) -> Path:
    """Keep the texts of all examples that the strongest examples of a run name; return their place.

    All runs of the study on the same data share the artefact ``texts.parquet``: one row per example, columns
    ``COLUMNS``, with the label's name.

    Args:
        run: directory of stage 3's artefact, ``<study>/influence/<condition>-seed<seed>``.
        load: returns the data of the run; called only where the texts are not kept yet.

    Raises:
        InputError: the artefact is missing, damaged or older than its table; the data are others.
    """
    made_by = artifacts.read_manifest(run)["made_by"]
    data, study = made_by["data"], run.parent.parent
    tables, inputs = [], {}
    for scored in artifacts.finished(study / "influence"):
        other = artifacts.read_manifest(scored)
        if other["made_by"]["data"] == data:
            if not was_not_published(scored):
                tables.append(read_strongest_examples(scored))
            inputs[scored.name] = artifacts.fingerprint(other["files"])

    def make(building: Path) -> None:
        task = load()
        if task.fingerprint != data:
            raise InputError(f"{run}: was made from other data; run its study again, or name its data")
        named = {
            "test": set().union(*(table["id"].unique() for table in tables)),
            "train": set().union(*(table["train_id"].unique() for table in tables)),
        }
        splits = [task.data[split].to_pandas().assign(split=split) for split in named]
        rows = pd.concat([rows[rows["id"].isin(named[rows["split"].iloc[0]])] for rows in splits])
        rows["label"] = rows["label"].map(dict(enumerate(task.labels)))
        rows[COLUMNS].to_parquet(building / FILE, index=False, compression="zstd")

    origin = {"stage": "texts", "task": made_by["parameters"]["task"], "data": data, "inputs": inputs}
    return resumable(texts_dir(study, data), origin, make)
