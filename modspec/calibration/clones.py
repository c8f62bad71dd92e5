"""What the instrument reads where nothing is, and where something was planted: data, and what follows.

Nothing: a language split at random into two (*clones*). Whatever is found between them is an error of the
method. Something: one of the halves under a *cipher*, a fixed permutation of pieces that leaves grammar,
labels and lengths as they were and takes shared pieces away, in doses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, page_trend_test

from modspec.analysis import measures
from modspec.analysis.intervals import bootstrap_interval, interval, rejection_rate
from modspec.analysis.permutation import label_permutation
from modspec.data.examples import Examples
from modspec.errors import InputError

INTERVAL, BOOTSTRAP, PERMUTATION = "interval", "bootstrap", "permutation"
# Which evaluation examples a number averages over; by symmetry the two halves of a clone err alike.
ONE, BOTH = "one half", "both halves"
PLAIN, CIPHERED = "plain", "ciphered"


# Data.


def clone_names(language: str) -> tuple[str, str]:
    """What the two halves of a language are called."""
    return f"{language}-a", f"{language}-b"


def halves(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random half: bool (n,), balanced to within one example overall and within every label.

    Given how many of each label it holds, all choices of examples are equally likely, so a permutation
    of it within labels is exact.
    """
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order[rng.integers(2) :: 2]] = True
    return chosen


def clones(examples: Examples, language: str, rng: np.random.Generator) -> Examples:
    """The examples of a language, in their order, in two random "languages" (:func:`clone_names`).

    Raises InputError where there are fewer than two.
    """
    chosen = examples.of(language)
    if len(chosen) < 2:
        raise InputError(f"language: {language!r} has {len(chosen)} examples to split; allowed: 2 or more")
    a, b = clone_names(language)
    return replace(chosen, languages=np.where(halves(chosen.labels, rng), a, b))


def cipher(
    splits: Iterable[Examples],
    language: str,
    share: float,
    *,
    vocabulary: int,
    special: Collection[int],
    seed: int | Sequence[int],
) -> np.ndarray:
    """What every piece becomes: int64 (vocabulary,), one to one on the language's pieces.

    ``share`` of the piece types that the language has in any of ``splits`` become pieces that it never
    has; all others, and the special ones, stay. With one seed, the types re-encoded at a smaller share are
    re-encoded alike at a larger one. Raises InputError for a share outside 0 to 1, a language without
    examples, and a vocabulary with too few foreign pieces.
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
    """The same examples with those of one language re-encoded by :func:`cipher`."""
    ids = tuple(
        mapping[ids] if own else ids
        for ids, own in zip(examples.input_ids, examples.languages == language, strict=True)
    )
    return replace(examples, input_ids=ids)


# Measures as weights of training examples.


def half_weights(
    scores: np.ndarray,
    measure: measures.Measure,
    top_k: int,
    train_labels: np.ndarray,
    evaluation_labels: np.ndarray,
) -> np.ndarray:
    """:func:`modspec.analysis.measures.weights` (train, evaluation), float64, where half of the examples are own.

    The sum over a half is its measure beyond chance, for the AUCs as for the share.
    """
    same_label = train_labels[:, None] == evaluation_labels
    found = measures.weights(scores, measure, top_k, same_label).astype(np.float64)
    if measure in ("auc", "label_auc"):
        members = same_label.sum(axis=0) if measure == "label_auc" else len(scores)
        found /= np.maximum((members // 2) * (members - members // 2), 1)
    return found


def excess(weights: np.ndarray, own: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What evaluation examples find of their own half beyond chance, and the weights behind it.

    ``weights``: (seeds, train, evaluation); ``own``: bool (train,), ``tested``: bool (evaluation,), both
    true in half a. Returns values (seeds, evaluation) and weights of the same shape as given, of which the
    sum over half a is the value, whichever half the evaluation example is in, if they add up to zero (else,
    but for a constant).
    """
    signed = np.where(tested, weights, -weights)
    return (own - own.mean()) @ signed, signed


# Clones.


def clone_tests(
    scores: Mapping[str, np.ndarray],
    train_labels: np.ndarray,
    evaluation_labels: np.ndarray,
    splits: Iterable[int],
    *,
    top_k: int,
    level: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Every test's verdict on every random split of a language into halves: a row each.

    ``scores``: of models that know nothing of the splits, (seeds, train, evaluation): "none" without mask,
    "a" and "b" under two masks, one for each half. Columns: split; measure (share, auc, label_auc,
    specialization); language (:data:`ONE` or :data:`BOTH` halves' evaluation examples); test; ``excess``
    over chance, with ``low`` and ``high`` where the test is an interval; ``rejected``: it claims a
    difference at ``level``.
    """

    def measured(measure: measures.Measure, mask: str) -> np.ndarray:
        labels = train_labels, evaluation_labels
        return np.stack([half_weights(s, measure, top_k, *labels) for s in scores[mask]])

    shares = {mask: measured("proponents", mask) for mask in scores}
    unmasked = {"share": shares["none"], "auc": measured("auc", "none")}
    unmasked["label_auc"] = measured("label_auc", "none")
    rows = []
    for split in splits:
        own, tested = (
            halves(labels, np.random.default_rng([seed, split, part]))
            for part, labels in enumerate((train_labels, evaluation_labels))
        )
        masked = np.where(tested, shares["a"], shares["b"])
        everything = unmasked | {"specialization": masked - shares["none"]}
        keys, weights = [], []
        for measure, of in everything.items():
            values, signed = excess(of, own, tested)
            for name, chosen in ((ONE, tested), (BOTH, np.ones_like(tested))):
                found = values[:, chosen]
                keys.append((split, measure, name))
                weights.append(signed[:, :, chosen].mean(axis=(0, 2)))
                bounds = {
                    INTERVAL: interval(found, confidence=1 - level),
                    BOOTSTRAP: bootstrap_interval(
                        found, confidence=1 - level, resamples=resamples, seed=split
                    ),
                }
                rows += [
                    (*keys[-1], test, found.mean(), low, high, not low <= 0 <= high)
                    for test, (low, high) in bounds.items()
                ]
        found = label_permutation(np.array(weights), own, train_labels, resamples=resamples, seed=split)
        values = found.statistic - np.sum(weights, axis=1) * own.mean()
        rows += [
            (*key, PERMUTATION, value, np.nan, np.nan, p <= level)
            for key, value, p in zip(keys, values, found.p, strict=True)
        ]
    columns = ["split", "measure", "language", "test", "excess", "low", "high", "rejected"]
    return pd.DataFrame(rows, columns=columns)


def false_positive_rates(tests: pd.DataFrame, level: float) -> pd.DataFrame:
    """How often each test errs: a row a measure, language and test of :func:`clone_tests`.

    ``value``, ``low``, ``high``: share of splits with a difference claimed, and its Clopper-Pearson
    interval over splits (given the models and sentences); ``level``: what it should be. ``excess`` and
    ``sd``: mean and spread of the measure over splits; ``half_width``: of the intervals, mean.
    """
    rows = []
    for keys, group in tests.groupby(["measure", "language", "test"], sort=False):
        rate = rejection_rate(np.where(group["rejected"], 0.0, 1.0), level)
        half = float(((group["high"] - group["low"]) / 2).mean())
        spread = group["excess"].mean(), group["excess"].std()
        rows.append((*keys, *rate, level, *spread, half, len(group)))
    columns = ["measure", "language", "test", "value", "low", "high", "level"]
    return pd.DataFrame(rows, columns=[*columns, "excess", "sd", "half_width", "splits"])


# Doses.


@dataclass(frozen=True)
class Dose:
    """One model trained on a plain and a ciphered half. scores: (train, evaluation); plain: bool, of the
    training and of the evaluation examples; labels: likewise."""

    seed: int
    share: float
    scores: np.ndarray
    train_plain: np.ndarray
    evaluation_plain: np.ndarray
    train_labels: np.ndarray
    evaluation_labels: np.ndarray


def dose_response(
    doses: Sequence[Dose], *, top_k: int, level: float, resamples: int, seed: int
) -> pd.DataFrame:
    """In-language share and AUCs at every dose: a row a seed (and ``"all"``), measure and half.

    Columns: seed, dose, measure, language (:data:`PLAIN`, :data:`CIPHERED` or :data:`BOTH`), value, low,
    high (interval over seeds and evaluation examples), chance, ``p`` (labels of training examples permuted
    within seed and class; the share is above chance), examples. Evaluation examples must be the same, in
    the same order, for all seeds.
    """
    rows = []
    for share in sorted({dose.share for dose in doses}):
        found = [dose for dose in doses if dose.share == share]
        rows += _doses("all", share, found, top_k, level, resamples, seed)
        for dose in found:
            rows += _doses(str(dose.seed), share, [dose], top_k, level, resamples, seed)
    columns = ["seed", "dose", "measure", "language", "value", "low", "high", "chance", "p", "examples"]
    return pd.DataFrame(rows, columns=columns)


def _doses(
    name: str, share: float, doses: Sequence[Dose], top_k: int, level: float, resamples: int, seed: int
) -> list[tuple]:
    plain = doses[0].evaluation_plain
    groups = {PLAIN: plain, CIPHERED: ~plain, BOTH: np.ones_like(plain)}
    own = np.concatenate([dose.train_plain for dose in doses])
    strata = np.concatenate([np.char.add(f"{d.seed}/", d.train_labels.astype(str)) for d in doses])
    rows, every = [], []
    kinds: dict[str, measures.Measure] = {"share": "proponents", "auc": "auc", "label_auc": "label_auc"}
    for measure, kind in kinds.items():
        parts = [
            excess(
                half_weights(dose.scores, kind, top_k, dose.train_labels, dose.evaluation_labels)[None],
                dose.train_plain,
                plain,
            )
            for dose in doses
        ]
        values = np.concatenate([part[0] for part in parts])
        signed = np.concatenate([part[1][0] for part in parts]) / len(doses)
        first = doses[0].train_plain.mean()
        chance = np.where(plain, first, 1 - first) if measure == "share" else np.full(len(plain), 0.5)
        for language, chosen in groups.items():
            expected = chance[chosen].mean()
            found = values[:, chosen] + expected
            bounds = found.mean(), *interval(found, confidence=1 - level)
            rows.append((name, share, measure, language, *bounds, expected, int(chosen.sum())))
            every.append(signed[:, chosen].mean(axis=1))
    p = label_permutation(
        np.array(every), own, strata, alternative="greater", resamples=resamples, seed=seed
    ).p
    return [(*row[:-1], value, row[-1]) for row, value in zip(rows, p, strict=True)]


def trend(response: pd.DataFrame) -> pd.DataFrame:
    """Does the measure rise with the dose? A row a measure and half of :func:`dose_response`.

    ``p``: Page's (1963) trend test, each seed one ranking of the doses (examples of one seed share a
    model, so they are no further evidence); ``tau``: Kendall's, mean over seeds. NaN with fewer than
    three doses or two seeds.
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
