"""The classification tasks: XNLI, PAWS-X, MARC, MultiEmo, the embedded ``intents``, a user's own files.

:func:`load_task` draws a sample of the same size for every language. The examples that a split may draw from
never depend on seed or sizes, except for ``intents`` (see ``modspec.data.intents``):

- Hub: the data set's own train, validation and test splits.
- Local files: their own splits, or divided as ``modspec.data.local_files`` says.

How a split's examples are drawn is in ``modspec.data.sampling``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import pandas as pd

from modspec.data import hub_download, intents, local_files
from modspec.data.columns import ROLES, ColumnNames
from modspec.data.file_names import EXTENSIONS, find
from modspec.data.hub_download import HubSource
from modspec.data.sampling import draw, draw_apart
from modspec.downloads import hub
from modspec.errors import InputError, quoted
from modspec.terms import Parallel


@dataclass(frozen=True)
class Task:
    """A sample of a task, with the same number of examples in every language.

    Each row has ``id`` (unique in the split), ``language``, ``text``, ``text_pair`` ("" for single
    sentences), ``label`` (``ClassLabel``) and ``group``: the template of an intent, the pair that
    translations share, else the row's id. A group never crosses splits. Rows come language by language,
    shuffled within each.
    """

    languages: tuple[str, ...]
    labels: tuple[str, ...]
    data: datasets.DatasetDict  # "train", "dev", "test"
    source: str  # one sentence for humans: where the data are from, what trains, what evaluates
    fingerprint: str  # sha256 over all rows of all splits in order, wherever they were read from
    files: pd.DataFrame  # what was made of every file: file, language, rows, used for, remarks


@dataclass(frozen=True)
class TaskSpec:
    """A task before its data are read."""

    labels: tuple[str, ...] | None = None  # in the order of the hub's integers; None: as found
    column_names: ColumnNames | None = None  # of local files; the hub's columns have the same names
    aligned: bool = False  # translations of a pair share its id
    hub: HubSource | None = None


TASKS: dict[str, TaskSpec] = {
    "intents": TaskSpec(),
    # XNLI trains on its public *test* split where the data directory has no train files (they are large and
    # machine-translated). Of the two splits that people translated, the larger one trains (test, 5,010 pairs
    # per language), and the other one (dev, 2,490) is halved into dev and test. ``local_files.plan_splits``
    # decides this, and ``Task.source`` says it. Accuracies are therefore not comparable with published ones,
    # which are measured on the test split.
    "xnli": TaskSpec(
        labels=("entailment", "neutral", "contradiction"),
        column_names=ColumnNames(
            text="premise",
            text_pair="hypothesis",
            label="label",
            in_order=("premise", "hypothesis", "label"),
            block=3,  # every premise has three hypotheses
        ),
        aligned=True,
        hub=HubSource("facebook/xnli", tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split())),
    ),
    # PAWS-X follows the same rule: without train files the larger of its public test and dev splits trains,
    # and the other one is halved into dev and test.
    "pawsx": TaskSpec(
        labels=("no paraphrase", "paraphrase"),
        column_names=ColumnNames(
            id="id",
            text="sentence1",
            text_pair="sentence2",
            label="label",
            in_order=("id", "sentence1", "sentence2", "label"),
            untranslated="NS",
        ),
        aligned=True,
        hub=HubSource("google-research-datasets/paws-x", tuple("de en es fr ja ko zh".split())),
    ),
    "marc": TaskSpec(
        labels=("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
        column_names=ColumnNames(
            text="text", label="label", id="id", in_order=("id", "text", "label"), optional=("id",)
        ),
        hub=HubSource("mteb/amazon_reviews_multi", tuple("de en es fr ja zh".split()), jsonl=True),
    ),
    "multiemo": TaskSpec(
        labels=("negative", "neutral", "positive", "ambivalent"),
        column_names=ColumnNames(
            id="id", text="sentence", label="polarity", in_order=("id", "domain", "polarity", "sentence")
        ),
        aligned=True,
    ),
    "local": TaskSpec(
        column_names=ColumnNames(
            id="id", text="text", text_pair="text_pair", label="label", optional=("text_pair", "id")
        ),
        aligned=True,
    ),
}


def available_languages(name: str, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """Return the languages that the task can be loaded in, sorted; reads no data.

    Raises:
        InputError: the task is unknown, the directory is missing, or the task needs one.
    """
    name, revision = _pinned(name, data_dir)
    if name == "intents":
        if data_dir is not None:
            raise InputError(
                f"data_dir: {str(data_dir)!r}, but task 'intents' is embedded and reads no files"
            )
        return intents.available_languages()
    if data_dir is not None:
        return find(data_dir).languages
    if TASKS[name].hub is None:
        raise InputError(f"data_dir: None, but task {name!r} needs {expected(name)}")
    return TASKS[name].hub.languages


def load_task(
    name: str,
    languages: Sequence[str],
    *,
    train_per_language: int,
    dev_per_language: int,
    test_per_language: int,
    seed: int = 0,
    train_seed: int | None = None,
    data_dir: str | Path | None = None,
    parallel: Parallel = True,
    columns: Mapping[str, str | None] | None = None,
) -> Task:
    """Draw a sample of a task, with the same number of examples in each language.

    Args:
        name: a key of :data:`TASKS`; of the hub's, also ``task@revision``.
        languages: languages of the sample.
        train_per_language: training examples per language; dev and test likewise.
        seed: of the sample.
        train_seed: of the training examples; None: ``seed``. Dev and test do not depend on it.
        data_dir: directory of local files (see ``modspec.data.local_files``); None takes the task from the
            hub or, if the hub cannot be reached, from its cache.
        parallel: where translations are known (xnli, pawsx, multiemo, local files with ids), whether all
            languages have the same pairs: True, in every split; "dev_and_test", in these alone, and no two
            languages share a training pair; False, each language draws its own. Pairs never cross splits.
        columns: names of local files' columns by role, see :func:`modspec.data.columns.recognise`; None
            where they have the task's names or usual ones.

    Raises:
        InputError: the task or a language is unknown, the data cannot be read, or there are too few examples.
    """
    check_languages(name, languages, data_dir)
    check_columns(columns or {}, data_dir)
    sizes = {"train": train_per_language, "dev": dev_per_language, "test": test_per_language}
    seeds = dict.fromkeys(sizes, seed) | {"train": seed if train_seed is None else train_seed}
    numbers = [(f"{split}_per_language", size, 1) for split, size in sizes.items()]
    for number, value, least in [*numbers, ("seed", seed, 0), ("train_seed", seeds["train"], 0)]:
        if type(value) is not int or value < least:
            raise InputError(f"{number}: {value!r}, needed: a whole number from {least}")
    if name == "intents":
        labels, rows = intents.sample(languages, sizes, seed, seeds["train"])
        frames = {split: pd.DataFrame(rows[split]).assign(text_pair="") for split in sizes}
        source = (
            "home-assistant-intents, expanded sentence templates; "
            "train, dev and test have different templates"
        )
        pools = {(t, s): f[f["language"] == t] for s, f in frames.items() for t in languages}
        return _task(languages, labels, frames, source, _pools_table("home-assistant-intents", pools))
    name, revision = _pinned(name, data_dir)
    spec = TASKS[name]
    if data_dir is not None:
        loaded = local_files.load(
            data_dir, languages, spec.column_names, spec.labels, spec.aligned, columns or {}
        )
        pools, aligned, source, files = loaded.pools, loaded.aligned, loaded.source, loaded.files
    else:
        pinned = replace(spec.hub, path=spec.hub.path + (f"@{revision}" if revision else ""))
        try:
            pools = hub_download.load(pinned, languages, spec.column_names, spec.labels)
        except InputError as error:
            files = "local files" if hub.hub_is_reachable() else expected(name)
            raise InputError(f"task: {name}: {error}; or set data_dir to {files}") from error
        aligned = spec.aligned
        commit = hub.resolved.get(pinned.path)
        at_commit = f" at commit {commit}" if commit else ""
        source = f"{spec.hub.path}{at_commit} from the hub; its train, validation and test splits"
        files = _pools_table(spec.hub.path, pools)
    labels = spec.labels or tuple(sorted(set().union(*(p["label"] for p in pools.values()))))
    frames = {}
    for split, size in sizes.items():
        of_split = {language: pools[language, split] for language in languages}
        if aligned and split == "train" and parallel == "dev_and_test":
            frames[split] = draw_apart(of_split, split, size, seeds[split])
        else:
            frames[split] = draw(of_split, split, size, seeds[split], aligned, aligned and bool(parallel))
    return _task(languages, labels, frames, f"{name}, {source}", files)


def _pinned(name: str, data_dir: str | Path | None) -> tuple[str, str]:
    """Return task and revision of ``task@revision``, "" without one; raise InputError for what cannot be."""
    task, at, revision = name.partition("@")
    if task not in TASKS:
        raise InputError(f"task: {name!r} is not known; allowed: {', '.join(TASKS)}")
    if at and (data_dir is not None or TASKS[task].hub is None or not revision):
        raise InputError(f"task: {name!r} has a revision; allowed: {task}, or from the hub {task}@COMMIT")
    return task, revision


def check_columns(columns: Mapping[str, str | None], data_dir: str | Path | None) -> None:
    """Raise InputError for a role that is none, one that a file must have, or columns without files."""
    for role, column in columns.items():
        if role not in ROLES:
            raise InputError(
                f"columns: {quoted(role)} is not what a column holds; allowed: {', '.join(ROLES)}"
            )
        optional = " or null" if role in ("id", "text_pair") else ""
        if not (isinstance(column, str) or (column is None and optional)):
            raise InputError(f"columns: {role}: {quoted(column)}; allowed: the name of the column{optional}")
    named = [column for column in columns.values() if column is not None]
    if twice := [column for column in named if named.count(column) > 1]:
        raise InputError(f"columns: {quoted(twice[0])} has two roles; allowed: a column for each")
    if columns and data_dir is None:
        raise InputError("columns: set, but data_dir is not; allowed: with files of a data_dir")


def _pools_table(source: str, pools: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """The table of :class:`Task`'s files for a task without files: one row per language."""
    rows = []
    for language in dict.fromkeys(language for language, _ in pools):
        sizes = {split: len(pool) for (of, split), pool in pools.items() if of == language}
        used = ", ".join(f"{split} {size}" for split, size in sizes.items())
        rows.append((source, language, sum(sizes.values()), used, ""))
    return pd.DataFrame(rows, columns=["file", "language", "rows", "used for", "remarks"])


def check_languages(name: str, languages: Sequence[str], data_dir: str | Path | None = None) -> None:
    """Raise InputError if the task lacks some of the languages, or one stands twice; reads no data."""
    if isinstance(languages, str) or not languages or len(set(languages)) < len(languages):
        raise InputError(f"languages: {languages!r}, needed: a list of different languages")
    available = available_languages(name, data_dir)
    missing = [language for language in languages if language not in available]
    if missing:
        if data_dir is not None:
            find(data_dir).check_nothing_is_missed(missing)
        where = "" if data_dir is None else f" in data_dir {str(data_dir)!r}"
        raise InputError(
            f"languages: {name} lacks {quoted(', '.join(missing))[1:-1]}{where}; "
            f"there: {', '.join(available) or f'none; expected {expected(name)}'}"
        )


def expected(name: str) -> str:
    """Return what a data directory of a task should hold."""
    columns = TASKS[name].column_names.in_order or TASKS[name].column_names.needed
    return (
        f"a directory of files <train|dev|test>.<language>.<{'|'.join(EXTENSIONS)}> or "
        f"<language>.<extension> with columns {', '.join(columns)}"
    )


def _task(
    languages: Sequence[str],
    labels: Sequence[str],
    frames: Mapping[str, pd.DataFrame],
    source: str,
    files: pd.DataFrame,
) -> Task:
    strings = ("id", "language", "text", "text_pair")
    features = datasets.Features(
        dict.fromkeys(strings, datasets.Value("string"))
        | {"label": datasets.ClassLabel(names=list(labels)), "group": datasets.Value("string")}
    )
    digest = hashlib.sha256()
    data = datasets.DatasetDict()
    for split, frame in frames.items():
        frame = frame[list(features)]
        for row in frame.itertuples(index=False):
            digest.update(json.dumps([split, *row]).encode())
        data[split] = datasets.Dataset.from_pandas(frame, features=features, preserve_index=False)
    return Task(tuple(languages), tuple(labels), data, source, digest.hexdigest(), files)
