"""Labelled sentences from a directory of files, and which of them train, and which evaluate.

``modspec.data.file_names`` says which files are read, ``modspec.data.columns`` how columns may be called.
Without train files, the larger of test and dev trains (:func:`plan_splits`). If only one file is left for
evaluation, it is halved into dev and test; a single file per language is divided 60/20/20. A hash of the
pair's id decides: the division is the same for every seed and keeps translations together.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pandas as pd

from modspec.data.columns import ColumnNames, name_of, recognise, text_of
from modspec.data.file_formats import rows_of
from modspec.data.file_names import EXTENSIONS, SPLITS, DataDirectory, find, split_and_language
from modspec.data.label_checks import check_labels, lacking_labels
from modspec.errors import InputError, quoted

SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}


@dataclass(frozen=True)
class Loaded:
    """What each split may draw from, and what was made of every file."""

    pools: dict[tuple[str, str], pd.DataFrame]  # (language, split) -> rows as from :func:`read`
    aligned: bool  # an id means the same pair in every language
    source: str  # one sentence: which files became which split
    files: pd.DataFrame  # one row per file: file, language, rows, used for, remarks


@dataclass(frozen=True)
class ReadFile:
    """The examples of one file."""

    rows: pd.DataFrame  # id, text, text_pair, label, kind (of the label), where (file and line); all str
    has_ids: bool  # the file gives them
    unused: tuple[str, ...]  # columns that were not read


def load(
    data_dir: str | Path,
    languages: Sequence[str],
    names: ColumnNames,
    labels: Sequence[str] | None,
    aligned: bool,
    columns: Mapping[str, str | None],
) -> Loaded:
    """Read the files of some languages.

    Args:
        data_dir: directory of the files.
        languages: languages to read.
        names: of the columns of all files.
        labels: allowed labels; None allows any.
        aligned: an id means the same pair in every language, provided that the files give ids or that
            ``names`` has none.
        columns: names of columns by role that the user chose, see :func:`modspec.data.columns.recognise`.

    Returns:
        The pools. The file's split is part of an id ("dev-17"), as id 17 of another split is another example.

    Raises:
        InputError: a language lacks a split that another one has, a file of these languages is not read,
            labels or splits do not fit together, or as for :func:`read`.
    """
    if names.block > 1 and columns.get("id"):
        raise InputError(
            f"columns: id: {quoted(columns['id'])}; allowed: none, since {names.block} rows that follow one "
            "another share a sentence in this task, and row numbers tell which"
        )
    directory = find(data_dir)
    _refuse_unread(directory, languages)
    stored = _stored_splits(directory.files, languages)
    read_files: dict[tuple[str, str], ReadFile] = {}
    for language in languages:
        for split in stored:
            one = read_files[language, split] = read(directory.files[language, split], names, labels, columns)
            aligned = aligned and (one.has_ids or names.id is None)
    rows = {split: sum(len(read_files[language, split].rows) for language in languages) for split in stored}
    plan = plan_splits(rows)
    pools: dict[tuple[str, str], pd.DataFrame] = {}
    for split, shares in plan.items():
        together = {language: read_files[language, split].rows for language in languages}
        for batch in [together] if aligned else [{k: v} for k, v in together.items()]:
            for key, pool in divide(batch, shares, names.block).items():
                prefix = f"{split}-" if split else ""
                pools[key] = pool.assign(id=prefix + pool["id"])
    check_labels(pools)
    shared = _shared_examples(pools)
    used = {directory.files[place].suffix for place in read_files}
    source = f"local files; {_describe(plan, '|'.join(sorted(used)))}"
    table = _files_table(Path(data_dir), directory, read_files, plan, pools, shared)
    return Loaded(pools, aligned, source, table)


def _refuse_unread(directory: DataDirectory, languages: Sequence[str]) -> None:
    """Raise InputError for a file that seems to be of these languages, but cannot be read."""
    for path, reason in directory.not_read.items():
        stem = path.name.partition(".")[0] if split_and_language(path.stem) is None else path.stem
        place = split_and_language(stem) or split_and_language(stem, path.parent.name)
        if place and place[0] in languages and path.is_file():
            raise InputError(
                f"data_dir: {quoted(path.name)} seems to be of the language {place[0]}, but {reason}; "
                "convert it or move it away"
            )


def _shared_examples(pools: Mapping[tuple[str, str], pd.DataFrame]) -> dict[tuple[str, str], int]:
    """Return how many examples of dev and test also stand, with the same text, in an earlier split."""
    counts = {}
    for (language, split), pool in pools.items():
        earlier = SPLITS[: SPLITS.index(split)]
        known = {texts for other in earlier for texts in _texts(pools[language, other])}
        counts[language, split] = sum(texts in known for texts in _texts(pool))
    return counts


def _texts(pool: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(pool["text"], pool["text_pair"], strict=True))


def _files_table(
    data_dir: Path,
    directory: DataDirectory,
    read_files: Mapping[tuple[str, str], ReadFile],
    plan: Mapping[str, Mapping[str, float]],
    pools: Mapping[tuple[str, str], pd.DataFrame],
    shared: Mapping[tuple[str, str], int],
) -> pd.DataFrame:
    """One row per file of the directory, those that are not read after the others."""
    labels = tuple(sorted(set().union(*(pool["label"] for pool in pools.values()))))
    rows = []
    for (language, stored), one in read_files.items():
        remarks = [f"columns not used: {', '.join(one.unused)}"] if one.unused else []
        for split in plan[stored]:
            if lacking := lacking_labels(pools[language, split], labels):
                remarks.append(f"{split} lacks the labels {', '.join(lacking)}")
            if count := shared[language, split]:
                remarks.append(f"{count} of {split} also stand in an earlier split")
        uses = ", ".join(f"{split} {len(pools[language, split])}" for split in plan[stored])
        name = directory.files[language, stored].relative_to(data_dir)
        rows.append((str(name), language, len(one.rows), uses, "; ".join(remarks)))
    others = {
        path: "language not asked for" for place, path in directory.files.items() if place not in read_files
    }
    for path, reason in sorted({**others, **directory.not_read}.items()):
        rows.append((str(path.relative_to(data_dir)), "", 0, "not read", reason))
    return pd.DataFrame(rows, columns=["file", "language", "rows", "used for", "remarks"])


def plan_splits(rows: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Return what each stored split becomes: {stored split: {new split: share of its ids}}.

    Without train files (XNLI and PAWS-X, see ``tasks.TASKS``) the larger of test and dev trains. A single
    split that is left for evaluation is halved into dev and test.

    Args:
        rows: {stored split: number of rows}.
    """
    if len(rows) == 1:
        return {split: SHARES for split in rows}
    train = "train" if "train" in rows else max(("test", "dev"), key=lambda split: rows[split])
    rest = [split for split in rows if split != train]
    if len(rest) == 1:
        return {train: {"train": 1.0}, rest[0]: {"dev": 0.5, "test": 0.5}}
    return {train: {"train": 1.0}, **{split: {split: 1.0} for split in rest}}


def _describe(plan: Mapping[str, Mapping[str, float]], extension: str) -> str:
    parts = []
    for split, shares in plan.items():
        file = f"{split}.*{extension}" if split else f"*{extension}"
        if len(shares) == 1:
            parts.append(f"{next(iter(shares))} is {file}")
        else:
            percent = "/".join(f"{100 * share:.0f}" for share in shares.values())
            parts.append(f"{', '.join(shares)} are disjoint parts ({percent} %) of {file}")
    return "; ".join(parts)


def _stored_splits(files: Mapping[tuple[str, str], Path], languages: Sequence[str]) -> tuple[str, ...]:
    """Return the splits that every language has files for."""
    stored = [s for s in ("", *SPLITS) if any((language, s) in files for language in languages)]
    for language in languages:
        for split in stored:
            if (language, split) not in files:
                wanted = f"{split}.{language}" if split else language
                other = next(p.name for (o, s), p in files.items() if s == split and o in languages)
                raise InputError(f"data_dir: lacks {wanted}.<{'|'.join(EXTENSIONS)}>, while {other} is there")
    if "" in stored and len(stored) > 1:
        both = ", ".join(files[languages[0], split].name for split in stored)
        raise InputError(f"data_dir: has whole files and splits ({both}); keep one kind")
    return tuple(stored)


def divide(
    frames: Mapping[str, pd.DataFrame], shares: Mapping[str, float], block: int = 1
) -> dict[tuple[str, str], pd.DataFrame]:
    """Divide frames into splits, each id into the same split in every language.

    Args:
        frames: {language: rows with an ``id``}.
        shares: {split: share}, the shares adding up to 1.
        block: number of consecutive ids that stay together.

    Returns:
        Frames by (language, split). Splits get their shares of the blocks up to rounding.
    """
    if len(shares) == 1:
        return {(language, *shares): frame for language, frame in frames.items()}

    def unit(identity: str) -> str:
        return identity if block == 1 else str(int(identity) // block)

    def order(name: str) -> str:
        return hashlib.sha256(name.encode()).hexdigest()

    units = sorted({unit(i) for frame in frames.values() for i in frame["id"]}, key=order)
    bounds = [0, *(round(len(units) * share) for share in accumulate(shares.values()))]
    split_of = {
        name: split
        for split, start, stop in zip(shares, bounds, bounds[1:], strict=False)
        for name in units[start:stop]
    }
    return {
        (language, split): frame.loc[[split_of[unit(i)] == split for i in frame["id"]]]
        for language, frame in frames.items()
        for split in shares
    }


def read(
    path: Path,
    names: ColumnNames,
    labels: Sequence[str] | None,
    columns: Mapping[str, str | None] | None = None,
) -> ReadFile:
    """Return the examples of a file, in its order.

    Args:
        path: the file.
        names: its columns.
        labels: allowed labels. The file may also give a label by its index. None allows any label.
        columns: names of columns by role that the user chose.

    Returns:
        The examples. Where the file has none, text_pair is "" and ids are row numbers from 0.

    Raises:
        InputError: a row cannot be used; the message names file and line.
    """
    columns = columns or {}
    by_name = {str(i): name for i, name in enumerate(labels or ())} | {name: name for name in labels or ()}
    has_types = path.suffix.lower() in (".jsonl", ".parquet")
    rows: list[tuple[str, ...]] = []
    lines: dict[str, int] = {}
    roles: dict[str, str] = {}
    header: Sequence[str] = ()

    def is_header(cells: Sequence[str]) -> bool:
        found, lacking = recognise(cells, names, columns)
        if lacking and not names.in_order:
            _refuse_columns(f"{path.name}:1: the header", cells, lacking, names)
        return not lacking

    for number, (line, record) in enumerate(rows_of(path, is_header, _orders(names))):
        where = f"{path.name}:{line}"
        if list(record) != list(header):
            before, header = "id" in roles, list(record)
            roles, lacking = recognise(header, names, columns)
            if lacking:
                what = "table" if path.suffix.lower() == ".parquet" else "object"
                _refuse_columns(f"{where}: the {what}", header, lacking, names)
            if number and before != ("id" in roles):
                raise InputError(f"{where}: has {'no' if before else 'an'} id, unlike the rows above")
        has_ids = "id" in roles
        identity = name_of(record[roles["id"]], roles["id"], where)[0] if has_ids else str(number)
        if identity in lines:
            again = f"{roles['id']} {quoted(identity)} is already in line {lines[identity]}"
            raise InputError(f"{where}: {again}; without ids: columns {{id: null}}")
        lines[identity] = line
        label, kind = name_of(record[roles["label"]], roles["label"], where)
        if labels is not None and label not in by_name:
            hint = f"; a header must name {', '.join(names.needed)}" if line == 1 else ""
            raise InputError(
                f"{where}: unknown {roles['label']} {quoted(label)}; allowed: {', '.join(labels)}{hint}"
            )
        text, pair = (
            text_of(record[roles[role]], roles[role], where) if role in roles else ""
            for role in ("text", "text_pair")
        )
        # Label names of a task are one kind, by name or by index; text formats know no kinds.
        kind = kind if has_types and labels is None else ""
        rows.append((identity, text, pair, by_name.get(label, label), kind, where))
    if not rows:
        raise InputError(f"{path.name}: no examples")
    frame = pd.DataFrame(rows, columns=["id", "text", "text_pair", "label", "kind", "where"])
    unused = tuple(column for column in header if column not in roles.values())
    return ReadFile(frame, "id" in roles, unused)


def _orders(names: ColumnNames) -> list[tuple[str, ...]]:
    """Return the columns that a file without header may have: all, or those that are needed."""
    if not names.in_order:
        return []
    return [names.in_order, tuple(column for column in names.in_order if column not in names.optional)]


def _refuse_columns(where: str, columns: Sequence[str], lacking: Sequence[str], names: ColumnNames) -> None:
    optional = f" (optional: {', '.join(names.optional)})" if names.optional else ""
    shown = ", ".join(quoted(column)[1:-1] for column in columns) or "nothing"
    raise InputError(
        f"{where} lacks {', '.join(lacking)}; it has {shown}; needed: {', '.join(names.needed)}{optional}, "
        "or the parameter columns"
    )
