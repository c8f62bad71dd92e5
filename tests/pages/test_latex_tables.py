"""LaTeX tables have every row, caption and label, and no character that LaTeX refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from modspec.pages.latex_tables import setup, write_latex_tables
from tests.figures.test_captions import CONTENT, SCORED, TRAINED

TRAINING = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-5}
SEARCHED = TRAINING | {"threshold": 0.95, "step": 0.1}
SIZES = {"dev_per_language": 300, "test_per_language": 1245}
STAGES = {"search": SEARCHED, "finetuning": TRAINED | TRAINING | SIZES, "influence": SCORED}
STUDY = CONTENT | {"stages": {name: {"parameters": parameters} for name, parameters in STAGES.items()}}


@pytest.fixture
def written(tmp_path: Path) -> dict[str, str]:
    accuracy = pd.DataFrame(
        [("full", "none", "en", "test", 0.655, 0.33), ("sft", "none", "en", "test", 0.7, 0.33)],
        columns=["condition", "mask_kind", "language", "split", "accuracy", "majority"],
    )
    overlap = pd.DataFrame(
        [(0, "en", 1, "en", 0.5, 0.2), (0, "en", 1, "fr", 0.4, 0.2)],
        columns=["seed_a", "language_a", "seed_b", "language_b", "jaccard", "chance"],
    )
    numbers = {"value": -0.012, "low": -0.02, "high": -0.001, "p": 0.01, "minimum_detectable": 0.01}
    named = {"study": "my_study", "question": "Q1", "contrast": "full, no mask − chance", "confounds": ""}
    rest = {"primary": True, "accuracy_difference": float("nan"), "verdict": "contradicted"}
    tables = {
        "accuracy": accuracy,
        "mask_overlap": overlap,
        "questions": pd.DataFrame([named | numbers | rest]),
    }
    return {file.stem: file.read_text() for file in write_latex_tables(tmp_path, tables, STUDY)}


def test_every_table_has_caption_and_label(written: dict[str, str]) -> None:
    assert set(written) == {f"table_{name}" for name in ("findings", "setup", "accuracy", "overlap")}
    for name, text in written.items():
        assert r"\begin{tabular}" in text and r"\bottomrule" in text
        assert (
            r"Study my\_study." in text and f"\\label{{tab:my-study-{name.removeprefix('table_')}}}" in text
        )
        assert "−" not in text


def test_tables_show_what_the_study_shows(written: dict[str, str]) -> None:
    assert "$-$1.2 [$-$2.0, $-$0.1], contradicted" in written["table_findings"]
    assert "full fine-tuning & 65.5 & 65.5" in written["table_accuracy"]
    assert "same language, other seed & 0.5 & 0.5 & 0.5" in written["table_overlap"]


def test_the_setup_names_all_that_decides_a_study() -> None:
    facts = setup(STUDY)["setting"]
    assert facts["test examples per language"] == "1,245"
    assert facts["search: epochs, batch size, learning rate"] == "2, 16, 5e-05"
    assert facts["scored training examples per language"] == "500" and facts["seeds"] == "0 1 2"
