"""The explorer: its data are the artefacts', and a person can use it with keyboard, mouse and phone."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.scores import read_scores
from modspec.analysis.strongest_examples import FILE, read_strongest_examples
from modspec.errors import InputError
from modspec.pages.explorer import LICENCES, explorer, explorer_data, explorer_page, scored_runs
from modspec.pages.rendering import write_page
from modspec.stages.texts import keep_texts
from modspec.workflow import artifacts
from modspec.workflow.paths import influence_dir, scores_dir
from tests.helpers.pages import fetched, unpacked
from tests.helpers.studies import run_study, write_pairs

ROOT = Path(__file__).parents[2]
LANGUAGES = ("en", "de")
MASKS = ("none", "own", "pooled_others", "accuracy_matched")
COMMON = {"evaluation_per_language": 6, "top_k": 5, "by_part": False}
SCORED = {"full": COMMON | {"mask_kinds": MASKS}, "sft": COMMON | {"mask_kinds": ("none", "own")}}
LIMIT = 3_000_000  # bytes
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> SimpleNamespace:
    """A study of sentence pairs, its explorer, and all that the pages should say of one test item."""
    root = tmp_path_factory.mktemp("project")
    data = write_pairs(root / "data", LANGUAGES, {"test": 60, "dev": 60})
    sizes = {"train_per_language": 24, "dev_per_language": 12, "test_per_language": 12}
    shared = {"task": "xnli", "data_dir": str(data), "languages": LANGUAGES, "encoder": "tiny"}
    shared |= sizes | {"precision": "float32", "study_dir": str(root / "small")}
    runs = {}
    for material, p in run_study(shared, SCORED, (0, 1)):
        keep_texts(influence_dir(p, p.condition, p.seed), lambda task=material.task: task)
        runs[p.condition, p.seed] = p
    page = write_page(root / "explorer.html", explorer(root / "small"))
    return SimpleNamespace(directory=root / "small", page=page, runs=runs, task=material.task)


def strongest(study: SimpleNamespace, condition: str, seed: int, item: str, mask: str) -> pd.DataFrame:
    """The rows of the artefact that the page shows of an item under a mask, strongest first."""
    table = read_strongest_examples(study.directory / "influence" / f"{condition}-seed{seed}")
    rows = table[(table["id"] == item) & (table["mask_kind"] == mask) & (table["score"] == "cosine")]
    return rows.sort_values("rank")


def first_items(study: SimpleNamespace) -> list[str]:
    table = read_strongest_examples(study.directory / "influence" / "full-seed0")
    return table.loc[table["mask_kind"] == "none", "id"].drop_duplicates().tolist()


# --- the data --------------------------------------------------------------------------


def test_every_list_of_the_page_is_that_of_the_artefact(study) -> None:
    data = unpacked(study.page, "data")
    ids = data["examples"]["id"]
    assert [(run["condition"], run["seed"]) for run in data["runs"]] == [*sorted(study.runs)]
    for run in data["runs"]:
        table = read_strongest_examples(
            study.directory / "influence" / f"{run['condition']}-seed{run['seed']}"
        )
        table = table[table["score"] == "cosine"].astype({"id": str, "mask_kind": str})
        assert list(run["masks"]) == [*SCORED[run["condition"]]["mask_kinds"]]
        for kind, mask in run["masks"].items():
            for place, item in enumerate(run["items"]):
                rows = table[(table["id"] == ids[item]) & (table["mask_kind"] == kind)]
                both = pd.concat(
                    rows[rows["side"] == side].sort_values("rank") for side in ("proponent", "opponent")
                )
                assert [ids[e] for e in mask["train"][place]] == both["train_id"].tolist()
                scores = np.array(mask["scores"][place]) * 10.0 ** run["exponent"]
                np.testing.assert_allclose(scores, both["value"], rtol=5.1e-4)
                assert {data["labels"][mask["predicted"][place]]} == set(rows["predicted"])


def test_one_list_follows_from_scores_and_files_alone(study) -> None:
    """From the kept scores and the data's files: neither the table of strongest examples nor kept texts."""
    data, p = unpacked(study.page, "data"), study.runs["full", 1]
    run = next(run for run in data["runs"] if (run["condition"], run["seed"]) == ("full", 1))
    scored = read_scores(scores_dir(p, "full", 1))
    columns = scored.columns_of("own-de")
    scores = scored.scores("own-de")[:, 0]
    order = np.argsort(-scores, kind="stable")[:20]
    expected = scored.train["id"].to_numpy()[order]
    examples = data["examples"]
    place = [examples["id"][item] for item in run["items"]].index(columns["id"].iloc[0])
    shown = run["masks"]["own"]["train"][place][:20]
    assert [examples["id"][e] for e in shown] == expected.tolist()
    for e in shown:
        language, split, line = examples["id"][e].split("-")
        text = (
            (study.directory.parent / "data" / f"{split}.{language}.tsv").read_text().splitlines()[int(line)]
        )
        label = data["labels"][examples["label"][e]]
        assert text.split("\t") == [examples["text"][e], examples["pair"][e], label]


def test_translations_are_told_by_their_group(study) -> None:
    data = unpacked(study.page, "data")
    assert data["group"] == "translation"
    by_group = pd.DataFrame(data["examples"]).groupby("group")
    assert by_group["language"].nunique().max() == 2
    for _, group in by_group:
        assert group["id"].str.partition("-")[2].nunique() == 1


def test_the_page_is_small_and_fetches_nothing(study) -> None:
    assert study.page.stat().st_size < LIMIT
    assert fetched(study.page) == []


def test_a_study_of_the_plans_size_fits(study) -> None:
    """Two seeds with 2,500 training examples of their own each; random texts, which compress badly."""
    rng = np.random.default_rng(0)
    letters = np.array([*"abcdefghijklmnopqrstuvwxyz     "])
    train, items, masks = 2500, 200, {"full": 4, "one_language_batches": 1, "sft": 2, "sft_random": 2}
    count = 2 * train + items
    texts = ["".join(rng.choice(letters, 60)) for _ in range(2 * count)]
    columns = {"id": [f"en-test-{i}" for i in range(count)], "text": texts[:count], "pair": texts[count:]}
    columns |= {name: rng.integers(0, 5, count).tolist() for name in ("language", "label")}
    columns["group"] = rng.integers(0, count // 5, count).tolist()

    def lists() -> dict:
        scores = np.round(-np.sort(-rng.normal(size=(items, 40))), 3).tolist()
        picked = rng.integers(0, train, (items, 40)).tolist()
        return {"predicted": [0] * items, "train": picked, "scores": scores}

    runs = [
        {
            "condition": c,
            "seed": s,
            "exponent": 0,
            "items": [*range(items)],
            "masks": {m: lists() for m in MASKS[:n]},
        }
        for s in (0, 1)
        for c, n in masks.items()
    ]
    data = unpacked(study.page, "data") | {"examples": columns, "runs": runs}
    size = len(explorer_page(data).encode())
    assert 1_000_000 < size < LIMIT, size


def test_the_page_says_what_the_licence_of_the_texts_is(study) -> None:
    assert "CC BY-NC 4.0" in study.page.read_text("utf-8")
    rows = (ROOT / "docs" / "cards.md").read_text("utf-8").splitlines()
    said = next(row for row in rows if row.startswith("| licence"))
    for name in ("Apache 2.0", "CC BY-NC 4.0", "CC BY-SA 4.0", "CC BY 4.0"):
        assert name in said and name in " ".join(LICENCES.values())


def test_the_first_seeds_are_shown(study, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("modspec.pages.explorer.SEEDS", 1)
    assert [run.name for run in scored_runs(study.directory)] == ["full-seed0", "sft-seed0"]
    with pytest.raises(InputError, match="no scored run; run the study first"):
        scored_runs(tmp_path)


def test_seeds_without_strongest_examples_are_not_shown(study, tmp_path) -> None:
    for run in artifacts.finished(study.directory / "influence"):
        left_out = [FILE] if run.name.endswith("seed1") else []
        artifacts.copy_without(run, tmp_path / "influence" / run.name, left_out)
    assert [run.name for run in scored_runs(tmp_path)] == ["full-seed0", "sft-seed0"]


def test_studies_without_strongest_examples_or_texts_are_refused() -> None:
    with pytest.raises(InputError, match="has no texts; run make pages"):
        explorer(ROOT / "figures" / "xnli-v1" / "artefacts")


# --- the page, used by a person --------------------------------------------------------


def ready(page):
    page.locator("#status[data-ready]").wait_for()
    return page


def shown(page, table: str) -> list[str]:
    """The texts of a table's links, in the order of its rows."""
    return page.locator(f"#{table} tbody a").all_inner_texts()


def texts_of(study: SimpleNamespace, ids: list[str], split: str) -> list[str]:
    rows = study.task.data[split].to_pandas().set_index("id")
    return [f"{rows.loc[i, 'text']}\n{rows.loc[i, 'text_pair']}" for i in ids]


def select_with_keyboard(page, label: str, option: str) -> None:
    """Go to a choice with the keyboard, and down until the option is chosen."""
    choice = page.get_by_label(label, exact=True)
    choice.focus()
    for _ in range(10):
        if choice.locator("option:checked").inner_text() == option:
            return
        page.keyboard.press("ArrowDown")
    raise AssertionError(f"{label}: {option} cannot be reached")


def expected_list(study, item: str, mask: str, side: str = "proponent") -> list[str]:
    rows = strongest(study, "full", 1, item, mask)
    return texts_of(study, rows.loc[rows["side"] == side, "train_id"].tolist(), "train")[:10]


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_another_mask_is_chosen_with_the_keyboard(study, open_page, width) -> None:
    page = ready(open_page(study.page, width, "#seed=1"))
    item = first_items(study)[0]
    for kind, name in (("own", "own mask"), ("pooled_others", "pooled-others mask")):
        select_with_keyboard(page, "Mask", name)
        page.wait_for_function(
            "name => document.getElementById('first-heading').textContent === name", arg=name
        )
        assert f"mask={kind}" in page.url and f"item={item}" in page.url
        assert shown(page, "first-proponents") == expected_list(study, item, kind)
        assert shown(page, "first-opponents") == expected_list(study, item, kind, "opponent")
        rows = strongest(study, "full", 1, item, kind)
        scores = page.locator("#first-proponents tbody td:last-child").all_inner_texts()
        exponent = unpacked(study.page, "data")["runs"][1]["exponent"]
        kept = rows.loc[rows["side"] == "proponent", "value"][:10] / 10.0**exponent
        assert [float(text.replace("−", "-")) for text in scores] == pytest.approx(kept.tolist(), rel=6e-4)
        predicted = rows["predicted"].iloc[0]
        assert f"Predicted label: {predicted}" in page.locator("#first-predicted").inner_text()
        assert name in page.get_by_role("status").first.inner_text()
        # Who changes a choice stays at it.
        assert page.evaluate("document.activeElement.id") == "mask"


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_search_finds_the_items_with_a_text(study, open_page, width) -> None:
    page = ready(open_page(study.page, width))
    item = next(i for i in first_items(study) if i.startswith("de-"))
    (text,) = texts_of(study, [item], "test")
    words = text.splitlines()[1].split()
    found = [t for t in texts_of(study, first_items(study), "test") if all(word in t for word in words)]
    assert len(found) < 6
    search = page.get_by_label("Search the texts of test items:")
    search.focus()
    page.keyboard.type(" ".join(words))
    assert shown(page, "items") == found
    search.fill("no such text")
    assert shown(page, "items") == []


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_proponent_is_opened_and_its_items_are_counted(study, open_page, width) -> None:
    page = ready(open_page(study.page, width))
    link = page.locator("#first-proponents tbody a").first
    text = link.inner_text()
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'train'")
    assert page.locator("#train-text blockquote").inner_text() == text
    identity = re.search(r"train=([\w-]+)", page.url)[1]
    table = read_strongest_examples(study.directory / "influence" / "full-seed0")
    of = table[(table["mask_kind"] == "none") & (table["score"] == "cosine") & (table["side"] == "proponent")]
    items = set(of.loc[of["train_id"] == identity, "id"])
    said = page.locator("#train-count").inner_text()
    assert said == f"Among the 20 strongest proponents of {len(items)} of 12 test items (no mask)."
    assert set(shown(page, "train-items")) <= set(texts_of(study, sorted(items), "test"))
    # And from there to another item.
    page.locator("#train-items tbody a").last.click()
    page.wait_for_function("document.activeElement.id === 'item'")
    assert re.search(r"item=([\w-]+)", page.url)[1] in items


@pytest.mark.browser
def test_hubs_count_the_items_of_the_chosen_language(study, open_page) -> None:
    page = ready(open_page(study.page, 1280, "#seed=1&condition=sft&mask=own&language=de"))
    table = read_strongest_examples(study.directory / "influence" / "sft-seed1")
    of = table[(table["mask_kind"] == "own") & (table["score"] == "cosine") & (table["side"] == "proponent")]
    counts = of.loc[of["language"] == "de", "train_id"].astype(str).value_counts()
    numbers = [int(n) for n in page.locator("#hubs tbody td:nth-child(4)").all_inner_texts()]
    assert numbers == counts[counts > 1].sort_values(ascending=False).tolist()[:10]
    of_texts = dict(zip(texts_of(study, counts.index.tolist(), "train"), counts, strict=True))
    assert [of_texts[text] for text in shown(page, "hubs")] == numbers


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_link_leads_to_a_view_and_two_masks_stand_side_by_side(study, open_page, width) -> None:
    item = first_items(study)[-1]
    page = ready(open_page(study.page, width, f"#condition=full&seed=1&mask=own&item={item}"))
    page.get_by_label("Second mask, side by side").select_option(label="no mask")
    page.locator("#other").wait_for()
    for side, mask in (("first", "own"), ("other", "none")):
        assert shown(page, f"{side}-proponents") == expected_list(study, item, mask)
    boxes = [page.locator(f"#{side}").bounding_box() for side in ("first", "other")]
    assert (boxes[0]["x"] < boxes[1]["x"]) == (width == 1280)
    assert (boxes[0]["y"] < boxes[1]["y"]) == (width == 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The link of the view, opened by somebody else.
    address = page.get_by_role("link", name="Link to this view").get_attribute("href")
    other = ready(open_page(study.page, width, address))
    for part in ("item-text", "sides", "status"):
        assert other.locator(f"#{part}").inner_text() == page.locator(f"#{part}").inner_text()


@pytest.mark.browser
def test_masks_differ_in_what_the_tests_above_compare(study) -> None:
    differ = [expected_list(study, i, "own") != expected_list(study, i, "none") for i in first_items(study)]
    assert all(differ)


@pytest.mark.browser
def test_texts_are_shown_as_they_are_and_named_in_their_language(study, open_page) -> None:
    page = ready(open_page(study.page, 1280, "#language=de"))
    assert "<b>" in page.locator("#item-text").inner_text()
    assert page.locator("#item-text b").count() == 0
    assert page.locator("#item-text .sentence[lang=de]").count() == 2
    for name in ("Condition", "Seed", "Mask", "Second mask, side by side", "Language of test items"):
        assert page.get_by_label(name, exact=True).count() == 1
    assert page.get_by_role("main").count() == page.get_by_role("heading", level=1).count() == 1
    regions = ["What to look at", "Test items", "Chosen test item", "Chosen training example", "Hubs"]
    for name in regions:
        assert page.get_by_role("region", name=name, exact=True).count() == 1


@pytest.mark.browser
def test_the_first_stop_of_the_keyboard_skips_to_the_choices(study, open_page) -> None:
    page = ready(open_page(study.page, 1280, "#mask=own"))
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the choices"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "view"
    assert "mask=own" in page.url
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "condition"
    assert page.locator(":focus").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


def test_a_page_of_one_run_holds_this_run_alone(study) -> None:
    run = study.directory / "influence" / "sft-seed0"
    (only,) = explorer_data([run], "small")["runs"]
    assert (only["condition"], only["seed"]) == ("sft", 0)
