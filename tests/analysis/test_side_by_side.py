"""Studies side by side: read from what they published, refused where that is not whole, drawn by study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modspec.analysis import question_texts, side_by_side
from modspec.errors import InputError
from modspec.figures import save
from modspec.workflow import artifacts, provenance
from modspec.workflow.parameters import ResultsParameters

pytestmark = pytest.mark.filterwarnings("error")
NAMES = ("reviews-v1", "xnli-v1", "pawsx-v1")
FIGURES = Path(__file__).parents[2] / "figures"


def publish(directory: Path, name: str, number: int) -> None:
    """What notebook 4 leaves of a study, as far as the scale of studies needs it."""
    folder = directory / name
    folder.mkdir()
    rows = [
        (seed, "full", "none", language, split, 0.6 + 0.1 * seed + 0.1 * (split == "dev"), 0.5)
        for seed in range(2)
        for language in ("de", "en", "es")
        for split in ("dev", "test")
    ]
    pd.DataFrame(rows, columns=side_by_side.ACCURACY).to_csv(folder / "accuracy.csv", index=False)
    shared = {"task": name, "languages": ["de", "en", "es"], "encoder": "tiny", "train_per_language": 2000}
    scored = {"scored_per_language": 500 if number else None, "evaluation_per_language": 40, "top_k": 100}
    starts = [{}, {"start_languages": [], "start_epochs": 3}, {"start_languages": ["en"], "start_epochs": 2}]
    start = starts[number]  # studies from before there was a choice do not record it
    ran = {"runs": 2, "threads": 2, "wall_seconds": 1800, "peak_memory_gib": 3.0 + number}
    content = {
        "parameters": {"seeds": [0, 1]},
        "stages": {
            "search": ran | {"parameters": shared | {"epochs": 9}},
            "finetuning": ran | {"parameters": shared | {"epochs": 3} | start},
            "influence": ran | {"parameters": shared | scored},
        },
    }
    provenance.write(folder, content)


@pytest.fixture
def published(tmp_path: Path) -> ResultsParameters:
    for number, name in enumerate(NAMES):
        publish(tmp_path, name, number)
    return ResultsParameters(figures_dir=str(tmp_path), studies=NAMES)


def test_scale_counts_and_averages(published: ResultsParameters) -> None:
    p = published
    scale = side_by_side.scale(p)
    trained = scale.loc["training examples per language; epochs"].to_list()
    assert trained == ["2,000; 3", "2,000; 3", "2,000; 3, after 2 of en alone"]
    assert scale.loc["scored training examples per language"].to_list() == [
        "2,000",
        "500",
        "500",
    ]
    assert scale.loc["accuracy of the full model, dev / test (%)", "xnli-v1"] == "75.0 / 65.0"
    assert scale.loc["majority class, dev / test (%)", "xnli-v1"] == "50.0 / 50.0"
    assert scale.loc["hours of all jobs (resumed jobs: last run only)"].to_list() == ["1.5"] * 3
    assert scale.loc["threads per job; largest memory of a job (GiB)"].to_list() == [
        "2; 3.0",
        "2; 4.0",
        "2; 5.0",
    ]


def test_results_say_what_they_were_made_of(published: ResultsParameters, tmp_path: Path) -> None:
    p = published
    save.save_table("hubs_by_study", pd.DataFrame({"study": NAMES}), side_by_side.results_dir(p))
    side_by_side.write_provenance(p, {"commit": "abc"})
    record = json.loads((tmp_path / "results" / "provenance.json").read_text())
    assert record["parameters"] == {"studies": list(NAMES), "pooled": ["xnli-v1", "reviews-v1"]}
    assert set(record["files"]) == {"hubs_by_study.csv"}
    for name in NAMES:
        described = artifacts.describe(tmp_path / name / "accuracy.csv")
        assert record["inputs"][name]["accuracy.csv"] == described["sha256"]


def inputs(p: ResultsParameters) -> dict[str, dict[str, str]]:
    side_by_side.results_dir(p).mkdir(exist_ok=True)
    side_by_side.write_provenance(p, {})
    return json.loads((side_by_side.results_dir(p) / "provenance.json").read_text())["inputs"]


def test_a_redrawn_figure_leaves_results_as_they_are(published: ResultsParameters, tmp_path: Path) -> None:
    p = published
    figure = tmp_path / "xnli-v1" / "accuracy.png"
    before = inputs(p)
    figure.write_bytes(b"as drawn now")
    described = (tmp_path / "xnli-v1" / "provenance.json").read_text()
    provenance.redrawn(tmp_path / "xnli-v1")
    assert (tmp_path / "xnli-v1" / "provenance.json").read_text() != described
    assert inputs(p) == before


@pytest.mark.parametrize("changed", ["accuracy.csv", "seeds", "wall_seconds"])
def test_whatever_results_are_read_from_changes_their_inputs(
    published: ResultsParameters, tmp_path: Path, changed: str
) -> None:
    p = published
    before = inputs(p)
    record = json.loads((tmp_path / "xnli-v1" / "provenance.json").read_text())
    if changed == "seeds":
        record["parameters"]["seeds"] = [0, 1, 2]
    elif changed == "wall_seconds":
        record["stages"]["search"]["wall_seconds"] += 1
    else:
        record["files"][changed]["sha256"] = "of another table"
    artifacts.write_json(tmp_path / "xnli-v1" / "provenance.json", record)
    after = inputs(p)
    assert after["xnli-v1"] != before["xnli-v1"]
    assert {name: after[name] for name in ("reviews-v1", "pawsx-v1")} == {
        name: before[name] for name in ("reviews-v1", "pawsx-v1")
    }


def test_a_study_that_is_not_there_is_named(published: ResultsParameters) -> None:
    p = published
    unknown = p.model_copy(update={"studies": ("marc",)})
    allowed = "allowed: pawsx-v1, reviews-v1, xnli-v1$"
    with pytest.raises(InputError, match=f"^studies: 'marc' has no provenance.json; {allowed}"):
        side_by_side.scale(unknown)
    with pytest.raises(
        InputError, match="^studies: 'reviews-v1' published no artefacts; allowed: none is there$"
    ):
        side_by_side.question_tables(p)
    with pytest.raises(InputError, match="^studies: .*; allowed: each value once"):
        ResultsParameters(studies=("xnli-v1", "xnli-v1"), pooled=())


def test_a_blind_study_that_is_not_complete_has_no_answers(published: ResultsParameters, tmp_path) -> None:
    shutil.copytree(FIGURES / "xnli-v1" / "artefacts", tmp_path / "new" / "artefacts")  # but no figures
    blind = published.model_copy(update={"studies": ("new",)})
    for show in (side_by_side.scale, side_by_side.question_tables):
        with pytest.raises(InputError, match="^studies: 'new' has no provenance.json; allowed: "):
            show(blind)


def test_tables_that_the_study_did_not_write_are_refused(
    published: ResultsParameters, tmp_path: Path
) -> None:
    p = published
    file = tmp_path / "xnli-v1" / "accuracy.csv"
    file.write_text(file.read_text().replace("0.6", "0.7"))
    with pytest.raises(InputError, match="^studies: 'xnli-v1': accuracy.csv is not what its provenance.json"):
        side_by_side.scale(p)


def test_studies_published_before_scale_was_recorded_are_refused(
    published: ResultsParameters, tmp_path: Path
) -> None:
    p = published
    record = json.loads((tmp_path / "pawsx-v1" / "provenance.json").read_text())
    del record["stages"]
    artifacts.write_json(tmp_path / "pawsx-v1" / "provenance.json", record)
    with pytest.raises(InputError, match="^studies: 'pawsx-v1': .* run its notebook 04 again"):
        side_by_side.scale(p)


def test_studies_that_are_pooled_must_be_shown() -> None:
    """Or the pooled answers, which decide the questions, would silently be missing."""
    shown = {"studies": ("xnli", "reviews")}
    for pooled in ({}, {"pooled": ("xnli", "pawsx-v1")}):
        with pytest.raises(
            InputError, match=r"^pooled: \[.*\]; allowed: some of studies = \['xnli', 'reviews'\]"
        ):
            ResultsParameters(**shown, **pooled)
    assert ResultsParameters(**shown, pooled=("xnli", "reviews")).pooled == ("xnli", "reviews")


def test_questions_are_answered_from_published_artefacts_and_pooled_where_that_is_asked_for() -> None:
    with pytest.raises(InputError, match="^studies: 'intents' published no artefacts; allowed: .*xnli-v1$"):
        side_by_side.question_tables(ResultsParameters(studies=("xnli-v1", "intents"), pooled=()))
    p = ResultsParameters(studies=("xnli-v1",), pooled=())
    tables = side_by_side.question_tables(p)
    assert list(tables) == ["xnli-v1"]
    found = side_by_side.answers(p, tables)
    assert set(found["study"]) == {"xnli-v1"}
    pooled = side_by_side.answers(p.model_copy(update={"pooled": ("xnli-v1",)}), tables)
    both = pooled.pivot(index="contrast", columns="study", values="value")
    np.testing.assert_allclose(both["pooled"], both["xnli-v1"])
    shown = question_texts.by_study(pooled)
    assert list(shown.columns) == ["xnli-v1", "pooled", "the two sides also differ in"]
    assert shown.loc["Q8: full, no mask: slope over training", "xnli-v1"] == "not run"
    languages = side_by_side.by_language(tables)
    rows = question_texts.by_language(languages, ["full, no mask − chance"])
    assert list(rows.index) == [f"Q1: full, no mask: {t}" for t in ("en", "fr", "de", "ru", "es")]
    assert set(side_by_side.hubs(tables)["study"]) == {"xnli-v1"}
