"""A caption says what its figure shows, and of what data; every published figure has one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from modspec.figures import captions
from modspec.figures.save import FIGURES
from modspec.terms import POOLED
from modspec.workflow.parameters import CalibrationParameters

ROOT = Path(__file__).parents[2]
TRAINED = {"task": "xnli", "encoder": "e5-small", "languages": ["en", "fr"], "train_per_language": 2000}
TRAINED |= {"dev_per_language": 300, "test_per_language": 1245}
SCORED = {"scored_per_language": 500, "evaluation_per_language": 40, "top_k": 100}
CONTENT = {
    "study": "my_study",
    "parameters": {"seeds": [0, 1, 2], "conditions": ["full", "sft"], "confidence": 0.95},
    "stages": {"finetuning": {"parameters": TRAINED}, "influence": {"parameters": SCORED}},
}
ANSWERS = pd.DataFrame({"study": ["xnli", "reviews", POOLED], "seeds": [3, 3, 3]})
MACHINE = {"processor": "AMD EPYC", "instructions": "AVX512", "threads": 1}
ALL = {
    **captions.of_study(CONTENT),
    **captions.of_calibration(CalibrationParameters().model_dump()),
    **captions.of_benchmark("Task intents", MACHINE),
}


def test_a_caption_names_the_study_and_its_size() -> None:
    assert captions.of_study(CONTENT)["questions"] == (
        "Contrasts of the analysis plan by question; questions that were not run are left out. Bold: primary "
        "contrasts; grey bands: equivalence margins, where the question has one. "
        "95 % intervals over seeds and test items. Study my_study: task xnli, encoder e5-small, "
        "languages en, fr; full fine-tuning, SFT; 3 seeds; accuracy on 1,245 test examples per language; "
        "influence of 500 training examples per language on 40 test examples per language; k = 100."
    )
    all_scored = SCORED | {"scored_per_language": None}
    stages = CONTENT["stages"] | {"influence": {"parameters": all_scored}}
    one_seed = CONTENT["parameters"] | {"seeds": [4]}
    texts = captions.of_study(CONTENT | {"stages": stages, "parameters": one_seed})
    assert "influence of 2,000 training examples" in texts["share_by_k"]
    assert texts["accuracy"].endswith("1 seed; accuracy on 1,245 test examples per language.")
    assert texts["head_masks"].endswith("1 seed; dev accuracy on 300 examples per language.")
    assert "interval" not in texts["accuracy"]


def test_a_caption_of_several_studies_names_them_and_those_pooled() -> None:
    end = " Studies xnli, reviews; pooled: mean of xnli and reviews; 3 seeds per study."
    assert captions.of_studies(ANSWERS, ["xnli", "reviews"])["questions"].endswith(end)
    alone = captions.of_studies(ANSWERS[ANSWERS["study"] == "xnli"], ["xnli", "reviews"])
    assert alone["questions"].endswith(" Studies xnli; 3 seeds per study.")


def test_captions_of_calibration_and_benchmark_name_data_and_machine() -> None:
    p = CalibrationParameters(language="de", cipher_shares=(0.0, 1.0), seeds=(5,), level=0.1)
    texts = captions.of_calibration(p.model_dump())
    assert "language de; 220 training and 30 test examples; seeds: 5; k = 10." in texts["dose_response"]
    assert "90 % intervals" in texts["dose_response"] and "claim, 0.1." in texts["false_positive_rates"]
    assert "studies xnli-v1, reviews-v1" in texts["verdict_rates"]
    assert "AMD EPYC (AVX512), 1 thread;" in ALL["influence_scaling"]


@pytest.mark.parametrize("name", ALL)
def test_every_caption_is_of_a_figure_and_has_nothing_left_to_fill(name: str) -> None:
    assert name in FIGURES and "{" not in ALL[name]


def test_captions_stand_beside_figures_in_markdown_and_latex(tmp_path: Path) -> None:
    for name in ("head_masks", "questions", "unknown"):
        (tmp_path / f"{name}.csv").touch()
    texts = captions.of_study(CONTENT)
    written = captions.write_captions(tmp_path, "my_study", texts)
    found = {file.name: file.read_text(encoding="utf-8") for file in written}
    ends = (".caption.md", ".caption.tex")
    assert set(found) == {f"{name}{end}" for name in ("head_masks", "questions") for end in ends}
    assert found["questions.caption.md"] == texts["questions"] + "\n"
    latex = found["questions.caption.tex"]
    assert latex.startswith(r"\caption{Contrasts") and r"95 \% intervals" in latex and r"my\_study" in latex
    assert latex.endswith("}\n\\label{fig:my-study-questions}\n")
    assert r"layers $\times$ heads" in found["head_masks.caption.tex"]


def test_every_published_figure_has_a_caption() -> None:
    drawn = {file for name in FIGURES for file in (ROOT / "figures").rglob(f"{name}.png")}
    assert len(drawn) > 50
    assert not [
        file for file in drawn for end in (".md", ".tex") if not file.with_suffix(f".caption{end}").exists()
    ]
