"""The contrasts of the analysis plan: differences of in-language shares and of accuracies, with verdicts.

Values are averaged over languages for each (seed, test item), because translations of one item are no
independent items. Seeds, items and, where all seeds share one training sample, that sample's items are each a
source of chance (:func:`modspec.analysis.intervals.estimate`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from modspec.analysis.intervals import adjusted, estimate, pooled_estimate
from modspec.analysis.measurements import Cell, StudyRuns
from modspec.analysis.shares import by_seed_and_example
from modspec.analysis.verdicts import verdict
from modspec.terms import CONTRASTS, QUESTIONS, Contrast

POOLED = "pooled"  # in the column of studies
Sample = tuple[np.ndarray, np.ndarray | None]  # (seeds, items), and what each training item adds


def share_sample(runs: StudyRuns, contrast: Contrast) -> Sample | None:
    """Return a contrast of in-language shares; None where the study has not all of its conditions and masks.

    Where seeds share one training sample, as the first version's do, its items are groups of translations,
    whose contribution is taken for all languages together. The share is a ratio: a training item that is a
    proponent of everything adds to both its parts, so its contribution is what it adds to the share less what
    it would add at the mean share. Where every seed drew its own sample, seeds already vary with it, and no
    contributions are returned.
    """
    if not all(runs.has(*scored) for scored in contrast.values):
        return None
    cells = {language: runs.difference(contrast.values, language) for language in runs.languages}
    if not runs.one_sample:
        return by_item(cells), None
    items = pd.factorize(runs.train["group"])[0]
    added = np.zeros(items.max() + 1)
    for scored, sign in zip(contrast.values, (1, -1, -1, 1), strict=False):
        for language in runs.languages:
            weights = runs.cell(*scored, language).weights.mean(axis=0) + 1 / len(runs.train)  # not centred
            is_own = (runs.train["language"] == language).to_numpy()
            share = weights[is_own].sum()
            added += sign * np.bincount(items, weights * (is_own - share)) / len(runs.languages)
    return by_item(cells), added


def by_item(cells: Mapping[str, Cell]) -> np.ndarray:
    """Return the values of all languages, (seeds, items): averaged over an item's translations.

    Args:
        cells: of each language. Where the languages' items differ, they follow one another instead.
    """
    items = {_items(cell.ids, [language] * len(cell.ids)) for language, cell in cells.items()}
    values = [cell.values for cell in cells.values()]
    return np.mean(values, axis=0) if len(items) == 1 else np.concatenate(values, axis=1)


def accuracy_sample(predictions: pd.DataFrame, contrast: Contrast) -> Sample | None:
    """Return a contrast of test accuracies; None where the study has not all of its conditions.

    Args:
        predictions: stage 2's, of all conditions and seeds. A condition's own mask is the one in force.
        contrast: of accuracies.
    """
    test = predictions[predictions["split"] == "test"]
    if not {condition for condition, _ in contrast.values} <= set(test["condition"]):
        return None
    values: np.ndarray | float = 0.0
    for (condition, kind), sign in zip(contrast.values, (1, -1, -1, 1), strict=False):
        rows = test[test["condition"] == condition]
        right = rows["no_mask" if kind == "none" else "in_force"] == rows["label"]
        items = _items(rows["id"], rows["language"])
        scored = pd.DataFrame({"seed": rows["seed"], "id": items, "right": right.astype(float)})
        values = values + sign * by_seed_and_example(scored, "right")
    return np.asarray(values), None


def _items(ids: Iterable[str], languages: Iterable[str]) -> tuple[str, ...]:
    """Return the items of test examples: a translation's id is that of its item after the language."""
    return tuple(name.removeprefix(f"{language}-") for name, language in zip(ids, languages, strict=True))


def samples_of(runs: StudyRuns, predictions: pd.DataFrame) -> dict[Contrast, Sample]:
    """Return the contrasts that a study can show.

    Args:
        runs: scored, of all conditions and seeds.
        predictions: stage 2's, of the same.
    """
    samples = {}
    for contrast in CONTRASTS:
        of_accuracy = contrast.question == "Q6"
        sample = accuracy_sample(predictions, contrast) if of_accuracy else share_sample(runs, contrast)
        if sample:
            samples[contrast] = sample
    return samples


def contrast_table(
    samples: Mapping[str, Mapping[Contrast, Sample]], pool: Sequence[str], confidence: float = 0.95
) -> pd.DataFrame:
    """Return one row per study and contrast, and one for each contrast of all pooled studies.

    Verdicts are not corrected: the first version's seeds had been seen before these contrasts were chosen.
    ``p_holm`` says what Holm's correction over all contrasts of the study would leave.

    Args:
        samples: of each study.
        pool: names of the studies whose mean the rows ``POOLED`` are.
        confidence: of intervals and verdicts.

    Returns:
        Columns study, question, contrast, differs_in, value, low, high, p, minimum_detectable, seeds,
        examples, p_holm, verdict.
    """
    estimates = {
        study: {contrast: estimate(v, training=t, confidence=confidence) for contrast, (v, t) in of.items()}
        for study, of in samples.items()
    }
    pooled = [samples[study] for study in pool]
    everywhere = [c for c in CONTRASTS if pooled and all(c in of_study for of_study in pooled)]
    estimates[POOLED] = {
        contrast: pooled_estimate([of_study[contrast] for of_study in pooled], confidence=confidence)
        for contrast in everywhere
    }
    rows = []
    for study, of_study in estimates.items():
        holm = adjusted(np.array([estimated.p for estimated in of_study.values()]))
        for (contrast, estimated), p_holm in zip(of_study.items(), holm, strict=True):
            question = QUESTIONS[contrast.question]
            if contrast.differs_in:  # then it cannot support the question, whatever its sign
                question = replace(question, sign=0)
            word = verdict(estimated, question, estimated.p, confidence)
            row = {"study": study, "question": contrast.question, "contrast": contrast.text}
            row |= {"differs_in": contrast.differs_in, **vars(estimated), "p_holm": p_holm, "verdict": word}
            rows.append(row)
    table = pd.DataFrame(rows)
    # Tasks are equivalent together only where each of them is.
    is_small = table["verdict"].isin(["equivalent", "negligible"])
    large_somewhere = set(table.loc[table["study"].isin(pool) & ~is_small, "contrast"])
    overstated = (table["study"] == POOLED) & is_small & table["contrast"].isin(large_somewhere)
    table.loc[overstated, "verdict"] = "undecided"
    return table
