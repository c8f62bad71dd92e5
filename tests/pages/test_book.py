"""The book builds offline and without a warning; what its pages need and link to is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from playwright.sync_api import Page

from modspec.analysis.verdicts import NOT_RUN
from modspec.pages import book, book_pages, book_questions
from modspec.pages.book_studies import all_studies
from modspec.terms import CONTRASTS, QUESTIONS
from tests.helpers.browser import OpenPage

ROOT = Path(__file__).parents[2]
START = "index.html"
NOTEBOOK = "notebooks/executed/intents/03_influence_scoring-full-seed0"
RUN = "02_finetuning-sft-seed0"  # of a study that a user ran
# What a browser fetches by itself: element -> attribute that holds an address.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
NETWORK = ("http:", "https:", "//")


class Parsed(HTMLParser):
    """Addresses, anchors and images of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if given.get(FETCHED.get(tag, "")):
            self.fetched.append(given[FETCHED[tag]])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "img":
            self.images.append(given)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small repository: all docs, those notebooks that pages are made from, and a run."""
    small = tmp_path_factory.mktemp("repository")
    files = [ROOT / "README.md", ROOT / "CITATION.cff", *(ROOT / "docs").glob("*.*")]
    files += [*(ROOT / "notebooks").glob("*.ipynb"), ROOT / f"{NOTEBOOK}.ipynb"]
    files += [file for kind in ("png", "csv", "json") for file in (ROOT / "figures").glob(f"*/*.{kind}")]
    files += (ROOT / "figures").glob("*/calibration/*.png")
    files += (ROOT / "figures").glob("*/*.caption.md")
    files += (ROOT / "notebooks" / "executed").glob("*-v1/04_figures.ipynb")
    named = re.findall(r"\]\((notebooks/executed/[^)]*\.ipynb)\)", (ROOT / "README.md").read_text("utf-8"))
    for file in {*files, *(ROOT / name for name in named)}:
        copy(file, small / file.relative_to(ROOT))
    (small / "notebooks" / "README.md").write_text("# Notebooks\n", encoding="utf-8")
    copy(
        ROOT / "notebooks/executed/embedded" / f"{RUN}.ipynb", small / "runs/mine/notebooks" / f"{RUN}.ipynb"
    )
    return small


def copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target)


@pytest.fixture(scope="module")
def sources(root: Path) -> book.Sources:
    return book.sources(root)


@pytest.fixture(scope="module")
def built(sources: book.Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the small book's pages; a warning is an error."""
    scratch = tmp_path_factory.mktemp("book")
    book.write(sources, scratch / "source")
    options = [
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-c",
        str(ROOT / "docs"),
        "-d",
        str(scratch / "doctrees"),
    ]
    command = [sys.executable, "-m", "sphinx", *options, str(scratch / "source"), str(scratch / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return scratch / "html"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Parsed]:
    """Return the pages of the book, but not those of its theme."""
    return {file: Parsed(file) for file in built.rglob("*.html") if "_static" not in file.parts}


# Contents


def test_the_answer_has_at_most_200_words_and_names_every_question(sources: book.Sources) -> None:
    answer, end, rest = sources["index.md"].decode().partition("<!-- end of the answer -->")
    assert end
    words = re.sub(r"\]\([^)]*\)", "]", re.sub(r"\| ---.*", "", answer)).replace("|", " ").split()
    assert len(words) <= 200
    for code, question in QUESTIONS.items():
        assert f"[{code}](questions/{code.lower()}.md) | {question.text} |" in answer
    assert len(re.findall(r"!\[[^\]]+\]", rest)) == 1


def test_the_start_page_says_what_is_not_known_and_how_to_rerun_as_readme_does(sources: book.Sources) -> None:
    page, readme = sources["index.md"].decode(), (ROOT / "README.md").read_text("utf-8")
    command = re.search(r"^```sh\n(\S*papermill .* -p .*)\n```$", page, re.MULTILINE)
    assert command and f"`{command[1]}`" in readme
    limits = page.partition("## What this cannot say\n\n")[2].partition("\n\n## ")[0]
    assert limits.startswith("- ") and limits in readme


@pytest.mark.parametrize("code", QUESTIONS)
def test_a_question_explains_only_what_its_page_shows(sources: book.Sources, code: str) -> None:
    page = sources[f"questions/{code.lower()}.md"].decode()
    answers = pd.read_csv(ROOT / "figures" / "results" / "questions.csv")
    was_run = (answers.loc[answers["question"] == code, "verdict"] != NOT_RUN).any()
    assert (f"]({code.lower()}/questions.png)" in page) == ("Hollow" in page) == was_run
    assert ("Grey band" in page) == (was_run and QUESTIONS[code].margin is not None)
    assert ("Bold" in page) == (was_run and any(c.question == code and c.primary for c in CONTRASTS))
    cells = "".join(re.findall(r"^\|.*", page.partition("## Single languages")[0], re.MULTILINE))
    for mark, text in book_questions.CELLS.items():
        assert (text in page) == (mark in cells)
    assert not re.search(r"^## .*\n\n\n", page, re.MULTILINE)  # no section of figures without a word


def test_a_question_says_why_a_contrast_was_not_run_and_what_was(sources: book.Sources) -> None:
    answers = pd.read_csv(ROOT / "figures" / "results" / "questions.csv")
    lacking = {*answers.loc[answers["primary"] & (answers["verdict"] == NOT_RUN), "question"]}
    assert lacking <= {*book_questions.NEEDS}
    for code in QUESTIONS:
        page = sources[f"questions/{code.lower()}.md"].decode()
        assert ("*Not run*: the study has no " in page) == (code in lacking)
        related = (answers.loc[answers["question"] == code, "verdict"] != NOT_RUN).any()
        assert ("[Related contrasts](#all-contrasts)" in page) == (code in lacking and related)


def test_a_run_with_the_name_of_a_published_study_hides_neither(root: Path) -> None:
    published = next(study for study in all_studies(root) if study.page == "studies/xnli-v1")
    run = replace(published, page="runs/xnli-v1")
    answers = pd.read_csv(
        ROOT / "figures" / "results" / "questions.csv", keep_default_na=False, na_values=[""]
    )
    facts = {"encoder": "e5-small", "k": "100"}
    page = book_pages.start(answers, [published, run], {"xnli-v1": "XNLI."}, facts, "- none", "make")
    assert "  - [xnli-v1](studies/xnli-v1.md): XNLI." in page
    assert "  - [xnli-v1 (your run)](runs/xnli-v1.md): XNLI." in page


def test_a_figure_stands_above_its_caption(sources: book.Sources) -> None:
    caption = (ROOT / "figures" / "xnli-v1" / "share_change.caption.md").read_text("utf-8").strip()
    for page in ("questions/q4.md", "studies/xnli-v1.md"):
        text = sources[page].decode()
        assert re.search(rf"figures/xnli-v1/share_change\.png\n:alt: .*\n\n{re.escape(caption)}\n```", text)


def test_every_published_notebook_has_a_page() -> None:
    studies = all_studies(ROOT)
    found = {notebook.file for study in studies for notebook in study.executed}
    assert set((ROOT / "notebooks" / "executed").glob("*/*.ipynb")) <= found
    assert [study.name for study in studies][:4] == ["results", "xnli-v1", "pawsx-v1", "reviews-v1"]


def test_a_run_of_the_user_has_a_page_with_its_notebooks(built: Path, pages: dict[Path, Parsed]) -> None:
    assert f"mine/notebooks/{RUN}.html" in pages[built / "runs" / "mine.html"].links
    assert "../../mine.html" in pages[built / "runs" / "mine" / "notebooks" / f"{RUN}.html"].links


def test_the_contents_list_whole_studies_and_no_single_runs(pages: dict[Path, Parsed]) -> None:
    navigation = [
        link for link in pages[next(f for f in pages if f.name == START)].links if "executed" in link
    ]
    assert any("05_results" in link for link in navigation)
    assert not any("-seed" in link for link in navigation)


def test_the_interface_describes_every_public_name(built: Path, pages: dict[Path, Parsed]) -> None:
    anchors = pages[built / "api.html"].anchors
    for name in ("influence", "merge", "Scores", "Checkpoint", "Report", "EncoderPart", "Scores.cosine"):
        assert f"modspec.influence.{name}" in anchors


def test_progress_is_folded(built: Path) -> None:
    page = (built / f"{NOTEBOOK}.html").read_text("utf-8")
    assert re.search(r"<details><summary>Printed while it ran: \d+ lines</summary>", page)
    assert "output stream" not in page


def test_a_page_says_if_the_notebook_was_changed_since(built: Path) -> None:
    words = "executed by an earlier version of the code"
    assert words in (built / f"{NOTEBOOK}.html").read_text("utf-8")
    assert words not in (built / "notebooks/executed/results/05_results.html").read_text("utf-8")


def test_a_second_writing_changes_nothing_and_removes_what_is_gone(
    sources: book.Sources, tmp_path: Path
) -> None:
    few = {place: sources[place] for place in ("index.md", "questions/q1.md")}
    book.write(few, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.md")}
    book.write(few, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.md")} == before
    book.write({"index.md": b"new"}, tmp_path)
    assert [file.read_bytes() for file in tmp_path.rglob("*.md")] == [b"new"]


# What pages need


def test_no_page_fetches_from_a_network(built: Path, pages: dict[Path, Parsed]) -> None:
    for file, page in pages.items():
        assert not [address for address in page.fetched if address.startswith(NETWORK)], file
    sheets = "\n".join(file.read_text("utf-8") for file in built.rglob("*.css"))
    sheets += "\n".join(re.findall(r"<style.*?</style>", "".join(map(Path.read_text, pages)), re.DOTALL))
    assert not re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//[^)]*", sheets)


def test_everything_that_pages_fetch_is_there(pages: dict[Path, Parsed]) -> None:
    missing = defaultdict(list)
    for file, page in pages.items():
        for address in page.fetched:
            if not address.startswith("data:") and not target(file, address).exists():
                missing[address].append(file.name)
    assert not missing


def test_links_and_anchors_resolve(pages: dict[Path, Parsed]) -> None:
    broken = []
    for file, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link) or link == "#":
                continue
            at, anchor = target(file, link), unquote(link.partition("#")[2])
            if not at.exists() or (anchor and at in pages and anchor not in pages[at].anchors):
                broken.append((file.name, link))
    assert not broken


def test_images_have_alternative_texts(pages: dict[Path, Parsed]) -> None:
    images = [(file.name, image) for file, page in pages.items() for image in page.images]
    assert len(images) > 50
    assert not [(name, image) for name, image in images if not (image.get("alt") or "").strip()]
    assert not [image for _, image in images if re.search(r"[\\/]|\.png", image["alt"] or "")]


def target(file: Path, address: str) -> Path:
    """Return the file that an address in a page means; the page itself for an anchor alone."""
    path = unquote(re.split(r"[?#]", address)[0])
    return Path(os.path.normpath(file.parent / path)) if path else file


# In a browser


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", [START, "questions/q1.html", f"{NOTEBOOK}.html", "api.html"])
def test_a_reader_sees_all_of_a_page(built: Path, open_page: OpenPage, page: str, width: int) -> None:
    shown = open_page(built / page, width)
    assert (
        shown.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.src)")
        == []
    )
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.locator("article h1").is_visible()
    if "notebooks" in page:
        shown.wait_for_selector("mjx-container")  # formulas are set
        assert shown.locator("mjx-merror").count() == 0
        check_progress_opens(shown)


@pytest.mark.browser
@pytest.mark.parametrize("page", [START, "questions/q1.html", "notebooks/executed/xnli-v1/04_figures.html"])
def test_wide_figures_stay_legible_on_a_phone_and_scroll_alone(
    built: Path, open_page: OpenPage, page: str
) -> None:
    shown = open_page(built / page, 390)
    wide = "[...document.querySelectorAll('article img')].filter(image => image.naturalWidth > 640)"
    assert shown.evaluate(f"{wide}.length") > 0
    assert shown.evaluate(f"Math.min(...{wide}.map(image => image.clientWidth))") >= 560
    boxes = f"{wide}.map(image => image.closest('p, figure, .cell_output'))"
    assert shown.evaluate(f"{boxes}.every(box => box.scrollWidth > box.clientWidth)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390


def check_progress_opens(page: Page) -> None:
    box = page.locator("details:has(summary:text('Printed while it ran'))").last
    assert not box.locator("pre").is_visible()
    box.locator("summary").click()
    assert box.locator("pre").is_visible()


@pytest.mark.browser
def test_search_finds_a_page(built: Path, open_page: OpenPage) -> None:
    found = open_page(built / "search.html", 1280, "?q=pooled-others")
    found.wait_for_selector("#search-results li a")
    assert found.locator("#search-results li a").count() > 1
