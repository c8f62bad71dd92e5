"""Test items: what the translations of one test example have in common."""

from collections.abc import Iterable, Mapping

import numpy as np

from modspec.analysis.measurements import Cell


def item_names(ids: Iterable[str], languages: Iterable[str]) -> tuple[str, ...]:
    """Return the items of test examples: a translation's id is that of its item after the language."""
    return tuple(name.removeprefix(f"{language}-") for name, language in zip(ids, languages, strict=True))


def is_parallel(cells: Mapping[str, Cell]) -> bool:
    """Return whether all languages' test examples are translations of the same items.

    Args:
        cells: of each language.
    """
    return len({item_names(cell.ids, [language] * len(cell.ids)) for language, cell in cells.items()}) == 1


def by_item(cells: Mapping[str, Cell]) -> np.ndarray:
    """Return the values of all languages, (seeds, items): averaged over an item's translations.

    Args:
        cells: of each language. Where the languages' items differ, they follow one another instead.
    """
    values = [cell.values for cell in cells.values()]
    return np.mean(values, axis=0) if is_parallel(cells) else np.concatenate(values, axis=1)
