"""Cipher: one half of a language under a fixed permutation of pieces, in doses.

A cipher leaves grammar, labels and lengths as they were and takes shared pieces away. The higher the dose,
the more the halves differ, so a measure of in-language influence should rise with it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from scipy.stats import kendalltau, page_trend_test

from modspec.analysis.intervals import interval
from modspec.analysis.permutation import label_permutation
from modspec.calibration.clones import (
    BOTH,
    MEASURES,
    SCORING,
    TESTS,
    clone_names,
    clones,
    evaluated,
    excess,
    half_weights,
)
from modspec.calibration.models import kept, trained
from modspec.data.examples import Examples
from modspec.data.vocabulary import to_trimmed
from modspec.errors import InputError
from modspec.influence import influence
from modspec.models.encoders import load_tokenizer
from modspec.models.prediction import predict
from modspec.stages.material import Material
from modspec.workflow.parameters import CalibrationParameters

PLAIN, CIPHERED = "plain", "ciphered"


def cipher_experiment(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return :func:`dose_response` over ``cipher_shares``, with two more columns.

    ``pieces``: share of the ciphered half's running text that is re-encoded. ``accuracy``: that of the model
    on the evaluation examples of the row.

    Args:
        material: the task, from :func:`modspec.calibration.models.load_sentences`. The pieces of other
            languages are what a cipher is made of.
        p: the parameters of notebook 00.
        directory: gets the artefact ``cipher`` and one per share and seed, see :func:`score_dose`.

    Raises:
        InputError: before any training, the vocabulary has too few pieces for the largest share.
    """
    mapping_of(material, p, max(p.cipher_shares), p.seeds[0])
    runs = {
        f"{share:g}-seed{seed}": score_dose(material, p, directory, share, seed)
        for share in p.cipher_shares
        for seed in p.seeds
    }

    def make(building: Path) -> None:
        doses, tables = zip(*map(_read_dose, runs.values()), strict=True)
        response = dose_response(doses, top_k=p.top_k, level=p.level, resamples=p.resamples, seed=p.seed)
        models = pd.concat(tables)
        means = models.groupby(["dose", "language"], as_index=False)[["pieces", "accuracy"]].mean()
        models = pd.concat([models, means.assign(seed="all")])
        response = response.merge(models, on=["seed", "dose", "language"], validate="many_to_one")
        response.to_parquet(building / "response.parquet", index=False)

    names = (*SCORING, *TESTS, "cipher_shares")
    target = kept(directory / "cipher", material, p, names, make, runs, experiment="cipher")
    return pd.read_parquet(target / "response.parquet")


def mapping_of(material: Material, p: CalibrationParameters, share: float, seed: int) -> np.ndarray:
    """Draw the :func:`cipher` of one model: int64 (vocabulary,)."""
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


def score_dose(
    material: Material, p: CalibrationParameters, directory: Path, share: float, seed: int
) -> Path:
    """Train one model on a plain and a ciphered half, and score it.

    Every seed has its own split of the training examples and its own cipher. The evaluation examples are
    split alike for all seeds.

    Returns:
        The artefact ``directory/cipher…-seed…``. Its files: ``scores.safetensors`` {cosine: float32 (train,
        evaluation)}; ``train.parquet`` (plain, label) and ``evaluation.parquet`` (plain, label, correct), in
        that order; ``dose.parquet`` (seed, dose, pieces).
    """

    def make(building: Path) -> None:
        mapping = mapping_of(material, p, share, seed)
        plain_name, ciphered_name = clone_names(p.language)
        train, evaluation = (
            encipher(clones(examples, p.language, np.random.default_rng(key)), ciphered_name, mapping)
            for examples, key in (
                (material.examples["train"], [p.seed, seed, 0]),
                (evaluated(material, p), [p.seed, 1]),
            )
        )
        model = trained(material, p, train, seed, progress=f"cipher {share:.0%}, seed {seed}")
        save_file({"cosine": influence(model, train, evaluation).cosine}, building / "scores.safetensors")
        for name, split in (("train", train), ("evaluation", evaluation)):
            table = pd.DataFrame({"plain": split.languages == plain_name, "label": split.labels})
            if split is evaluation:
                table["correct"] = predict(model, split, precision=material.precision) == split.labels
            table.to_parquet(building / f"{name}.parquet", index=False)
        pieces = np.concatenate(material.examples["train"].of(p.language).input_ids)
        dose = {"seed": [seed], "dose": [share], "pieces": [float((mapping[pieces] != pieces).mean())]}
        pd.DataFrame(dose).to_parquet(building / "dose.parquet", index=False)

    part = {"experiment": "cipher", "model_seed": str(seed), "cipher_share": f"{share:g}"}
    return kept(directory / f"cipher{share:g}-seed{seed}", material, p, SCORING, make, **part)


# Ciphers.


def cipher(
    splits: Iterable[Examples],
    language: str,
    share: float,
    *,
    vocabulary: int,
    special: Collection[int],
    seed: int | Sequence[int],
) -> np.ndarray:
    """Draw what every piece becomes, one to one on the language's pieces.

    With one seed, the types re-encoded at a smaller share are re-encoded alike at a larger one.

    Args:
        splits: all examples of the task.
        language: the language whose pieces are re-encoded.
        share: of the piece types that the language has in any of ``splits``, those that become pieces that it
            never has. All others stay.
        vocabulary: number of pieces.
        special: ids of the pieces that always stay.
        seed: of the draw.

    Returns:
        Int64 (vocabulary,): the new id of each piece.

    Raises:
        InputError: the share is outside 0 to 1, the language has no examples, or the vocabulary has too few
            pieces that the language never uses.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share: {share}; allowed: 0 to 1")
    used = [ids for split in splits for ids in split.of(language).input_ids]
    if not used:
        raise InputError(f"language: {language!r} has no examples; allowed: one that has")
    reserved = np.array(sorted(special), dtype=np.int64)
    own = np.setdiff1d(np.concatenate(used), reserved)
    foreign = np.setdiff1d(np.arange(vocabulary), np.concatenate([own, reserved]))
    count = round(share * len(own))
    if count > len(foreign):
        raise InputError(
            f"share: {share} of the {len(own)} pieces of {language!r} need {count} that it never uses; "
            f"allowed: what {len(foreign)} suffice for (more languages bring more)"
        )
    rng = np.random.default_rng(seed)
    mapping = np.arange(vocabulary)
    mapping[rng.permutation(own)[:count]] = rng.permutation(foreign)[:count]
    return mapping


def encipher(examples: Examples, language: str, mapping: np.ndarray) -> Examples:
    """Return the same examples with those of one language re-encoded by a :func:`cipher`."""
    pairs = zip(examples.input_ids, examples.languages == language, strict=True)
    return replace(examples, input_ids=tuple(mapping[ids] if ciphered else ids for ids, ciphered in pairs))


# Doses.


@dataclass(frozen=True)
class Dose:
    """One model trained on a plain and a ciphered half."""

    seed: int
    share: float  # of the piece types that are re-encoded
    scores: np.ndarray  # (train, evaluation)
    train_plain: np.ndarray  # bool (train,)
    evaluation_plain: np.ndarray  # bool (evaluation,)
    train_labels: np.ndarray  # (train,)
    evaluation_labels: np.ndarray  # (evaluation,)


def _read_dose(run: Path) -> tuple[Dose, pd.DataFrame]:
    """One model's scores, and its accuracy by half."""
    train, evaluation, dose = (
        pd.read_parquet(run / f"{name}.parquet") for name in ("train", "evaluation", "dose")
    )
    seed, share, pieces = dose.iloc[0][["seed", "dose", "pieces"]]
    arrays = (table[column].to_numpy() for column in ("plain", "label") for table in (train, evaluation))
    rows = [
        (str(int(seed)), share, language, pieces, evaluation["correct"][chosen].mean())
        for language, chosen in _by_half(evaluation["plain"].to_numpy()).items()
    ]
    models = pd.DataFrame(rows, columns=["seed", "dose", "language", "pieces", "accuracy"])
    return Dose(int(seed), share, load_file(run / "scores.safetensors")["cosine"], *arrays), models


def _by_half(plain: np.ndarray) -> dict[str, np.ndarray]:
    """The evaluation examples of each half and of both, bool (evaluation,)."""
    return {PLAIN: plain, CIPHERED: ~plain, BOTH: np.ones_like(plain)}


def dose_response(
    doses: Sequence[Dose], *, top_k: int, level: float, resamples: int, seed: int
) -> pd.DataFrame:
    """Return the in-language share and the AUCs at every dose, by seed and over all seeds.

    Args:
        doses: the models. Their evaluation examples must be the same, in the same order, for all seeds.
        top_k: number of proponents.
        level: 1 minus the confidence of the intervals.
        resamples: label permutations.
        seed: of the permutations.

    Returns:
        One row per dose, seed (or ``"all"``), measure and language (:data:`PLAIN`, :data:`CIPHERED` or
        :data:`BOTH` halves). ``value``, ``low``, ``high``: measure and interval, over seeds and evaluation
        examples. ``p``: of the test that the measure is above ``chance`` (labels of training examples
        permuted within seed and class). ``examples``: number of evaluation examples.
    """
    rows = []
    for share in sorted({dose.share for dose in doses}):
        of_share = [dose for dose in doses if dose.share == share]
        for name, models in [("all", of_share), *((str(dose.seed), [dose]) for dose in of_share)]:
            options = {"alternative": "greater", "resamples": resamples, "seed": seed}
            rows += [(name, share, *row) for row in _measured(models, top_k, level, options)]
    columns = "seed dose measure language value low high chance p examples"
    return pd.DataFrame(rows, columns=columns.split())


def _measured(doses: Sequence[Dose], top_k: int, level: float, options: dict) -> list[tuple]:
    """Measure to examples of :func:`dose_response`, of models with one share of re-encoded piece types."""
    plain = doses[0].evaluation_plain
    own = np.concatenate([dose.train_plain for dose in doses])
    strata = np.concatenate([np.char.add(f"{d.seed}/", d.train_labels.astype(str)) for d in doses])
    rows, weights = [], []
    for measure, kind in MEASURES.items():
        excesses = [
            excess(
                half_weights(dose.scores, kind, top_k, dose.train_labels, dose.evaluation_labels)[None],
                dose.train_plain,
                plain,
            )
            for dose in doses
        ]
        values = np.concatenate([values for values, _ in excesses])
        signed = np.concatenate([signed[0] for _, signed in excesses]) / len(doses)
        first = doses[0].train_plain.mean()
        chance = np.where(plain, first, 1 - first) if measure == "share" else np.full(len(plain), 0.5)
        for language, chosen in _by_half(plain).items():
            expected = chance[chosen].mean()
            chosen_values = values[:, chosen] + expected
            bounds = interval(chosen_values, confidence=1 - level)
            rows.append((measure, language, chosen_values.mean(), *bounds, expected, int(chosen.sum())))
            weights.append(signed[:, chosen].mean(axis=1))
    p = label_permutation(np.array(weights), own, strata, **options).p
    return [(*row[:-1], value, row[-1]) for row, value in zip(rows, p, strict=True)]


def trend(response: pd.DataFrame) -> pd.DataFrame:
    """Test whether the measures rise with the dose.

    Args:
        response: from :func:`dose_response`.

    Returns:
        One row per measure and language. ``p``: of Page's (1963) trend test, in which each seed is one
        ranking of the doses (examples of one seed share a model, so they are no further evidence). ``tau``:
        Kendall's, mean over seeds. Both are NaN with fewer than three doses or two seeds. ``seeds``,
        ``doses``: their numbers.
    """
    rows = []
    by_seed = response[response["seed"] != "all"]
    for keys, group in by_seed.groupby(["measure", "language"], sort=False):
        table = group.pivot(index="seed", columns="dose", values="value")
        p = tau = float("nan")
        if table.shape[0] > 1 and table.shape[1] > 2:
            p = page_trend_test(table.to_numpy(), method="auto").pvalue
            tau = float(np.mean([kendalltau(table.columns, row).statistic for row in table.to_numpy()]))
        rows.append((*keys, p, tau, *table.shape))
    return pd.DataFrame(rows, columns=["measure", "language", "p", "tau", "seeds", "doses"])
