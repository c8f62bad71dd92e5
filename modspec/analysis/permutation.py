"""Does language matter? Shuffling the language labels of training examples, within strata.

Exact where language does not matter given the strata, however unequal the training examples are: hubs,
proponents of everything, fall to some language by chance in every shuffle too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from modspec.analysis.intervals import Alternative, check_alternative, check_count
from modspec.errors import InputError

# Permuted labels drawn at a time: about 100 MB of keys, order and labels.
BLOCK = 2**22


@dataclass(frozen=True)
class Permutations:
    """Arrays of one length, the tests. null_mean and null_sd are exact, not from the resamples."""

    statistic: np.ndarray
    p: np.ndarray
    null_mean: np.ndarray
    null_sd: np.ndarray


def label_permutation(
    weights: np.ndarray,
    own: np.ndarray,
    strata: np.ndarray,
    *,
    alternative: Alternative = "two-sided",
    resamples: int = 1999,
    seed: int = 0,
) -> Permutations:
    """Do training examples of a language weigh more than others of their strata? One test a row.

    ``weights``: (tests, train), how much each training example counts in each test: its appearances among
    top-k lists over all evaluation examples and seeds, a difference of two such counts, ranks for AUC,
    or summed scores. ``own``: (train,) bool, in the evaluation language. ``strata``: (train,) integers
    or strings; labels are shuffled within a stratum only (translations of one example, else a class
    label). The statistic is the sum of the weights of own examples. A stratum of own examples only, or
    of none, adds a constant; if all are such, p is 1.

    The test is exact where language does not matter given the strata, however unequal the training
    examples are. p = (1 + permutations at least as extreme) / (1 + resamples) (Phipson and Smyth 2010);
    two-sided, twice the smaller tail's, since hubs make the null distribution skewed and a distance from
    its mean would test one direction only. The same permutations serve all tests, so the tests of one
    call are dependent: correct them with :func:`modspec.analysis.intervals.adjusted`. null_mean and null_sd follow
    from sampling without replacement within strata (Cochran 1977, ch. 5).

    Raises InputError where shapes disagree, a weight is not finite, or no or every example is own.
    """
    weights, own, strata = np.asarray(weights, dtype=np.float64), np.asarray(own), np.asarray(strata)
    check_alternative(alternative)
    check_count("resamples", resamples)
    if weights.ndim != 2 or own.shape != weights.shape[1:] or strata.shape != weights.shape[1:]:
        raise InputError(
            f"weights, own, strata: shapes {weights.shape}, {own.shape}, {strata.shape}; "
            "allowed: (tests, train), (train,), (train,)"
        )
    if not np.isfinite(weights).all():
        raise InputError("weights: NaN or infinite; allowed: finite numbers")
    if own.dtype != bool or own.all() or not own.any():
        raise InputError(
            f"own: {own.sum()} of {own.size} true, {own.dtype}; allowed: bool, with both true and false"
        )
    _, strata, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    order = np.argsort(strata, kind="stable")
    weights, own, strata = weights[:, order], own[order], strata[order]
    starts = np.cumsum(sizes) - sizes
    owned = np.add.reduceat(own, starts, dtype=np.int64)
    means = np.add.reduceat(weights, starts, axis=1) / sizes
    squares = np.add.reduceat((weights - means[:, strata]) ** 2, starts, axis=1)
    drawn = owned * (sizes - owned) / (sizes * np.maximum(sizes - 1, 1))

    mixed = (drawn > 0)[strata]
    movable = weights[:, mixed]
    p = _p_values(
        lambda labels: movable @ labels.T,
        own[mixed],
        strata[mixed],
        np.abs(movable).sum(axis=1),
        max(1, BLOCK // max(weights.shape)),
        alternative,
        resamples,
        seed,
    )
    return Permutations(weights @ own, p, means @ owned, np.sqrt(squares @ drawn))


def language_permutation(
    weights: np.ndarray,
    languages: np.ndarray,
    strata: np.ndarray,
    *,
    alternative: Alternative = "two-sided",
    resamples: int = 1999,
    seed: int = 0,
) -> np.ndarray:
    """p of :func:`label_permutation` for tests over several evaluation languages at once: (tests,).

    ``weights``: (tests, languages, train), how much each training example counts where it is of that
    language. ``languages``: (train,) integers. The statistic is the sum, over training examples, of the
    weight for their own language; all languages are shuffled together. Raises InputError where shapes
    disagree or a weight is not finite.
    """
    weights, languages, strata = np.asarray(weights), np.asarray(languages), np.asarray(strata)
    check_alternative(alternative)
    check_count("resamples", resamples)
    if weights.ndim != 3 or languages.shape != weights.shape[2:] or strata.shape != weights.shape[2:]:
        raise InputError(
            f"weights, languages, strata: shapes {weights.shape}, {languages.shape}, {strata.shape}; "
            "allowed: (tests, languages, train), (train,), (train,)"
        )
    if not np.isfinite(weights).all():
        raise InputError("weights: NaN or infinite; allowed: finite numbers")
    _, strata = np.unique(strata, return_inverse=True)
    order = np.argsort(strata, kind="stable")
    weights, languages, strata = weights[:, :, order].astype(np.float64), languages[order], strata[order]

    def statistics(labels: np.ndarray) -> np.ndarray:
        return sum(weights[:, code] @ (labels == code).T for code in range(weights.shape[1]))

    scale = np.abs(weights).sum(axis=(1, 2))
    block = max(1, BLOCK // len(languages))
    return _p_values(statistics, languages, strata, scale, block, alternative, resamples, seed)


def _p_values(
    statistics: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    strata: np.ndarray,
    scale: np.ndarray,
    block: int,
    alternative: Alternative,
    resamples: int,
    seed: int,
) -> np.ndarray:
    """(tests,): how extreme ``statistics``, (n, train) to (tests, n), are of labels among shuffled ones.

    ``strata`` in ascending order; ``scale``: (tests,), the size of what a statistic sums.
    """
    observed = statistics(labels[None].astype(np.float64))
    # Sums of the same numbers in another order differ in their last bits and still are ties.
    slack = 1e-13 * scale[:, None]
    above, below = np.zeros(len(observed), dtype=np.int64), np.zeros(len(observed), dtype=np.int64)
    for shuffled in _permuted(labels, strata, resamples, block, np.random.default_rng(seed)):
        difference = statistics(shuffled) - observed
        above += (difference >= -slack).sum(axis=1)
        below += (difference <= slack).sum(axis=1)
    greater, less = (1 + above) / (1 + resamples), (1 + below) / (1 + resamples)
    return {"greater": greater, "less": less, "two-sided": np.minimum(1, 2 * np.minimum(greater, less))}[
        alternative
    ]


def _permuted(
    own: np.ndarray, strata: np.ndarray, resamples: int, block: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Blocks (at most ``block``, train) of ``own``, permuted within strata, which are in ascending order."""
    labels = own.astype(np.float64)
    for first in range(0, resamples, block):
        keys = rng.random((min(block, resamples - first), own.size))
        keys += strata
        yield labels[np.argsort(keys, axis=1)]
