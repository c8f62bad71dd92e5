"""A bad input, the function behind its command, and what a good answer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Content = str | bytes | pa.Table


@dataclass(frozen=True)
class BadInput:
    """What a user typed, the files that there were, and what the answer must name."""

    command: str  # a key of FUNCTIONS
    name: str
    arguments: tuple[Any, ...]  # of the command; DIR stands for the folder of the files
    answer: tuple[str, ...]  # parts of the line
    files: dict[str, Content] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Any, ...]:
        """Write the files into a folder; return the arguments."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pa.Table):
                pq.write_table(content, path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tuple(
            word.replace("DIR", str(folder)) if isinstance(word, str) else word for word in self.arguments
        )


def _check(*words: str) -> None:
    from modspec.__main__ import main

    try:
        main(words)
    except SystemExit as stop:
        from modspec.errors import InputError

        raise InputError(str(stop).removeprefix("error: ")) from None


def _study(*words: str) -> None:
    """What the Snakefile does with ``--config``."""
    from snakemake.cli import parse_config

    from modspec.data.tasks import check_languages
    from modspec.workflow.paths import path
    from modspec.workflow.presets import resolve

    study = resolve(parse_config(words))
    first = study.parameters("search", seed=study.seeds[0])
    check_languages(first.task, first.languages, first.data_dir and path(first.data_dir))


def _notebook(number: str, text: str) -> None:
    """What the third cell of a notebook does with papermill's parameters."""
    from modspec.workflow.parameters import STAGES, ResultsParameters

    stages = ("calibration", "search", "finetuning", "influence", "figures", "results", "leave_one_out")
    models = {**STAGES, "results": ResultsParameters}  # no stage of a study
    models[stages[int(number)]](**yaml.safe_load(text))


FUNCTIONS: dict[str, Callable[..., None]] = {
    "data check": lambda *words: _check("data", "check", *words),
    "encoder check": lambda *words: _check("encoder", "check", *words),
    "study": _study,
    "notebook": _notebook,
}


def refusal(bad: BadInput, folder: Path) -> str | None:
    """Return the line that refuses a bad input, or None where nothing does."""
    from modspec.errors import InputError

    try:
        FUNCTIONS[bad.command](*bad.write(folder))
    except InputError as error:
        return str(error)
    return None


def complaints(bad: BadInput, line: str | None) -> list[str]:
    """Return what is wrong with an answer."""
    if line is None:
        return ["accepted"]
    lacking = [f"lacks {part!r}" for part in bad.answer if part not in line]
    return lacking + ["too long"] * (len(line) > 300) + ["not printable"] * (not line.isprintable())
