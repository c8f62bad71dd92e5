"""The book's studies: where each lies, and its page."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from modspec.analysis import side_by_side
from modspec.errors import InputError
from modspec.figures import captions
from modspec.pages import notebook_index
from modspec.pages.markdown import markdown
from modspec.pages.notebook_index import Executed
from modspec.workflow import provenance
from modspec.workflow.artifacts import finished
from modspec.workflow.parameters import ResultsParameters

# Page that looks into a study -> what it shows.
VIEWS = {
    "explorer": "the strongest proponents and opponents of every test item, with their texts, mask by mask",
    "head_atlas": "importance, mask and in-language share of every attention head",
}
# Studies that the book names first, in this order.
FIRST = ("results", *ResultsParameters().studies, "intents", "embedded")


@dataclass(frozen=True)
class Study:
    """A study with executed notebooks: a published one, or a run of this checkout."""

    name: str
    page: str  # its page in the book, without suffix
    root: Path  # the repository
    notebooks: Path
    figures: Path
    executed: tuple[Executed, ...]

    @property
    def artefacts(self) -> Path:
        """Return the directory of the study's artefacts, by stage."""
        return self.notebooks.parent if self.page.startswith("runs/") else self.figures / "artefacts"

    @property
    def views(self) -> dict[str, str]:
        """Return the names of the pages that look into the study, and what each shows.

        A blind study, which has no figures, has none.
        """
        shown = {"explorer": "texts", "head_atlas": "search"}
        has = {name: bool(finished(self.artefacts / folder)) for name, folder in shown.items()}
        is_open = (self.figures / "provenance.json").exists()
        return {name: text for name, text in VIEWS.items() if is_open and has[name]}

    @property
    def heading(self) -> str:
        """Return the study's name for readers."""
        name = "all studies side by side" if self.name == "results" else self.name
        return f"{name} (your run)" if self.page.startswith("runs/") else name


def all_studies(root: Path) -> list[Study]:
    """Return the published studies, and those that were run in this checkout, with executed notebooks."""
    published = root / "notebooks" / "executed"
    places = [("studies", folder, root / "figures" / folder.name) for folder in published.glob("[!.]*")]
    places += [("runs", run / "notebooks", run / "figures") for run in (root / "runs").glob("[!.]*")]
    studies = []
    for kind, notebooks, figures in places:
        if found := notebook_index.executed(notebooks):
            name = notebooks.name if kind == "studies" else notebooks.parent.name
            studies.append(Study(name, f"{kind}/{name}", root, notebooks, figures, tuple(found)))
    rank = {name: place for place, name in enumerate(FIRST)}
    return sorted(studies, key=lambda s: (s.page.startswith("runs/"), rank.get(s.name, len(rank)), s.name))


def subject(name: str, presets: Path) -> str:
    """Return what a study is about: the first sentence of its preset's file; empty where it has none.

    Args:
        name: of the study.
        presets: folder of the presets.
    """
    file = presets / f"{name}.yaml"
    words = file.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ") if file.exists() else ""
    sentence, end, _ = words.partition(". ")
    return sentence + end.strip()


def study_page(study: Study, scale: pd.DataFrame, templates: Path) -> str:
    """Return the page of a study: what it is about, its scale, its notebooks in order.

    Args:
        study: that is shown.
        scale: of :func:`facts`; may be empty.
        templates: the folder of the notebooks that were executed.
    """
    place = f"../{in_book(study.notebooks, study)}/"
    whole = [n for n in study.executed if n.seed is None]
    record = provenance.read(study.figures)
    parts = [f"# {study.heading}", subject(study.name, templates / "presets")]
    if study.name == "results":
        parts.append("The same with numbers: [results in full](../docs/results.md).")
    else:
        parts.append("Its answers are on the pages of the questions, from [Q1](../questions/q1.md) on.")
    if len(scale):
        parts.append(markdown(scale.rename(columns={study.name: "value"})))
    if study.views:
        base = study.page.rpartition("/")[2]
        lines = [
            f'- <a href="{base}/{v}.html">{v.replace("_", " ")}</a>: {t}' for v, t in study.views.items()
        ]
        parts += ["## Look into it", "\n".join(lines)]
    if whole:
        links = "\n".join(f"- [{notebook_index.title(n.file)}]({place}{n.file.name})" for n in whole)
        parts += ["## The notebook" if study.name == "results" else "## The whole study", links]
    if single := [n for n in study.executed if n.seed is not None]:
        table = notebook_index.index_table(single, record, templates, place)
        parts += [
            "## Notebooks by stage, condition and seed",
            "A number is a seed, and opens its notebook.",
            markdown(table),
        ]
    if figures := [name for name in captions.SUBJECTS if (study.figures / f"{name}.png").exists()]:
        parts += ["## Figures", *(with_caption(study, name) for name in figures)]
    commit = record.get("provenance", {}).get("commit")
    if commit:
        parts.append(f"Figures and tables were made from commit `{commit[:7]}`.")
    parts.append(toctree(f"{place}{n.file.stem}" for n in whole))
    return "\n\n".join(filter(None, parts)) + "\n"


def with_caption(study: Study, figure: str) -> str:
    """Return a study's figure as a page one folder below the book's root shows it, above its caption."""
    file = study.figures / f"{figure}.caption.md"
    caption = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    options = [f":alt: {figure.replace('_', ' ')} in the study {study.name}"]
    image = f"../{in_book(study.figures, study)}/{figure}.png"
    return "\n".join([f"```{{figure}} {image}", *options, "", caption, "```"])


def facts(study: Study) -> pd.DataFrame:
    """Return what stands behind a study, one row per fact; empty where the study did not record it."""
    p = ResultsParameters(figures_dir=str(study.figures.parent), studies=(study.figures.name,), pooled=())
    try:
        return side_by_side.scale(p).rename(columns={study.figures.name: study.name})
    except InputError:
        return pd.DataFrame()


def in_book(folder: Path, study: Study) -> str:
    """Return the place of a study's folder in the book, which is its place in the repository."""
    return folder.relative_to(study.root).as_posix()


def toctree(pages: Iterable[str], caption: str = "") -> str:
    """Return a table of contents that is shown beside the page, not in it."""
    options = [":hidden:"] + ([f":caption: {caption}"] if caption else [])
    return "\n".join(["```{toctree}", *options, "", *pages, "```"])
