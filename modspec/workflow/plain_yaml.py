"""YAML, and words of a command line, with the meaning that somebody who types them expects.

YAML's own rules read "no" as false, "nan" as a number and 5e-5 as text. The first two are language codes.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from modspec.errors import InputError, quoted

# What a plain word means: a number, a Boolean, nothing; every other word is text.
_MEANINGS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    (r"[-+]?(0|[1-9]\d*)", int),
    (r"[-+]?((\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+)", float),
    (r"true|True|TRUE", lambda _: True),
    (r"false|False|FALSE", lambda _: False),
    (r"null|Null|NULL|None|~|", lambda _: None),
)


def typed(word: str) -> Any:
    """Return what a word means that somebody typed without quotes."""
    return next((meaning(word) for form, meaning in _MEANINGS if re.fullmatch(form, word)), word)


def retyped(value: Any) -> Any:
    """Return an override with its words :func:`typed`, at any depth: Snakemake leaves them text in lists.

    Outside lists Snakemake takes ``nan`` for a number, which no parameter can be.
    """
    if isinstance(value, dict):
        return {key: retyped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [retyped(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return typed(value) if isinstance(value, str) else value


class _Loader(yaml.BaseLoader):
    """YAML whose plain scalars mean what :func:`typed` says."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        value = super().construct_scalar(node)
        return typed(value) if node.style is None else value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            line = next(key for key, _ in node.value[::-1] if key.value == twice[0]).start_mark.line + 1
            raise InputError(f"line {line}: {quoted(twice[0])} stands twice; allowed: each key once")
        return super().construct_mapping(node, deep=True)


def read_yaml(file: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        InputError: the file cannot be read, is no YAML, has tags, or has a key twice.
    """
    try:
        text = file.read_bytes()
        for token in yaml.scan(text, _Loader):
            if isinstance(token, yaml.TagToken):  # which this loader would ignore
                raise InputError(f"line {token.start_mark.line + 1}: a tag (!); allowed: values without tags")
        return yaml.load(text, _Loader)
    except OSError as error:
        raise InputError(f"{file.name}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file.name}:{mark.line + 1}" if mark else file.name
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{where}: cannot be read as YAML ({problem})") from None
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None
