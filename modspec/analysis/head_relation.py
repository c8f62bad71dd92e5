"""Are the heads through which a language influences itself those that matter for it, and those of its mask?

Head by head, in-language influence of the fully fine-tuned model (:mod:`modspec.analysis.by_part`) against what
stage 1 found in models that were fine-tuned on one language: head importance and masks. Both the importance
and the in-language influence of a head vary with its layer, so chance permutes heads within layers only; and
heads that matter for one language matter for all, so beside a language's own importance and mask stand other
languages' and those of another seed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata, zscore

from modspec.analysis.by_part import head_maps, own_above_others
from modspec.analysis.typology import orders
from modspec.terms import ALL_LANGUAGES

ROWS = ["language", "seed"]
# Whose importance or mask -> from the same language, from the same seed.
SOURCES = {"own": (True, True), "other_language": (False, True), "other_seed": (True, False)}


def head_relation(
    contributions: pd.DataFrame,
    shares: pd.DataFrame,
    importance: pd.DataFrame,
    masks: pd.DataFrame,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """A row a seed, or ``"all"`` for their mean, language, measure and ``mask_kind``.

    ``contributions``, ``shares``: see :func:`modspec.analysis.by_part.head_influence` and ``head_share``;
    ``importance``: stage 1's ``importance.parquet``; ``masks``: see :func:`modspec.analysis.study_tables.head_masks`.
    ``mask_kind``: whose importance or mask, the language's ``own``, or the mean over those of an
    ``other_language`` (same seed) or ``other_seed`` (same language). Measures: ``contribution_importance``
    and ``share_importance``, Spearman correlation over heads of in-language contribution (a head's score for
    the own training language minus the mean of the others) or in-language share with the importance of the
    unpruned encoder's heads; ``contribution_mask`` and ``share_mask``, mean of kept minus mean of dropped
    heads within layers (the coefficient of the mask in a regression with a constant for each layer).

    ``chance``, ``chance_low``, ``chance_high``, ``p``: mean and middle 95 % of the value, and two-sided p,
    with the heads of each layer permuted; for masks these are random masks with as many heads in each layer.
    No rows where :func:`modspec.analysis.by_part.head_influence` has none; none of a mask that keeps all or no
    heads in every layer, or of an importance that is the same for all heads.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for measure, values, predictors in _measures(contributions, shares, importance, masks):
        null = _permuted_within_layers(values, resamples, rng)
        for source, (language, run) in SOURCES.items():
            same = [_same(values, predictors, place) for place in range(2)]
            weights = (same[0] == language) & (same[1] == run)
            there = weights.any(axis=1)
            if not there.any():
                continue
            mean = weights[there] @ predictors.to_numpy() / weights[there].sum(axis=1, keepdims=True)
            observed = (values.to_numpy()[there] * mean).sum(axis=1)
            by_chance = np.einsum("nbh,nh->nb", null[there], mean)
            languages, seeds = (values.index[there].get_level_values(level).to_numpy() for level in ROWS)
            for code in (ALL_LANGUAGES, *dict.fromkeys(languages)):
                of = (languages == code) | (code == ALL_LANGUAGES)
                for number in ("all", *dict.fromkeys(seeds[of])):
                    chosen = of & ((seeds == number) | (number == "all"))
                    result = _against(observed[chosen].mean(), by_chance[chosen].mean(axis=0))
                    rows.append((number, code, measure, source, *result))
    columns = ["seed", "language", "measure", "mask_kind", "value"]
    return pd.DataFrame(rows, columns=[*columns, "chance", "chance_low", "chance_high", "p"])


def own_against_other_languages(
    contributions: pd.DataFrame,
    shares: pd.DataFrame,
    importance: pd.DataFrame,
    masks: pd.DataFrame,
    *,
    resamples: int = 9999,
) -> pd.DataFrame:
    """Is a language's own importance or mask nearer to its in-language influence than other languages'?

    Arguments and measures as for :func:`head_relation`. One row a measure: mean over languages and seeds
    with the ``own`` and the ``other`` languages', and ``p``, one-sided, from permuting the languages of
    importances or masks in all seeds alike (every permutation up to seven languages). ``smallest_p`` is
    what so many ``languages`` could give at best. No rows for fewer than two languages.
    """
    rows = []
    for measure, values, predictors in _measures(contributions, shares, importance, masks):
        products = values @ predictors.T
        runs = sorted({*values.index.unique("seed")} & {*predictors.index.unique("seed")})
        by_seed = [products.xs(run, level="seed").xs(run, level="seed", axis=1) for run in runs]
        if not by_seed:
            continue
        mean = (sum(by_seed) / len(by_seed)).dropna(how="all").dropna(how="all", axis=1)
        languages = [language for language in mean.index if language in mean.columns]
        count = len(languages)
        if count < 2:
            continue
        pairs = mean.loc[languages, languages].to_numpy()
        order = orders(count, resamples, np.random.default_rng(0))
        own = pairs[np.arange(count), order].mean(axis=1)
        other = pairs[~np.eye(count, dtype=bool)].mean()
        p = np.mean(own >= own[0] - 1e-12 * np.abs(pairs).max())
        rows.append((measure, count, len(runs), own[0], other, p, 1 / len(order)))
    columns = ["measure", "languages", "seeds", "own", "other", "p", "smallest_p"]
    return pd.DataFrame(rows, columns=columns)


def _measures(
    contributions: pd.DataFrame, shares: pd.DataFrame, importance: pd.DataFrame, masks: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Measure, values and predictors, with rows (language, seed) and columns (layer, head), such that the
    measure of a row of values and a row of predictors is the sum of their products over heads."""
    unpruned = importance[(importance["step"] == 0) & (importance["importance"] == "exact")]
    weights = head_maps(unpruned, ROWS, "weight")
    kept = head_maps(masks.assign(kept=masks["kept"].astype(float)), ROWS, "kept")
    influences = {
        "contribution": own_above_others(contributions),
        "share": head_maps(shares, ROWS, "share"),
    }
    for name, maps in influences.items():
        if not maps.empty:
            yield f"{name}_importance", _ranks(maps) / maps.shape[1], _ranks(weights)
            yield f"{name}_mask", maps, _within_layers(kept)


def _ranks(maps: pd.DataFrame) -> pd.DataFrame:
    """Standardised ranks of each row, whose mean product is Spearman's correlation; constant rows dropped."""
    if maps.empty:
        return maps
    varied = maps[np.ptp(maps.to_numpy(), axis=1) > 0]
    return pd.DataFrame(zscore(rankdata(varied, axis=1), axis=1), varied.index, varied.columns)


def _within_layers(kept: pd.DataFrame) -> pd.DataFrame:
    """Weights of heads in the regression coefficient of a mask beside a constant for each layer."""
    centred = kept - kept.T.groupby(level="layer").transform("mean").T
    spread = (kept * centred).sum(axis=1)
    contrasting = spread > 1e-9
    return centred[contrasting].div(spread[contrasting], axis=0)


def _permuted_within_layers(maps: pd.DataFrame, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, resamples, heads): each row's values with the heads of every layer permuted."""
    layers = maps.columns.get_level_values("layer").nunique()
    grid = maps.to_numpy().reshape(len(maps), 1, layers, -1)
    return rng.permuted(np.repeat(grid, resamples, axis=1), axis=-1).reshape(len(maps), resamples, -1)


def _same(values: pd.DataFrame, predictors: pd.DataFrame, place: int) -> np.ndarray:
    """(rows, rows): whether language (place 0) or seed (place 1) agree."""
    own, other = (frame.index.get_level_values(ROWS[place]).to_numpy() for frame in (values, predictors))
    return own[:, None] == other[None]


def _against(value: float, by_chance: np.ndarray) -> tuple[float, ...]:
    """Value, mean and middle 95 % of its values by chance, two-sided p."""
    rounding = 1e-12 * np.abs(by_chance).max()
    tails = [np.sum(by_chance >= value - rounding), np.sum(by_chance <= value + rounding)]
    p = min(1.0, 2 * (1 + min(tails)) / (1 + len(by_chance)))
    return float(value), float(by_chance.mean()), *np.quantile(by_chance, [0.025, 0.975]), p
