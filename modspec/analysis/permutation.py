"""Does language matter? Shuffle the language labels of training examples within strata.

Exact where language does not matter given the strata, however unequal the training examples are: hubs, which
are proponents of everything, fall to some language by chance in every shuffle too. Also the orders of
languages that permutation tests over whole languages go through.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, prod
from typing import Literal

import numpy as np
from scipy.stats import norm

from modspec.analysis.intervals import POWER
from modspec.errors import InputError

Alternative = Literal["two-sided", "greater"]
# Permuted labels drawn at a time: about 100 MB of keys, order and labels.
BLOCK = 2**22
EXACT = 5040  # orders of 7 languages: up to here every order is enumerated
EXACT_JOINTLY = 20_000  # the same, of several things that are permuted independently
DRAWS = 99_999  # random ones where there are more


def orders(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return orders of ``count`` things, the given one first: int (orders, count).

    All of them up to :data:`EXACT`; if there are more, the given one and ``resamples`` random ones.
    """
    if factorial(count) <= EXACT:
        return np.array(list(permutations(range(count))))
    given = np.arange(count)
    return np.vstack([given, rng.permuted(np.tile(given, (resamples, 1)), axis=1)])


def joint(statistics: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the mean of independent samples' statistics under all their permutations, the given ones first.

    Args:
        statistics: of each sample (task) under its permutations, the given one first.
        rng: draws :data:`DRAWS` combinations where there are more than :data:`EXACT_JOINTLY`.
    """
    if len(statistics) == 1:
        return statistics[0]
    sizes = [len(values) for values in statistics]
    if prod(sizes) <= EXACT_JOINTLY:
        places = np.indices(sizes).reshape(len(sizes), -1)
    else:
        places = np.stack([np.append(0, rng.integers(size, size=DRAWS)) for size in sizes])
    return np.mean([values[at] for values, at in zip(statistics, places, strict=True)], axis=0)


def two_sided(statistics: np.ndarray) -> float:
    """Return the two-sided p of the first of ``statistics`` among all: twice the smaller tail.

    Sums of the same numbers in another order differ in their last bits, and still are ties.
    """
    slack = 1e-12 * np.abs(statistics).max()
    above = np.mean(statistics >= statistics[0] - slack)
    below = np.mean(statistics <= statistics[0] + slack)
    return float(min(1, 2 * min(above, below)))


def detectable(statistics: np.ndarray, confidence: float = 0.95) -> float:
    """Return the smallest effect that a permutation test finds with 80 % power, in normal approximation.

    Args:
        statistics: under all permutations. Their spread is taken for the statistic's own.
        confidence: the test is at 1 - confidence.
    """
    return float((norm.isf((1 - confidence) / 2) + norm.ppf(POWER)) * statistics.std())


@dataclass(frozen=True)
class Permutations:
    """Results of several tests."""

    statistic: np.ndarray  # (tests,)
    p: np.ndarray  # (tests,)


def label_permutation(
    weights: np.ndarray,
    own: np.ndarray,
    strata: np.ndarray,
    *,
    alternative: Alternative = "two-sided",
    resamples: int = 1999,
    seed: int = 0,
) -> Permutations:
    """Test whether training examples of a language weigh more than others of their strata.

    The statistic is the sum of the weights of the language's examples. A stratum that holds only such
    examples, or none, adds a constant; if all strata do, p is 1. The test is exact where language does not
    matter given the strata. p = (1 + permutations at least as extreme) / (1 + resamples) (Phipson and Smyth
    2010); two-sided, twice the smaller tail's, because hubs make the null distribution skewed and a distance
    from its mean would test one direction only. The same permutations serve all tests, so the tests of one
    call are dependent: correct them with :func:`modspec.analysis.intervals.adjusted`.

    Args:
        weights: (tests, train), how much each training example counts in each test: its appearances among
            top-k lists over all test examples and seeds, a difference of two such counts, ranks for AUC, or
            summed scores.
        own: bool (train,), whether an example is in the language.
        strata: (train,) integers or strings. Labels are shuffled within a stratum only: translations of one
            example, or examples of one class label.
        alternative: "two-sided" or "greater".
        resamples: number of shuffles.
        seed: of the shuffles.

    Raises:
        InputError: a weight is not finite.
    """
    _, strata = np.unique(strata, return_inverse=True)
    order = np.argsort(strata, kind="stable")
    weights, own, strata = weights[:, order], own[order], strata[order]
    members, sizes = np.bincount(strata, own), np.bincount(strata)
    mixed = ((members > 0) & (members < sizes))[strata]
    options = {"alternative": alternative, "resamples": resamples, "seed": seed}
    p = language_permutation(weights[:, None, mixed], np.where(own, 0, 1)[mixed], strata[mixed], **options)
    return Permutations(weights @ own, p)


def language_permutation(
    weights: np.ndarray,
    languages: np.ndarray,
    strata: np.ndarray,
    *,
    alternative: Alternative = "two-sided",
    resamples: int = 1999,
    seed: int = 0,
) -> np.ndarray:
    """Return p of :func:`label_permutation` for tests over several languages at once.

    The statistic is the sum, over training examples, of the weight for their own language; all languages are
    shuffled together.

    Args:
        weights: (tests, languages, train), how much each training example counts where it is of that
            language.
        languages: int (train,), a position among ``weights``' languages; beyond them an example counts
            nothing.
        strata: (train,); the other arguments as in :func:`label_permutation`.

    Returns:
        p, (tests,).

    Raises:
        InputError: a weight is not finite.
    """
    if not np.isfinite(weights).all():
        raise InputError("weights: NaN or infinite; allowed: finite numbers")
    _, strata = np.unique(strata, return_inverse=True)
    order = np.argsort(strata, kind="stable")
    weights, languages, strata = weights[:, :, order].astype(np.float64), languages[order], strata[order]

    def statistics(labels: np.ndarray) -> np.ndarray:
        return sum(weights[:, code] @ (labels == code).T for code in range(weights.shape[1]))

    observed = statistics(languages[None])
    # Sums of the same numbers in another order differ in their last bits and still are ties.
    slack = 1e-13 * np.abs(weights).sum(axis=(1, 2))[:, None]
    above, below = np.zeros((2, len(observed)), dtype=np.int64)
    for shuffled in _shuffled(languages, strata, resamples, np.random.default_rng(seed)):
        difference = statistics(shuffled) - observed
        above += (difference >= -slack).sum(axis=1)
        below += (difference <= slack).sum(axis=1)
    greater, less = (1 + above) / (1 + resamples), (1 + below) / (1 + resamples)
    return greater if alternative == "greater" else np.minimum(1, 2 * np.minimum(greater, less))


def _shuffled(
    labels: np.ndarray, strata: np.ndarray, resamples: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield blocks (shuffles, train) of labels shuffled within strata, which are in ascending order."""
    block = max(1, BLOCK // max(1, len(labels)))
    for first in range(0, resamples, block):
        keys = rng.random((min(block, resamples - first), len(labels))) + strata
        yield labels[np.argsort(keys, axis=1)]
