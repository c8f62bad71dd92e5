"""A caption says what its figure shows, and names the study."""

from __future__ import annotations

from pathlib import Path

import pytest

from modspec.figures.save import FIGURES
from modspec.pages.captions import SUBJECTS, caption, write_captions

TRAINED = {"task": "xnli", "encoder": "e5-small", "languages": ["en", "fr"], "train_per_language": 2000}
SCORED = {"scored_per_language": 500, "evaluation_per_language": 40, "top_k": 100}
CONTENT = {
    "study": "my_study",
    "parameters": {"seeds": [0, 1, 2], "conditions": ["full", "sft"], "confidence": 0.95},
    "stages": {"finetuning": {"parameters": TRAINED}, "influence": {"parameters": SCORED}},
}


def test_a_caption_names_the_study_and_its_size() -> None:
    assert caption("questions", CONTENT) == (
        "Contrasts of the analysis plan by question. Bold: primary contrasts; grey bands: equivalence "
        "margins. 95 % intervals over seeds and test items. Study my_study: task xnli, encoder e5-small, "
        "languages en, fr; full fine-tuning, SFT; 3 seeds; 40 test and 500 training examples per language; "
        "k = 100."
    )
    all_scored = SCORED | {"scored_per_language": None}
    stages = CONTENT["stages"] | {"influence": {"parameters": all_scored}}
    one_seed = CONTENT["parameters"] | {"seeds": [4]}
    text = caption("accuracy", CONTENT | {"stages": stages, "parameters": one_seed})
    assert "1 seed; 40 test and 2,000 training examples" in text and "interval" not in text


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_caption_is_of_a_figure_and_has_nothing_left_to_fill(name: str) -> None:
    assert name in FIGURES and "{" not in caption(name, CONTENT)


def test_captions_stand_beside_figures_in_markdown_and_latex(tmp_path: Path) -> None:
    for name in ("head_masks", "questions", "unknown"):
        (tmp_path / f"{name}.csv").touch()
    written = {file.name: file.read_text(encoding="utf-8") for file in write_captions(tmp_path, CONTENT)}
    ends = (".caption.md", ".caption.tex")
    assert set(written) == {f"{name}{end}" for name in ("head_masks", "questions") for end in ends}
    assert written["questions.caption.md"] == caption("questions", CONTENT) + "\n"
    latex = written["questions.caption.tex"]
    assert latex.startswith(r"\caption{Contrasts") and r"95 \% intervals" in latex and r"my\_study" in latex
    assert latex.endswith("}\n\\label{fig:my-study-questions}\n")
    assert r"layers $\times$ heads" in written["head_masks.caption.tex"]
