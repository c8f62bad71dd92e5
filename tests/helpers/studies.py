"""Whole studies in seconds: the tiny encoder, few examples, all stages that notebooks 01 to 03 run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modspec.stages.finetuning import finetune_condition
from modspec.stages.material import Material, load_material
from modspec.stages.scoring import score_all
from modspec.stages.search import search_all
from modspec.workflow.parameters import STAGES, InfluenceParameters

TRAINING = {"batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.0}
EPOCHS = 2
LABELS = ("entailment", "neutral", "contradiction")


def run_study(
    shared: Mapping[str, Any],
    scored: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    training: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[tuple[Material, InfluenceParameters]]:
    """Run stages 1 to 3; yield the material and the parameters of stage 3 after each condition and seed.

    Args:
        shared: parameters of all stages, ``study_dir`` among them.
        scored: condition -> parameters of stage 3.
        seeds: of the study; each draws its own training examples.
        training: condition -> parameters of stage 2.
    """
    for seed in seeds:
        of_seed = {**shared, "seed": seed, "train_sample_seed": seed}
        search = STAGES["search"](**of_seed, **TRAINING, epochs=EPOCHS, threshold=0.5, importance_examples=12)
        material = load_material(search)
        search_all(material, search)
        for condition, kinds in scored.items():
            chosen = of_seed | {"condition": condition}
            trained = (training or {}).get(condition, {})
            finetune_condition(material, STAGES["finetuning"](**chosen, **TRAINING, epochs=EPOCHS, **trained))
            parameters = STAGES["influence"](**chosen, **kinds)
            score_all(material, parameters)
            yield material, parameters


def write_pairs(directory: Path, languages: Sequence[str], rows: Mapping[str, int]) -> Path:
    """Write files of sentence pairs in the columns of XNLI, line by line translations; return their place.

    Args:
        directory: to write; made here.
        languages: of the files.
        rows: split -> number of pairs per language, a multiple of three.
    """
    directory.mkdir()
    for split, count in rows.items():
        for language in languages:
            lines = [
                f"{language} {split} premise {i // 3} <b>\t"
                f"{language} {split} hypothesis {i}\t{LABELS[i % 3]}\n"
                for i in range(count)
            ]
            (directory / f"{split}.{language}.tsv").write_text("".join(lines), encoding="utf-8")
    return directory
