"""Tables of influence resolved by part of the encoder: by layer, by head, and how far seeds agree.

All start from stage 3's ``parts.parquet``, scored with no mask. For every evaluation example (``language``,
``id``), training language and part of the parameters (``part``, ``layer``, ``head``) it has the part's
contribution to the cosine score, summed over the language's training examples (``influence``), and the
language's share of the top-k training examples when this contribution alone ranks them (``proponents``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, rankdata, zscore

from modspec.analysis.intervals import mean_and_interval
from modspec.analysis.shares import by_seed_and_example
from modspec.terms import ALL_LANGUAGES

HEAD = ["layer", "head"]


def layer_share(parts: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """S_t by the contributions of one part of one layer alone: each language's, and all examples' pooled.

    For each seed, and over ``"all"``, which alone has an interval. ``confidence``: of
    :func:`modspec.analysis.intervals.interval`.
    """
    own = parts[(parts["language"] == parts["train_language"]) & (parts["part"] != "head")]
    rows = []
    for keys, group in own.groupby(["condition", "part", "layer"], sort=False):
        for language, some in ((ALL_LANGUAGES, group), *group.groupby("language", sort=False)):
            values, chance = by_seed_and_example(some, "proponents"), some["chance"].mean()
            rows.append(
                ("all", *keys, language, *mean_and_interval(values, confidence), chance, values.shape[1])
            )
            for seed, run in some.groupby("seed"):
                mean = run["proponents"].mean()
                rows.append((seed, *keys, language, mean, np.nan, np.nan, chance, len(run)))
    columns = ["seed", "condition", "part", "layer", "language", "value", "low", "high", "chance", "examples"]
    return pd.DataFrame(rows, columns=columns)


def head_influence(parts: pd.DataFrame, training_examples: int) -> pd.DataFrame:
    """What each head contributes to the score of a training example of ``train_language`` for an evaluation
    example of ``language``: mean by seed; full fine-tuning.

    ``training_examples``: their number in all languages. No rows for a study without full fine-tuning or
    with one training language.
    """
    heads = _heads(parts)
    mean = heads["influence"] / (heads["chance"] * training_examples)
    keys = ["seed", "language", "train_language", *HEAD]
    return heads.assign(contribution=mean).groupby(keys, sort=False, as_index=False)["contribution"].mean()


def head_share(parts: pd.DataFrame) -> pd.DataFrame:
    """S_t by the contributions of one head alone, by language and seed; full fine-tuning.

    Contributions add up to the score but are large where gradients are; this compares heads whatever
    their gradients. No rows where :func:`head_influence` has none.
    """
    heads = _heads(parts)
    own = heads[heads["language"] == heads["train_language"]].rename(columns={"proponents": "share"})
    keys = ["seed", "language", *HEAD]
    return own.groupby(keys, sort=False, as_index=False)[["share", "chance"]].mean()


def head_maps(table: pd.DataFrame, rows: Sequence[str], values: str) -> pd.DataFrame:
    """A table's ``values`` with a column for each (layer, head) and a row for each of ``rows``, mean over
    what is left."""
    return table.pivot_table(index=list(rows), columns=HEAD, values=values)


def above_others(maps: pd.DataFrame) -> pd.DataFrame:
    """Each training language's map minus the mean of the other training languages' maps.

    ``maps``: :func:`head_maps` whose last row level is ``train_language``.
    """
    groups = maps.groupby(level=maps.index.names[:-1])
    return maps - (groups.transform("sum") - maps) / (groups.transform("count") - 1)


def own_above_others(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`head_influence` of the own minus the other training languages: :func:`head_maps` with rows
    (language, seed)."""
    excess = above_others(head_maps(table, ["language", "seed", "train_language"], "contribution"))
    language, _, trained = (excess.index.get_level_values(level) for level in range(3))
    return excess[language == trained].droplevel("train_language")


def head_agreement(maps: pd.DataFrame, *, resamples: int = 2000) -> pd.DataFrame:
    """Do seeds agree on heads? Spearman over heads, mean over pairs of seeds, by language.

    ``maps``: :func:`head_maps` with rows (language, seed). Columns: a language's own maps in two seeds;
    against other languages' maps in the other seed, the floor that agreement must exceed to be about the
    language; and the middle 95 % of the first when heads are permuted in every seed, which takes heads for
    exchangeable, although those of a layer are alike. Seeds see the same evaluation examples, so agreement
    says nothing of others. No rows for one seed.
    """
    ranks = zscore(rankdata(maps, axis=1), axis=1)
    language, seed = (maps.index.get_level_values(level).to_numpy() for level in range(2))
    rows = {}
    for own in dict.fromkeys(language):
        same, others = ranks[language == own], ranks[language != own]
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
        floor = (same @ others.T / maps.shape[1])[seed[language == own, None] != seed[language != own]]
        low, high = np.quantile(test.null_distribution, [0.025, 0.975])
        rows[own] = (test.statistic, floor.mean() if floor.size else np.nan, low, high)
    columns = ["same language", "other languages", "chance, from", "chance, to"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("language")


def top_heads(maps: pd.DataFrame, value: str, *, count: int = 3) -> pd.DataFrame:
    """The ``count`` heads of each language with the highest values (mean over seeds, three digits), and
    their rank among all heads in each seed alone.

    ``maps``: :func:`head_maps` with rows (language, seed); ``value``: what to call its values.
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
    heads = parts[(parts["condition"] == "full") & (parts["part"] == "head")]
    return heads if heads["train_language"].nunique() > 1 else heads[:0]


def _mean_correlation(*ranks: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean Spearman correlation over all pairs, from standardised ranks."""
    return np.mean([(a * b).mean(axis=axis) for a, b in combinations(ranks, 2)], axis=0)
