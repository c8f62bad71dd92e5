"""Any preset and any override is a study that means what was typed, or one line; never anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config

from modspec.errors import InputError, has_visible_character
from modspec.terms import CONDITIONS
from modspec.workflow.parameters import STAGES
from modspec.workflow.plain_yaml import typed
from modspec.workflow.presets import KEYS, resolve

FEW = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = sorted({*KEYS, *CONDITIONS, *(name for model in STAGES.values() for name in model.model_fields)})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["en", "full", "own"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), SCALARS), inner, max_size=3),
    ),
    max_leaves=6,
)
CODES = st.from_regex(r"[a-z]{2,3}([-_][A-Z][a-z]{3})?", fullmatch=True)


def one_line(config: dict[str, Any]) -> None:
    """Resolve a study; a refusal is one line."""
    try:
        resolve(config)
    except InputError as error:
        assert len(str(error)) <= 300 and str(error).isprintable()


@FEW
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=3))
def test_any_content_of_a_preset(tmp_path: Path, content: dict) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8", errors="replace")
    one_line({"preset": str(file)})


@FEW
@given(st.one_of(st.binary(max_size=60), st.text("ab:-[]{}&*!#|>%@'\", \t\n", max_size=40).map(str.encode)))
def test_any_bytes_as_a_preset(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    one_line({"preset": str(file)})


@FEW
@given(st.dictionaries(st.sampled_from([*NAMES, "preset", "study"]), VALUES, min_size=1, max_size=3))
@example({"mask_kinds": None})
@example({"mask_kinds": [["none"]]})
@example({"languages": 3})
def test_any_override(config: dict[str, Any]) -> None:
    one_line(config)


@FEW
@given(st.sampled_from(NAMES), st.text(min_size=1, max_size=8))
@example("learning_rate", "1_0e-4")
def test_any_word_of_the_command_line(name: str, word: str) -> None:
    assume(len(name) > 1)
    try:
        config = parse_config([f"{name}={word}"])
    except AssertionError:  # Snakemake's own: YAML has nothing but a comment or a blank
        return
    one_line(config)


@FEW
@given(st.lists(st.text(max_size=6).filter(has_visible_character), min_size=1, max_size=3, unique=True))
@example(["no", "nan", "null", "1e5"])
def test_quoted_words_of_a_preset_are_text(tmp_path: Path, languages: list[str]) -> None:
    file = tmp_path / "mine.yaml"
    content = yaml.safe_dump({"data": {"languages": languages}}, default_style='"', allow_unicode=False)
    file.write_text(content, encoding="utf-8")
    study = resolve({"preset": str(file), "top_k": 1, "evaluation_per_language": 1})
    assert study.parameters("search").languages == tuple(languages)


@FEW
@given(st.lists(CODES, min_size=1, max_size=4, unique=True))
@example(["no", "on", "y", "nan", "inf", "yes"])
def test_codes_of_languages_are_text_however_they_are_given(tmp_path: Path, codes: list[str]) -> None:
    file = tmp_path / "mine.yaml"
    listed = f"[{', '.join(codes)}]"
    file.write_text(f"data: {{languages: {listed}}}\ninfluence: {{top_k: 1}}")
    for config in ({"preset": str(file)}, parse_config([f"languages={listed}", "top_k=1"])):
        assert resolve(config).parameters("search").languages == tuple(codes)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
@example(5e-05)
@example(1e22)
def test_numbers_are_numbers(number: float) -> None:
    value = typed(repr(number))
    assert type(value) is type(number) and value == number


@given(st.text(max_size=10))
@example("007")
@example("1_000")
@example("0x10")
@example("2024-11-01")
def test_a_word_that_becomes_a_number_is_written_as_one(word: str) -> None:
    value = typed(word)
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert word.isascii() and not {*word.lower()} - {*"0123456789+-.e"}
        assert len(word) == 1 or word.lstrip("+-")[0] != "0" or "." in word or "e" in word.lower()
