"""The files of a data directory: the language and the split that each holds, or why it is not read.

A file is ``<split>.<language>.<extension>``, ``<language>.<split>.<extension>`` (also with - or _ instead of
the first dot), ``<language>/<split>.<extension>`` or ``<split>/<language>.<extension>``; or it is
``<language>.<extension>`` and holds all of a language.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modspec.errors import InputError, quoted, visible

SPLITS = ("train", "dev", "test")
EXTENSIONS = ("tsv", "csv", "jsonl", "parquet")
# What data sets call a split, and what it is here.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "devel", "development", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SPLIT = "|".join(SPLIT_NAMES)
_SPLIT_FIRST = re.compile(rf"(?P<split>{_SPLIT})[._-](?P<language>.+)", re.IGNORECASE)
_SPLIT_LAST = re.compile(rf"(?P<language>.+)[._-](?P<split>{_SPLIT})", re.IGNORECASE)
# How the hub numbers the parts of a file. Most files are their only part.
_PART = re.compile(r"-\d{5}-of-\d{5}")
_ONLY_PART = "-00000-of-00001"


@dataclass(frozen=True)
class DataDirectory:
    """The files of a data directory, every one of them."""

    path: Path
    files: dict[tuple[str, str], Path]  # (language, split) -> file; split "" for all of a language
    not_read: dict[Path, str]  # file -> why

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that it has files of, sorted."""
        return tuple(sorted({language for language, _ in self.files}))

    def name_of(self, file: Path) -> str:
        """Return what messages and tables call a file."""
        return visible(str(file.relative_to(self.path)))

    def check_nothing_is_missed(self, languages: Sequence[str]) -> None:
        """Raise InputError for a file that is not read although, by its name, it is of these languages."""
        for file, reason in self.not_read.items():
            if not file.is_file() or _is_hidden(file):
                continue
            folder = file.parent.name if file.parent != self.path else ""
            words = _PART.sub("", file.name).split(".")
            for end in range(1, len(words) + 1):
                place = split_and_language(".".join(words[:end]), folder)
                # Where another file holds the same, this one is a copy in another form.
                if place and place[0] in languages and place not in self.files:
                    raise InputError(
                        f"data_dir: {quoted(self.name_of(file))} seems to be of the language {place[0]}, but "
                        f"{reason}; convert it or move it away"
                    )


def find(data_dir: str | Path) -> DataDirectory:
    """Sort the files of a directory and of the folders in it, by name; reads none of them.

    Raises:
        InputError: the directory is missing or cannot be listed, or two files hold one language and split.
    """
    directory = DataDirectory(Path(os.path.expanduser(data_dir)), {}, {})
    try:
        entries = _entries(directory.path)
    except (OSError, ValueError) as error:
        reason = "cannot be read" if isinstance(error, PermissionError) else "is not a directory"
        raise InputError(f"data_dir: {quoted(str(data_dir))} {reason}") from None
    for file in entries:
        place, reason = _place(file, directory.path)
        if place is None:
            directory.not_read[file] = reason
        elif place in directory.files:
            one, other = (quoted(directory.name_of(f)) for f in (directory.files[place], file))
            raise InputError(f"data_dir: {one} and {other} hold the same split; keep one")
        else:
            directory.files[place] = file
    return directory


def _entries(directory: Path) -> list[Path]:
    """Return the files of a directory and, where they can be listed, of the folders in it, sorted."""
    entries = []
    for path in sorted(directory.iterdir()):
        try:
            entries += sorted(path.iterdir()) if path.is_dir() and not _is_hidden(path) else [path]
        except OSError:
            entries.append(path)
    return entries


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))


def _place(file: Path, directory: Path) -> tuple[tuple[str, str] | None, str]:
    """Return the language and split of a file; or None, and why it is not read."""
    in_folder = file.parent != directory
    if _is_hidden(file):
        return None, "hidden"
    if not file.is_file():
        reason = "a folder within a folder" if in_folder else "a folder that cannot be listed"
        return None, reason if file.is_dir() else "not a file, or a broken link"
    if file.suffix.lower().removeprefix(".") not in EXTENSIONS:
        return None, f"its name does not end in .{', .'.join(EXTENSIONS)}"
    stem = file.stem.removesuffix(_ONLY_PART)
    if _PART.search(stem):
        return None, "it is a part of a file; join the parts to one file"
    place = split_and_language(stem, file.parent.name if in_folder else "")
    return place, "" if place else "its name is not that of a language and split"


def split_and_language(stem: str, folder: str = "") -> tuple[str, str] | None:
    """Return (language, split) by a file's name without extension and its folder; None if it has no language.

    The split is "" where neither names one.
    """
    of_stem, of_folder = SPLIT_NAMES.get(stem.lower()), SPLIT_NAMES.get(folder.lower())
    if folder:
        if of_stem and not of_folder:
            return folder, of_stem
        if of_folder and not of_stem and "." not in stem:
            return stem, of_folder
        return None
    match = _SPLIT_FIRST.fullmatch(stem) or _SPLIT_LAST.fullmatch(stem)
    language, split = (match["language"], SPLIT_NAMES[match["split"].lower()]) if match else (stem, "")
    if not language or "." in language or language.lower() in SPLIT_NAMES:
        return None
    return language, split
