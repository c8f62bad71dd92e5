"""The head atlas of a published study: its values are the artefacts', and the keyboard reaches every head."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from modspec.errors import InputError
from modspec.pages.head_atlas import MAPS, head_atlas, head_table
from modspec.pages.rendering import write_page
from tests.helpers.pages import fetched, unpacked

STUDY = Path(__file__).parents[2] / "figures" / "xnli-v1" / "artefacts"
LANGUAGES, SEEDS, HEADS = ["en", "fr", "de", "ru", "es"], 3, 144
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return write_page(tmp_path_factory.mktemp("pages") / "head_atlas.html", head_atlas(STUDY))


def drawn(page: Path, name: str) -> pd.DataFrame:
    return pd.DataFrame(unpacked(page, "charts")[name]["data"]["values"])


def test_every_head_of_every_language_and_seed_is_drawn(page) -> None:
    assert list(unpacked(page, "charts")) == list(MAPS)
    for name in MAPS:
        table = drawn(page, name)
        keys = table[["seed", "language", "layer", "head"]]
        assert len(keys) == len(keys.drop_duplicates()) == SEEDS * len(LANGUAGES) * HEADS
        assert [*dict.fromkeys(table["language"])] == LANGUAGES


def test_values_are_those_of_the_artefacts(page) -> None:
    """Seed 1, ru, layer 3, head 5: from the files of stages 1 and 3 alone."""
    seed, language, layer, head = 1, "ru", 3, 5
    here = f"seed == {seed} and language == '{language}' and layer == {layer} and head == {head}"
    values = {name: drawn(page, name).query(here).iloc[0] for name in MAPS}
    importance = pd.read_parquet(STUDY / "search" / f"seed{seed}" / "importance.parquet")
    unpruned = importance.query(f"{here} and step == 0 and importance == 'exact'")
    assert values["importance"]["importance"] == pytest.approx(unpruned["weight"].item(), abs=5e-5)
    mask = load_file(STUDY / "search" / f"seed{seed}" / "masks.safetensors")[language]
    assert (values["mask"]["mask"] == "kept") == mask[layer - 1, head - 1]
    parts = pd.read_parquet(STUDY / "influence" / f"full-seed{seed}" / "parts.parquet")
    rows = parts.query(f"{here} and part == 'head' and train_language == '{language}'")
    assert values["share"]["share"] == pytest.approx(100 * rows["proponents"].mean(), abs=1e-3)
    assert values["share"]["excess"] == pytest.approx(100 * (rows["proponents"].mean() - 0.2), abs=1e-3)


def test_the_page_is_small_and_fetches_nothing(page) -> None:
    assert page.stat().st_size < 1_000_000
    assert fetched(page) == []


def test_a_study_without_parts_has_no_map_of_shares(tmp_path) -> None:
    (tmp_path / "search").symlink_to(STUDY / "search")
    written = write_page(tmp_path / "atlas.html", head_atlas(tmp_path))
    assert list(unpacked(written, "charts")) == ["importance", "mask"]
    assert "did not score the parts" in written.read_text("utf-8")
    assert head_table(tmp_path)["importance"].notna().all()


def test_a_seed_that_is_not_scored_yet_is_left_out_of_the_shares(tmp_path) -> None:
    (tmp_path / "search").symlink_to(STUDY / "search")
    (tmp_path / "influence").mkdir()
    (tmp_path / "influence" / "full-seed1").symlink_to(STUDY / "influence" / "full-seed1")
    written = write_page(tmp_path / "atlas.html", head_atlas(tmp_path))
    assert set(drawn(written, "share")["seed"]) == {1}
    assert set(drawn(written, "importance")["seed"]) == {0, 1, 2}


def test_a_study_that_was_not_run_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="has no search; run the study first"):
        head_atlas(tmp_path)


def ready(opened):
    opened.locator("#said[data-ready]").wait_for()
    return opened


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_arrow_keys_go_from_head_to_head_and_say_their_values(page, open_page, width) -> None:
    opened = ready(open_page(page, width))
    assert (
        opened.locator(".map .mark-rect path[aria-label]").count()
        == len(MAPS) * SEEDS * len(LANGUAGES) * HEADS
    )
    stops = opened.locator(".map .mark-rect path[tabindex='0']")
    assert stops.count() == len(MAPS) * SEEDS * len(LANGUAGES)
    stops.first.focus()
    said = opened.get_by_role("status")
    first = said.inner_text()
    language, seed = re.match(r"(\w+), seed (\d), layer 1, head 1: importance", first).groups()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "ArrowLeft", "ArrowRight", "ArrowDown"):
        opened.keyboard.press(key)
    here = f"language == '{language}' and seed == {seed} and layer == 2 and head == 2"
    value = drawn(page, "importance").query(here)["importance"].item()
    assert said.inner_text() == f"{language}, seed {seed}, layer 2, head 2: importance {value:.3f}"
    assert stops.count() == len(MAPS) * SEEDS * len(LANGUAGES)
    opened.keyboard.press("Tab")
    assert "layer 1, head 1" in said.inner_text() and said.inner_text() != first
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_pointing_at_a_head_shows_its_values(page, open_page) -> None:
    opened = ready(open_page(page, 1280))
    square = opened.locator("#share-map path[aria-label^='de, seed 2, layer 1, head 10:']")
    square.scroll_into_view_if_needed()
    square.hover()
    row = drawn(page, "share").query("language == 'de' and seed == 2 and layer == 1 and head == 10").iloc[0]
    tooltip = opened.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    keys, texts = (tooltip.locator(f"td.{part}").all_inner_texts() for part in ("key", "value"))
    said = {key.rstrip(": "): text for key, text in zip(keys, texts, strict=True)}
    assert (said["language"], said["head"]) == ("de", "10")
    assert float(said["share"]) == pytest.approx(row["share"], abs=5e-3)
