"""Notebook 0's experiments on the real encoder: clones of a language, and a language under a cipher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from modspec.calibration.clones import (
    BOTH,
    CIPHERED,
    PLAIN,
    Dose,
    cipher,
    clone_names,
    clone_tests,
    clones,
    dose_response,
    encipher,
)
from modspec.calibration.models import origin_of, trained
from modspec.data.examples import Examples
from modspec.data.vocabulary import to_trimmed
from modspec.influence import influence
from modspec.models.encoders import load_tokenizer
from modspec.models.finetuning import predict
from modspec.stages.material import Material, load_material
from modspec.stages.resuming import resumable
from modspec.subnetworks.head_importance import head_gradients
from modspec.subnetworks.masks import save_masks
from modspec.subnetworks.search import search
from modspec.workflow.parameters import CalibrationParameters
from modspec.workflow.paths import path

# What decides models and scores, beside data, encoder and seeds.
TRAINING = ("language", "epochs", "batch_size", "learning_rate", "weight_decay", "evaluation_per_language")
SEARCH = ("threshold", "step")
TESTS = ("seeds", "top_k", "level", "resamples")


def calibration_dir(p: CalibrationParameters) -> Path:
    """Where the experiments are kept."""
    return path(p.study_dir) / "calibration"


def load_sentences(p: CalibrationParameters) -> Material:
    """The task with ``sentences`` training examples a language.

    Only those of ``language`` are trained on; the others' pieces are what a cipher is made of.
    """
    return load_material(p.model_copy(update={"train_per_language": p.sentences}))


def evaluated(material: Material) -> Examples:
    """The test examples of ``language`` that are scored."""
    p = material.parameters
    return material.examples["test"].of(p.language).take(range(p.evaluation_per_language))


# Clones.


def clone_experiment(material: Material, directory: Path) -> pd.DataFrame:
    """:func:`modspec.calibration.clones.clone_tests` of splits 0 to ``clone_splits`` of ``language``.

    The models are trained without knowing of any split, so one a seed serves all. The two masks are
    searched on the halves of split 0; in all other splits they have nothing to do with the halves.
    """
    p = material.parameters
    runs = {f"seed{seed}": score_clone(material, directory, seed) for seed in p.seeds}
    origin = origin_of(material, (*TRAINING, *SEARCH, *TESTS, "clone_splits"), runs, experiment="clone")

    def make(building: Path) -> None:
        found = [load_file(run / "scores.safetensors") for run in runs.values()]
        tests = clone_tests(
            {name: np.stack([scores[name] for scores in found]) for name in found[0]},
            material.examples["train"].of(p.language).labels,
            evaluated(material).labels,
            range(p.clone_splits + 1),
            top_k=p.top_k,
            level=p.level,
            resamples=p.resamples,
            seed=p.seed,
        )
        tests.to_parquet(building / "tests.parquet", index=False)

    return pd.read_parquet(resumable(directory / "clone", origin, make) / "tests.parquet")


def score_clone(material: Material, directory: Path, seed: int) -> Path:
    """One seed's model, masks and scores; returns the artefact's directory.

    Files: ``scores.safetensors`` {none, a, b}: cosine, float32 (train, evaluation), without mask and under
    the masks of split 0's halves; ``masks.safetensors`` {a, b}.
    """
    p = material.parameters

    def make(building: Path) -> None:
        train, tested = material.examples["train"].of(p.language), evaluated(material)
        half_train, half_dev = (
            # Halves of split 0 as clone_tests has them, and of the dev examples, which it does without.
            clones(material.examples[split], p.language, np.random.default_rng([p.seed, 0, part]))
            for split, part in (("train", 0), ("dev", 2))
        )
        masks = {
            half: _find_mask(material, half_train.of(name), half_dev.of(name), seed, f"{half}, seed {seed}")
            for half, name in zip("ab", clone_names(p.language), strict=True)
        }
        model, _ = trained(material, train, seed, progress=f"clones, seed {seed}")
        scores = {
            name: influence(model, train, tested, train_mask=mask, evaluation_mask=mask).cosine
            for name, mask in {"none": None, **masks}.items()
        }
        save_masks(building / "masks.safetensors", masks)
        save_file(scores, building / "scores.safetensors")

    origin = origin_of(material, (*TRAINING, *SEARCH), {}, experiment="clone", model_seed=str(seed))
    return resumable(directory / f"clone-seed{seed}", origin, make)


def _find_mask(material: Material, train: Examples, dev: Examples, seed: int, progress: str) -> np.ndarray:
    """The subnetwork of one half, searched as stage 1 searches a language's: bool (layers, heads)."""
    p = material.parameters
    model, _ = trained(material, train, seed, progress=f"half {progress}")
    return search(
        lambda mask: head_gradients(model, train, mask, precision=material.precision),
        lambda mask: float((predict(model, dev, mask, precision=material.precision) == dev.labels).mean()),
        (model.config.num_hidden_layers, model.config.num_attention_heads),
        threshold=p.threshold,
        step=p.step,
    ).mask


# Cipher.


def cipher_experiment(material: Material, directory: Path) -> pd.DataFrame:
    """:func:`modspec.calibration.clones.dose_response` over ``cipher_shares``, and two more columns:
    ``pieces``, the share of the ciphered half's pieces in running text that are re-encoded, and the model's
    ``accuracy`` on the evaluation examples of the row.

    Raises InputError, before any training, where the vocabulary has too few pieces for the largest share.
    """
    p = material.parameters
    mapping_of(material, max(p.cipher_shares), p.seeds[0])
    runs = {
        f"{share:g}-seed{seed}": score_dose(material, directory, share, seed)
        for share in p.cipher_shares
        for seed in p.seeds
    }
    origin = origin_of(material, (*TRAINING, *TESTS, "cipher_shares"), runs, experiment="cipher")

    def make(building: Path) -> None:
        found = [_read_dose(run) for run in runs.values()]
        response = dose_response(
            [dose for dose, _ in found], top_k=p.top_k, level=p.level, resamples=p.resamples, seed=p.seed
        )
        models = pd.concat([table for _, table in found])
        every = models.groupby(["dose", "language"], as_index=False)[["pieces", "accuracy"]].mean()
        models = pd.concat([models, every.assign(seed="all")])
        response.merge(models, on=["seed", "dose", "language"], validate="many_to_one").to_parquet(
            building / "response.parquet", index=False
        )

    return pd.read_parquet(resumable(directory / "cipher", origin, make) / "response.parquet")


def mapping_of(material: Material, share: float, seed: int) -> np.ndarray:
    """The cipher of one model: see :func:`modspec.calibration.clones.cipher`."""
    p = material.parameters
    tokenizer = load_tokenizer(p.encoder)
    special = sorted({*tokenizer.all_special_ids, *range(tokenizer.pad_token_id + 1)})
    return cipher(
        material.examples.values(),
        p.language,
        share,
        vocabulary=len(material.kept_pieces),
        special=to_trimmed(special, material.kept_pieces),
        seed=[p.seed, seed],
    )


def score_dose(material: Material, directory: Path, share: float, seed: int) -> Path:
    """One model of a plain and a ciphered half, and its scores; returns the artefact's directory.

    Every seed has a split of the training examples and a cipher of its own; the evaluation examples are
    split alike for all. Files: ``scores.safetensors`` {cosine: float32 (train, evaluation)};
    ``train.parquet`` (plain, label) and ``evaluation.parquet`` (plain, label, correct), in that order;
    ``dose.parquet`` (seed, dose, pieces).
    """
    p = material.parameters

    def make(building: Path) -> None:
        mapping = mapping_of(material, share, seed)
        plain_name, ciphered_name = clone_names(p.language)
        train, tested = (
            encipher(clones(examples, p.language, np.random.default_rng(key)), ciphered_name, mapping)
            for examples, key in (
                (material.examples["train"], [p.seed, seed, 0]),
                (evaluated(material), [p.seed, 1]),
            )
        )
        model, _ = trained(material, train, seed, progress=f"cipher {share:.0%}, seed {seed}")
        save_file({"cosine": influence(model, train, tested).cosine}, building / "scores.safetensors")
        tables = {
            "train": {"plain": train.languages == plain_name, "label": train.labels},
            "evaluation": {
                "plain": tested.languages == plain_name,
                "label": tested.labels,
                "correct": predict(model, tested, precision=material.precision) == tested.labels,
            },
            "dose": {
                "seed": [seed],
                "dose": [share],
                "pieces": [_re_encoded(material.examples["train"].of(p.language), mapping)],
            },
        }
        for name, table in tables.items():
            pd.DataFrame(table).to_parquet(building / f"{name}.parquet", index=False)

    origin = origin_of(
        material, TRAINING, {}, experiment="cipher", model_seed=str(seed), cipher_share=f"{share:g}"
    )
    return resumable(directory / f"cipher{share:g}-seed{seed}", origin, make)


def _re_encoded(examples: Examples, mapping: np.ndarray) -> float:
    """Share of running pieces, special ones included, that a cipher changes."""
    pieces = np.concatenate(examples.input_ids)
    return float((mapping[pieces] != pieces).mean())


def _read_dose(run: Path) -> tuple[Dose, pd.DataFrame]:
    """One model's scores, and its accuracy by half."""
    train, tested, dose = (pd.read_parquet(run / f"{n}.parquet") for n in ("train", "evaluation", "dose"))
    seed, share, pieces = dose.iloc[0][["seed", "dose", "pieces"]]
    plain, correct = tested["plain"].to_numpy(), tested["correct"]
    scores = load_file(run / "scores.safetensors")["cosine"]
    accuracy = {PLAIN: correct[plain].mean(), CIPHERED: correct[~plain].mean(), BOTH: correct.mean()}
    rows = [(str(int(seed)), share, language, pieces, value) for language, value in accuracy.items()]
    return (
        Dose(
            int(seed),
            share,
            scores,
            train["plain"].to_numpy(),
            plain,
            train["label"].to_numpy(),
            tested["label"].to_numpy(),
        ),
        pd.DataFrame(rows, columns=["seed", "dose", "language", "pieces", "accuracy"]),
    )
