"""Single languages, paired by item: the share of a language on its own items and on their translations.

An in-language share also holds how strong a language's training examples are for everybody ("hub
languages"), and how an item is. In a parallel task both cancel: the share of language t among the proponents
of an item in t, less the share of t among the proponents of the same item in the other languages.
"""

import numpy as np
import pandas as pd

from modspec.analysis.contrasts import SIGNS
from modspec.analysis.intervals import adjusted, estimate
from modspec.analysis.items import is_parallel
from modspec.analysis.measurements import StudyRuns
from modspec.analysis.verdicts import verdict
from modspec.terms import CONTRASTS, QUESTIONS, Contrast, Question

COLUMNS = ["question", "contrast", "language", "value", "low", "high", "p", "p_holm", "minimum_detectable"]
COLUMNS += ["seeds", "examples", "verdict"]


def paired_by_item(runs: StudyRuns, contrast: Contrast) -> np.ndarray:
    """Return a contrast of every language's share, paired by item with the other languages.

    Every item counts under the masks of the language that it is in.

    Args:
        runs: of a parallel task.
        contrast: of shares, which were scored.

    Returns:
        (languages, seeds, items).
    """
    values = 0.0
    for scored, sign in zip(contrast.values, SIGNS, strict=False):
        shares = np.stack([runs.shares(*scored, language) for language in runs.languages])
        own = np.stack([shares[t, t] for t in range(len(shares))])
        others = (shares.sum(axis=0) - own) / (len(shares) - 1)
        values = values + sign * (own - others)
    return values


def single_languages(runs: StudyRuns, confidence: float = 0.95) -> pd.DataFrame:
    """Return every contrast of shares for each language, paired by item across languages.

    Secondary: p-values are corrected by Holm's method over the languages of a contrast, and support nothing.
    The training sample is not among the sources of chance.

    Args:
        runs: of all conditions and seeds.
        confidence: of intervals and verdicts.

    Returns:
        ``COLUMNS``; no rows where the task is not parallel.
    """
    shown = [c for c in CONTRASTS if c.statistic == "share" and all(runs.has(*s) for s in c.values)]
    if len(runs.languages) < 2 or not shown:
        return pd.DataFrame(columns=COLUMNS)
    if not is_parallel({language: runs.cell(*shown[0].values[0], language) for language in runs.languages}):
        return pd.DataFrame(columns=COLUMNS)
    rows = []
    for contrast in shown:
        estimates = [estimate(values, confidence=confidence) for values in paired_by_item(runs, contrast)]
        corrected = adjusted(np.array([one.p for one in estimates]))
        question = QUESTIONS[contrast.question]
        open_question = Question(question.text, question.unit, question.margin)
        for language, one, p in zip(runs.languages, estimates, corrected, strict=True):
            row = {"question": contrast.question, "contrast": contrast.text, "language": language}
            word = verdict(one, open_question, p, confidence)
            rows.append(row | vars(one) | {"p_holm": p, "verdict": word})
    return pd.DataFrame(rows, columns=COLUMNS)
