"""The questions of the analysis plan, answered: every contrast's estimate and verdict, by study and pooled.

Primary contrasts decide their questions: their p-values are corrected by Holm's method, over the primary
contrasts that a study, or all pooled studies, can show. Secondary contrasts are shown beside them with what
they confound; they are not corrected, and cannot support or contradict anything.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from modspec.analysis.contrasts import Sample, accuracy_difference, accuracy_sample, share_sample
from modspec.analysis.counterfactual import Maps, pooled_agreement
from modspec.analysis.intervals import Estimate, adjusted, pooled_estimate
from modspec.analysis.language_specificity import (
    Similarity,
    importance_similarity,
    overlap_similarity,
    pooled_specificity,
)
from modspec.analysis.measurements import Setting, StudyRuns
from modspec.analysis.training_slope import slopes
from modspec.analysis.verdicts import NOT_RUN, SMALL, UNMATCHED, verdict
from modspec.terms import CONTRASTS, POINT, POOLED, QUESTIONS, Contrast, Question

MATCHED = POINT  # the largest difference of dev accuracies at which masks count as matched (Q3)


@dataclass(frozen=True)
class Evidence:
    """What a study says about a contrast."""

    # Values by seed and test item; similarities of searches (Q2); or influence and loss of margin (Q7).
    values: Sample | Similarity | tuple[Maps, Maps]
    accuracy_difference: float = float("nan")  # of dev accuracies under the contrast's masks, in one model


@dataclass(frozen=True)
class StudyTables:
    """The tables of a study that the questions are answered from, each of all conditions and seeds."""

    runs: StudyRuns
    predictions: pd.DataFrame  # stage 2's
    accuracy: pd.DataFrame  # under every mask that was scored
    importance: pd.DataFrame  # stage 1's
    overlap: pd.DataFrame  # one row per pair of masks, modspec.analysis.study_tables.mask_overlap
    over_training: pd.DataFrame | None = None  # full, no mask: see modspec.analysis.training_slope
    counterfactual: tuple[Maps, Maps] | None = None  # see modspec.analysis.counterfactual


def evidence(tables: StudyTables) -> dict[Contrast, Evidence]:
    """Return what a study says about every contrast that it can show."""
    of_study = {}
    for contrast in CONTRASTS:
        values = _values(tables, contrast)
        if values is None:
            continue
        difference = float("nan")
        if contrast.statistic == "share":
            difference = accuracy_difference(tables.accuracy, contrast)
        of_study[contrast] = Evidence(values, difference)
    return of_study


def _values(tables: StudyTables, contrast: Contrast) -> Any:
    """Return the ``values`` of :class:`Evidence`; None where the study cannot show the contrast."""
    match contrast.statistic:
        case "share":
            return share_sample(tables.runs, contrast)
        case "label_auc":
            return share_sample(tables.runs, contrast, Setting("label_auc"))
        case "accuracy":
            return accuracy_sample(tables.predictions, contrast)
        case "slope":
            return None if tables.over_training is None else (slopes(tables.over_training), None)
        case "importance":
            return importance_similarity(tables.importance)
        case "overlap":
            return overlap_similarity(tables.overlap)
        case "counterfactual":
            return tables.counterfactual


def estimated(contrast: Contrast, tasks: Sequence[Evidence], confidence: float = 0.95) -> Estimate:
    """Return a contrast's value, with test and power: one task's, or the mean over several."""
    values = [task.values for task in tasks]
    match contrast.statistic:
        case "importance" | "overlap":
            return pooled_specificity(values, confidence)
        case "counterfactual":
            return pooled_agreement(values, confidence)
        case _:
            return pooled_estimate(values, confidence=confidence)


def question_table(
    studies: Mapping[str, Mapping[Contrast, Evidence]], pool: Sequence[str] = (), confidence: float = 0.95
) -> pd.DataFrame:
    """Return one row per study and contrast, and one for each contrast of all pooled studies.

    A primary contrast that a study cannot show has a row that says "not run"; a secondary one has none.

    Args:
        studies: the evidence of each study.
        pool: names of the studies whose mean the rows :data:`modspec.terms.POOLED` are; none: no such rows.
        confidence: of intervals and verdicts.

    Returns:
        Columns study, question, contrast, primary, confounds; value, low, high, p, minimum_detectable, seeds,
        examples; p_holm (primary contrasts alone), accuracy_difference, verdict. In the units of Python:
        shares and accuracies are fractions.
    """
    rows = []
    for study, of_study in studies.items():
        rows += _rows(study, {contrast: [found] for contrast, found in of_study.items()}, confidence)
    pooled = [studies[study] for study in pool]
    if pooled:
        everywhere = [c for c in CONTRASTS if all(c in of_study for of_study in pooled)]
        together = {contrast: [of_study[contrast] for of_study in pooled] for contrast in everywhere}
        # Tasks are equivalent together only where each of them is.
        large = {row["contrast"] for row in rows if row["study"] in pool and row["verdict"] not in SMALL}
        rows += _rows(POOLED, together, confidence, large)
    return pd.DataFrame(rows)


def _rows(
    study: str,
    of_contrasts: Mapping[Contrast, Sequence[Evidence]],
    confidence: float,
    without_margin: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return the rows of one study, or of the pooled ones.

    Args:
        without_margin: contrasts that are not called equivalent or negligible, however narrow the interval.
    """
    estimates = {c: estimated(c, tasks, confidence) for c, tasks in of_contrasts.items()}
    primary = [contrast for contrast in estimates if contrast.primary]
    holm = dict(zip(primary, adjusted(np.array([estimates[c].p for c in primary])), strict=True))
    rows = []
    for contrast in CONTRASTS:
        row = {"study": study, "question": contrast.question, "contrast": contrast.text}
        row |= {"primary": contrast.primary, "confounds": contrast.confounds}
        if contrast in estimates:
            tasks, estimate = of_contrasts[contrast], estimates[contrast]
            differences = np.array([task.accuracy_difference for task in tasks])
            furthest = differences[np.argmax(np.abs(differences))]  # the worst matched task's, or NaN
            p_holm = holm.get(contrast, np.nan)
            row |= vars(estimate) | {"p_holm": p_holm, "accuracy_difference": float(furthest)}
            question = QUESTIONS[contrast.question]
            if contrast.text in without_margin:
                question = replace(question, margin=None)
            row["verdict"] = _verdict(contrast, question, estimate, p_holm, furthest, confidence)
            rows.append(row)
        elif contrast.primary:
            rows.append(row | {"verdict": NOT_RUN})
    return rows


def _verdict(
    contrast: Contrast,
    question: Question,
    estimate: Estimate,
    p_holm: float,
    accuracy_difference: float,
    confidence: float,
) -> str:
    """Return the verdict on a contrast; that on Q3 needs masks that are matched in accuracy."""
    if not contrast.primary:
        return verdict(estimate, replace(question, sign=0), estimate.p, confidence)
    word = verdict(estimate, question, p_holm, confidence)
    unmatched = contrast.question == "Q3" and not abs(accuracy_difference) <= MATCHED
    return UNMATCHED if word == "supported" and unmatched else word
