"""Tables of influence by part of the encoder: by layer, by head, and how far seeds agree.

All start from stage 3's ``parts.parquet``, scored without mask. For every test example (``language``,
``id``), training language and part of the parameters (``part``, ``layer``, ``head``) it has the part's
contribution to the cosine score, summed over the language's training examples (``influence``), and the
language's share of the top-k training examples when this contribution alone ranks them (``proponents``).
Single heads have these as means over the test examples of a language.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, rankdata

from modspec.analysis.intervals import mean_and_interval
from modspec.analysis.ranks import standardised_ranks
from modspec.analysis.shares import by_seed_and_example
from modspec.terms import ALL_LANGUAGES

HEAD = ["layer", "head"]


def layer_share(parts: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Return S_t by the contributions of one part of one layer alone.

    Args:
        parts: ``parts.parquet`` of all conditions and seeds.
        confidence: of :func:`modspec.analysis.intervals.interval`.

    Returns:
        One row per condition, part, layer, language (and all languages together) and seed (and ``"all"``,
        which alone has an interval).
    """
    in_language = parts[(parts["language"] == parts["train_language"]) & (parts["part"] != "head")]
    rows = []
    for keys, group in in_language.groupby(["condition", "part", "layer"], sort=False):
        for language, examples in ((ALL_LANGUAGES, group), *group.groupby("language", sort=False)):
            values, chance = by_seed_and_example(examples, "proponents"), examples["chance"].mean()
            estimated = mean_and_interval(values, confidence)
            rows.append(("all", *keys, language, *estimated, chance, values.shape[1]))
            for seed, run in examples.groupby("seed"):
                mean = run["proponents"].mean()
                rows.append((seed, *keys, language, mean, np.nan, np.nan, chance, len(run)))
    columns = ["seed", "condition", "part", "layer", "language", "value", "low", "high", "chance", "examples"]
    return pd.DataFrame(rows, columns=columns)


def head_influence(parts: pd.DataFrame, training_examples: int) -> pd.DataFrame:
    """Return each head's mean contribution to a score, by seed, language and training language; full
    fine-tuning.

    Args:
        parts: ``parts.parquet`` of all conditions and seeds.
        training_examples: their number in all languages.

    Returns:
        Columns seed, language, train_language, layer, head, contribution. No rows for a study without full
        fine-tuning or with one training language.
    """
    heads = _heads(parts)
    mean = heads["influence"] / (heads["chance"] * training_examples)
    keys = ["seed", "language", "train_language", *HEAD]
    return heads.assign(contribution=mean).groupby(keys, sort=False, as_index=False)["contribution"].mean()


def head_share(parts: pd.DataFrame) -> pd.DataFrame:
    """Return S_t by the contributions of one head alone, by language and seed; full fine-tuning.

    Contributions add up to the score but are large where gradients are; shares compare heads whatever their
    gradients. No rows where :func:`head_influence` has none.
    """
    heads = _heads(parts)
    in_language = heads[heads["language"] == heads["train_language"]].rename(columns={"proponents": "share"})
    keys = ["seed", "language", *HEAD]
    return in_language.groupby(keys, sort=False, as_index=False)[["share", "chance"]].mean()


def head_maps(table: pd.DataFrame, rows: Sequence[str], values: str) -> pd.DataFrame:
    """Return a table's ``values`` with one column per (layer, head) and one row per value of the columns
    ``rows``: means over everything else."""
    return table.pivot_table(index=list(rows), columns=HEAD, values=values)


def above_others(maps: pd.DataFrame) -> pd.DataFrame:
    """Return each training language's map minus the mean of the other training languages' maps.

    Args:
        maps: :func:`head_maps` whose last row level is ``train_language``.
    """
    groups = maps.groupby(level=maps.index.names[:-1])
    return maps - (groups.transform("sum") - maps) / (groups.transform("count") - 1)


def own_above_others(table: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`head_influence` of the own minus the other training languages: :func:`head_maps` with
    rows (language, seed)."""
    excess = above_others(head_maps(table, ["language", "seed", "train_language"], "contribution"))
    language, _, train_language = (excess.index.get_level_values(level) for level in range(3))
    return excess[language == train_language].droplevel("train_language")


def head_agreement(maps: pd.DataFrame, *, resamples: int = 2000) -> pd.DataFrame:
    """Return how well seeds agree on heads: Spearman over heads, mean over pairs of seeds, by language.

    Seeds see the same test examples, so agreement says nothing about other examples.

    Args:
        maps: :func:`head_maps` with rows (language, seed).
        resamples: number of permutations.

    Returns:
        Indexed by language: ``same language``, agreement of its maps of two seeds; ``other languages``,
        agreement with other languages' maps of the other seed, which the first must exceed to be about the
        language; ``chance, from`` and ``chance, to``, the middle 95 % of the first when heads are permuted in
        every seed (which treats heads as exchangeable, although those of a layer are alike). No rows for one
        seed.
    """
    ranks = standardised_ranks(maps)
    language, seed = (maps.index.get_level_values(level).to_numpy() for level in range(2))
    rows = {}
    for name in dict.fromkeys(language):
        same, others = ranks[language == name], ranks[language != name]
        if len(same) < 2:
            continue
        test = permutation_test(
            same,
            _mean_correlation,
            permutation_type="pairings",
            vectorized=True,
            n_resamples=resamples,
            rng=np.random.default_rng(0),
        )
        floor = (same @ others.T / maps.shape[1])[seed[language == name, None] != seed[language != name]]
        low, high = np.quantile(test.null_distribution, [0.025, 0.975])
        rows[name] = (test.statistic, floor.mean() if floor.size else np.nan, low, high)
    columns = ["same language", "other languages", "chance, from", "chance, to"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("language")


def top_heads(maps: pd.DataFrame, value: str, *, count: int = 3) -> pd.DataFrame:
    """Return the ``count`` heads of each language with the highest values.

    Args:
        maps: :func:`head_maps` with rows (language, seed).
        value: name of the column of values: means over seeds, three digits.
        count: number of heads per language.

    Returns:
        Indexed by language and rank; the last column has the rank among all heads in each seed alone.
    """
    rows = []
    for language, seeds in maps.groupby(level="language", sort=False):
        mean, ranks = seeds.mean(), rankdata(-seeds, axis=1, method="min").T
        for rank, place in enumerate(np.argsort(-mean.to_numpy(), kind="stable")[:count], start=1):
            in_seeds = ", ".join(map(str, ranks[place]))
            rows.append((language, rank, *mean.index[place], float(f"{mean.iloc[place]:.3g}"), in_seeds))
    columns = ["language", "rank", *HEAD, value, "rank in each seed"]
    return pd.DataFrame(rows, columns=columns).set_index(["language", "rank"])


def _heads(parts: pd.DataFrame) -> pd.DataFrame:
    """Return the heads' rows of the fully fine-tuned model; none where there is one training language."""
    heads = parts[(parts["condition"] == "full") & (parts["part"] == "head")]
    return heads if heads["train_language"].nunique() > 1 else heads[:0]


def _mean_correlation(*ranks: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean Spearman correlation over all pairs, from standardised ranks."""
    return np.mean([(a * b).mean(axis=axis) for a, b in combinations(ranks, 2)], axis=0)
