"""Cipher: one half of a language under a fixed permutation of pieces, in doses.

A cipher leaves grammar, labels and lengths as they were and takes shared pieces away. The higher the dose,
the more the halves differ, so a measure of in-language influence should rise with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, page_trend_test

from modspec.analysis.intervals import interval
from modspec.analysis.permutation import label_permutation
from modspec.analysis.shares import Measure
from modspec.calibration.clones import BOTH, HALVES, MEASURES, SCORING, TESTS, clones, excess, half_weights
from modspec.calibration.models import Content, evaluated, kept, trained
from modspec.data.examples import Examples
from modspec.data.vocabulary import to_trimmed
from modspec.errors import InputError
from modspec.influence import influence
from modspec.models.encoders import load_tokenizer
from modspec.models.prediction import predict
from modspec.stages.material import Material
from modspec.workflow.parameters import CalibrationParameters

PLAIN, CIPHERED = "plain", "ciphered"


@dataclass(frozen=True)
class Dose:
    """One model trained on a plain and a ciphered half."""

    seed: int
    share: float  # of the piece types that are re-encoded
    scores: np.ndarray  # (train, evaluation)
    train: pd.DataFrame  # one row per training example: plain, label
    evaluation: pd.DataFrame  # one row per evaluation example: plain, label, correct
    pieces: float  # share of the ciphered half's running text that is re-encoded

    def excess(self, measure: Measure, top_k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ``values`` and ``signed`` weights of :func:`modspec.calibration.clones.excess`."""
        tables = self.train, self.evaluation
        labels, plain = ([table[name].to_numpy() for table in tables] for name in ("label", "plain"))
        return excess(half_weights(self.scores, measure, top_k, *labels), *plain)


def cipher_experiment(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return :func:`dose_response` over ``cipher_shares``.

    Args:
        material: the task, from :func:`modspec.calibration.models.load_sentences`. The pieces of other
            languages are what a cipher is made of.
        p: the parameters of notebook 00.
        directory: gets the artefact ``cipher`` and one per share and seed, see :func:`score_dose`.

    Raises:
        InputError: before any training, the vocabulary has too few pieces for the largest share.
    """
    cipher(material, p, max(p.cipher_shares), p.seeds[0])
    doses = {}
    for share, seed in product(p.cipher_shares, p.seeds):
        run = directory / f"cipher{share:g}-seed{seed}"
        doses[run] = score_dose(material, p, run, share, seed)

    def make() -> Content:
        return {"response": dose_response(list(doses.values()), p)}

    names = (*SCORING, *TESTS, "cipher_shares")
    target = directory / "cipher"
    return kept(target, material, p, names, make, list(doses), experiment="cipher")["response"]


def score_dose(material: Material, p: CalibrationParameters, target: Path, share: float, seed: int) -> Dose:
    """Train one model on a plain and a ciphered half, and score it; keep both in an artefact.

    Every seed has its own split of the training examples and its own cipher. The evaluation examples are
    split alike for all seeds.

    Returns:
        The artefact ``target``. Its files: ``scores.safetensors`` {cosine: float32 (train,
        evaluation)}; ``train.parquet`` (plain, label) and ``evaluation.parquet`` (plain, label, correct), in
        that order; ``dose.parquet`` (seed, dose, pieces).
    """

    def make() -> Content:
        mapping = cipher(material, p, share, seed)
        plain, ciphered = HALVES
        train, evaluation = (
            encipher(clones(examples, p.language, np.random.default_rng(key)), ciphered, mapping)
            for examples, key in (
                (material.examples["train"], [p.seed, seed, 0]),
                (evaluated(material, p), [p.seed, 1]),
            )
        )
        model = trained(material, p, train, seed, progress=f"cipher {share:.0%}, seed {seed}")
        tables = {
            name: pd.DataFrame({"plain": split.languages == plain, "label": split.labels})
            for name, split in (("train", train), ("evaluation", evaluation))
        }
        predicted = predict(model, evaluation, precision=material.precision)
        tables["evaluation"]["correct"] = predicted == evaluation.labels
        pieces = np.concatenate(material.examples["train"].of(p.language).input_ids)
        re_encoded = (mapping[pieces] != pieces).mean()
        tables["dose"] = pd.DataFrame({"seed": [seed], "dose": [share], "pieces": [re_encoded]})
        return {"scores": {"cosine": influence(model, train, evaluation).cosine}, **tables}

    content = kept(target, material, p, SCORING, make, experiment="cipher")
    scores, train, evaluation, dose = (content[name] for name in ("scores", "train", "evaluation", "dose"))
    return Dose(seed, share, scores["cosine"], train, evaluation, dose["pieces"].item())


# Ciphers.


def cipher(material: Material, p: CalibrationParameters, share: float, seed: int) -> np.ndarray:
    """Draw what every piece becomes in one model, one to one on the pieces of ``language``.

    With one seed, the types re-encoded at a smaller share are re-encoded alike at a larger one. Special
    pieces stay.

    Args:
        material: all examples of the task, and the pieces that they are made of.
        p: the encoder, the language, and the seed of all ciphers.
        share: of the piece types that the language has in any split, those that become pieces that it never
            has; 0 to 1. All others stay.
        seed: of the model.

    Returns:
        Int64 (vocabulary,): the new id of each piece.

    Raises:
        InputError: the vocabulary has too few pieces that the language never uses.
    """
    tokenizer = load_tokenizer(material.encoder)
    special = sorted({*tokenizer.all_special_ids, *range(tokenizer.pad_token_id + 1)})
    special = to_trimmed(special, material.kept_pieces)
    splits = material.examples.values()
    used = np.concatenate([ids for split in splits for ids in split.of(p.language).input_ids])
    mapping = np.arange(len(material.kept_pieces))
    own, foreign = np.setdiff1d(used, special), np.setdiff1d(mapping, [*used, *special])
    count = round(share * len(own))
    if count > len(foreign):
        raise InputError(
            f"share: {share} of the {len(own)} pieces of {p.language!r} need {count} that it never uses; "
            f"allowed: what {len(foreign)} suffice for (more languages bring more)"
        )
    rng = np.random.default_rng([p.seed, seed])
    mapping[rng.permutation(own)[:count]] = rng.permutation(foreign)[:count]
    return mapping


def encipher(examples: Examples, language: str, mapping: np.ndarray) -> Examples:
    """Return the same examples with those of one language re-encoded by a :func:`cipher`."""
    pairs = zip(examples.input_ids, examples.languages == language, strict=True)
    return replace(examples, input_ids=tuple(mapping[ids] if ciphered else ids for ids, ciphered in pairs))


# Doses.


def dose_response(doses: Sequence[Dose], p: CalibrationParameters) -> pd.DataFrame:
    """Return the in-language share and the AUCs at every dose, by seed and over all seeds.

    Args:
        doses: the models. Their evaluation examples must be the same, in the same order, for all seeds.
        p: number k of proponents, level of intervals, number and seed of label permutations.

    Returns:
        One row per dose, seed (or ``"all"``), measure and language (:data:`PLAIN`, :data:`CIPHERED` or
        :data:`BOTH` halves). ``value``, ``low``, ``high``: measure and interval, over seeds and evaluation
        examples. ``p``: of the test that the measure is above ``chance`` (labels of training examples
        permuted within seed and class). ``examples``: number of evaluation examples. ``pieces``: share of the
        ciphered half's running text that is re-encoded. ``accuracy``: of the model, or mean over the models.
    """
    rows = []
    for share in sorted({dose.share for dose in doses}):
        of_share = [dose for dose in doses if dose.share == share]
        for name, chosen in [("all", of_share), *((str(dose.seed), [dose]) for dose in of_share)]:
            rows += [(name, share, *row) for row in _measured(chosen, p)]
    columns = "seed dose measure language value low high chance p examples"
    response = pd.DataFrame(rows, columns=columns.split())
    rows = [
        (str(dose.seed), dose.share, language, dose.pieces, dose.evaluation["correct"][chosen].mean())
        for dose in doses
        for language, chosen in _by_half(dose.evaluation["plain"]).items()
    ]
    models = pd.DataFrame(rows, columns=["seed", "dose", "language", "pieces", "accuracy"])
    means = models.groupby(["dose", "language"], as_index=False)[["pieces", "accuracy"]].mean()
    return response.merge(pd.concat([models, means.assign(seed="all")]), on=["seed", "dose", "language"])


def _by_half(plain: pd.Series) -> dict[str, pd.Series]:
    """The evaluation examples of each half and of both, bool (evaluation,)."""
    return {PLAIN: plain, CIPHERED: ~plain, BOTH: plain | ~plain}


def _measured(doses: Sequence[Dose], p: CalibrationParameters) -> list[tuple]:
    """Measure to examples of :func:`dose_response`, of models with one share of re-encoded piece types."""
    plain, plain_share = doses[0].evaluation["plain"], doses[0].train["plain"].mean()
    own_share = np.where(plain, plain_share, 1 - plain_share)
    rows, weights = [], []
    for measure, kind in MEASURES.items():
        values, signed = zip(*(dose.excess(kind, p.top_k) for dose in doses), strict=True)
        signed = np.concatenate(signed) / len(doses)
        for language, chosen in _by_half(plain).items():
            expected = own_share[chosen].mean() if measure == "share" else 0.5
            chosen_values = np.stack(values)[:, chosen] + expected
            bounds = interval(chosen_values, confidence=1 - p.level)
            rows.append((measure, language, chosen_values.mean(), *bounds, expected, int(chosen.sum())))
            weights.append(signed[:, chosen].mean(axis=1))
    train = pd.concat([dose.train.assign(seed=dose.seed) for dose in doses])
    strata = train["seed"].astype(str) + "/" + train["label"].astype(str)
    options = {"alternative": "greater", "resamples": p.resamples, "seed": p.seed}
    tested = label_permutation(np.array(weights), train["plain"].to_numpy(), strata.to_numpy(), **options)
    return [(*row[:-1], value, row[-1]) for row, value in zip(rows, tested.p, strict=True)]


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
