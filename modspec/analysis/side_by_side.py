"""Finished studies side by side, from what they published: tables and provenance, none of their runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from modspec.analysis import study_tables
from modspec.analysis.hubs import hub_share
from modspec.analysis.questions import StudyTables, evidence, question_table
from modspec.analysis.single_languages import single_languages
from modspec.errors import InputError
from modspec.workflow import artifacts, provenance
from modspec.workflow.parameters import ResultsParameters
from modspec.workflow.paths import path

ACCURACY = ["seed", "condition", "mask_kind", "language", "split", "accuracy", "majority"]
NUMBERS = {"accuracy", "majority"}


def question_tables(p: ResultsParameters) -> dict[str, StudyTables]:
    """Return what the questions are answered from, by study.

    Raises:
        InputError: a study published no figures, as a blind one that is not complete, or no artefacts; or
            something of these is damaged.
    """
    folders = {study: path(p.figures_dir) / study / "artefacts" for study in p.studies}
    for study, folder in folders.items():
        _record(p, study)
        if not folder.is_dir():
            published = published_studies(path(p.figures_dir))
            allowed = ", ".join(published) or "none is there"
            raise InputError(f"studies: {study!r} published no artefacts; allowed: {allowed}")
    return {study: study_tables.read_question_tables(folder) for study, folder in folders.items()}


def published_studies(figures: Path) -> list[str]:
    """Return the names of the studies in a folder of published figures whose influence was scored."""
    return sorted(place.parents[1].name for place in figures.glob("*/artefacts/influence"))


def answers(p: ResultsParameters, tables: Mapping[str, StudyTables]) -> pd.DataFrame:
    """Return :func:`modspec.analysis.questions.question_table` of studies.

    Args:
        p: says which are pooled.
        tables: :func:`question_tables`.
    """
    return question_table({study: evidence(of_study) for study, of_study in tables.items()}, p.pooled)


def by_language(tables: Mapping[str, StudyTables]) -> pd.DataFrame:
    """Return :func:`modspec.analysis.single_languages.single_languages` of studies, with a column ``study``.

    Args:
        tables: :func:`question_tables`.
    """
    return pd.concat([single_languages(t.runs).assign(study=study) for study, t in tables.items()])


def hubs(tables: Mapping[str, StudyTables]) -> pd.DataFrame:
    """Return :func:`modspec.analysis.hubs.hub_share` of studies, with a column ``study``.

    Args:
        tables: :func:`question_tables`.
    """
    return pd.concat([hub_share(t.runs).assign(study=study) for study, t in tables.items()])


def scale(p: ResultsParameters) -> pd.DataFrame:
    """Return what stands behind each study: one row per fact, one column per study, all of it text.

    Accuracies: full fine-tuning without mask, mean over languages and seeds.

    Raises:
        InputError: a study is not there, or its table is not the one that it wrote.
    """
    return pd.DataFrame({study: _facts(p, study) for study in p.studies})


def write_provenance(p: ResultsParameters, record: dict[str, Any]) -> None:
    """Write ``provenance.json`` beside the results: parameters, and the sha256 of what is read of each study.

    Of the studies' own provenance that is parameters and stages: a redrawn figure leaves results as they are.
    """
    inputs = {study: _inputs(p, study) for study in p.studies}
    provenance.write(results_dir(p), {"parameters": p.identity(), "inputs": inputs, "provenance": record})


def results_dir(p: ResultsParameters) -> Path:
    """Return the directory of tables and figures over studies."""
    return path(p.figures_dir) / "results"


def _facts(p: ResultsParameters, study: str) -> dict[str, str]:
    """Return one study's facts by name; refuse a study that did not record them."""
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
    processors = {name for stage in stages.values() for name in stage.get("processors", ["not recorded"])}
    return {
        "task": trained["task"],
        "languages": " ".join(trained["languages"]),
        "encoder": trained["encoder"],
        "seeds": str(len(seeds)),
        "training examples per language; epochs": f"{train:,}; {trained['epochs']}{_start(trained)}",
        "scored training examples per language": f"{scored['scored_per_language'] or train:,}",
        "attributed test examples per language": str(scored["evaluation_per_language"]),
        "number k of proponents": str(scored["top_k"]),
        "accuracy of the full model, dev / test (%)": f"{dev['full']:.1f} / {test['full']:.1f}",
        "majority class, dev / test (%)": f"{dev['majority class']:.1f} / {test['majority class']:.1f}",
        "hours of all jobs (resumed jobs: last run only)": f"{hours:.1f}",
        "threads per job; largest memory of a job (GiB)": f"{most['threads']}; {most['peak_memory_gib']:.1f}",
        "processors": "; ".join(sorted(processors)),
    }


def _inputs(p: ResultsParameters, study: str) -> dict[str, str]:
    """Return the sha256 of a study's table of accuracies, and fingerprints of its parameters and stages and
    of its artefacts."""
    record = _record(p, study)
    scale = {name: record[name] for name in ("parameters", "stages")}
    found = {
        f"{stage.name}/{directory.name}": artifacts.content_fingerprint(directory)
        for stage in (path(p.figures_dir) / study / "artefacts").glob("*")
        for directory in artifacts.finished(stage)
    }
    fingerprints = {"scale": artifacts.fingerprint(scale), "artefacts": artifacts.fingerprint(found)}
    return {"accuracy.csv": record["files"]["accuracy.csv"]["sha256"]} | fingerprints


def _start(trained: dict[str, Any]) -> str:
    """Return what training started from; studies published before there was a choice do not record it."""
    languages = trained.get("start_languages")
    return f", after {trained['start_epochs']} of {' '.join(languages)} alone" if languages else ""


def _record(p: ResultsParameters, study: str) -> dict[str, Any]:
    return json.loads(_file(p, study, "provenance.json").read_text(encoding="utf-8"))


def _table(p: ResultsParameters, study: str, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return ``columns`` of a table that a study published, checked against the study's provenance."""
    file = _file(p, study, name)
    if artifacts.describe(file) != _record(p, study)["files"].get(name):
        raise InputError(
            f"studies: {study!r}: {name} is not what its provenance.json describes; run its notebook 04 again"
        )
    # As text first: a language may be called "nan".
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"{file}: column {missing[0]} is missing; needed: {', '.join(columns)}")
    numbers = {column: pd.to_numeric(table[column].replace("", "nan")) for column in NUMBERS & set(columns)}
    return table[list(columns)].assign(**numbers)


def _file(p: ResultsParameters, study: str, name: str) -> Path:
    """Return where a study published a file."""
    file = path(p.figures_dir) / study / name
    if not file.is_file():
        published = sorted(file.parent.name for file in path(p.figures_dir).glob(f"*/{name}"))
        allowed = ", ".join(published) or "none is there"
        raise InputError(f"studies: {study!r} has no {name}; allowed: {allowed}")
    return file
