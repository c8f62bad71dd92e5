"""The compiled character map, read back by the tokenizers library."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from modspec.models.charsmap import compile_rules, compositions

# Letters that never join a neighbour into one grapheme: each is looked up by itself.
letters = st.characters(categories=["Ll", "Lo"], max_codepoint=0xA7FF).filter(
    lambda letter: unicodedata.combining(letter) == 0 and not 0x0E00 <= ord(letter) <= 0x11FF
)


@given(st.dictionaries(letters, st.text(letters, max_size=4), min_size=1, max_size=40), st.data())
def test_replaces_exactly_the_ruled_characters(rules: dict[str, str], data: st.DataObject) -> None:
    normalizer = normalizers.Precompiled(compile_rules(rules))
    text = data.draw(st.text(letters | st.sampled_from(sorted(rules)), max_size=30))
    assert normalizer.normalize_str(text) == "".join(rules.get(letter, letter) for letter in text)


def test_composes_letters_and_marks() -> None:
    normalizer = normalizers.Precompiled(compile_rules(compositions()))
    assert normalizer.normalize_str("cafe\u0301, n\u0303, \u0438\u0306") == "caf\xe9, \xf1, \u0439"


def test_compositions_are_canonical() -> None:
    rules = compositions()
    assert rules["e\u0301"] == "\xe9"
    for parts, composed in rules.items():
        assert unicodedata.normalize("NFKC", parts) == composed
