"""A stage is stale exactly when code that decides its results has changed: tested both ways, file by file."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modspec.workflow import fingerprints

PACKAGE = Path(fingerprints.__file__).parents[1]
TRAINING = {"start", "search", "finetuning", "leave_one_out"}
COMPUTED = TRAINING | {"scores"}
# Files whose code decides results -> the artefacts that a change makes stale.
DECISIVE = {
    **{f"influence/{file.name}": {"scores"} for file in (PACKAGE / "influence").glob("[a-z]*.py")},
    **{f"data/{file.name}": COMPUTED for file in (PACKAGE / "data").glob("[a-z]*.py")},
    "models/encoders.py": COMPUTED,
    "models/e5_small.py": COMPUTED,
    "models/tiny.py": COMPUTED,
    "models/head_masking.py": COMPUTED,
    "models/architectures/registry.py": COMPUTED,
    "models/device_and_precision.py": COMPUTED,
    "models/finetuning.py": TRAINING,
    "subnetworks/head_importance.py": {"search"},
    "subnetworks/search.py": {"search"},
    "models/prediction.py": {"search", "finetuning", "scores", "leave_one_out"},
    "subnetworks/condition_masks.py": {"finetuning", "scores", "leave_one_out"},
    "stages/warm_start.py": TRAINING,
    "stages/search.py": {"search"},
    "stages/finetuning.py": {"finetuning", "leave_one_out"},
    "stages/leave_one_out.py": {"leave_one_out"},
    "stages/scoring_plan.py": {"scores"},
    "stages/control_masks.py": {"scores"},
    "stages/over_training.py": {"scores", "influence"},
    "subnetworks/accuracy_matching.py": {"scores"},
    "analysis/measurements.py": {"influence"},
    "analysis/translations.py": {"influence"},
    "analysis/strongest_examples.py": {"influence"},
    "analysis/scores.py": {"scores", "influence"},
}
DISPLAY = [f"figures/{file.name}" for file in (PACKAGE / "figures").glob("[a-z]*.py")]
DISPLAY += [f"benchmark/{file.name}" for file in (PACKAGE / "benchmark").glob("[a-z]*.py")]
DISPLAY += ["models/encoder_checks.py"]
DISPLAY += [f"workflow/{file.name}" for file in (PACKAGE / "workflow").glob("[a-z]*.py")]
DISPLAY += [
    f"analysis/{name}.py"
    for name in (
        "questions",
        "question_texts",
        "robustness",
        "leave_one_out",
        "damage",
        "study_tables",
        "language_specificity",
        "side_by_side",
        "by_part",
        "typology",
        "fitting_unit",
    )
]
STAGES = ("start", "search", "finetuning", "scores", "influence", "leave_one_out")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, whose files a test may edit and puts back."""
    copy = tmp_path_factory.mktemp("copy") / "modspec"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def stale_after(package: Path) -> Iterator[Callable[..., set[str]]]:
    """The stages whose fingerprint differs after an edit of some files: ``stale_after(edit, *names)``."""

    def now() -> dict[str, str]:
        for cached in (fingerprints.code_fingerprint, fingerprints._decisive, fingerprints._module):
            cached.cache_clear()
        return {stage: fingerprints.code_fingerprint(stage) for stage in STAGES}

    def stale(edit: Callable[[str], str], *names: str) -> set[str]:
        texts = {package / name: (package / name).read_text(encoding="utf-8") for name in names}
        try:
            for file, text in texts.items():
                file.write_text(edit(text), encoding="utf-8")
            after = now()
        finally:
            for file, text in texts.items():
                file.write_text(text, encoding="utf-8")
        return {stage for stage in STAGES if after[stage] != before[stage]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "PACKAGE", package)
        before = now()
        yield stale
    now()


class _Edited(ast.NodeTransformer):
    """Adds a statement to every function."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body.append(ast.parse("edited = 1").body[0])
        return self.generic_visit(node)


def edited(text: str) -> str:
    return ast.unparse(ast.fix_missing_locations(_Edited().visit(ast.parse(text))))


@pytest.mark.parametrize("name", DECISIVE)
def test_an_edit_of_decisive_code_makes_its_stages_stale(name, stale_after) -> None:
    assert stale_after(edited, name) == DECISIVE[name]


def test_an_edit_of_any_display_makes_no_stage_stale(stale_after) -> None:
    assert stale_after(edited, *DISPLAY) == set()


def test_displays_that_share_a_module_with_decisive_code_make_no_stage_stale(stale_after) -> None:
    for name, function in (
        ("stages/scoring.py", "strongest_proponents"),
        ("stages/material.py", "describe"),
        ("stages/material.py", "texts"),
        ("analysis/strongest_examples.py", "with_texts"),
        ("analysis/strongest_examples.py", "read_strongest_examples"),
    ):
        assert f"def {function}(" in (PACKAGE / name).read_text(encoding="utf-8")

        def edit(text: str, function: str = function) -> str:
            tree = ast.parse(text)
            (node,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
            node.body.append(ast.parse("edited = 1").body[0])
            return ast.unparse(ast.fix_missing_locations(tree))

        assert stale_after(edit, name) == set()


def test_what_only_a_person_reads_makes_no_stage_stale(stale_after) -> None:
    """Comments, docstrings, imports, annotations and messages; but a constant does."""

    def edit(text: str) -> str:
        text = text.replace("import numpy as np", "import numpy as np\nimport math  # why", 1)
        text = text.replace('"""', '"""Otherwise. ', 1).replace(
            "count: int) -> np.ndarray", "count) -> object"
        )
        return text.replace('f"importance is not finite', 'f"an importance is unbounded')

    name = "subnetworks/search.py"
    assert edit((PACKAGE / name).read_text(encoding="utf-8")).count("unbounded") == 1
    assert stale_after(edit, name) == set()
    assert stale_after(lambda text: text.replace("= 1000", "= 1001"), "stages/control_masks.py") == {"scores"}
