"""Which file of a data directory holds which split of which language, and which files are not read.

A file is ``<split>.<language>.<extension>``, ``<language>.<split>.<extension>`` (also with - or _ instead of
the first dot), ``<language>/<split>.<extension>`` or ``<split>/<language>.<extension>``; or it is
``<language>.<extension>`` and holds all of a language.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from modspec.errors import InputError, quoted

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


@dataclass(frozen=True)
class DataDirectory:
    """The files of a data directory, every one of them."""

    files: dict[tuple[str, str], Path]  # (language, split) -> file; split "" for all of a language
    not_read: dict[Path, str]  # file -> why

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that it has files of, sorted."""
        return tuple(sorted({language for language, _ in self.files}))


def find(data_dir: str | Path) -> DataDirectory:
    """Sort the files of a directory and of the folders in it, by name; reads none of them.

    Raises:
        InputError: the directory is missing or cannot be listed, or two files hold one language and split.
    """
    directory = Path(data_dir)
    if not directory.is_dir():
        raise InputError(f"data_dir: {quoted(str(data_dir))} is not a directory")
    files: dict[tuple[str, str], Path] = {}
    not_read: dict[Path, str] = {}
    for path in _entries(directory):
        place, reason = _place(path, directory)
        if place is None:
            not_read[path] = reason
        elif place in files:
            one, other = (str(p.relative_to(directory)) for p in (files[place], path))
            raise InputError(f"data_dir: {quoted(one)} and {quoted(other)} hold the same split; keep one")
        else:
            files[place] = path
    return DataDirectory(files, not_read)


def _entries(directory: Path) -> list[Path]:
    """Return the files of a directory and, where they can be listed, of the folders in it, sorted."""
    entries = []
    for path in sorted(directory.iterdir()):
        try:
            entries += sorted(path.iterdir()) if path.is_dir() else [path]
        except OSError:
            entries.append(path)
    return entries


def _place(path: Path, directory: Path) -> tuple[tuple[str, str] | None, str]:
    """Return the language and split of a file; or None, and why it is not read."""
    if not path.is_file():
        return None, "a folder within a folder" if path.is_dir() else "not a file, or a broken link"
    stem, _, extension = path.name.rpartition(".")
    place = split_and_language(stem, path.parent.name if path.parent != directory else "")
    if extension.lower() not in EXTENSIONS:
        return None, f"its name does not end in {', '.join(EXTENSIONS)}"
    if place is None:
        return None, "its name is not that of a language and split"
    return place, ""


def split_and_language(stem: str, folder: str = "") -> tuple[str, str] | None:
    """Return (language, split) by a file's name without extension and its folder; None if it has no language.

    The split is "" where neither names one.
    """
    in_folder = {name: SPLIT_NAMES.get(name.lower()) for name in (stem, folder)}
    if folder:
        if in_folder[stem] and not in_folder[folder]:
            return folder, in_folder[stem]
        if in_folder[folder] and not in_folder[stem] and "." not in stem:
            return stem, in_folder[folder]
        return None
    match = _SPLIT_FIRST.fullmatch(stem) or _SPLIT_LAST.fullmatch(stem)
    language, split = (match["language"], SPLIT_NAMES[match["split"].lower()]) if match else (stem, "")
    if not language or "." in language or language.lower() in SPLIT_NAMES:
        return None
    return language, split
