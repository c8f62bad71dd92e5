"""Clones: the sentences of one language split at random into two "languages", between which nothing differs.

Any difference that a test claims between the halves is an error of the method. The models know nothing of the
splits, so one model per seed serves all splits, and the share of splits in which a test claims a difference
is its rate of false positives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from modspec.analysis.intervals import bootstrap_interval, interval, rejection_rate
from modspec.analysis.permutation import label_permutation
from modspec.analysis.shares import AUCS, Measure, training_weights
from modspec.calibration.models import SEARCH, TRAINING, Content, evaluated, kept, searched_mask, trained
from modspec.calibration.own_subnetwork import pooled_others
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.influence import influence
from modspec.stages.material import Material
from modspec.subnetworks.head_importance import head_gradients, importance
from modspec.workflow.parameters import CalibrationParameters

HALVES = ("a", "b")  # names of the two "languages"
OTHERS = "others of"  # before a half's name: its pooled-others mask
INTERVAL, BOOTSTRAP, PERMUTATION = "interval", "bootstrap", "permutation"
# The evaluation examples that a number averages over; by symmetry both halves of a clone err alike.
ONE, BOTH = "one half", "both halves"
# Measure of the calibration -> the study's measure that it is.
MEASURES: dict[str, Measure] = {"share": "proponents", "auc": "auc", "label_auc": "label_auc"}
# The parameters that decide a model trained on one language and its scores, and those that decide its tests.
SCORING = (*TRAINING, "language", "evaluation_per_language")
TESTS = ("seeds", "top_k", "level", "resamples")


def clone_experiment(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return :func:`clone_tests` of the splits 0 to ``clone_splits`` of ``language``.

    The two masks are searched on the halves of split 0. In all other splits they have nothing to do with the
    halves.

    Args:
        material: the task, from :func:`modspec.calibration.models.load_sentences`.
        p: the parameters of notebook 00.
        directory: gets the artefact ``clone`` and one artefact per seed, see :func:`score_clone`.
    """
    scores = [score_clone(material, p, directory, seed)["scores"] for seed in p.seeds]

    def make() -> Content:
        tests = clone_tests(
            {name: np.stack([of_seed[name] for of_seed in scores]) for name in scores[0]},
            material.examples["train"].of(p.language).labels,
            evaluated(material, p).labels,
            range(p.clone_splits + 1),
            p,
        )
        return {"tests": tests}

    names = (*SCORING, *SEARCH, *TESTS, "clone_splits")
    inputs = [directory / f"clone-seed{seed}" for seed in p.seeds]
    return kept(directory / "clone", material, p, names, make, inputs, experiment="clone")["tests"]


def score_clone(material: Material, p: CalibrationParameters, directory: Path, seed: int) -> Content:
    """Train and score the model of one seed, without mask and under the masks of the halves of split 0.

    Returns:
        The content of the artefact ``directory/clone-seed…``. ``scores`` {none, a, b, others of a, others
        of b}: cosine, float32 (train, evaluation); ``masks``, the same but none: uint8 (layers, heads), 1 =
        kept. The "others" of a half is the other half, whose heads of highest importance make the
        pooled-others mask.
    """

    def make() -> Content:
        train, evaluation = material.examples["train"].of(p.language), evaluated(material, p)
        half_train, half_dev = (
            # The halves of split 0 as in clone_tests, and halves of the dev examples, which it does not use.
            clones(material.examples[split], p.language, np.random.default_rng([p.seed, 0, number]))
            for split, number in (("train", 0), ("dev", 2))
        )
        masks, weights = {}, {}
        for half in HALVES:
            own = half_train.of(half)
            model = trained(material, p, own, seed, progress=f"half {half}, seed {seed}")
            masks[half] = searched_mask(model, own, half_dev.of(half), p, material.precision)
            weights[half] = importance(head_gradients(model, own, precision=material.precision))
        masks |= {f"{OTHERS} {half}": mask for half, mask in pooled_others(masks, weights).items()}
        model = trained(material, p, train, seed, progress=f"clones, seed {seed}")
        scores = {
            name: influence(model, train, evaluation, train_mask=mask, evaluation_mask=mask).cosine
            for name, mask in {"none": None, **masks}.items()
        }
        return {"scores": scores, "masks": {name: mask.astype(np.uint8) for name, mask in masks.items()}}

    target = directory / f"clone-seed{seed}"
    return kept(target, material, p, (*SCORING, *SEARCH), make, experiment="clone")


# Halves.


def halves(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a random half, balanced to within one example overall and within every label.

    Given how many examples of each label the half holds, all choices of examples are equally likely, so a
    permutation of the half within labels is exact.

    Args:
        labels: (n,).
        rng: source of the draw.

    Returns:
        Bool (n,): True in the half.
    """
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order[rng.integers(2) :: 2]] = True
    return chosen


def clones(examples: Examples, language: str, rng: np.random.Generator) -> Examples:
    """Return the examples of a language, in their order, in two random "languages", :data:`HALVES`.

    Raises:
        InputError: the language has fewer than two examples.
    """
    chosen = examples.of(language)
    if len(chosen) < 2:
        raise InputError(f"language: {language!r} has {len(chosen)} examples to split; allowed: 2 or more")
    return replace(chosen, languages=np.where(halves(chosen.labels, rng), *HALVES))


# Measures as weights of training examples.


def half_weights(
    scores: np.ndarray, measure: Measure, top_k: int, train_labels: np.ndarray, evaluation_labels: np.ndarray
) -> np.ndarray:
    """Return how much each training example adds to the measure of a half of the training examples.

    Args:
        scores: (train, evaluation).
        measure: see :func:`modspec.analysis.shares.training_weights`.
        top_k: number of proponents.
        train_labels: (train,).
        evaluation_labels: (evaluation,).

    Returns:
        Float64 (train, evaluation). The sum over a half is the measure of this half minus chance, for the
        AUCs as for the share.
    """
    same_label = train_labels[:, None] == evaluation_labels
    weights = training_weights(scores, measure, top_k, same_label).astype(np.float64)
    if measure in AUCS:
        members = same_label.sum(axis=0) if measure == "label_auc" else len(scores)
        weights /= np.maximum((members // 2) * (members - members // 2), 1)
    return weights


def excess(weights: np.ndarray, own: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the measure of each evaluation example's own half minus chance, and the weights behind it.

    Args:
        weights: (…, train, evaluation), such as one array per seed.
        own: bool (train,), True in half a.
        tested: bool (evaluation,), True in half a.

    Returns:
        ``values`` (…, evaluation) and ``signed`` (…, train, evaluation). The sum of ``signed`` over
        the training examples of half a gives ``values``, whichever half the evaluation example is in,
        provided the weights of an evaluation example sum to zero. Otherwise it differs by a constant.
    """
    signed = np.where(tested, weights, -weights)
    return (own - own.mean()) @ signed, signed


# Tests.


def clone_tests(
    scores: Mapping[str, np.ndarray],
    train_labels: np.ndarray,
    evaluation_labels: np.ndarray,
    splits: Iterable[int],
    p: CalibrationParameters,
) -> pd.DataFrame:
    """Apply every test to every random split of a language into halves.

    Args:
        scores: of models that know nothing of the splits, (seeds, train, evaluation): "none" without mask,
            "a" and "b" under the mask of each half, "others of a" and "others of b" under pooled-others
            masks.
        train_labels: (train,).
        evaluation_labels: (evaluation,).
        splits: numbers of the splits; with ``seed`` they decide the halves.
        p: number k of proponents, level of the tests, number of resamples and label permutations, ``seed``.

    Returns:
        One row per split, measure (share, auc, label_auc, specialization, own_subnetwork: S(own mask) -
        S(pooled-others mask)), language (the evaluation examples of :data:`ONE` or :data:`BOTH` halves) and
        test. ``excess``: the measure minus chance, with ``low``
        and ``high`` where the test is an interval. ``rejected``: the test claims a difference.
    """

    def measured(measure: str, mask: str) -> np.ndarray:
        labels = train_labels, evaluation_labels
        return np.stack([half_weights(run, MEASURES[measure], p.top_k, *labels) for run in scores[mask]])

    unmasked = {measure: measured(measure, "none") for measure in MEASURES}
    under = {name: measured("share", name) for name in scores if name != "none"}
    options = {"confidence": 1 - p.level, "resamples": p.resamples}
    rows = []
    for split in splits:
        own, tested = (
            halves(labels, np.random.default_rng([p.seed, split, number]))
            for number, labels in enumerate((train_labels, evaluation_labels))
        )
        own_mask = np.where(tested, *(under[half] for half in HALVES))
        others_mask = np.where(tested, *(under[f"{OTHERS} {half}"] for half in HALVES))
        masked = {"specialization": own_mask - unmasked["share"], "own_subnetwork": own_mask - others_mask}
        keys, weights = [], []
        for measure, measure_weights in (unmasked | masked).items():
            values, signed = excess(measure_weights, own, tested)
            for language, chosen in ((ONE, tested), (BOTH, np.ones_like(tested))):
                key, chosen_values = (split, measure, language), values[:, chosen]
                keys.append(key)
                weights.append(signed[:, :, chosen].mean(axis=(0, 2)))
                bounds = {
                    INTERVAL: interval(chosen_values, confidence=1 - p.level),
                    BOOTSTRAP: bootstrap_interval(chosen_values, **options, seed=split),
                }
                for test, (low, high) in bounds.items():
                    rows.append((*key, test, chosen_values.mean(), low, high, not low <= 0 <= high))
        permuted = label_permutation(np.array(weights), own, train_labels, resamples=p.resamples, seed=split)
        values = permuted.statistic - np.sum(weights, axis=1) * own.mean()
        rows += [
            (*key, PERMUTATION, value, np.nan, np.nan, p_value <= p.level)
            for key, value, p_value in zip(keys, values, permuted.p, strict=True)
        ]
    columns = "split measure language test excess low high rejected"
    return pd.DataFrame(rows, columns=columns.split())


def false_positive_rates(tests: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return how often each test errs.

    Args:
        tests: from :func:`clone_tests`.
        level: significance level that the tests claim.

    Returns:
        One row per measure, language and test. ``value``, ``low``, ``high``: share of splits with a
        difference claimed, and its Clopper-Pearson interval over splits (given the models and sentences).
        ``level``: what the share should be. ``excess`` and ``sd``: mean and standard deviation of the measure
        over splits. ``half_width``: mean over the intervals. ``splits``: their number.
    """
    rows = []
    for keys, group in tests.groupby(["measure", "language", "test"], sort=False):
        rate = rejection_rate(np.where(group["rejected"], 0.0, 1.0), level)
        half_width = float(((group["high"] - group["low"]) / 2).mean())
        spread = group["excess"].mean(), group["excess"].std()
        rows.append((*keys, *rate, level, *spread, half_width, len(group)))
    columns = "measure language test value low high level excess sd half_width splits"
    return pd.DataFrame(rows, columns=columns.split())
