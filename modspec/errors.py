"""The one exception that users are meant to read, and how it shows them values."""

import unicodedata

LONGEST = 300  # characters of a message
# Letters by their Unicode category, but without anything to see: Hangul fillers, the blank braille cell.
BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"


class InputError(ValueError):
    """Bad input, found before any compute is spent.

    The message is one line of at most :data:`LONGEST` characters that names the parameter (or the file and
    line), the value, and what is allowed. Characters that cannot be seen are shown by their code. Notebooks,
    Snakemake and the library all raise the same type.
    """

    def __init__(self, message: str) -> None:
        shown = visible(" ".join(message.splitlines()))
        super().__init__(shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 2]} …")


class Contradiction(InputError):
    """Parameters that are right one by one, but not together."""


def quoted(value: object, longest: int = 60) -> str:
    """Return a value as an error message shows it: in quotes, what cannot be seen by its code.

    A long one is cut in its middle, because paths differ at their end.
    """
    text = visible(repr(value))
    half = longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]} … {text[2 - half :]}"


def quoted_path(path: object) -> str:
    """Return a path as an error message shows it: at twice the length, because its end tells it apart."""
    return quoted(str(path), 120)


def has_visible_character(text: str) -> bool:
    """Return whether a reader would see anything of a text."""
    return any(unicodedata.category(c)[0] not in "ZC" and c not in BLANK_LETTERS for c in text)


def visible(text: str) -> str:
    """Return a text with the characters that show nothing as their code, such as ``\\u200b``."""
    shown = (c if c.isprintable() and c not in BLANK_LETTERS else ascii(c)[1:-1] for c in text)
    return "".join(shown)
