"""Head masks as data: files, random masks, and the overlap of two masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.stats import hypergeom

Masks = dict[str, np.ndarray]  # language -> bool (layers, heads), True = kept


def save_masks(file: Path, masks: Masks) -> None:
    """Write {language: bool (layers, heads)} as safetensors (uint8, 1 = kept)."""
    save_file({k: np.ascontiguousarray(m, dtype=np.uint8) for k, m in masks.items()}, file)


def load_masks(file: Path) -> Masks:
    """Read what :func:`save_masks` wrote."""
    return {language: mask.astype(bool) for language, mask in load_file(file).items()}


def random_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random mask that keeps as many heads in each layer as ``mask``, bool (layers, heads)."""
    return rng.permuted(mask, axis=1)


def random_masks(masks: Masks, seed: int) -> Masks:
    """Return a random control for each language's mask, with as many heads in each layer."""
    return {
        language: random_mask(mask, np.random.default_rng([seed, index]))
        for index, (language, mask) in enumerate(sorted(masks.items()))
    }


def permuted_masks(masks: Masks, seed: int) -> Masks:
    """Return all masks with the heads of each layer permuted in one way that is the same for all of them.

    Sizes and overlaps stay as they are, in every layer; which heads a language has is left to chance.
    """
    # Drawn for the shape alone, so that no language's mask decides another's.
    (layers, heads), rng = next(iter(masks.values())).shape, np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(heads), (layers, 1)), axis=1)
    return {language: np.take_along_axis(mask, order, axis=1) for language, mask in masks.items()}


def dose_masks(grid: tuple[int, int], shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Return random masks of several sizes that belong to no language, bool (layers, heads) each.

    Heads are dropped in one random order over all layers, so that a larger mask contains a smaller one.

    Args:
        grid: (layers, heads) of the encoder.
        shares: of all heads that each mask keeps, rounded to whole heads.
        seed: of the order.
    """
    rank = np.random.default_rng(seed).permutation(grid[0] * grid[1]).reshape(grid)
    return [rank < round(share * rank.size) for share in shares]


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Return the overlap |a and b| / |a or b| of two masks; 1 for two empty ones."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def chance_jaccard(kept_a: int, kept_b: int, heads: int) -> float:
    """Return the exact expected Jaccard overlap of two independent random masks.

    The size of the intersection is hypergeometric. For equal densities p and many heads the overlap
    approaches p / (2 - p).

    Args:
        kept_a: number of heads that one mask keeps.
        kept_b: number of heads that the other one keeps.
        heads: number of all heads.
    """
    shared = np.arange(max(0, kept_a + kept_b - heads), min(kept_a, kept_b) + 1)
    union = kept_a + kept_b - shared
    overlap = np.divide(shared, union, out=np.ones(len(shared)), where=union > 0)
    return float(overlap @ hypergeom.pmf(shared, heads, kept_a, kept_b))
