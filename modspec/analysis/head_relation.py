"""Are the heads through which a language influences itself those that matter for it, and those of its mask?

Head by head, in-language influence in the fully fine-tuned model (:mod:`modspec.analysis.by_part`) against
what stage 1 found in models that were fine-tuned on one language: head importance and masks. Both the
importance and the in-language influence of a head vary with its layer, so chance permutes heads within layers
only. Heads that matter for one language matter for all, so chance permutes all maps alike, and other
languages' importance and masks, and those of another seed, stand beside a language's own.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from modspec.analysis.by_part import head_maps, own_above_others
from modspec.analysis.language_specificity import UNPRUNED
from modspec.analysis.permutation import orders
from modspec.analysis.ranks import standardised_ranks
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
) -> pd.DataFrame:
    """Return how in-language influence by head relates to importance and masks.

    Args:
        contributions: :func:`modspec.analysis.by_part.head_influence`.
        shares: :func:`modspec.analysis.by_part.head_share`.
        importance: stage 1's ``importance.parquet``.
        masks: :func:`modspec.analysis.study_tables.head_masks`.
        resamples: number of permutations.

    Returns:
        One row per seed (or ``"all"``: their mean), language, measure and ``mask_kind``, which says whose
        importance or mask: the language's ``own``, or the mean over those of an ``other_language`` (same
        seed) or ``other_seed`` (same language). Measures: ``contribution_importance`` and
        ``share_importance``, Spearman correlation over heads of in-language contribution (a head's score for
        the own training language minus the mean of the others) or in-language share with the importance of
        the unpruned encoder's heads; ``contribution_mask`` and ``share_mask``, mean of kept minus mean of
        dropped heads within layers (the coefficient of the mask in a regression with a constant for each
        layer). ``chance``, ``chance_low``, ``chance_high``, ``p``: mean and middle 95 % of the value, and
        two-sided p, with the heads of each layer permuted; for masks these are random masks with as many
        heads in each layer. No rows where :func:`modspec.analysis.by_part.head_influence` has none; none of a
        mask that keeps all or no heads in every layer, or of an importance that is the same for all heads.
    """
    rng = np.random.default_rng(0)
    rows = []
    for measure, values, predictors in _measures(contributions, shares, importance, masks):
        null = _permuted_within_layers(values, resamples, rng)
        same_language, same_seed = (_same(values, predictors, level) for level in ROWS)
        for source, (language, run) in SOURCES.items():
            weights = (same_language == language) & (same_seed == run)
            matched = weights.any(axis=1)
            if not matched.any():
                continue
            mean = weights[matched] @ predictors.to_numpy() / weights[matched].sum(axis=1, keepdims=True)
            observed = (values.to_numpy()[matched] * mean).sum(axis=1)
            by_chance = np.einsum("nbh,nh->nb", null[matched], mean)
            languages, seeds = (values.index[matched].get_level_values(level).to_numpy() for level in ROWS)
            for code in (ALL_LANGUAGES, *(code for code in shares["language"].unique() if code in languages)):
                in_language = (languages == code) | (code == ALL_LANGUAGES)
                for number in ("all", *dict.fromkeys(seeds[in_language])):
                    chosen = in_language & ((seeds == number) | (number == "all"))
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
    """Test whether a language's own importance or mask is nearer to its in-language influence than others'.

    Args:
        contributions: as for :func:`head_relation`, like the next three.
        resamples: number of permutations of languages, if there are more than seven; else every permutation.

    Returns:
        One row per measure of :func:`head_relation`: mean over languages and seeds with the ``own`` and the
        ``other`` languages', and ``p``, one-sided, from permuting the languages of importances or masks in
        all seeds alike. ``smallest_p``: the lowest p that so many ``languages`` allow. No rows for fewer than
        two.
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
    """Yield measure, values and predictors, both with rows (language, seed) and columns (layer, head).

    The measure of a row of values and a row of predictors is the sum of their products over heads.
    """
    weights = head_maps(importance.query(UNPRUNED), ROWS, "weight")
    kept = head_maps(masks.assign(kept=masks["kept"].astype(float)), ROWS, "kept")
    influences = {"contribution": own_above_others(contributions), "share": head_maps(shares, ROWS, "share")}
    for name, maps in influences.items():
        if not maps.empty:
            yield f"{name}_importance", _ranks(maps) / maps.shape[1], _ranks(weights)
            yield f"{name}_mask", maps, _within_layers(kept)


def _ranks(maps: pd.DataFrame) -> pd.DataFrame:
    """Return each row's standardised ranks; constant rows are dropped."""
    varied = maps[np.ptp(maps.to_numpy(), axis=1) > 0] if len(maps) else maps
    return pd.DataFrame(standardised_ranks(varied), varied.index, varied.columns) if len(varied) else varied


def _within_layers(kept: pd.DataFrame) -> pd.DataFrame:
    """Return the weights of heads in the regression coefficient of a mask beside a constant for each
    layer."""
    centred = kept - kept.T.groupby(level="layer").transform("mean").T
    spread = (kept * centred).sum(axis=1)
    contrasting = spread > 1e-9
    return centred[contrasting].div(spread[contrasting], axis=0)


def _permuted_within_layers(maps: pd.DataFrame, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return each row's values with the heads of every layer permuted: (rows, resamples, heads).

    All rows are permuted alike. They are maps of the same heads and resemble each other, so that permutations
    of their own would cancel in the mean over rows, and make chance look narrower than it is.
    """
    layers = maps.columns.get_level_values("layer").nunique()
    grid = maps.to_numpy().reshape(len(maps), 1, layers, -1)
    heads = np.broadcast_to(np.arange(grid.shape[-1]), (resamples, *grid.shape[2:]))
    order = rng.permuted(heads, axis=-1)
    return np.take_along_axis(grid, order[None], axis=-1).reshape(len(maps), resamples, -1)


def _same(values: pd.DataFrame, predictors: pd.DataFrame, level: str) -> np.ndarray:
    """Return whether language or seed agree: bool (rows of values, rows of predictors)."""
    first, second = (frame.index.get_level_values(level).to_numpy() for frame in (values, predictors))
    return first[:, None] == second[None]


def _against(value: float, by_chance: np.ndarray) -> tuple[float, ...]:
    """Return the value, mean and middle 95 % of its values by chance, and two-sided p."""
    rounding = 1e-12 * np.abs(by_chance).max()
    tails = [np.sum(by_chance >= value - rounding), np.sum(by_chance <= value + rounding)]
    p = min(1.0, 2 * (1 + min(tails)) / (1 + len(by_chance)))
    return float(value), float(by_chance.mean()), *np.quantile(by_chance, [0.025, 0.975]), p
