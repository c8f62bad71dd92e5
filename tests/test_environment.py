"""pyproject.toml, environment.yml, constraints.txt and the Makefile say the same thing."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import modspec

ROOT = Path(__file__).parents[1]
CONDA_TO_PYPI = {"pytorch": "torch"}
# Torch's builds for CUDA bring these in versions of their own, which nothing of ours may contradict.
BROUGHT_BY_TORCH = re.compile(r"(nvidia|cuda)-|triton$")
# name, then comma-separated comparisons with plain versions: the part of conda's match
# specifications that needs no quoting and means the same to pip
CONDA_SPEC = re.compile(r"([a-z0-9][a-z0-9._-]*)((?:(?:[<>]=?|[=!]=)\d+(?:\.\d+)*,?)*(?<!,))")
PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?")


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def stated_requirements() -> dict[str, Requirement]:
    """All direct dependencies, the test extra included, by canonical name."""
    project = pyproject()["project"]
    texts = project["dependencies"] + project["optional-dependencies"]["test"]
    for extra in ("book", "slurm"):  # tests build a book, and send jobs to SLURM
        texts.remove(f"modspec[{extra}]")
        texts = texts + project["optional-dependencies"][extra]
    requirements = {canonicalize_name(r.name): r for r in map(Requirement, texts)}
    assert len(requirements) == len(texts), "a dependency is stated twice"
    return requirements


def pinned_versions() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    for pin in pins:
        assert PIN.fullmatch(pin), f"constraints.txt: not a plain NAME==VERSION: {pin!r}"
    versions = {canonicalize_name(name): Version(v) for name, v in (p.split("==") for p in pins)}
    assert len(versions) == len(pins), "a package is pinned twice"
    return versions


def conda_environment() -> tuple[dict[str, SpecifierSet], dict[str, SpecifierSet]]:
    """The conda and the pip section of environment.yml, every entry parsed strictly."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    *conda, pip = entries
    matches = {entry: CONDA_SPEC.fullmatch(entry) for entry in conda}
    assert all(matches.values()), f"not a conda specification: {matches}"
    requirements = [Requirement(entry) for entry in pip["pip"]]
    return (
        {match[1]: SpecifierSet(match[2]) for match in matches.values()},
        {canonicalize_name(r.name): r.specifier for r in requirements},
    )


def third_party_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).split(".")[0])
    return names - sys.stdlib_module_names - {"modspec", "tests", "conftest"}


def test_constraints_pin_every_stated_dependency_within_its_range() -> None:
    pins = pinned_versions()
    for name, requirement in stated_requirements().items():
        if BROUGHT_BY_TORCH.match(name):
            assert name not in pins
            continue
        assert name in pins, f"constraints.txt lacks {name}; run: make constraints"
        assert pins[name] in requirement.specifier, f"{name}=={pins[name]} breaks {requirement}"


def test_constraints_pin_what_the_dependencies_need_in_turn() -> None:
    """Walks installed metadata, as far as the installed versions are the pinned ones."""
    pins = pinned_versions()
    waiting = [(r, "") for r in stated_requirements().values()]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, parent = waiting.pop()
        name = canonicalize_name(requirement.name)
        if BROUGHT_BY_TORCH.match(name):
            continue
        assert name in pins, f"constraints.txt lacks {name}, needed by {parent}"
        assert pins[name] in requirement.specifier, f"{parent} needs {requirement}"
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if installed.version.partition("+")[0] != str(pins[name]):
            continue
        for extra in ["", *requirement.extras]:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for needed in map(Requirement, installed.requires or []):
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append((needed, name))
    assert len(seen) > 10, "too little is installed at the pinned versions to check anything"


def test_environment_states_the_same_ranges_as_pyproject() -> None:
    conda, pip = conda_environment()
    assert conda.pop("python") == SpecifierSet(pyproject()["project"]["requires-python"])
    assert conda.pop("pip") == SpecifierSet()
    requirements = stated_requirements().items()
    stated = {name: r.specifier for name, r in requirements if not BROUGHT_BY_TORCH.match(name)}
    assert {CONDA_TO_PYPI.get(name, name): s for name, s in conda.items()} | pip == stated
    assert not conda.keys() & pip.keys()


def test_environment_is_what_regeneration_gives(tmp_path: Path) -> None:
    pytest.importorskip("pyproject2conda")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = [sys.executable, "-m", "pyproject2conda", "project", "--overwrite", "force"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    regenerated = (tmp_path / "environment.yml").read_text(encoding="utf-8")
    committed = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert committed == regenerated, "environment.yml is stale; run: make environment"


@pytest.mark.parametrize("folder", ["modspec", "tests"])
def test_every_imported_package_is_a_stated_dependency(folder: str) -> None:
    stated = stated_requirements().keys()
    if folder == "modspec":  # a study must run without the test extra
        runtime = pyproject()["project"]["dependencies"]
        stated = {canonicalize_name(Requirement(text).name) for text in runtime}
    extra = pyproject()["project"]["optional-dependencies"]["benchmark"]
    compared = {canonicalize_name(Requirement(text).name) for text in extra} | {"trak"}  # of traker
    providers = packages_distributions()
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in third_party_imports(path):
            names = {canonicalize_name(name) for name in providers.get(module, [module])}
            if any(BROUGHT_BY_TORCH.match(name) for name in names):
                continue
            if path.name == "systems.py" and names & compared:
                continue
            assert names & stated, f"{path.name} imports {module}, which pyproject.toml lacks"


def test_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == modspec.__version__
    assert citation["license"] == pyproject()["project"]["license"]


@pytest.fixture
def make(tmp_path: Path):
    """Runs the project's Makefile on a copy of its files, with a Python of the test's choice."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ["Makefile", "pyproject.toml", "constraints.txt"]:
        shutil.copy(ROOT / name, tmp_path)
    inherited = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "VENV", "MAKELEVEL"}}

    def run(python: Path | str, target: str) -> subprocess.CompletedProcess[str]:
        command = ["make", f"PYTHON={python}", target]
        return subprocess.run(command, cwd=tmp_path, env=inherited, capture_output=True, text=True)

    return run


def test_make_refuses_an_unfit_python_in_one_line(make) -> None:
    result = make("false", "study")
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
    assert result.returncode != 0
    assert len(lines) == 1 and "PYTHON=false" in lines[0] and ">= 3.11" in lines[0]


def test_killed_installation_is_started_over_and_a_complete_one_kept(make, tmp_path: Path) -> None:
    """A stand-in for python: creates the "environment", and its pip dies on the first call."""
    python = tmp_path / "python"
    python.write_text(
        """#!/bin/sh
        echo "$@" >>calls.txt
        case "$*" in
            "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
            "-m pip install "*) test -e died.txt || { touch died.txt; kill -9 $$; } ;;
        esac
        """,
        encoding="utf-8",
    )
    python.chmod(0o755)
    stamp = tmp_path / ".venv" / "installed"

    assert make(python, "lint").returncode != 0
    assert not stamp.exists()
    assert make(python, "lint").returncode == 0
    assert stamp.exists()
    assert make(python, "lint").returncode == 0

    calls = (tmp_path / "calls.txt").read_text(encoding="utf-8").splitlines()
    assert calls.count("-m venv --clear .venv") == 2
    assert sum(call.startswith("-m pip install") for call in calls) == 2
    assert calls.count("-m ruff check") == 2
