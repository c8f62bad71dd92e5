"""Tables of a study for papers, in LaTeX (booktabs), each with caption and label."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from modspec.analysis import question_texts, study_tables
from modspec.output.files import write_whole
from modspec.terms import LABELS


def write_latex_tables(
    figures: Path, tables: Mapping[str, pd.DataFrame], content: Mapping[str, Any]
) -> list[Path]:
    """Write ``table_findings.tex``, ``table_setup.tex``, ``table_accuracy.tex``, ``table_overlap.tex``.

    Args:
        figures: directory of the study's figures.
        tables: :func:`modspec.analysis.study_tables.tables`.
        content: :func:`modspec.analysis.study_tables.study_content`.

    Returns:
        The files that were written.
    """
    summary = study_tables.accuracy_summary(tables["accuracy"]).rename(index=LABELS["condition"])
    overlap = study_tables.overlap_summary(tables["mask_overlap"])["jaccard"]
    written = {
        "findings": (question_texts.by_study(tables["questions"]), "Contrasts of the analysis plan."),
        "setup": (setup(content), "Set-up."),
        "accuracy": ((100 * summary).round(1).astype(str), "Test accuracy without mask, in per cent."),
        "overlap": (overlap.round(2).astype(str), "Jaccard overlap of subnetworks, by pairs."),
    }
    files = []
    for name, (table, caption) in written.items():
        label = f"tab:{content['study']}-{name}".replace("_", "-")
        options = {
            "escape": True,
            "caption": f"{caption} Study {_escaped(content['study'])}.",
            "label": label,
        }
        text = table.rename_axis(index=None, columns=None).to_latex(**options).replace("−", "$-$")
        files.append(figures / f"table_{name}.tex")
        write_whole(files[-1], text)
    return files


def setup(content: Mapping[str, Any]) -> pd.DataFrame:
    """Return what a study was run with: one row per fact, as text.

    Args:
        content: :func:`modspec.analysis.study_tables.study_content`.
    """
    stages, seeds = content["stages"], content["parameters"]["seeds"]
    searched, trained, scored = (stages[s]["parameters"] for s in ("search", "finetuning", "influence"))
    train = trained["train_per_language"]
    facts = {
        "task": trained["task"],
        "languages": " ".join(trained["languages"]),
        "encoder": trained["encoder"],
        "seeds": " ".join(map(str, seeds)),
        "training examples per language": f"{train:,}",
        "dev examples per language": f"{trained['dev_per_language']:,}",
        "test examples per language": f"{trained['test_per_language']:,}",
        "search: epochs, batch size, learning rate": _training(searched),
        "search: threshold, step": f"{searched['threshold']:g}, {searched['step']:g}",
        "fine-tuning: epochs, batch size, learning rate": _training(trained),
        "scored training examples per language": f"{scored['scored_per_language'] or train:,}",
        "attributed test examples per language": f"{scored['evaluation_per_language']:,}",
        "number k of proponents": f"{scored['top_k']:,}",
    }
    return pd.DataFrame({"setting": facts})


def _training(parameters: Mapping[str, Any]) -> str:
    return f"{parameters['epochs']}, {parameters['batch_size']}, {parameters['learning_rate']:g}"


def _escaped(name: str) -> str:
    return name.replace("_", r"\_")
