"""Write the sources of the book: run ``python -m modspec.pages.book``, or ``make book``, which builds it too.

The sources lie as their originals lie in the repository, so that links between pages mean the same in both:
README, ``docs/``, notebooks, figures. Pages that only the book has are made from published tables. Sphinx
turns the sources into HTML, with the settings in ``docs/conf.py``.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import nbformat
import pandas as pd

from modspec.analysis.verdicts import NOT_RUN
from modspec.figures.save import as_png
from modspec.output.files import write_whole
from modspec.pages import book_notebooks, book_pages, notebook_index
from modspec.pages.book_questions import FIGURE, question
from modspec.pages.book_studies import Study, all_studies, facts, in_book, study_page, subject
from modspec.pages.explorer import explorer
from modspec.pages.head_atlas import head_atlas
from modspec.terms import QUESTIONS
from modspec.workflow.paths import project_root

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:]+)\)")  # in Markdown, to a file
Sources = dict[str, bytes]  # place in the book -> content
VERBATIM = "verbatim"  # folder of the sources that docs/conf.py has copied into the book


def sources(root: Path) -> Sources:
    """Return the sources of the book.

    Args:
        root: a checkout of the repository.
    """
    studies = all_studies(root)
    results = root / "figures" / "results"
    answers = pd.read_csv(results / f"{FIGURE}.csv", keep_default_na=False, na_values=[""])
    answers["confounds"] = answers["confounds"].fillna("")
    languages = pd.read_csv(results / "languages_by_study.csv", keep_default_na=False, na_values=[""])
    sections = book_notebooks.sections(root / "notebooks" / f"{notebook_index.FIGURES}.ipynb")
    scale = facts(next(study for study in studies if study.name == answers["study"].iloc[0]))
    first = {"encoder": scale.loc["encoder"].iloc[0], "k": scale.loc["number k of proponents"].iloc[0]}

    readme = (root / "README.md").read_text(encoding="utf-8")
    subjects = {study.name: subject(study.name, root / "notebooks" / "presets") for study in studies}
    limits, rerun = _section(readme, "What this cannot say"), _command(readme, "run one notebook")
    pages = {
        "index.md": book_pages.start(answers, studies, subjects, first, limits, rerun),
        "api.md": book_pages.INTERFACE,
    }
    pages["cite.md"] = book_pages.citation((root / "CITATION.cff").read_text(encoding="utf-8"))
    for code in QUESTIONS:
        pages[f"questions/{code.lower()}.md"] = question(code, answers, languages, studies, sections)
    for study in studies:
        pages[f"{study.page}.md"] = study_page(study, facts(study), root / "notebooks")
    documents = [root / "README.md", root / "notebooks" / "README.md", *sorted((root / "docs").glob("*.md"))]
    for file in documents:
        pages[file.relative_to(root).as_posix()] = _without_folder_links(file)
    found = {place: text.encode() for place, text in pages.items()} | _figures(answers)
    copied = {*_linked(documents), *_images(root, studies)}
    found |= {file.relative_to(root).as_posix(): file.read_bytes() for file in copied}
    return found | _notebooks(root, studies) | _views(studies)


def write(found: Mapping[str, bytes], directory: Path) -> None:
    """Make ``directory`` hold exactly these sources; files that are as they should be stay untouched."""
    for file in [file for file in directory.rglob("*") if file.is_file()]:
        if file.relative_to(directory).as_posix() not in found:
            file.unlink()
    for place, content in found.items():
        file = directory / place
        if not (file.exists() and file.read_bytes() == content):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)


def _notebooks(root: Path, studies: Sequence[Study]) -> Sources:
    """Return the notebooks as pages: those without results, and those of every study."""
    templates = notebook_index.templates(root / "notebooks")
    found = {}
    for file in templates:
        index = "[all notebooks](README.md), [glossary](../docs/methods.md#glossary)"
        found[f"notebooks/{file.name}"] = _page(file, "", _navigation(index, file, templates))
    for study in studies:
        up = "../" * len(study.notebooks.relative_to(root).parts)
        files = [notebook.file for notebook in study.executed]
        for notebook in study.executed:
            subject = "" if study.name == "results" else study.heading
            name = ", ".join(filter(None, (subject, notebook.what)))
            index = f"[{study.heading}: all notebooks]({up}{study.page}.md)"
            index += f", [glossary]({up}docs/methods.md#glossary)"
            place = f"{in_book(study.notebooks, study)}/{notebook.file.name}"
            template = root / "notebooks" / f"{notebook.template}.ipynb"
            note = _note(notebook.file, template, f"{up}notebooks/{template.name}")
            found[place] = _page(notebook.file, name, _navigation(index, notebook.file, files), note)
    return found


def _views(studies: Sequence[Study]) -> Sources:
    """Return the pages that look into a study. They are whole already, so Sphinx copies them as they are."""
    write = {"explorer": explorer, "head_atlas": head_atlas}
    return {
        f"{VERBATIM}/{study.page}/{name}.html": write[name](study.artefacts).encode()
        for study in studies
        for name in study.views
    }


def _section(readme: str, heading: str) -> str:
    """Return the text of a section of README, without its heading."""
    return readme.partition(f"## {heading}\n")[2].partition("\n## ")[0].strip()


def _command(readme: str, purpose: str) -> str:
    """Return the command that README's table of commands gives for a purpose."""
    row = next(line for line in readme.splitlines() if line.startswith(f"| {purpose} |"))
    return row.split("`")[1]


def _page(file: Path, name: str, navigation: str, note: str = "") -> bytes:
    notebook = book_notebooks.as_page(nbformat.read(file, as_version=4), name, navigation, note)
    return nbformat.writes(notebook).encode()


def _note(file: Path, template: Path, link: str) -> str:
    """Return what a reader must know of a notebook whose template was changed after it was executed."""
    if not template.exists() or book_notebooks.has_code_of(
        *(nbformat.read(f, as_version=4) for f in (file, template))
    ):
        return ""
    return (
        "```{note}\nThis notebook was executed by an earlier version of the code. "
        f"[Today's notebook]({link}) may have other words, tables and figures. "
        "The commit that executed it stands in its last section.\n```"
    )


def _navigation(index: str, file: Path, files: Sequence[Path]) -> str:
    """Return links to a notebook's index, and to its neighbours among ``files``."""
    place = files.index(file)
    links = [index]
    if place:
        links.append(f"[previous]({files[place - 1].name})")
    if place + 1 < len(files):
        links.append(f"[next]({files[place + 1].name})")
    return ", ".join(links)


def _figures(answers: pd.DataFrame) -> Sources:
    """Return the figures that only the book has: one of all questions together, and one of each question,
    as far as they were run."""
    tables = {code: answers[answers["question"] == code] for code in QUESTIONS}
    primary = answers[answers["primary"]]
    run = primary.loc[primary["verdict"] != NOT_RUN, "question"]
    tables["all"] = primary[primary["question"].isin(run)]
    shown = {n.lower(): table for n, table in tables.items() if (table["verdict"] != NOT_RUN).any()}
    return {f"questions/{name}/{FIGURE}.png": as_png(FIGURE, table) for name, table in shown.items()}


def _images(root: Path, studies: Sequence[Study]) -> Iterable[Path]:
    """Return the images that pages show."""
    folders = [root / "figures", *(study.figures for study in studies)]
    return {file for folder in folders for file in folder.rglob("*.png")}


def _linked(documents: Iterable[Path]) -> Iterable[Path]:
    """Return the files that pages link to, and that are no pages."""
    links = (
        (file, link[2]) for file in documents for link in LINK.finditer(file.read_text(encoding="utf-8"))
    )
    files = {(file.parent / target).resolve() for file, target in links}
    return {file for file in files if file.is_file() and file.suffix not in (".md", ".ipynb")}


def _without_folder_links(file: Path) -> str:
    """Return a page in which a link to a folder, which the book has no page for, is text."""

    def kept(link: re.Match[str]) -> str:
        return link[1] if (file.parent / link[2]).is_dir() else link[0]

    return LINK.sub(kept, file.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the book's sources into the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m modspec.pages.book")
    parser.add_argument("directory", type=Path, help="for example: runs/book/source")
    write(sources(project_root()), parser.parse_args(arguments).directory)


if __name__ == "__main__":
    main()
