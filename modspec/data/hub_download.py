"""Labelled sentences from data sets on the Hugging Face hub, or from its cache when offline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import huggingface_hub
import pandas as pd

from modspec.data.columns import ColumnNames
from modspec.downloads import hub
from modspec.errors import InputError

HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub."""

    path: str  # organisation/repository
    languages: tuple[str, ...]
    jsonl: bool = False  # plain <language>/<split>.jsonl files instead of one config per language


def load(
    source: HubSource, languages: Sequence[str], column_names: ColumnNames, labels: Sequence[str]
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return what each split may draw from.

    Args:
        source: the data set; its path may end in ``@revision``.
        languages: languages to read.
        column_names: its columns; without an id column the row number is the id.
        labels: names of the hub's integer labels.

    Returns:
        Frames by (language, split), with columns as from ``local_files.load``, without untranslated rows.

    Raises:
        InputError: the data set cannot be loaded, or lacks a column.
    """
    pools = {}
    for language in languages:
        for split, hub_split in HUB_SPLITS.items():
            where = f"{source.path} {language} {hub_split}"
            try:
                rows = load_dataset(source, language, hub_split)
            except InputError:
                raise
            except Exception as error:  # every error has the same way out
                reason = hub.problem(error, source.path, "dataset") or " ".join(str(error).split())[:200]
                if not hub.hub_is_reachable():
                    reason = "it cannot be reached, nor is it in the cache"
                raise InputError(f"could not load {where} from the hub: {reason}") from error
            pools[language, split] = _pool(rows, column_names, labels, where)
    return pools


def load_dataset(source: HubSource, language: str, split: str) -> datasets.Dataset:
    """Return one language and split, from the cache at once where the hub cannot be reached.

    Raises:
        InputError: another commit than the pinned one is in the cache.
    """
    repository, _, revision = source.path.partition("@")
    if not hub.hub_is_reachable():  # in the whole process; ``datasets`` would first retry for minutes
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    commit = hub.commit(source.path, "dataset")
    if source.jsonl:
        name = f"{language}/{split}.jsonl"
        place = {"repo_type": "dataset", "revision": commit or revision or None}
        file = huggingface_hub.hf_hub_download(repository, name, **place)
        hub.resolved[source.path] = Path(file).parents[1].name
        return datasets.load_dataset("json", data_files=file, split="train")
    rows = datasets.load_dataset(repository, language, split=split, revision=commit)
    # Where the hub fails, ``datasets`` takes whatever commit its cache has, in a folder of this name.
    cached = Path(rows.cache_files[0]["filename"]).parent.name
    if cached != commit and (commit or revision):
        raise InputError(
            f"could not load {source.path} {language}: the hub fails, the cache has {cached} only"
        )
    hub.resolved[source.path] = cached
    return rows


def _pool(
    rows: datasets.Dataset, column_names: ColumnNames, labels: Sequence[str], where: str
) -> pd.DataFrame:
    missing = [column for column in column_names.needed if column not in rows.column_names]
    if missing:
        raise InputError(f"{where}: lacks {', '.join(missing)}; has {', '.join(rows.column_names)}")
    has_ids = column_names.id in rows.column_names
    wanted = {*column_names.needed, column_names.id} & {*rows.column_names}
    raw = rows.select_columns([*wanted]).to_pandas()
    unknown = sorted(set(raw[column_names.label].tolist()) - set(range(len(labels))))
    if unknown:
        raise InputError(f"{where}: unknown labels {unknown}; allowed: 0 to {len(labels) - 1}")
    ids = raw[column_names.id] if has_ids else pd.Series(raw.index)
    pool = pd.DataFrame(
        {
            "id": where.split()[-1] + "-" + ids.astype(str),
            "text": raw[column_names.text].str.strip(),
            "text_pair": raw[column_names.text_pair].str.strip() if column_names.text_pair else "",
            "label": raw[column_names.label].map(dict(enumerate(labels))),
            "where": where,
        }
    )
    used = ["text", "text_pair"] if column_names.text_pair else ["text"]
    usable = ~pool[used].isin(["", column_names.untranslated]).any(axis=1)
    return pool[usable].drop_duplicates("id")
