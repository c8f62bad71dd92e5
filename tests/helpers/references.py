"""What the influence tests compare with: one example at a time, over all trainable parameters, in float64."""

from __future__ import annotations

import copy

import numpy as np

from modspec.influence import Scores
from tests.helpers.models import HEADS, LAYERS, reference_gradients

GRID = (LAYERS, HEADS)
MASK = np.array([[True, False, True], [False, False, True]])
OTHER = np.array([[False, True, True], [True, True, False]])
# Scores come as float32: half a unit in its last place.
FLOAT32 = 2.0**-24


def reference(model, train, evaluation, train_mask=None, evaluation_mask=None):
    """(cosine, dot, norms_i x norms_j), each (train, evaluation), in float64 from a float64 copy."""
    exact = copy.deepcopy(model).double().eval()
    a, b = (
        reference_gradients(exact, train, train_mask),
        reference_gradients(exact, evaluation, evaluation_mask),
    )
    norms = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    dot = a @ b.T
    return np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0), dot, norms


def check(scores: Scores, expected, tolerance: float, dot_tolerance: float | None = None) -> None:
    """Cosines within the tolerance; dot products too (or their own), relative to the product of norms."""
    cosine, dot, norms = expected
    assert scores.cosine.shape == scores.dot.shape == cosine.shape
    assert scores.cosine.dtype == scores.dot.dtype == np.float32
    np.testing.assert_allclose(scores.cosine, cosine, rtol=0, atol=tolerance)
    assert (np.abs(scores.dot - dot) <= (dot_tolerance or tolerance) * norms).all()
