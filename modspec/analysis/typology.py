"""Are languages that are close kept by similar heads, and do they influence each other more?

Mask overlap and cross-lingual influence of every pair of languages, against their typological distance in
URIEL (Littell et al. 2017), by Mantel tests (Mantel 1967). URIEL is read from the data files of the package
``lang2vec``, whose own code needs ``pkg_resources``, which setuptools no longer has.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations, combinations_with_replacement

import numpy as np
import pandas as pd
from scipy.spatial.distance import num_obs_y, pdist, squareform

from modspec.analysis.intervals import adjusted
from modspec.analysis.permutation import orders
from modspec.analysis.ranks import standardised_ranks

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


@dataclass(frozen=True)
class Mantel:
    """Result of a Mantel test; all but ``smallest_p`` are NaN for fewer than three languages, or where
    similarity or distance is the same for all pairs."""

    rho: float  # Spearman correlation of similarity with distance over pairs of languages
    p: float  # one-sided: the closer, the more similar (rho < 0)
    p_two_sided: float
    smallest_p: float  # the lowest p that so many languages allow


def mantel(similarity: np.ndarray, distance: np.ndarray, *, resamples: int = 9999, seed: int = 0) -> Mantel:
    """Return the Mantel test of two symmetric matrices, given by their pairs of different languages.

    The languages of one matrix are permuted as :func:`modspec.analysis.permutation.orders` says; the observed
    order counts as one of them.

    Args:
        similarity: (pairs of languages,), in the order of ``itertools.combinations``.
        distance: (pairs of languages,).
        resamples: number of permutations, where there are too many to go through all.
        seed: of the permutations.
    """
    count = num_obs_y(similarity)
    permuted = orders(count, resamples, np.random.default_rng(seed))
    if count < 3 or not np.ptp(similarity) > 0 or not np.ptp(distance) > 0:
        return Mantel(np.nan, np.nan, np.nan, 1 / len(permuted))
    ranks, distance_ranks = squareform(_rounded_ranks(similarity)), _rounded_ranks(distance)
    first, second = np.triu_indices(count, 1)
    rho = ranks[permuted[:, first], permuted[:, second]] @ distance_ranks / len(distance_ranks)
    rounding = 1e-12
    return Mantel(
        float(rho[0]),
        float(np.mean(rho <= rho[0] + rounding)),
        float(np.mean(np.abs(rho) >= abs(rho[0]) - rounding)),
        1 / len(permuted),
    )


def typological_distances(languages: Sequence[str]) -> pd.DataFrame:
    """Return the cosine distance (0 to 1) of the URIEL vectors of every two languages, and of each with
    itself.

    Args:
        languages: ISO 639-1 or 639-3 codes. Those that URIEL does not describe in all of :data:`DISTANCES`
            are left out.

    Returns:
        Columns ``language_a``, ``language_b``, and one per name in :data:`DISTANCES`. No rows where fewer
        than two languages are left.
    """
    distances = _uriel(tuple(languages))
    known = [code for code in languages if all(code in vectors for vectors in distances.values())]
    if len(known) < 2:
        return pd.DataFrame(columns=[*PAIR, *DISTANCES])
    table = pd.DataFrame(combinations_with_replacement(known, 2), columns=PAIR)
    for name, vectors in distances.items():
        # Vectors that are the same may give -1e-17.
        square = squareform(pdist([vectors[code] for code in known], "cosine").clip(0))
        table[name] = square[np.triu_indices(len(known))]
    return table


def language_pairs(overlap: pd.DataFrame, matrix: pd.DataFrame, training_examples: int) -> pd.DataFrame:
    """Return how similar every two languages are, and how far apart: by seed, and the mean as seed ``"all"``.

    Args:
        overlap: :func:`modspec.analysis.study_tables.mask_overlap`.
        matrix: :func:`modspec.analysis.study_tables.influence_matrix`.
        training_examples: their number in all languages.

    Returns:
        One row per seed, measure and pair. Measures, the last two for full fine-tuning without mask by
        cosine, mean of both directions: ``overlap``, Jaccard overlap of the masks of a seed, minus what
        random masks of their sizes have (masks that keep every head are left out: theirs is always zero);
        ``share`` of one language among the other's proponents, minus chance; ``influence``, mean score of a
        training example of one for a test example of the other. Rows with ``language_a`` = ``language_b`` say
        what the same language has: overlap with its masks of other seeds, and in-language influence.
        Languages that URIEL lacks are left out; no rows where fewer than two are left.
    """
    measured = pd.concat([_overlaps(overlap), _influences(matrix, training_examples)], ignore_index=True)
    distances = typological_distances(sorted({*measured["language_a"], *measured["language_b"]}))
    keys = ["measure", *PAIR]
    mean = measured.groupby(keys, sort=False, as_index=False)["value"].mean().assign(seed="all")
    rows = pd.concat([mean, measured], ignore_index=True)[["seed", *keys, "value"]]
    return rows.merge(distances, on=PAIR)


def mantel_tests(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the Mantel test of every seed, measure and distance of :func:`language_pairs`.

    Returns:
        The fields of :class:`Mantel`; ``languages``, their number: as many as have all their pairs;
        ``p_holm``, ``p`` after Holm's correction over the measures and distances of a seed.
    """
    rows = []
    for (seed, measure), group in pairs.groupby(["seed", "measure"], sort=False):
        between = group[group["language_a"] != group["language_b"]]
        if between.empty:
            continue
        names = _complete(between)
        tested = between[between[PAIR].isin(names).all(axis=1)].sort_values(PAIR)
        for distance in DISTANCES:
            test = mantel(tested["value"].to_numpy(), tested[distance].to_numpy())
            rows.append((seed, measure, distance, len(names), *vars(test).values()))
    columns = ["seed", "measure", "distance", "languages", "rho", "p", "p_two_sided", "smallest_p"]
    tests = pd.DataFrame(rows, columns=columns)
    return tests.assign(p_holm=tests.groupby("seed", sort=False)["p"].transform(adjusted))


def _overlaps(overlap: pd.DataFrame) -> pd.DataFrame:
    """Return overlap above chance by seed and pair; of the same language, with its masks of other seeds."""
    selective = overlap[["kept_a", "kept_b"]].lt(overlap["heads"], axis=0).all(axis=1)
    overlap = overlap[selective]
    rows = _sorted_pairs(overlap.assign(value=overlap["jaccard"] - overlap["chance"]))
    same_seed, same_language = rows["seed_a"] == rows["seed_b"], rows["language_a"] == rows["language_b"]
    between = rows[same_seed & ~same_language].rename(columns={"seed_a": "seed"})
    floor = rows[~same_seed & same_language]
    seeds = [floor.rename(columns={which: "seed"}) for which in ("seed_a", "seed_b")]
    return _mean_by_pair([between, *seeds], "overlap")


def _influences(matrix: pd.DataFrame, training_examples: int) -> pd.DataFrame:
    """Return shares above chance and mean scores by seed and pair."""
    rows = matrix.query("condition == 'full' and mask_kind == 'none' and score == 'cosine'")
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
    """Return languages that all form pairs with each other; those that lack most pairs are left out."""
    pairs = {frozenset(pair) for pair in zip(between["language_a"], between["language_b"], strict=True)}
    names = sorted(set().union(*pairs))
    while lacking := [pair for pair in combinations(names, 2) if frozenset(pair) not in pairs]:
        ends = [language for pair in lacking for language in pair]
        names.remove(max(names, key=ends.count))
    return names


def _rounded_ranks(values: np.ndarray) -> np.ndarray:
    """Return standardised ranks; means that differ only by rounding are ties."""
    return standardised_ranks(np.round((values - values.min()) / np.ptp(values), 9))


@functools.cache
def _uriel(languages: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    """Return vectors by distance and language, of the languages that have every feature and not only
    zeros."""
    data = files("lang2vec").joinpath("data")
    iso = json.loads(data.joinpath("letter_codes.json").read_text(encoding="utf-8"))
    vectors = {}
    for distance, (file, prefix) in DISTANCES.items():
        with data.joinpath(f"{file}.npz").open("rb") as opened, np.load(opened) as arrays:
            values = arrays["data"][:, np.char.startswith(arrays["feats"], prefix), 0]
            places = {code: row for row, code in enumerate(arrays["langs"].tolist())}
        rows = {code: values[places[long]] for code in languages if (long := iso.get(code, code)) in places}
        vectors[distance] = {code: row for code, row in rows.items() if (row >= 0).all() and row.any()}
    return vectors
