"""Labelled sentences from a directory of files, and which of them train, and which evaluate.

``modspec.data.file_names`` says which files are read, ``modspec.data.columns`` how columns may be called.
Without train files, the larger of test and dev trains (:func:`plan_splits`). If only one file is left for
evaluation, it is halved into dev and test; a single file per language is divided 60/20/20. A hash of the
pair's id decides: the division is the same for every seed and keeps translations together.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path

import pandas as pd

from modspec.data.columns import (
    LANGUAGE_COLUMNS,
    ROLES,
    SPLIT_COLUMNS,
    TEXTS,
    ColumnNames,
    name_of,
    recognise,
    text_of,
)
from modspec.data.file_formats import rows_of
from modspec.data.file_names import EXTENSIONS, SPLIT_NAMES, SPLITS, DataDirectory, find
from modspec.data.label_checks import INDEX, check_labels, lacking_labels
from modspec.errors import InputError, quoted, visible

MOST_NAMED = 30  # files that are not read for one reason, such as 200 languages; more are counted
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

    name: str
    rows: pd.DataFrame  # id, text, text_pair, label, kind (of the label), where (file and line); all str
    columns: Mapping[str, str]  # role -> column
    unused: tuple[str, ...]  # columns that were not read
    untranslated: int  # rows that were left out


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
            files, labels or splits do not fit together, or as for :func:`read`.
    """
    if names.block > 1 and columns.get("id"):
        raise InputError(
            f"columns: id: {quoted(columns['id'])}; allowed: none, since {names.block} rows that follow one "
            "another share a sentence in this task, and row numbers tell which"
        )
    directory = find(data_dir)
    directory.check_nothing_is_missed(languages)
    stored = _stored_splits(directory, languages)
    read_files: dict[tuple[str, str], ReadFile] = {}
    for place in product(languages, stored):
        file = directory.files[place]
        read_files[place] = read(file, names, labels, columns, directory.name_of(file))
        _check_same_columns(read_files)
    aligned = aligned and (names.id is None or all("id" in one.columns for one in read_files.values()))
    rows = {split: sum(len(read_files[language, split].rows) for language in languages) for split in stored}
    plan = plan_splits(rows)
    pools: dict[tuple[str, str], pd.DataFrame] = {}
    for split, shares in plan.items():
        together = {language: read_files[language, split].rows for language in languages}
        for batch in [together] if aligned else [{k: v} for k, v in together.items()]:
            for key, pool in divide(batch, shares, names.block).items():
                prefix = f"{split}-" if split else ""
                pools[key] = pool.assign(id=prefix + pool["id"])
    check_labels(pools, labels)
    used = {directory.files[place].suffix for place in read_files}
    source = f"local files; {_describe(plan, '|'.join(sorted(used)))}"
    return Loaded(pools, aligned, source, _files_table(directory, read_files, plan, pools))


def _check_same_columns(read_files: Mapping[tuple[str, str], ReadFile]) -> None:
    """Raise InputError if some files have an id or a text pair and others do not."""
    first, last = next(iter(read_files.values())), list(read_files.values())[-1]
    for role in ("id", "text_pair"):
        if (role in first.columns) != (role in last.columns):
            one, other = (first, last) if role in first.columns else (last, first)
            raise InputError(
                f"{other.name}: has no {role}, but {one.name} has; allowed: in all files or in none (to do "
                f"without: columns {{{role}: null}})"
            )


def _files_table(
    directory: DataDirectory,
    read_files: Mapping[tuple[str, str], ReadFile],
    plan: Mapping[str, Mapping[str, float]],
    pools: Mapping[tuple[str, str], pd.DataFrame],
) -> pd.DataFrame:
    """One row per file of the directory, those that are not read after the others."""
    labels = tuple(sorted(set().union(*(pool["label"] for pool in pools.values()))))
    rows = []
    for (language, stored), one in read_files.items():
        remarks = []
        if one.unused:
            shown = ", ".join(column.strip() or "one without a name" for column in one.unused)
            remarks.append(f"columns not used: {visible(shown)}")
        if one.untranslated:
            remarks.append(f"{one.untranslated} untranslated rows left out")
        shared = {split: _shared_with_earlier(pools, language, split) for split in plan[stored]}
        for split in plan[stored]:
            pool = pools[language, split]
            if lacking := lacking_labels(pool, labels):
                more = f" and {len(lacking) - 5} others" if len(lacking) > 5 else ""
                remarks.append(f"{split} lacks the labels {', '.join(lacking[:5])}{more}")
            if repeats := int(pool.duplicated(["text", "text_pair"]).sum()):
                remarks.append(f"{repeats} of {split} repeat another one")
            if shared[split]:
                remarks.append(f"{shared[split]} of {split} also stand in an earlier split")
        uses = ", ".join(f"{split} {len(pools[language, split])}" for split in plan[stored])
        rows.append((one.name, language, len(one.rows), uses, "; ".join(remarks)))
    others = {f: "language not asked for" for place, f in directory.files.items() if place not in read_files}
    names: dict[str, list[str]] = {}
    for file, reason in {**directory.not_read, **others}.items():
        names.setdefault(reason, []).append(directory.name_of(file))
    for reason, of_reason in names.items():
        shown = sorted(of_reason)
        if len(shown) > MOST_NAMED:
            shown = [f"{len(shown)} files, such as {shown[0]}"]
        rows += [(name, "", 0, "not read", reason) for name in shown]
    return pd.DataFrame(rows, columns=["file", "language", "rows", "used for", "remarks"])


def _shared_with_earlier(pools: Mapping[tuple[str, str], pd.DataFrame], language: str, split: str) -> int:
    """Return how many examples of a split also stand, with the same text, in an earlier one."""
    texts = ["text", "text_pair"]
    earlier = [pools[language, other][texts] for other in SPLITS[: SPLITS.index(split)]]
    if not earlier:
        return 0
    known = pd.concat(earlier).drop_duplicates()
    return len(pools[language, split][texts].merge(known))


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


def _stored_splits(directory: DataDirectory, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the splits that every language has files for."""
    files = directory.files
    stored = [s for s in ("", *SPLITS) if any((language, s) in files for language in languages)]
    for language, split in product(languages, stored):
        if (language, split) not in files:
            wanted = f"{split}.{language}" if split else language
            other = next(file for (o, s), file in files.items() if s == split and o in languages)
            wanted = f"{wanted}.<{'|'.join(EXTENSIONS)}>"
            raise InputError(f"data_dir: lacks {wanted}, while {directory.name_of(other)} is there")
    if "" in stored and len(stored) > 1:
        both = ", ".join(directory.name_of(files[languages[0], split]) for split in stored)
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

    ids = {language: frame["id"].tolist() for language, frame in frames.items()}
    units = sorted({unit(i) for of_language in ids.values() for i in of_language}, key=order)
    bounds = [0, *(round(len(units) * share) for share in accumulate(shares.values()))]
    split_of = {
        name: split
        for split, start, stop in zip(shares, bounds, bounds[1:], strict=False)
        for name in units[start:stop]
    }
    return {
        (language, split): frame.loc[[split_of[unit(i)] == split for i in ids[language]]]
        for language, frame in frames.items()
        for split in shares
    }


def read(
    path: Path,
    names: ColumnNames,
    labels: Sequence[str] | None,
    columns: Mapping[str, str | None] | None = None,
    name: str = "",
) -> ReadFile:
    """Return the examples of a file, in its order.

    Args:
        path: the file.
        names: its columns.
        labels: allowed labels. The file may also give a label by its index. None allows any label.
        columns: names of columns by role that the user chose.
        name: what messages call the file; its own name by default.

    Returns:
        The examples. Where the file has none, text_pair is "" and ids are row numbers from 0.

    Raises:
        InputError: a row cannot be used; the message names file and line. Or the file holds several splits
            or languages.
    """
    columns, name = columns or {}, name or path.name
    by_name = {str(i): label for i, label in enumerate(labels or ())} | {
        label: label for label in labels or ()
    }
    # Text formats know no kinds; labels of a task are one kind, by name or by index.
    has_kinds = labels is None and path.suffix.lower() in (".jsonl", ".parquet")
    rows: list[tuple[str, ...]] = []
    lines: dict[str, int] = {}
    roles: dict[str, str] = {}
    header: list[str] = []
    unused: dict[str, None] = {}  # a set in order
    telling: dict[str, set[str]] = {}  # values of unused columns that tell a row's split or language
    untranslated = 0

    def is_header(cells: Sequence[str]) -> bool:
        _, lacking = recognise(cells, names, columns, f"{name}:1")
        if lacking and not names.in_order:
            _refuse_columns(f"{name}:1: the header", cells, lacking, names)
        return not lacking

    for number, (line, record) in enumerate(rows_of(path, name, is_header, _orders(names))):
        where = f"{name}:{line}"
        if list(record) != header:
            before, header = roles, list(record)
            roles, lacking = recognise(header, names, columns, where)
            if lacking:
                what = "table" if path.suffix.lower() == ".parquet" else "object"
                _refuse_columns(f"{where}: the {what}", header, lacking, names)
            if number and roles != before:
                role = next(role for role in ROLES if roles.get(role) != before.get(role))
                has = f"{role} is {quoted(roles[role])}" if role in roles else f"has no {role}"
                raise InputError(f"{where}: {has}, unlike the rows above")
            unused |= {column: None for column in header if column not in roles.values()}
            telling |= {
                c: set()
                for c in unused
                if c.lower() in (*SPLIT_COLUMNS, *LANGUAGE_COLUMNS) and c not in telling
            }
        for column, values in telling.items():
            values.add(str(record.get(column)))
        if names.untranslated and names.untranslated in (record.get(roles[r]) for r in TEXTS if r in roles):
            untranslated += 1
            continue
        identity = name_of(record[roles["id"]], roles["id"], where)[0] if "id" in roles else str(number)
        if identity in lines:
            again = f"{roles['id']} {quoted(identity)} is already in line {lines[identity]}"
            raise InputError(f"{where}: {again}; without ids: columns {{id: null}}")
        lines[identity] = line
        label, kind = name_of(record[roles["label"]], roles["label"], where)
        kind = kind if has_kinds else ""
        if labels is not None and label not in by_name:
            hint = f"; a header must name {', '.join(names.needed)}" if line == 1 else ""
            raise InputError(
                f"{where}: unknown {roles['label']} {quoted(label)}; allowed: {', '.join(labels)}{hint}"
            )
        text, pair = (
            text_of(record[roles[role]], roles[role], where) if role in roles else "" for role in TEXTS
        )
        if labels is not None and label not in labels:
            kind = INDEX
        rows.append((identity, text, pair, by_name.get(label, label), kind, where))
    if not rows:
        raise InputError(f"{name}: no examples")
    _check_one_split(name, telling)
    frame = pd.DataFrame(rows, columns=["id", "text", "text_pair", "label", "kind", "where"])
    return ReadFile(name, frame, roles, tuple(unused), untranslated)


def _check_one_split(name: str, telling: Mapping[str, set[str]]) -> None:
    """Raise InputError if a column of a file tells that the rows are of several splits or languages."""
    for column, values in telling.items():
        splits = [value for value in sorted(values) if value.lower() in SPLIT_NAMES]
        several = splits if column.lower() in SPLIT_COLUMNS else sorted(values)
        if len(several) > 1:
            what = "splits" if column.lower() in SPLIT_COLUMNS else "languages"
            shown = quoted(", ".join(several))[1:-1]
            allowed = f"a file for each, such as train.en{Path(name).suffix}"
            raise InputError(
                f"{name}: the column {quoted(column)} names several {what} ({shown}); allowed: {allowed}"
            )


def _orders(names: ColumnNames) -> list[tuple[str, ...]]:
    """Return the columns that a file without header may have: all, or those that are needed."""
    if not names.in_order:
        return []
    return [names.in_order, tuple(column for column in names.in_order if column not in names.optional)]


def _refuse_columns(where: str, columns: Sequence[str], lacking: Sequence[str], names: ColumnNames) -> None:
    optional = f" (optional: {', '.join(names.optional)})" if names.optional else ""
    shown = quoted(", ".join(columns), 100)[1:-1] or "nothing"
    raise InputError(
        f"{where} lacks {', '.join(lacking)}; it has {shown}; needed: {', '.join(names.needed)}{optional}, "
        "or the parameter columns"
    )
