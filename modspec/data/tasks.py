"""The classification tasks: XNLI, PAWS-X, MARC, MultiEmo, the embedded ``intents``, a user's own files.

:func:`load_task` draws a sample of the same size for every language. The examples that a split may draw from
never depend on seed or sizes, except for ``intents`` (see ``modspec.data.intents``):

- Hub: the data set's own train, validation and test splits.
- Local files: their own splits, or divided as ``modspec.data.local_files`` says.

Within a language labels are equally frequent as far as the data go: when one runs out, the others share the
rest equally.
"""

import hashlib
import json
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pandas as pd

from modspec.data import hub_datasets, intents, local_files
from modspec.data.hub_datasets import HubSource
from modspec.data.local_files import SPLITS, ColumnNames
from modspec.errors import InputError


@dataclass(frozen=True)
class Task:
    """A sample of a task, with the same number of examples in every language.

    Each row has ``id`` (unique in the split), ``language``, ``text``, ``text_pair`` ("" for single
    sentences), ``label`` (``ClassLabel``) and ``group``: the template of an intent, the pair that
    translations share, else the row's id. A group never crosses splits. Rows come language by language,
    shuffled within each.
    """

    name: str
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    data: datasets.DatasetDict  # "train", "dev", "test"
    source: str  # one sentence for humans: where the data are from, what trains, what evaluates
    fingerprint: str  # sha256 over all rows of all splits in order, wherever they were read from


@dataclass(frozen=True)
class TaskSpec:
    """A task before its data are read."""

    languages: tuple[str, ...]  # the study's
    labels: tuple[str, ...] | None = None  # in the order of the hub's integers; None: as found
    column_names: ColumnNames | None = None  # of local files; the hub's columns have the same names
    aligned: bool = False  # translations of a pair share its id
    hub: HubSource | None = None


TASKS: dict[str, TaskSpec] = {
    "intents": TaskSpec(languages=("en", "de", "fr", "es", "ru")),
    # XNLI trains on its public *test* split where the data directory has no train files (they are large and
    # machine-translated). Of the two splits that people translated, the larger one trains (test, 5,010 pairs
    # per language), and the other one (dev, 2,490) is halved into dev and test. ``local_files.plan_splits``
    # decides this, and ``Task.source`` says it. Accuracies are therefore not comparable with published ones,
    # which are measured on the test split.
    "xnli": TaskSpec(
        languages=("en", "fr", "de", "ru", "es"),
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
        languages=("en", "fr", "de", "ko", "es"),
        labels=("no paraphrase", "paraphrase"),
        column_names=ColumnNames(
            text="sentence1",
            text_pair="sentence2",
            label="label",
            id="id",
            in_order=("id", "sentence1", "sentence2", "label"),
        ),
        aligned=True,
        hub=HubSource("google-research-datasets/paws-x", tuple("de en es fr ja ko zh".split())),
    ),
    "marc": TaskSpec(
        languages=("en", "fr", "de", "zh", "es"),
        labels=("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
        column_names=ColumnNames(text="text", label="label", id="id", in_order=("id", "text", "label")),
        hub=HubSource("mteb/amazon_reviews_multi", tuple("de en es fr ja zh".split()), jsonl=True),
    ),
    "multiemo": TaskSpec(
        languages=("en", "fr", "de", "zh", "es"),
        labels=("negative", "neutral", "positive", "ambivalent"),
        column_names=ColumnNames(
            text="sentence",
            label="polarity",
            id="id",
            in_order=("id", "domain", "polarity", "sentence"),
        ),
        aligned=True,
    ),
    "local": TaskSpec(
        languages=(),
        column_names=ColumnNames(
            text="text",
            label="label",
            text_pair="text_pair",
            id="id",
            optional=("text_pair", "id"),
        ),
        aligned=True,
    ),
}


def available_languages(name: str, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """Return the languages that the task can be loaded in, sorted; reads no data.

    Raises:
        InputError: the task is unknown, the directory is missing, or the task needs one.
    """
    spec = _spec(name)
    if name == "intents":
        if data_dir is not None:
            raise InputError(
                f"data_dir: {str(data_dir)!r}, but task 'intents' is embedded and reads no files"
            )
        return intents.available_languages()
    if data_dir is not None:
        return tuple(sorted({language for language, _ in local_files.find(data_dir)}))
    if spec.hub is None:
        raise InputError(f"data_dir: None, but task {name!r} needs {_expected(spec)}")
    return spec.hub.languages


def load_task(
    name: str,
    languages: Sequence[str],
    *,
    train_per_language: int,
    dev_per_language: int,
    test_per_language: int,
    seed: int = 0,
    data_dir: str | Path | None = None,
    parallel: bool = True,
) -> Task:
    """Draw a sample of a task, with the same number of examples in each language.

    Args:
        name: a key of :data:`TASKS`.
        languages: languages of the sample.
        train_per_language: training examples per language; dev and test likewise.
        seed: of the sample.
        data_dir: directory of local files (see ``modspec.data.local_files``); None takes the task from the
            hub or, if the hub cannot be reached, from its cache.
        parallel: take the same pairs in every language where translations are known (xnli, pawsx, multiemo,
            local files with ids); otherwise each language draws its own. Pairs never cross splits in either
            case.

    Raises:
        InputError: the task or a language is unknown, the data cannot be read, or there are too few examples.
    """
    sizes = {"train": train_per_language, "dev": dev_per_language, "test": test_per_language}
    spec = _spec(name)
    _validate(name, languages, sizes, seed, data_dir)
    if name == "intents":
        labels, rows = intents.sample(languages, sizes, seed)
        frames = {split: pd.DataFrame(rows[split]).assign(text_pair="") for split in SPLITS}
        source = (
            "home-assistant-intents, expanded sentence templates; "
            "train, dev and test have different templates"
        )
        return _task(name, languages, labels, frames, source)
    if data_dir is not None:
        pools, aligned, source = local_files.load(
            data_dir, languages, spec.column_names, spec.labels, spec.aligned
        )
    else:
        try:
            pools = hub_datasets.load(spec.hub, languages, spec.column_names, spec.labels)
        except InputError as error:
            raise InputError(f"task: {name}: {error}; set data_dir to {_expected(spec)}") from error
        aligned = spec.aligned
        source = f"{spec.hub.path} from the hub; its train, validation and test splits"
    labels = spec.labels or tuple(sorted(set().union(*(p["label"] for p in pools.values()))))
    if len(labels) < 2:
        raise InputError(f"data_dir: all examples are labelled {labels[0]!r}, needed: two labels")
    frames = {
        split: draw(
            {language: pools[language, split] for language in languages},
            split,
            size,
            seed,
            aligned,
            aligned and parallel,
        )
        for split, size in sizes.items()
    }
    return _task(name, languages, labels, frames, f"{name}, {source}")


def _spec(name: str) -> TaskSpec:
    if name not in TASKS:
        raise InputError(f"task: {name!r} is not known; allowed: {', '.join(TASKS)}")
    return TASKS[name]


def _validate(
    name: str,
    languages: Sequence[str],
    sizes: Mapping[str, int],
    seed: int,
    data_dir: str | Path | None,
) -> None:
    if isinstance(languages, str) or not languages:
        raise InputError(f"languages: {languages!r}, needed: a list of at least one language")
    if len(set(languages)) < len(languages):
        raise InputError(f"languages: {', '.join(languages)} has duplicates")
    for split, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"{split}_per_language: {size!r}, needed: a whole number from 1")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed: {seed!r}, needed: a whole number from 0")
    check_languages(name, languages, data_dir)


def check_languages(name: str, languages: Sequence[str], data_dir: str | Path | None = None) -> None:
    """Raise InputError if the task lacks some of the languages, naming these; reads no data."""
    available = available_languages(name, data_dir)
    missing = [language for language in languages if language not in available]
    if missing:
        where = "" if data_dir is None else f" in data_dir {str(data_dir)!r}"
        raise InputError(
            f"languages: {name} lacks {', '.join(missing)}{where}; "
            f"there: {', '.join(available) or f'none; expected {_expected(TASKS[name])}'}"
        )


def _expected(spec: TaskSpec) -> str:
    columns = spec.column_names.in_order or spec.column_names.needed
    extensions = "|".join(local_files.EXTENSIONS)
    return (
        f"a directory of files <train|dev|test>.<language>.<{extensions}> or "
        f"<language>.<{extensions}> with columns {', '.join(columns)}"
    )


# --- sampling ------------------------------------------------------------------------------------


def draw(
    pools: Mapping[str, pd.DataFrame],
    split: str,
    size: int,
    seed: int,
    aligned: bool,
    parallel: bool,
) -> pd.DataFrame:
    """Draw examples of each language in random order, with labels as equally frequent as possible.

    Args:
        pools: {language: examples}, from ``local_files`` or ``hub_datasets``.
        split: name of the split, part of the random seed.
        size: examples per language.
        seed: of the sample.
        aligned: an id means the same pair in every pool.
        parallel: take the same pairs, in the same order, in each language.

    Raises:
        InputError: a pool has too few examples.
    """
    pools = {language: pool.set_index("id", drop=False) for language, pool in pools.items()}
    first, *others = pools.values()
    if parallel:
        shared = first.index
        for other in others:
            shared = shared[shared.isin(other.index)]
        _check_labels(pools, shared)
        if len(shared) < size:
            raise InputError(
                f"{split}_per_language: {size}, but {', '.join(pools)} share {len(shared)} "
                f"examples for {split}; ask for fewer or set parallel to False"
            )
        picks = stratified(first.loc[shared, "label"], size, _rng(seed, split))
        drawn = {language: pool.loc[shared[picks]] for language, pool in pools.items()}
    else:
        for language, pool in pools.items():
            if len(pool) < size:
                raise InputError(
                    f"{split}_per_language: {size}, but {language} has {len(pool)} examples for {split}"
                )
        drawn = {
            language: pool.iloc[stratified(pool["label"], size, _rng(seed, split, language))]
            for language, pool in pools.items()
        }
    named = []
    for language, rows in drawn.items():
        ids = language + "-" + rows["id"]
        group = rows["id"] if aligned else ids
        named.append(rows.assign(language=language, group=group, id=ids))
    return pd.concat(named, ignore_index=True)


def stratified(labels: pd.Series, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``size`` shuffled positions in ``labels``; counts differ by one, or a label is used up."""
    codes, names = pd.factorize(labels, sort=True)
    counts = np.bincount(codes, minlength=len(names))
    # The highest level up to which all labels can be filled; the rest goes to those with more.
    levels = range(counts.max() + 1)
    level = bisect_right(levels, size, key=lambda t: np.minimum(counts, t).sum()) - 1
    quotas = np.minimum(counts, level)
    quotas[np.flatnonzero(counts > level)[: size - quotas.sum()]] += 1
    picks = [rng.permutation(np.flatnonzero(codes == k))[:quota] for k, quota in enumerate(quotas)]
    return rng.permutation(np.concatenate(picks))


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _check_labels(pools: Mapping[str, pd.DataFrame], shared: pd.Index) -> None:
    """Raise InputError if translations differ in label: their ids do not mean the same pair."""
    (language, reference), *others = ((name, pool.loc[shared]) for name, pool in pools.items())
    for other_language, other in others:
        differs = np.flatnonzero(reference["label"].to_numpy() != other["label"].to_numpy())
        if len(differs):
            one, two = reference.iloc[differs[0]], other.iloc[differs[0]]
            raise InputError(
                f"{two['where']}: label {two['label']!r} in {other_language}, but "
                f"{one['label']!r} in {language} ({one['where']}) for the same pair "
                f"{one['id']!r}; give translations the same id or set parallel to False"
            )


def _task(
    name: str,
    languages: Sequence[str],
    labels: Sequence[str],
    frames: Mapping[str, pd.DataFrame],
    source: str,
) -> Task:
    features = datasets.Features(
        {
            **dict.fromkeys(("id", "language", "text", "text_pair"), datasets.Value("string")),
            "label": datasets.ClassLabel(names=list(labels)),
            "group": datasets.Value("string"),
        }
    )
    digest = hashlib.sha256()
    data = datasets.DatasetDict()
    for split in SPLITS:
        frame = frames[split][list(features)]
        for row in frame.itertuples(index=False):
            digest.update(json.dumps([split, *row]).encode())
        codes = frame["label"].map({label: i for i, label in enumerate(labels)})
        data[split] = datasets.Dataset.from_pandas(
            frame.assign(label=codes), features=features, preserve_index=False
        )
    return Task(name, tuple(languages), tuple(labels), data, source, digest.hexdigest())
