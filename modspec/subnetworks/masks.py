"""Head masks as data: files, random controls, and the overlap of two masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.stats import hypergeom

Masks = dict[str, np.ndarray]


def save_masks(file: Path, masks: Masks) -> None:
    """{language: bool (layers, heads)} as safetensors (uint8, True = kept)."""
    save_file({k: np.ascontiguousarray(m, dtype=np.uint8) for k, m in masks.items()}, file)


def load_masks(file: Path) -> Masks:
    """The inverse of :func:`save_masks`."""
    return {language: mask.astype(bool) for language, mask in load_file(file).items()}


def random_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random mask with the same number of heads in each layer."""
    return rng.permuted(mask, axis=1)


def random_masks(masks: Masks, seed: int) -> Masks:
    """A random control for every language's mask, with as many heads in each layer."""
    return {
        language: random_mask(mask, np.random.default_rng([seed, index]))
        for index, (language, mask) in enumerate(sorted(masks.items()))
    }


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|a and b| / |a or b|; 1 for two empty masks."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def chance_jaccard(kept_a: int, kept_b: int, heads: int) -> float:
    """Expected Jaccard overlap of two independent random masks of these sizes (exact).

    The intersection is hypergeometric. For equal densities p and many heads this nears p / (2 - p).
    """
    shared = np.arange(max(0, kept_a + kept_b - heads), min(kept_a, kept_b) + 1)
    union = kept_a + kept_b - shared
    overlap = np.divide(shared, union, out=np.ones(len(shared)), where=union > 0)
    return float(overlap @ hypergeom.pmf(shared, heads, kept_a, kept_b))
