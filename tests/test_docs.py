"""README and docs: links resolve, commands and examples work, nothing is missing."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.cli import parse_config

from modspec import __main__ as command_line
from modspec.terms import CONDITIONS, MASK_KINDS
from modspec.workflow.parameters import STAGES, DataParameters
from modspec.workflow.presets import resolve

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
ALL = "\n".join(PAGES.values())
EXAMPLES = {name: re.findall(r"```python\n(.*?)```", page, re.DOTALL) for name, page in PAGES.items()}
CHECKS = sorted(set(re.findall(r"\.venv/bin/python -m modspec ([^`\n]*)", ALL)))
# Target, if any, and settings.
SNAKEMAKE = sorted(
    set(re.findall(r"\.venv/bin/snakemake (\w+ )?--cores 2 --config ((?:(?! --dry-run)[^`\n])*)", ALL))
)
SIB = "sib-200/data/annotated"  # where the pages have SIB-200


# Length and links


def test_readme_can_be_read_at_once() -> None:
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    assert len(re.sub(r"\]\([^)]*\)", "]", text).split()) <= 1000


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(PAGES[str(path.relative_to(ROOT))]), target


def test_every_page_is_linked_from_readme() -> None:
    for name in PAGES:
        assert name == "README.md" or f"]({name})" in README, name


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_and_file_that_is_named_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([\w-]+)", PAGES[name], re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for file in set(re.findall(r"`((?:modspec|notebooks|figures|tests|docs)/[\w./-]*)`", PAGES[name])):
        assert (ROOT / file).exists(), file


# Commands and examples


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """Data directories as the pages describe them: of one's own, SIB-200 as it is downloaded, and the names
    of the published studies' files."""
    for language in ("en", "sw"):
        rows = [f"{i}\ttext {i}\t{'ab'[i % 2]}" for i in range(300)]
        (tmp_path / f"{language}.tsv").write_text("\n".join(["id\ttext\tlabel", *rows]), encoding="utf-8")
    for language in ("eng_Latn", "swh_Latn"):
        folder = tmp_path / SIB / language
        folder.mkdir(parents=True)
        (folder / "labels.txt").write_text("geography\nscience/technology\n", encoding="utf-8")
        for split, number in {"train": 70, "dev": 20, "test": 30}.items():
            topics = [("geography", "science/technology")[i % 2] for i in range(number)]
            rows = [f"{i}\t{topic}\t{split} {i}" for i, topic in enumerate(topics)]
            (folder / f"{split}.tsv").write_text("\n".join(["index_id\tcategory\ttext", *rows]))
    for line in (ROOT / "docs" / "data.sha256").read_text(encoding="utf-8").splitlines():
        file = tmp_path / line.split()[1]
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


def in_own_data(command: str, own_data: Path) -> list[str]:
    """The words of a command, with the directories of this machine."""
    return shlex.split(command.replace("DIR", str(own_data)).replace(SIB, str(own_data / SIB)))


def test_settings_are_accepted(own_data: Path) -> None:
    assert SNAKEMAKE
    for _, settings in SNAKEMAKE:
        resolve(parse_config(in_own_data(settings, own_data)))
    for preset in set(re.findall(r"make study PRESET=([\w-]+)", ALL)):
        resolve({"preset": preset})
    for parameters in re.findall(
        r"\.venv/bin/papermill notebooks/02_finetuning\.ipynb runs/out\.ipynb ([^`\n]*)", ALL
    ):
        names = re.findall(r"-p (\w+)", parameters)
        assert names and set(names) <= set(STAGES["finetuning"].model_fields)


@pytest.mark.parametrize("command", CHECKS)
def test_checks_pass(
    command: str, own_data: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture
) -> None:
    if "encoder=" not in command:  # then it is e5-small
        request.getfixturevalue("e5_small_available")
    command_line.main(in_own_data(command, own_data))
    if command.startswith("data"):
        table = capsys.readouterr().out
        assert ("labels.txt" in table) == (SIB in command) and "2 labels; local files; train" in table


def test_there_is_a_check_for_each_subject() -> None:
    assert {command.split()[0] for command in CHECKS} == {"data", "encoder", "study"}


@pytest.mark.slow
@pytest.mark.parametrize(("target", "settings"), SNAKEMAKE)
def test_commands_run(target: str, settings: str, own_data: Path) -> None:
    words = [*target.split(), "--dry-run", "--cores", "2", "--config", *in_own_data(settings, own_data)]
    command = [sys.executable, "-m", "snakemake", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def run_example(name: str) -> str:
    (code,) = EXAMPLES[name]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_no_example_is_left_untested() -> None:
    assert {name for name, found in EXAMPLES.items() if found} == {"README.md", "docs/influence.md"}


def test_readmes_example_runs(e5_small_available: None) -> None:
    assert run_example("README.md") == "(40, 8)\n"


@pytest.mark.slow
def test_the_scorers_example_runs(e5_small_available: None) -> None:
    printed = run_example("docs/influence.md")
    assert "heads kept" in printed or "full mask" in printed
    shares = re.findall(r"^(en|de) +(\d\.\d+)$", printed, re.MULTILINE)
    assert sum(float(share) for _, share in shares) == pytest.approx(1)


# Completeness


def test_every_parameter_is_described() -> None:
    for model in (DataParameters, *STAGES.values()):
        for name in model.model_fields:
            assert f"| `{name}` |" in PAGES["docs/parameters.md"], name


def test_the_glossary_has_every_term_once() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \|$", PAGES["docs/methods.md"].split("## Glossary")[1], re.MULTILINE
    )[1:]
    terms = [term for row in rows if not row.startswith("---") for term in row.split(", ")]
    assert terms and len(set(terms)) == len(terms) and sorted(terms, key=str.casefold) == terms
    for kind in MASK_KINDS:
        assert f"`{kind}`" in PAGES["docs/methods.md"]
    for condition in CONDITIONS:
        assert f"`{condition.removeprefix('sft_')}`" in PAGES["docs/methods.md"]


def test_the_log_names_commits_of_their_day() -> None:
    git = ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True)
    if shallow.stdout.strip() != "false":
        pytest.skip("the log is checked against the whole history, which is not here")
    rows = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| ([0-9a-f]{7}) \|", PAGES["docs/log.md"], re.MULTILINE)
    history = subprocess.run(
        [*git, "log", "--format=%h %as", "--abbrev=7"], capture_output=True, text=True, check=True
    )
    dates = dict(line.split() for line in history.stdout.splitlines())
    assert rows
    for day, commit in rows:
        assert dates[commit] == day, commit
