"""How a split's examples are drawn: as many in every language, and the same ones wherever that is asked for.

Within a language labels are equally frequent as far as the data go: when one runs out, the others share the
rest equally.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from modspec.errors import InputError


def draw(
    pools: Mapping[str, pd.DataFrame], split: str, size: int, seed: int, aligned: bool, parallel: bool
) -> pd.DataFrame:
    """Draw examples of each language in random order, with labels as equally frequent as possible.

    Args:
        pools: {language: examples}, from ``local_files`` or ``hub_download``.
        split: name of the split, part of the random seed.
        size: examples per language.
        seed: of the sample.
        aligned: an id means the same pair in every pool.
        parallel: take the same pairs, in the same order, in each language.

    Raises:
        InputError: a pool has too few examples.
    """
    if parallel:
        pools = shared_by_all(pools)
        shared = next(iter(pools.values()))
        if len(shared) < size:
            raise InputError(
                f"{split}_per_language: {size}, but {', '.join(pools)} share {len(shared)} "
                f"examples for {split}; ask for fewer or set parallel to False"
            )
    drawn = []
    for language, pool in pools.items():
        if len(pool) < size:
            raise InputError(
                f"{split}_per_language: {size}, but {language} has {len(pool)} examples for {split}"
            )
        # The same pairs have the same labels, so one generator picks the same pairs in each language.
        names = [split] if parallel else [split, language]
        rng = np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
        rows = pool.iloc[stratified(pool["label"], size, rng)]
        drawn.append(_of_language(rows, language, aligned))
    return pd.concat(drawn, ignore_index=True)


def draw_apart(pools: Mapping[str, pd.DataFrame], split: str, size: int, seed: int) -> pd.DataFrame:
    """Draw as :func:`draw` does, but no pair in two languages. An id means the same pair in every pool.

    Raises:
        InputError: the languages share too few examples.
    """
    pools = shared_by_all(pools)
    labels = next(iter(pools.values()))["label"]
    if len(labels) < size * len(pools):
        raise InputError(
            f"{split}_per_language: {size}; allowed: at most {len(labels) // len(pools)} with "
            f"parallel = dev_and_test, since {', '.join(pools)} share {len(labels)} examples for {split}"
        )
    rng = np.random.default_rng([seed, zlib.crc32(split.encode())])
    chosen = stratified(labels, size * len(pools), rng)
    # Dealt out label by label, so that every language has the same labels.
    chosen = chosen[np.argsort(labels.to_numpy()[chosen], kind="stable")]
    drawn = [
        _of_language(pool.iloc[rng.permutation(chosen[place :: len(pools)])], language, aligned=True)
        for place, (language, pool) in enumerate(pools.items())
    ]
    return pd.concat(drawn, ignore_index=True)


def _of_language(rows: pd.DataFrame, language: str, aligned: bool) -> pd.DataFrame:
    """Return drawn examples with their language, ids that no other language has, and groups."""
    ids = language + "-" + rows["id"]
    return rows.assign(language=language, group=rows["id"] if aligned else ids, id=ids)


def shared_by_all(pools: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the examples whose ids every language has, in the same order.

    Raises:
        InputError: translations differ in label.
    """
    indexed = {language: pool.set_index("id", drop=False) for language, pool in pools.items()}
    shared = next(iter(indexed.values())).index
    for pool in indexed.values():
        shared = shared[shared.isin(pool.index)]
    indexed = {language: pool.loc[shared] for language, pool in indexed.items()}
    _check_labels(indexed)
    return indexed


def stratified(labels: pd.Series, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``size`` shuffled positions in ``labels``; counts differ by one, or a label is used up."""
    codes, names = pd.factorize(labels, sort=True)
    # One example of each label in turn, as long as the label has any.
    turns = pd.Series(codes).groupby(codes).cumcount()
    quotas = np.bincount(codes[np.lexsort((codes, turns))[:size]], minlength=len(names))
    picks = [rng.permutation(np.flatnonzero(codes == k))[:quota] for k, quota in enumerate(quotas)]
    return rng.permutation(np.concatenate(picks))


def _check_labels(pools: Mapping[str, pd.DataFrame]) -> None:
    """Raise InputError if translations differ in label: their ids do not mean the same pair."""
    (language, reference), *others = pools.items()
    for other_language, other in others:
        differs = reference["label"] != other["label"]
        if differs.any():
            one, two = reference[differs].iloc[0], other[differs].iloc[0]
            raise InputError(
                f"{two['where']}: label {two['label']!r} in {other_language}, but "
                f"{one['label']!r} in {language} ({one['where']}) for the same pair "
                f"{one['id']!r}; give translations the same id or set parallel to False"
            )
