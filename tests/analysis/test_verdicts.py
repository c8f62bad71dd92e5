"""Every verdict from intervals and p-values made for it."""

import pytest

from modspec.analysis.intervals import Estimate
from modspec.analysis.verdicts import verdict
from modspec.terms import Question

UPWARD, DOWNWARD, OPEN = (Question("", "points", 0.01, sign) for sign in (1, -1, 0))


def estimated(low: float, high: float, seeds: int = 3) -> Estimate:
    return Estimate((low + high) / 2, low, high, 0.5, 0.1, seeds, 40)


@pytest.mark.parametrize(
    ("low", "high", "question", "p", "expected"),
    [
        (0.005, 0.03, UPWARD, 0.01, "supported"),
        (-0.03, -0.005, UPWARD, 0.01, "contradicted"),
        (-0.03, -0.005, DOWNWARD, 0.01, "supported"),
        (0.005, 0.03, OPEN, 0.01, "rises"),
        (-0.03, -0.005, OPEN, 0.01, "falls"),
        (0.005, 0.03, OPEN, 0.06, "undecided"),
        (-0.02, 0.02, OPEN, 0.9, "undecided"),
        (-0.02, 0.009, OPEN, 0.3, "undecided"),
        (-0.009, 0.02, OPEN, 0.3, "undecided"),
        (-0.009, 0.009, OPEN, 0.9, "equivalent"),
        (0.001, 0.009, UPWARD, 0.01, "negligible"),
        (-0.009, -0.001, UPWARD, 0.01, "negligible"),
        (-0.009, 0.009, Question("", "r", None), 0.9, "undecided"),
        (0.001, 0.009, Question("", "r", None, 1), 0.01, "supported"),
        (float("nan"), float("nan"), OPEN, float("nan"), "undecided"),
    ],
)
def test_verdicts(low: float, high: float, question: Question, p: float, expected: str) -> None:
    assert verdict(estimated(low, high), question, p) == expected
    assert verdict(estimated(low, high, seeds=2), question, p) == "too few seeds"
