"""Names in any script, and with characters that matplotlib reads as commands."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.font_manager import fontManager

from modspec.figures import characters, save
from modspec.figures.save import FIGURES
from tests.helpers.frames import SMALL
from tests.helpers.legible import assert_legible, shown

SHIPPED = Path(matplotlib.get_data_path(), "fonts", "ttf")
CIRCLED = "Ⓐ"  # not in the default font; STIX, which ships with matplotlib, has it
NOWHERE = "中"  # in no font that ships with matplotlib
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def shipped_fonts_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend that this machine has no fonts but matplotlib's own."""
    fonts = [font for font in fontManager.ttflist if Path(font.fname).is_relative_to(SHIPPED)]
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    monkeypatch.setattr(characters, "findSystemFonts", list)
    caches = (characters.families_for, characters._glyphs, fontManager._findfont_cached)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def named(figure: str, name: str) -> pd.DataFrame:
    """A figure's table in which the language ``de`` has another name."""
    return SMALL[figure].replace("de", name)


def test_only_the_default_font_where_it_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def search() -> list[str]:
        raise AssertionError("searched for fonts")

    monkeypatch.setattr(characters, "findSystemFonts", search)
    for name in ("de", "Ελληνικά", "العربية", "a\u200db"):
        assert characters.drawable(named("share_change", name))[1] == ["DejaVu Sans"]


def test_a_font_is_found_for_what_the_default_one_lacks(tmp_path: Path) -> None:
    assert CIRCLED not in characters._glyphs("DejaVu Sans")
    save.save_figure("share_change", named("share_change", CIRCLED), tmp_path)  # matplotlib warns of boxes
    assert b"STIX" in (tmp_path / "share_change.pdf").read_bytes()


def test_a_font_that_was_installed_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib keeps its list of fonts from before."""
    without = [font for font in fontManager.ttflist if "STIX" not in font.name]
    monkeypatch.setattr(fontManager, "ttflist", without)
    installed = [str(SHIPPED / "STIXGeneral.ttf"), str(SHIPPED / "no_font.ttf")]
    monkeypatch.setattr(characters, "findSystemFonts", lambda: installed)
    assert characters.families_for(frozenset(CIRCLED)) == ("STIXGeneral",)


def test_what_no_font_has_is_said_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for figure in ("share_change", "mask_overlap"):
            assert_legible(FIGURES[figure](named(figure, CIRCLED + NOWHERE)))
    [message] = [str(warning.message) for warning in caught]
    assert f"has the characters {NOWHERE}, so figures show boxes" in message and "fonts-noto-cjk" in message


@pytest.mark.parametrize("figure", ["head_masks", "accuracy", "mask_overlap"])
def test_no_name_is_read_as_a_formula(figure: str) -> None:
    name = r"$x_{y}$|&%#^~\z"
    fig = FIGURES[figure](named(figure, name))
    assert_legible(fig)
    texts = [text.get_text() for text in shown(fig)]
    assert any(name.replace("$", r"\$") in text for text in texts)
    assert not [text for text in texts if is_math_text(text)]


def test_what_follows_an_arabic_name_is_written_after_it() -> None:
    """Without marks, ``العربية: 86 of 144`` would be laid out from right to left: ``144 of 86 :العربية``."""
    fig = FIGURES["head_masks"](named("head_masks", "العربية"))
    assert any(ax.get_title().startswith("\u200eالعربية\u200e: ") for ax in fig.axes)
