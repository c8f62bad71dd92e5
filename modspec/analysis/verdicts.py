"""Verdicts of the analysis plan: what a value with its interval says about a question.

    rises, falls             the p-value is below 0.05 (primary contrasts: after Holm's correction). The value
                             may still be smaller than the margin
    supported, contradicted  the p-value is below 0.05, and the sign is the expected one, or the other one
    equivalent               the interval lies inside the margin: any effect is small. Pooled: the interval of
                             every study does; if not, p decides
    negligible               the interval lies inside the margin and excludes zero: there is a small effect
    undecided                none of these: the effect may be zero, and may be larger than the margin, where
                             the question has one
    too few seeds            fewer than three seeds say nothing about other seeds
    unmatched                supported, but the two masks differ too much in accuracy (Q3 alone)
    not run                  the study lacks what the question needs

"Undecided" is not "no effect"; "equivalent" is the finding that there is none that matters. With another
``confidence`` than 0.95, 0.05 is 1 - confidence.
"""

import numpy as np
from numpy.typing import ArrayLike

from modspec.analysis.intervals import Estimate
from modspec.terms import Question

SEEDS = 3  # the fewest that a verdict is given for
UNDECIDED, UNMATCHED, NOT_RUN = "undecided", "unmatched", "not run"
SMALL = ("equivalent", "negligible")


def verdict(estimate: Estimate, question: Question, p_adjusted: float, confidence: float = 0.95) -> str:
    """Return the verdict on a question.

    Args:
        estimate: of the question's value, with an interval at ``confidence``.
        question: its margin and the sign that it expects.
        p_adjusted: of the test that the value is zero, corrected for the number of questions.
        confidence: between 0 and 1.
    """
    if estimate.seeds < SEEDS:
        return "too few seeds"
    return str(verdicts(estimate.value, estimate.low, estimate.high, p_adjusted, question, confidence))


def verdicts(
    value: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    p_adjusted: ArrayLike,
    question: Question,
    confidence: float = 0.95,
) -> np.ndarray:
    """Return :func:`verdict` of many estimates at once: str, of the shape to which the arrays broadcast.

    Args:
        value: the estimates, from enough seeds.
        low, high: of their intervals.
        p_adjusted, question, confidence: as for :func:`verdict`.
    """
    value, low, high, p_adjusted = np.broadcast_arrays(value, low, high, p_adjusted)
    margin = -np.inf if question.margin is None else question.margin
    small = np.maximum(-low, high) < margin
    up, down = ("supported", "contradicted") if question.sign else ("rises", "falls")
    rules = {
        "negligible": small & ((low > 0) | (high < 0)),
        "equivalent": small,
        "undecided": ~(p_adjusted < 1 - confidence),
        up: np.sign(value) == (question.sign or 1),
    }
    return np.select(list(rules.values()), list(rules), default=down)
