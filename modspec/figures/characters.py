"""Names as a figure can show them: in any script, and with characters that matplotlib reads as commands.

Scripts that join or reorder characters (Arabic, Devanagari, Thai) are laid out by matplotlib itself.
"""

import functools
import unicodedata
import warnings
from contextlib import suppress

import pandas as pd
from matplotlib.font_manager import FontPath, findSystemFonts, fontManager, get_font, weight_dict

from modspec.figures.frames import TEXTS

FONT = "DejaVu Sans"  # ships with matplotlib: the same glyphs on every machine
LEFT_TO_RIGHT = "\u200e"  # a mark that shows nothing and ends what runs from right to left


def drawable(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with its texts as matplotlib has to get them, and the font families that show them.

    Args:
        frame: from :func:`modspec.figures.frames.typed`.
    """
    columns = [column for column in frame if column in TEXTS]
    written = {text: _written(text) for column in columns for text in frame[column].unique()}
    frame = frame.assign(**{column: frame[column].map(written) for column in columns})
    characters = frozenset(character for text in written for character in text)
    # Characters of the category Cf, such as joiners, show nothing.
    lacking = frozenset(c for c in characters - _glyphs(FONT) if unicodedata.category(c) != "Cf")
    return frame, [FONT, *families_for(lacking)]


def _written(text: str) -> str:
    """Return a text as it stays itself inside another one."""
    text = text.replace("$", r"\$")  # two dollar signs would be a formula
    if any(unicodedata.bidirectional(character) in ("R", "AL") for character in text):
        return f"{LEFT_TO_RIGHT}{text}{LEFT_TO_RIGHT}"  # else a number after it would be written before it
    return text


@functools.cache  # the search takes up to seconds, and its warning is for a process, not for a figure
def families_for(characters: frozenset[str]) -> tuple[str, ...]:
    """Return few font families of this machine that have the characters.

    Characters that no font has become boxes, with one warning in place of matplotlib's many.
    """
    glyphs = {family: _glyphs(family) & characters for family in _families()} if characters else {}
    chosen, lacking = [], characters
    while any(lacking & found for found in glyphs.values()):
        # Of equally good families one without serifs, as the other text.
        best = max(glyphs, key=lambda family: (len(lacking & glyphs[family]), "Sans" in family))
        chosen.append(best)
        lacking -= glyphs[best]
    if lacking:
        named = " ".join(sorted(lacking)[:20]) + (" …" if len(lacking) > 20 else "")
        warnings.warn(
            f"no font on this machine has the characters {named}, so figures show boxes. Install a font (on"
            " Debian or Ubuntu: fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto-core for most"
            " other scripts) and draw the figures again",
            stacklevel=3,
        )
        # Also when a notebook shows the figure, which is not in our hands.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
    return tuple(chosen)


def _families() -> list[str]:
    """Return the names of this machine's font families, sorted."""
    # matplotlib keeps its list of fonts in a file, and does not notice fonts that were installed later.
    for file in sorted(set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}):
        with suppress(OSError, RuntimeError):  # not a font that matplotlib can use
            fontManager.addfont(file)
    names = sorted({font.name for font in fontManager.ttflist})
    # A "last resort" font has a box for every character.
    return [name for name in names if "lastresort" not in name.replace(" ", "").lower()]


@functools.cache
def _glyphs(family: str) -> frozenset[str]:
    """Return the characters that a family's plainest face has."""
    faces = [font for font in fontManager.ttflist if font.name == family]
    plain = min(faces, key=lambda f: (f.style != "normal", abs(weight_dict.get(f.weight, f.weight) - 400)))
    try:
        font = get_font(FontPath(plain.fname, plain.index))
    except (OSError, RuntimeError):  # deleted since it was listed
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
