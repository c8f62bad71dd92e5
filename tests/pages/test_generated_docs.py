"""The generated tables of README and ``docs/`` are what the published CSVs and the parameter models give."""

from __future__ import annotations

from pathlib import Path

import pytest

from modspec.pages import generated_docs
from modspec.pages.generated_docs import BLOCK, BLOCKS, regenerate
from modspec.pages.parameter_reference import STUDY, parameters
from modspec.workflow.parameters import CalibrationParameters, DataParameters, InfluenceParameters
from modspec.workflow.presets import TOP

ROOT = Path(__file__).parents[2]
PAGES = sorted(page for pattern in generated_docs.PAGES for page in ROOT.glob(pattern))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_hold_what_is_generated(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == regenerate(text), "run: make docs"


def test_every_table_is_on_one_page() -> None:
    shown = [block[2] for page in PAGES for block in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(BLOCKS)


def test_a_block_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        regenerate("<!-- generated: nothing -->\nold\n<!-- end -->")


def test_a_parameters_row_says_default_and_what_is_allowed() -> None:
    text = parameters("Scoring", InfluenceParameters, DataParameters)
    assert "`seed`" not in text
    for start in (
        '| `eta` | `"learning_rate"` | `learning_rate`, `one` |',
        "| `scored_per_language` | `null` | integer, ≥ 1 or null |",
        "| `top_ks` | `[10, 20, 30, 50, 100, 200, 500]` | list of integer, ≥ 1 |",
        "| `memory_gib` | `null` | number, > 0 or null |",
    ):
        assert start in text


def test_a_stage_with_another_default_for_a_shared_parameter_shows_it() -> None:
    text = parameters("Calibration", CalibrationParameters, DataParameters)
    assert '| `languages` | `["en", "de", "fr", "es", "ru"]` |' in text
    assert "`max_length`" not in text  # the same default as everywhere


def test_every_key_of_a_study_is_described() -> None:
    assert list(STUDY) == list(TOP)
