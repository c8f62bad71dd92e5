"""Do head importances and masks belong to a language, beyond the seed that they were found in?

Two searches of one seed share new classifier, order of data and translated examples, so whatever they find is
alike. Therefore only searches of *different* seeds are compared: the similarity of the same language in two
seeds against that of two languages in two seeds. If language did not matter, any assignment of a seed's
languages would do as well as the true one; that is what is tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product
from math import comb, factorial

import numpy as np
import pandas as pd
from jaxtyping import Float

from modspec.analysis.intervals import Estimate
from modspec.analysis.permutation import DRAWS, EXACT_JOINTLY, detectable, joint, two_sided

Similarity = Float[np.ndarray, "seeds languages seeds languages"]
UNPRUNED = "step == 0 and importance == 'exact'"  # rows of stage 1's importance.parquet: unpruned encoders


@dataclass(frozen=True)
class Specificity:
    """Mean similarity of searches of different seeds."""

    same: float  # of one language
    other: float  # of two languages
    # Same less other, under every assignment of languages, the true one first; empty: too few seeds.
    differences: Float[np.ndarray, "assignments"]  # noqa: F821

    @property
    def p(self) -> float:
        """Two-sided p of the difference; NaN without one."""
        return two_sided(self.differences) if len(self.differences) else float("nan")


def specificity(similarity: Similarity, seed: int = 0) -> Specificity:
    """Compare the same language with other languages, across seeds.

    Args:
        similarity: of every search with every other; what stands within one seed is not read.
        seed: of the random assignments.

    Returns:
        NaN throughout where there are fewer than two seeds or two languages.
    """
    seeds, languages = similarity.shape[:2]
    if min(seeds, languages) < 2:
        return Specificity(np.nan, np.nan, np.empty(0))
    assignments = _assignments(seeds, languages, np.random.default_rng(seed))
    pairs = list(combinations(range(seeds), 2))
    sums = sum(
        similarity[a, assignments[:, a], b, assignments[:, b]].sum(axis=1) for a, b in pairs
    )  # over the pairs that would be of one language
    of_one = len(pairs) * languages
    total = sum(similarity[a, :, b].sum() for a, b in pairs)
    same, other = sums / of_one, (total - sums) / (of_one * (languages - 1))
    return Specificity(float(same[0]), float(other[0]), same - other)


def pooled_specificity(
    similarities: Sequence[Similarity], confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Return by how much a language is more like itself than like others, mean over tasks.

    Args:
        similarities: of each task, as for :func:`specificity`. Tasks' languages are permuted independently.
        confidence: of the test, which is at 1 - confidence.
        seed: of random assignments.

    Returns:
        Without an interval (NaN). ``seeds``: of the task that has fewest; ``examples``: pairs of searches of
        one language, of all tasks. NaN where a task has fewer than two seeds or languages.
    """
    seeds = min(similarity.shape[0] for similarity in similarities)
    pairs = sum(comb(similarity.shape[0], 2) * similarity.shape[1] for similarity in similarities)
    of_tasks = [
        specificity(similarity, seed + task).differences for task, similarity in enumerate(similarities)
    ]
    if not all(len(differences) for differences in of_tasks):
        return Estimate(*[np.nan] * 5, seeds, pairs)
    differences = joint(of_tasks, np.random.default_rng(seed))
    p, smallest = two_sided(differences), detectable(differences, confidence)
    return Estimate(float(differences[0]), np.nan, np.nan, p, smallest, seeds, pairs)


def _assignments(seeds: int, languages: int, rng: np.random.Generator) -> np.ndarray:
    """Return which search counts as which language in each seed: int (assignments, seeds, languages).

    The true one comes first, then all others or random ones. The first seed's stays, since only how seeds are
    matched counts.
    """
    if factorial(languages) ** (seeds - 1) <= EXACT_JOINTLY:
        orders = list(permutations(range(languages)))
        return np.array([(orders[0], *others) for others in product(orders, repeat=seeds - 1)])
    given = np.broadcast_to(np.arange(languages), (1, seeds, languages))
    return np.concatenate([given, rng.permuted(np.repeat(given, DRAWS, axis=0), axis=2)])


def importance_similarity(importance: pd.DataFrame) -> Similarity:
    """Return correlations of the unpruned models' head importances, less their seed's mean over languages.

    Args:
        importance: of all seeds' searches, stage 1's ``importance.parquet``.
    """
    unpruned = importance.query(UNPRUNED)
    maps = unpruned.pivot(index=["seed", "language"], columns=["layer", "head"], values="weight")
    centred = maps - maps.groupby("seed").transform("mean")
    shape = 2 * tuple(len(maps.index.unique(name)) for name in ("seed", "language"))
    return np.corrcoef(centred.to_numpy()).reshape(shape)


def overlap_similarity(overlap: pd.DataFrame) -> Similarity:
    """Return the Jaccard overlap of masks above that of random masks of their sizes.

    Args:
        overlap: one row per pair of masks, :func:`modspec.analysis.study_tables.mask_overlap`.
    """
    above = overlap["jaccard"] - overlap["chance"]
    keys = ["seed", "language"]
    a, b = (pd.MultiIndex.from_frame(overlap[[f"{k}_{x}" for k in keys]], names=keys) for x in "ab")
    names = a.append(b).unique().sort_values()
    table = np.full((len(names), len(names)), np.nan)
    rows, columns = names.get_indexer(a), names.get_indexer(b)
    table[rows, columns] = table[columns, rows] = above
    shape = 2 * tuple(len(names.unique(level)) for level in (0, 1))
    return table.reshape(shape)
