"""Every notebook run in JupyterLab by a person: opened, "Run All Cells", looked at, saved. A tiny study."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from modspec.workflow.presets import resolve
from tests.helpers.jupyterlab import OPTIONS, jupyterlab, open_notebook, run_all, save_and_close
from tests.notebooks.conftest import ROOT, copy_project, environment, git

pytestmark = [pytest.mark.slow, pytest.mark.browser]

# In the order that a person runs them in; each reads what those before it wrote.
STAGES = {
    "01_subnetwork_search": "search",
    "02_finetuning": "finetuning",
    "03_influence_scoring": "influence",
    "04_figures": "figures",
    "07_exploration": "exploration",
    "06_leave_one_out": "leave_one_out",
    "00_calibration": "calibration",
}
COMPUTE = {name for name, stage in STAGES.items() if stage not in ("figures", "exploration")}
CALIBRATION = {
    "seeds": [0, 1],  # fewer are refused, as are fewer sentences
    "languages": ["en", "ru", "zh-CN"],  # ciphers are made of the other languages' word pieces
    "sentences": 100,
    "train_per_language": 40,
    "epochs": 1,
    "step": 0.4,
    "evaluation_per_language": 8,
    "clone_splits": 1,
    "cipher_shares": [0.0, 0.5],
    "resamples": 100,
    "planted_seeds": [0, 1],
    "planted_epochs": 1,
    "planted_attempts": 1,
    "judged_train": 40,
    "judged_per_language": 4,
    "subsets": 4,
    "simulated_studies": ["reviews-v1"],
    "simulated_seeds": [3],
    "simulated_test_items": 40,
    "simulations": 100,
}
SCORED = {"mask_kinds": ["none", "own", "pooled_others"], "random_draws": 1, "over_training": False}
PUBLISHED = {"studies": ["reviews-v1"], "pooled": ["reviews-v1"], "figures_dir": "figures"}


def edit_parameters(notebook: Path, values: Mapping[str, object]) -> None:
    """Write values into the parameters cell, as a person would before running the notebook."""
    content = nbformat.read(notebook, as_version=4)
    (cell,) = (cell for cell in content.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    nbformat.write(content, notebook)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing was run, with tiny parameters in its notebooks, and one published study."""
    project = copy_project(tmp_path_factory.mktemp("lab") / "project")
    shutil.copytree(ROOT / "figures" / "reviews-v1", project / "figures" / "reviews-v1")
    preset = project / "notebooks" / "presets" / "test.yaml"
    small = {"calibration": CALIBRATION, "influence_by_condition": {"full": SCORED}}
    plan = resolve({"preset": str(preset), "seeds": [0], "conditions": ["full"], **small})
    for name, stage in STAGES.items():
        edit_parameters(
            project / "notebooks" / f"{name}.ipynb", plan.parameters(stage).model_dump(mode="json")
        )
    edit_parameters(project / "notebooks" / "05_results.ipynb", PUBLISHED)
    return project


@pytest.fixture(scope="module")
def lab(project: Path, chromium: Browser) -> Iterator[Page]:
    """JupyterLab as ``make lab`` starts it, in this environment, which is not installed anew."""
    command = ["make", f"--assume-old={sys.prefix}/installed", "lab", f"VENV={sys.prefix}"]
    command += [f"ARGUMENTS={' '.join(OPTIONS)}"]
    with jupyterlab(command, project, environment(project), project.parent / "jupyter", chromium) as page:
        yield page


def check_saved(notebook: Path) -> None:
    """Every cell was run once, from the first to the last, and there are tables and figures."""
    code = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    kinds = {kind for cell in code for output in cell.outputs for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds


@pytest.mark.parametrize("name", [*STAGES, "05_results"])
def test_a_notebook_runs_and_shows_its_results(lab: Page, project: Path, name: str) -> None:
    file = f"{name}.ipynb"
    notebook = open_notebook(lab, file)
    run_all(lab, notebook, shows_progress=name in COMPUTE)
    save_and_close(lab, notebook)
    check_saved(project / "notebooks" / file)


def test_results_are_in_the_project_and_beside_notebooks_is_nothing_new(lab: Page, project: Path) -> None:
    made = {folder.name for folder in (project / "runs" / "test").iterdir()}
    assert made >= {"search", "finetuning", "influence", "figures", "leave_one_out", "calibration"}
    changed = git(project, "status", "--porcelain", "notebooks").splitlines()
    assert changed == [f" M notebooks/{name}.ipynb" for name in sorted([*STAGES, "05_results"])]


def test_the_same_in_a_jupyterlab_that_was_started_elsewhere(project: Path, chromium: Browser) -> None:
    """In the folder above, and without make, which sets variables of the environment."""
    above, file = project.parent, "01_subnetwork_search.ipynb"
    notebook = project / "notebooks" / file
    git(project, "checkout", str(notebook))
    source = resolve({"preset": str(project / "notebooks/presets/test.yaml")}).parameters("search", seed=1)
    edit_parameters(notebook, source.model_dump(mode="json"))
    command = [sys.executable, "-m", "jupyterlab", *OPTIONS]
    with jupyterlab(command, above, environment(project), above / "elsewhere", chromium) as page:
        panel = open_notebook(page, "project", "notebooks", file)
        run_all(page, panel, shows_progress=True)
        save_and_close(page, panel)
    check_saved(notebook)
    assert (project / "runs" / "test" / "search" / "seed1" / "manifest.json").exists()
    assert not (above / "runs").exists()
