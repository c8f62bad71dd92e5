"""Single languages: hubs and items cancel, level and power; shares against counting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from modspec.analysis.intervals import estimate
from modspec.analysis.measurements import MeasuredRun, StudyRuns, measure
from modspec.analysis.single_languages import paired_by_item, single_languages
from modspec.terms import CONTRASTS
from tests.helpers.attribution import LANGUAGES, study, train_frame

BY_TEXT = {contrast.text: contrast for contrast in CONTRASTS}
ABOVE_CHANCE, OWN_MASK = BY_TEXT["full, no mask − chance"], BY_TEXT["full: own − no mask"]


@dataclass
class Simulated:
    """Shares of a parallel task: (training language, test language, seeds, items)."""

    values: np.ndarray
    languages: tuple[str, ...] = LANGUAGES

    def shares(self, condition: str, kind: str, language: str) -> np.ndarray:
        return self.values[:, self.languages.index(language)]


def simulated(rng: np.random.Generator, effect: float, hub: float) -> Simulated:
    """German examples are strong for everybody, items differ, and own examples gain ``effect``."""
    shares = 0.33 + rng.normal(0, 0.05, (3, 1, 1, 30)) + rng.normal(0, 0.02, (3, 3, 3, 30))
    shares += rng.normal(0, 0.005, (3, 3, 3, 1)) + hub * np.array([1, -0.5, -0.5])[:, None, None, None]
    return Simulated(shares + effect * np.eye(3)[:, :, None, None])


@pytest.mark.parametrize("effect", [0.0, 0.05])
def test_hubs_and_items_cancel(effect: float) -> None:
    rng, runs = np.random.default_rng(0), 150
    found = [paired_by_item(simulated(rng, effect, 0.1), ABOVE_CHANCE)[0] for _ in range(runs)]
    rejected = sum(estimate(values).p <= 0.05 for values in found)
    assert np.mean(found) == pytest.approx(effect, abs=0.002)
    assert rejected >= 0.9 * runs if effect else rejected <= binom.ppf(1 - 1e-4, runs, 0.05)
    assert found[0].shape == (3, 30)


def test_without_pairing_a_hub_language_looks_language_wise() -> None:
    rng = np.random.default_rng(0)
    tables = [simulated(rng, 0.0, 0.1) for _ in range(50)]
    assert sum(estimate(t.shares("full", "none", "de")[0] - 1 / 3).p <= 0.05 for t in tables) > 25


@pytest.fixture
def parallel(tmp_path) -> list[MeasuredRun]:
    """Three seeds without mask and under own masks, whose test examples are translations."""
    gains = {("full", "none"): 0.5, ("full", "own"): 1.0}
    runs = study(tmp_path, gains, per_language=6, train=train_frame(20, parallel=True))
    measured = [measure(run) for run in runs]
    for run in measured:
        run.statistics["id"] = run.statistics["id"].str.replace(r"test-(\w+)-", r"\1-", regex=True)
    return measured


def test_against_counting(parallel) -> None:
    runs = StudyRuns(parallel)
    rows = runs.statistics[
        (runs.statistics["score"] == "cosine") & (runs.statistics["train_language"] == "en")
    ]
    cells = rows.set_index(["mask_kind", "language", "seed", "id"])["proponents"]

    def paired(kind: str, seed: int, item: int) -> float:
        shares = {t: cells[kind, t, seed, f"{t}-{item}"] for t in LANGUAGES}
        return shares["en"] - (shares["de"] + shares["fr"]) / 2

    expected = [[paired("own", s, i) - paired("none", s, i) for i in range(6)] for s in range(3)]
    np.testing.assert_allclose(paired_by_item(runs, OWN_MASK)[1], expected, atol=1e-12)


def test_the_table_has_all_languages_of_contrasts_that_were_scored(parallel) -> None:
    table = single_languages(StudyRuns(parallel))
    assert table["contrast"].unique().tolist() == [ABOVE_CHANCE.text, OWN_MASK.text]
    assert table["language"].tolist() == 2 * list(LANGUAGES)
    assert set(table["verdict"]) <= {"rises", "falls", "undecided", "equivalent", "negligible"}
    assert (table["p_holm"] >= table["p"]).all() and (table["value"][:3] > 0).all()


def test_a_task_without_translations_has_no_table(parallel) -> None:
    for run in parallel:
        run.statistics["id"] += "-" + run.statistics["language"]
    assert single_languages(StudyRuns(parallel)).empty
