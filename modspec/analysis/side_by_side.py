"""Finished studies side by side, from what they published: tables and provenance, none of their runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from modspec.analysis import claim_tables, study_tables
from modspec.errors import InputError
from modspec.figures import frames
from modspec.workflow import artifacts, provenance
from modspec.workflow.parameters import ResultsParameters
from modspec.workflow.paths import path

CLAIMS = ["claim", "comparison", "language", "value", "low", "high", "minimum_detectable", "verdict"]
ACCURACY = ["seed", "condition", "mask_kind", "language", "split", "accuracy", "majority"]


def claims(p: ResultsParameters) -> pd.DataFrame:
    """All studies' claims tables, one below the other, with a column ``study``.

    Raises InputError naming the study that is not there, or whose table is not the one that it wrote.
    """
    tables = [_table(p, study, "claims.csv", CLAIMS).assign(study=study) for study in p.studies]
    return pd.concat(tables, ignore_index=True)[["study", *CLAIMS]]


def side_by_side(found: pd.DataFrame) -> pd.DataFrame:
    """:func:`claims` for readers: a row a claim and comparison, a column a study.

    Effects over all languages in points, with interval and verdict; C4, which has no such row: the range over
    languages, in mean scores. In brackets the single languages that are decided.
    """
    columns = {}
    for study, table in found.groupby("study", sort=False):
        rows = claim_tables.summary(table)
        effects = rows["all languages"].where(rows["all languages"] != "", rows["by language"])
        named = rows["decided languages"].map(lambda text: f" ({text})" if text else "")
        columns[study] = effects + ", " + rows["verdict"] + named
    keys = dict.fromkeys(zip(found["claim"], found["comparison"], strict=True))
    index = pd.MultiIndex.from_tuples(sorted(keys, key=lambda key: key[0]), names=["claim", "comparison"])
    return pd.DataFrame(columns, index=index).fillna("not in this study")


def scale(p: ResultsParameters) -> pd.DataFrame:
    """What stands behind each study: a row a fact, a column a study, all of it text.

    Accuracies: full fine-tuning without mask, mean over languages and seeds. Raises InputError as
    :func:`claims` does.
    """
    return pd.DataFrame({study: _facts(p, study) for study in p.studies})


def write_provenance(p: ResultsParameters, record: dict[str, Any]) -> None:
    """``provenance.json`` beside the results: parameters, and the sha256 of what is read of each study.

    Of the studies' own provenance that is parameters and stages: a redrawn figure leaves results as they are.
    """
    inputs = {study: _inputs(p, study) for study in p.studies}
    provenance.write(results_dir(p), {"parameters": p.identity(), "inputs": inputs, "provenance": record})


def results_dir(p: ResultsParameters) -> Path:
    """Where tables and figures over studies go."""
    return path(p.figures_dir) / "results"


def markdown(table: pd.DataFrame) -> str:
    """A table of text as README has it."""
    rows = [
        ["", *table.columns],
        ["---"] * (1 + len(table.columns)),
        *(
            [": ".join([name] if isinstance(name, str) else name), *cells]
            for name, *cells in table.itertuples()
        ),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _facts(p: ResultsParameters, study: str) -> dict[str, str]:
    record = _record(p, study)
    if "stages" not in record:
        raise InputError(
            f"studies: {study!r}: provenance.json lacks the scale of its stages; run its notebook 04 again"
        )
    stages, seeds = record["stages"], record["parameters"]["seeds"]
    trained, scored = stages["finetuning"]["parameters"], stages["influence"]["parameters"]
    accuracy = _table(p, study, "accuracy.csv", ACCURACY)
    dev, test = (100 * study_tables.accuracy_summary(accuracy, split)["mean"] for split in ("dev", "test"))
    train = trained["train_per_language"]
    hours = sum(stage["wall_seconds"] for stage in stages.values()) / 3600
    most = {name: max(stage[name] for stage in stages.values()) for name in ("threads", "peak_memory_gib")}
    return {
        "task": trained["task"],
        "languages": " ".join(trained["languages"]),
        "encoder": trained["encoder"],
        "seeds": str(len(seeds)),
        "training examples a language; epochs": f"{train:,}; {trained['epochs']}{_start(trained)}",
        "of which influence is scored": f"{scored['scored_per_language'] or train:,}",
        "test examples a language, for whom": str(scored["evaluation_per_language"]),
        "proponents counted, k": str(scored["top_k"]),
        "accuracy of the full model, dev / test (%)": f"{dev['full']:.1f} / {test['full']:.1f}",
        "majority class, dev / test (%)": f"{dev['majority class']:.1f} / {test['majority class']:.1f}",
        "hours of all jobs (of a resumed one, its last run)": f"{hours:.1f}",
        "a job's threads; GiB at most": f"{most['threads']}; {most['peak_memory_gib']:.1f}",
    }


def _inputs(p: ResultsParameters, study: str) -> dict[str, str]:
    record = _record(p, study)
    tables = {name: record["files"][name]["sha256"] for name in ("accuracy.csv", "claims.csv")}
    scale = {name: record[name] for name in ("parameters", "stages")}
    return {**tables, "scale": artifacts.fingerprint(scale)}


def _start(trained: dict[str, Any]) -> str:
    """What training started from; studies published before there was a choice do not record it."""
    languages = trained.get("start_languages")
    return f", after {trained['start_epochs']} of {' '.join(languages)} alone" if languages else ""


def _record(p: ResultsParameters, study: str) -> dict[str, Any]:
    return json.loads(_file(p, study, "provenance.json").read_text(encoding="utf-8"))


def _table(p: ResultsParameters, study: str, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """A table that a study published, checked against the study's provenance."""
    file = _file(p, study, name)
    if artifacts.describe(file) != _record(p, study)["files"].get(name):
        raise InputError(
            f"studies: {study!r}: {name} is not what its provenance.json describes; run its notebook 04 again"
        )
    return frames.typed(frames.read(file.read_bytes(), str(file)), columns, str(file))


def _file(p: ResultsParameters, study: str, name: str) -> Path:
    file = path(p.figures_dir) / study / name
    if not file.is_file():
        there = sorted(found.parent.name for found in path(p.figures_dir).glob(f"*/{name}"))
        raise InputError(f"studies: {study!r} has no {name}; allowed: {', '.join(there) or 'none is there'}")
    return file
