"""Are languages that are close kept by similar heads, and do they influence each other more?

Mask overlap and cross-lingual influence of every pair of languages, against their typological distance in
URIEL (Littell et al. 2017), by Mantel tests (Mantel 1967). URIEL is read from the data files of the package
``lang2vec``, whose own code needs ``pkg_resources``, which setuptools no longer has.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations, permutations
from math import factorial

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from modspec.analysis.intervals import adjusted
from modspec.errors import InputError

# Distance -> lang2vec's file and the prefix of its features. "predictions": gaps filled from nearest
# neighbours (lang2vec's "knn" sets). Geography: distances to fixed points on the globe.
DISTANCES = {
    "syntax": ("feature_predictions", "S_"),
    "phonology": ("feature_predictions", "P_"),
    "inventory": ("feature_predictions", "INV_"),
    "family": ("family_features", ""),
    "geography": ("geocoord_features", ""),
}
PAIR = ["language_a", "language_b"]
EXACT = 5040  # 7 languages: up to here every permutation is enumerated


@dataclass(frozen=True)
class Mantel:
    """rho: Spearman correlation of similarity with distance over pairs of languages. p: one-sided, that the
    closer are the more similar (rho < 0). smallest_p: what so many languages could give at best. All but
    the last are NaN for fewer than three languages, or where either is the same for all pairs."""

    rho: float
    p: float
    p_two_sided: float
    smallest_p: float


def mantel(similarity: np.ndarray, distance: np.ndarray, *, resamples: int = 9999, seed: int = 0) -> Mantel:
    """Mantel test of two symmetric (languages, languages) matrices, diagonals ignored.

    The languages of one matrix are permuted: in every way up to :data:`EXACT` ways, else ``resamples`` times
    at random; the observed order counts as one of them.
    """
    count = len(similarity)
    every = orders(count, resamples, np.random.default_rng(seed))
    above = np.triu_indices(count, 1)
    if count < 3 or not np.ptp(similarity[above]) > 0 or not np.ptp(distance[above]) > 0:
        return Mantel(np.nan, np.nan, np.nan, 1 / len(every))
    ranks = squareform(_standardised_ranks(similarity[above]))
    other = _standardised_ranks(distance[above])
    rho = ranks[every[:, above[0]], every[:, above[1]]] @ other / len(other)
    rounding = 1e-12
    return Mantel(
        float(rho[0]),
        float(np.mean(rho <= rho[0] + rounding)),
        float(np.mean(np.abs(rho) >= abs(rho[0]) - rounding)),
        1 / len(every),
    )


def orders(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Orders of ``count`` things, int (orders, count), the given one first: all of them up to
    :data:`EXACT`, else that one and ``resamples`` random ones."""
    if factorial(count) <= EXACT:
        return np.array(list(permutations(range(count))))
    given = np.arange(count)
    return np.vstack([given, rng.permuted(np.tile(given, (resamples, 1)), axis=1)])


def described(languages: Sequence[str]) -> list[str]:
    """Those of ``languages`` (ISO 639-1 or 639-3 codes) that URIEL describes in all of :data:`DISTANCES`."""
    vectors = _uriel(tuple(languages))
    return [code for code in languages if all(code in of for of in vectors.values())]


def typological_distances(languages: Sequence[str]) -> pd.DataFrame:
    """A row a pair of languages: ``language_a``, ``language_b``, and the cosine distance (0 to 1) of their
    URIEL vectors in each of :data:`DISTANCES`.

    Raises InputError for a language that URIEL does not describe.
    """
    known = described(languages)
    if unknown := [code for code in languages if code not in known]:
        raise InputError(f"languages: {unknown[0]!r} is not in URIEL; allowed: ISO 639 codes that it has")
    table = pd.DataFrame(combinations(languages, 2), columns=PAIR)
    for name, vectors in _uriel(tuple(languages)).items():
        rows = [vectors[code] for code in languages]
        # Vectors that are the same may give -1e-17.
        table[name] = pdist(rows, "cosine").clip(0) if len(rows) > 1 else []
    return table


def language_pairs(overlap: pd.DataFrame, matrix: pd.DataFrame, training_examples: int) -> pd.DataFrame:
    """How similar every two languages are, beside how far apart: by seed, and the mean as seed ``"all"``.

    ``overlap``, ``matrix``: see :func:`modspec.analysis.study_tables.mask_overlap` and ``influence_matrix``;
    ``training_examples``: their number in all languages. Measures, the last two for full fine-tuning without
    mask by cosine, mean of both directions: ``overlap``, Jaccard overlap of the masks of a seed, above what
    random masks of their sizes have (masks that keep every head are left out: theirs is always zero);
    ``share`` of one language among the other's proponents, above chance; ``influence``, mean score of a
    training example of one for an evaluation example of the other.

    Rows with ``language_a`` = ``language_b`` say what the same language has: overlap with its masks of other
    seeds, and in-language influence. Languages that URIEL lacks are left out; no rows where fewer than two
    are left.
    """
    found = pd.concat([_overlaps(overlap), _influences(matrix, training_examples)], ignore_index=True)
    languages = described(sorted({*found["language_a"], *found["language_b"]}))
    distances = typological_distances(languages)
    if distances.empty:
        return pd.DataFrame(columns=["seed", "measure", *PAIR, "value", *DISTANCES])
    same = pd.DataFrame({"language_a": languages, "language_b": languages}).assign(
        **dict.fromkeys(DISTANCES, 0.0)
    )
    keys = ["measure", *PAIR]
    mean = found.groupby(keys, sort=False, as_index=False)["value"].mean().assign(seed="all")
    every = pd.concat([mean, found], ignore_index=True)[["seed", *keys, "value"]]
    return every.merge(pd.concat([distances, same]), on=PAIR)


def mantel_tests(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a seed, measure and distance of :func:`language_pairs`: its Mantel test.

    ``p_holm``: ``p`` after Holm's correction over the measures and distances of a seed. Columns as in
    :class:`Mantel`, and ``languages``, their number: as many as have all their pairs.
    """
    rows = []
    for (seed, measure), group in pairs.groupby(["seed", "measure"], sort=False):
        between = group[group["language_a"] != group["language_b"]]
        if between.empty:
            continue
        names = _complete(between)
        similarity = _square(between, "value", names)
        for distance in DISTANCES:
            test = mantel(similarity, _square(between, distance, names))
            rows.append((seed, measure, distance, len(names), *vars(test).values()))
    columns = ["seed", "measure", "distance", "languages", "rho", "p", "p_two_sided", "smallest_p"]
    tests = pd.DataFrame(rows, columns=columns)
    return tests.assign(p_holm=tests.groupby("seed", sort=False)["p"].transform(adjusted))


def _overlaps(overlap: pd.DataFrame) -> pd.DataFrame:
    selective = overlap[["kept_a", "kept_b"]].lt(overlap["heads"], axis=0).all(axis=1)
    overlap = overlap[selective]
    rows = _sorted_pairs(overlap.assign(value=overlap["jaccard"] - overlap["chance"]))
    same_seed, same_language = rows["seed_a"] == rows["seed_b"], rows["language_a"] == rows["language_b"]
    between = rows[same_seed & ~same_language].rename(columns={"seed_a": "seed"})
    floor = rows[~same_seed & same_language]
    seeds = [floor.rename(columns={which: "seed"}) for which in ("seed_a", "seed_b")]
    return _mean_by_pair([between, *seeds], "overlap")


def _influences(matrix: pd.DataFrame, training_examples: int) -> pd.DataFrame:
    chosen = {"condition": "full", "mask_kind": "none", "score": "cosine"}
    rows = matrix[np.logical_and.reduce([matrix[column] == value for column, value in chosen.items()])]
    rows = _sorted_pairs(rows.rename(columns={"language": "language_a", "train_language": "language_b"}))
    share = rows.assign(value=rows["share"] - rows["chance"])
    mean = rows.assign(value=rows["influence"] / (rows["chance"] * training_examples))
    return pd.concat([_mean_by_pair([share], "share"), _mean_by_pair([mean], "influence")])


def _sorted_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    first, second = rows["language_a"], rows["language_b"]
    swap = first > second
    return rows.assign(language_a=first.mask(swap, second), language_b=second.mask(swap, first))


def _mean_by_pair(frames: list[pd.DataFrame], measure: str) -> pd.DataFrame:
    keys = ["seed", *PAIR]
    rows = pd.concat([frame[[*keys, "value"]] for frame in frames])
    return rows.groupby(keys, sort=False, as_index=False)["value"].mean().assign(measure=measure)


def _complete(between: pd.DataFrame) -> list[str]:
    """Languages of which every two make a pair, after leaving out those that lack most."""
    pairs = {frozenset(pair) for pair in zip(between["language_a"], between["language_b"], strict=True)}
    names = sorted(set().union(*pairs))
    while lacking := [pair for pair in combinations(names, 2) if frozenset(pair) not in pairs]:
        ends = [language for pair in lacking for language in pair]
        names.remove(max(names, key=ends.count))
    return names


def _square(between: pd.DataFrame, column: str, names: list[str]) -> np.ndarray:
    """Symmetric (languages, languages) from one row a pair in alphabetical order."""
    upper = between.pivot(index="language_a", columns="language_b", values=column)
    half = np.triu(upper.reindex(index=names, columns=names), 1)
    return half + half.T


def _standardised_ranks(values: np.ndarray) -> np.ndarray:
    # Means that differ only by rounding are ties.
    ranks = rankdata(np.round((values - values.min()) / np.ptp(values), 9))
    return (ranks - ranks.mean()) / ranks.std()


@functools.cache
def _uriel(languages: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    """Distance -> language -> vector, for the languages that have every feature and not only zeros."""
    data = files("lang2vec").joinpath("data")
    iso = json.loads(data.joinpath("letter_codes.json").read_text(encoding="utf-8"))
    found = {}
    for name in dict.fromkeys(file for file, _ in DISTANCES.values()):
        with data.joinpath(f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            features, values = arrays["feats"], arrays["data"][:, :, 0]
            places = {code: row for row, code in enumerate(arrays["langs"].tolist())}
        rows = {code: values[places[long]] for code in languages if (long := iso.get(code, code)) in places}
        for distance in (distance for distance, (file, _) in DISTANCES.items() if file == name):
            chosen = np.char.startswith(features, DISTANCES[distance][1])
            vectors = {code: row[chosen] for code, row in rows.items()}
            found[distance] = {code: v for code, v in vectors.items() if (v >= 0).all() and v.any()}
    return found
