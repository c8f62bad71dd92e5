"""False-positive rates and power of the plan's verdicts at the published studies' variances.

``python -m modspec.calibration.verdict_rates`` writes table and figure into ``figures/results``, from the
artefacts of published studies. It takes one to two minutes and needs no encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modspec.analysis.contrasts import Sample
from modspec.analysis.language_specificity import importance_similarity
from modspec.analysis.questions import StudyTables, evidence
from modspec.analysis.side_by_side import published_studies
from modspec.analysis.simulated_verdicts import draw_noise, rates, simulate, spread_of
from modspec.analysis.specificity_rates import MapSize, map_size, simulate_specificity
from modspec.analysis.study_tables import read_question_tables
from modspec.errors import InputError
from modspec.figures.captions import of_calibration, write_captions
from modspec.figures.save import save_figure, save_table
from modspec.terms import CONTRASTS, QUESTIONS
from modspec.workflow.parameters import CalibrationParameters
from modspec.workflow.paths import project_root

# Question -> conditions and masks of the first version's contrast that its primary statistic is most like.
LIKE = {
    "Q1": (("full", "none"),),
    "Q3": (("full", "own"), ("full", "other_language")),
    "Q4": (("sft", "own"), ("full", "none")),
    "Q6": (("sft", "own"), ("full", "none")),
}
IMPORTANCE, ACCURACY = "Q2", "Q6"  # questions that are not about shares
UNKNOWN = 2  # questions of the plan whose variances no published study shows: Q7 and Q8
# True effects: in margins and, of Q2, which has no margin, as differences of correlations.
MARGINS = np.append(np.arange(0, 1.5, 0.125), np.arange(1.5, 4.1, 0.25))
CORRELATIONS = np.array([0, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.2])
# How the seeds' variance is taken from the published studies, whose three seeds tell little about it.
ESTIMATED, CAUTIOUS = "as estimated", "upper end of its 80 % interval"


@dataclass(frozen=True)
class Published:
    """What a published study says of the variances of the questions' values."""

    samples: Mapping[str, Sample]  # by question
    maps: MapSize


def read_published(p: CalibrationParameters) -> dict[str, Published]:
    """Return what the artefacts of the ``simulated_studies`` say, by study.

    Raises:
        InputError: a study is not published, or cannot show a question's contrast.
    """
    folders = {study: project_root() / "figures" / study / "artefacts" for study in p.simulated_studies}
    for study, folder in folders.items():
        if not (folder / "influence").is_dir():
            published = published_studies(project_root() / "figures")
            raise InputError(f"simulated_studies: {study!r}; allowed: some of {', '.join(published)}")
    tables = {study: read_question_tables(folder) for study, folder in folders.items()}
    return {
        study: Published(_samples(study, of_study), map_size(importance_similarity(of_study.importance)))
        for study, of_study in tables.items()
    }


def spreads(published: Mapping[str, Published]) -> pd.DataFrame:
    """Return the standard deviations that are simulated.

    Returns:
        One row per question, study and ``seed_variance``: ``seed``, ``item``, ``rest``, in the question's
        unit; of Q2 instead the number of independent ``heads``.
    """
    rows = []
    for study, found in published.items():
        for code, sample in found.samples.items():
            for seed_variance in (ESTIMATED, CAUTIOUS):
                spread = spread_of(*sample, cautious=seed_variance == CAUTIOUS)
                rows.append({"question": code, "study": study, "seed_variance": seed_variance} | vars(spread))
        rows.append({"question": IMPORTANCE, "study": study, "heads": found.maps.heads})
    return pd.DataFrame(rows).sort_values(["question", "study"], kind="stable")


def verdict_rates(p: CalibrationParameters, published: Mapping[str, Published]) -> pd.DataFrame:
    """Return how often the verdict on each question errs and is right, pooled over studies.

    Args:
        p: the numbers of seeds, items and simulations; level and seed.
        published: from :func:`read_published`.

    Returns:
        The rows of :func:`modspec.analysis.simulated_verdicts.rates` for every number of ``seeds`` and
        ``seed_variance``, with ``items`` (NaN for Q2, which has none).
    """
    maps = [of_study.maps for of_study in published.values()]
    items = {code: p.simulated_test_items if code == ACCURACY else p.simulated_items for code in LIKE}
    tables = []
    for seeds in p.simulated_seeds:
        rng = np.random.default_rng([p.seed, seeds])
        options = seeds, CORRELATIONS, p.simulations, rng
        importance = simulate_specificity(QUESTIONS[IMPORTANCE], maps, *options)
        for seed_variance in (ESTIMATED, CAUTIOUS):
            rng = np.random.default_rng([p.seed, seeds, 1])  # the same draws for both
            simulated = {IMPORTANCE: importance}
            for code in LIKE:
                tasks = []
                for of_study in published.values():
                    spread = spread_of(*of_study.samples[code], cautious=seed_variance == CAUTIOUS)
                    tasks.append(draw_noise(spread, seeds, items[code], p.simulations, rng))
                effects = MARGINS * QUESTIONS[code].margin
                simulated[code] = simulate(QUESTIONS[code], tasks, effects, 1 - p.level)
            table = rates(dict(sorted(simulated.items())), UNKNOWN, rng, p.level)
            if seed_variance == CAUTIOUS:  # it is that of no importance map
                table = table[table["question"] != IMPORTANCE]
            named = {"seed_variance": seed_variance, "seeds": seeds, "items": table["question"].map(items)}
            tables.append(table.assign(**named))
    return pd.concat(tables, ignore_index=True)


def _samples(study: str, tables: StudyTables) -> dict[str, Sample]:
    """Return a published study's sample of each question's contrast; refuse a study that cannot show one."""
    contrasts = {(contrast.question, contrast.values): contrast for contrast in CONTRASTS}
    shown, samples = evidence(tables), {}
    for code, values in LIKE.items():
        contrast = contrasts[code, values]
        if contrast not in shown:
            raise InputError(f"simulated_studies: {study!r} lacks {contrast.text!r}")
        samples[code] = shown[contrast].values
    return samples


if __name__ == "__main__":
    parameters, results = CalibrationParameters(), project_root() / "figures" / "results"
    found = read_published(parameters)
    save_table("verdict_spreads", spreads(found), results)
    save_figure("verdict_rates", verdict_rates(parameters, found), results)
    write_captions(results, "results", of_calibration(parameters.model_dump()))
