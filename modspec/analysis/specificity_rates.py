"""Simulated studies for the permutation test of :mod:`modspec.analysis.language_specificity`.

A simulated search's map of head importances is a sum of its language's map, the same in every seed, and of
noise; both are normal and independent from head to head. The heads of a real map are not independent, so a
simulated map has fewer: as many as make correlations of unrelated maps vary as the published ones do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from modspec.analysis.language_specificity import Similarity
from modspec.analysis.simulated_verdicts import Simulated
from modspec.terms import Question

ASSIGNMENTS = 1000  # of languages within seeds, the true one among them; the analysis itself takes 99,999


@dataclass(frozen=True)
class MapSize:
    """What the simulation needs to know of a task's importance maps."""

    languages: int
    heads: int  # independent ones


def map_size(similarity: Similarity) -> MapSize:
    """Return the size of simulated maps like the published ones, from how these are correlated."""
    seeds, languages = similarity.shape[:2]
    other = ~np.eye(languages, dtype=bool)
    unrelated = [similarity[a, :, b][other] for a, b in combinations(range(seeds), 2)]
    return MapSize(languages, round(1 / float(np.var(unrelated, ddof=1))))


def simulate_specificity(
    question: Question,
    tasks: Sequence[MapSize],
    seeds: int,
    effects: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> Simulated:
    """Return the test's estimates, mean over tasks, for each effect.

    Args:
        question: that it answers.
        tasks: sizes of their maps.
        seeds: of each task.
        effects: true differences r(same language, other seed) - r(other language, other seed), from 0 to
            below languages / (languages - 1).
        draws: number of simulated studies.
        rng: of maps and assignments.
    """
    task_values = np.empty((len(tasks), len(effects), draws))
    pooled = np.zeros((len(effects), draws, ASSIGNMENTS), dtype=np.float32)
    for number, task in enumerate(tasks):
        noise, common = draw_maps(task, seeds, draws, rng)
        assigned = assignments(seeds, task.languages, rng)
        for place, effect in enumerate(effects):
            of_task = differences(similarities(noise, common, effect), assigned)
            task_values[number, place] = of_task[:, 0]
            pooled[place] += of_task / len(tasks)
    p = np.array([two_sided_p(of_effect) for of_effect in pooled])
    no_interval = np.array(np.nan)
    return Simulated(question, effects, task_values.mean(axis=0), p, no_interval, task_values, no_interval)


def draw_maps(
    size: MapSize, seeds: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw noise, float32 (draws, seeds, languages, heads), and maps that seeds have in common, (draws, 1,
    languages, heads); both less their mean over languages, and over heads."""
    drawn = []
    for copies in (seeds, 1):
        maps = rng.standard_normal((draws, copies, size.languages, size.heads), dtype=np.float32)
        maps -= maps.mean(axis=2, keepdims=True)
        maps -= maps.mean(axis=3, keepdims=True)
        drawn.append(maps)
    return drawn[0], drawn[1]


def similarities(noise: np.ndarray, common: np.ndarray, effect: float) -> np.ndarray:
    """Return correlations of maps made of both, (draws, seeds, languages, seeds, languages).

    Args:
        noise: from :func:`draw_maps`.
        common: from there too.
        effect: the true r(same language, other seed) - r(other language, other seed).
    """
    draws, seeds, languages, heads = noise.shape
    # Languages' maps less their mean are correlated at -1 / (languages - 1) among each other.
    share = effect * (languages - 1) / languages
    maps = np.float32(np.sqrt(1 - share)) * noise + np.float32(np.sqrt(share)) * common
    maps /= np.sqrt(np.einsum("...h,...h", maps, maps))[..., None]
    flat = maps.reshape(draws, seeds * languages, heads)
    return (flat @ flat.mT).reshape(draws, seeds, languages, seeds, languages)


def assignments(seeds: int, languages: int, rng: np.random.Generator) -> np.ndarray:
    """Draw which search counts as which language: int (ASSIGNMENTS, seeds, languages), the true one first."""
    given = np.broadcast_to(np.arange(languages), (ASSIGNMENTS, seeds, languages))
    shuffled = rng.permuted(given, axis=2)
    shuffled[:, 0] = shuffled[0] = np.arange(languages)  # only how seeds are matched counts
    return shuffled


def differences(similarity: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """Return same less other of every study under every assignment: (draws, assignments).

    One matrix product, so that thousands of studies take seconds.

    Args:
        similarity: (draws, seeds, languages, seeds, languages).
        assigned: int (assignments, seeds, languages).
    """
    draws, seeds, languages = similarity.shape[:3]
    searches = seeds * languages
    at = assigned + languages * np.arange(seeds)[:, None]  # positions among all searches
    of_one = np.zeros((len(assigned), searches, searches), dtype=np.float32)
    for a, b in combinations(range(seeds), 2):
        of_one[np.arange(len(assigned))[:, None], at[:, a], at[:, b]] = 1
    across = np.kron(np.triu(np.ones((seeds, seeds)), 1), np.ones((languages, languages))).ravel() > 0
    flat = similarity.reshape(draws, -1)[:, across]
    sums = flat @ of_one.reshape(len(assigned), -1)[:, across].T
    pairs = across.sum() / languages
    return sums / pairs - (flat.sum(axis=1, keepdims=True) - sums) / (pairs * (languages - 1))


def two_sided_p(statistics: np.ndarray) -> np.ndarray:
    """Return the two-sided p of each row's first among all of the row: (draws,)."""
    slack = 1e-6 * np.abs(statistics).max(axis=1, keepdims=True)  # sums in another order are ties
    above = (statistics >= statistics[:, :1] - slack).mean(axis=1)
    below = (statistics <= statistics[:, :1] + slack).mean(axis=1)
    return np.minimum(1, 2 * np.minimum(above, below))
