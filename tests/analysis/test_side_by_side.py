"""Studies side by side: read from what they published, refused where that is not whole, drawn by study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from modspec.analysis import question_texts, side_by_side
from modspec.analysis.claim_tests import overall
from modspec.errors import InputError
from modspec.figures import save
from modspec.figures.claims import VERDICTS
from modspec.figures.save import FIGURES
from modspec.workflow import artifacts, provenance
from modspec.workflow.parameters import ResultsParameters
from tests.helpers.claimframes import claim_frames
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")
NAMES = ("reviews", "xnli", "pawsx")
ALL = "all languages"


def publish(directory: Path, name: str, number: int) -> pd.DataFrame:
    """What notebook 4 leaves of a study, as far as it is read here; its claims."""
    folder = directory / name
    folder.mkdir()
    claims = claim_frames(["de", "en", "es"], np.random.default_rng(number))["claims"]
    claims = claims.assign(minimum_detectable=0.01)
    claims.to_csv(folder / "claims.csv", index=False)
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
    return claims


@pytest.fixture
def published(tmp_path: Path) -> tuple[ResultsParameters, dict[str, pd.DataFrame]]:
    tables = {name: publish(tmp_path, name, number) for number, name in enumerate(NAMES)}
    return ResultsParameters(figures_dir=str(tmp_path), studies=NAMES), tables


def test_claims_of_all_studies_are_those_that_each_published(published) -> None:
    p, tables = published
    found = side_by_side.claims(p)
    assert list(dict.fromkeys(found["study"])) == list(NAMES)
    for name, table in tables.items():
        part = found[found["study"] == name].drop(columns="study").reset_index(drop=True)
        pd.testing.assert_frame_equal(
            part, table[side_by_side.CLAIMS].reset_index(drop=True), check_dtype=False
        )


def test_readers_see_each_effect_interval_and_verdict(published) -> None:
    p, tables = published
    shown = side_by_side.side_by_side(side_by_side.claims(p))
    assert list(shown.columns) == list(NAMES)
    for name, table in tables.items():
        verdicts = overall(table).set_index(["claim", "comparison"])["verdict"]
        whole = table[table["language"] == ALL].set_index(["claim", "comparison"])
        for key, text in shown[name].items():
            assert f", {verdicts[key]}" in text
            if key[0] == "C4":
                continue
            value, low, high = (100 * whole.loc[key, column] for column in ("value", "low", "high"))
            assert text.startswith(f"{value:+.1f} [{low:+.1f}, {high:+.1f}]")
            single = table[(table["claim"] == key[0]) & (table["comparison"] == key[1])]
            for language, verdict in zip(single["language"], single["verdict"], strict=True):
                if language == ALL:
                    continue
                assert (f"{language} {verdict}" in text) == (verdict != "undecided")


def test_what_a_study_lacks_is_said(published) -> None:
    p, tables = published
    found = side_by_side.claims(p)
    found = found[(found["study"] != "xnli") | (found["claim"] != "C2")]
    shown = side_by_side.side_by_side(found)
    assert set(shown.loc["C2", "xnli"]) == {"not in this study"}
    order = overall(tables["reviews"])[["claim", "comparison"]]
    assert list(shown.index) == list(order.itertuples(index=False, name=None))


def test_scale_counts_and_averages(published) -> None:
    p, _ = published
    scale = side_by_side.scale(p)
    trained = scale.loc["training examples per language; epochs"].to_list()
    assert trained == ["2,000; 3", "2,000; 3", "2,000; 3, after 2 of en alone"]
    assert scale.loc["scored training examples per language"].to_list() == [
        "2,000",
        "500",
        "500",
    ]
    assert scale.loc["accuracy of the full model, dev / test (%)", "xnli"] == "75.0 / 65.0"
    assert scale.loc["majority class, dev / test (%)", "xnli"] == "50.0 / 50.0"
    assert scale.loc["hours of all jobs (resumed jobs: last run only)"].to_list() == ["1.5"] * 3
    assert scale.loc["threads per job; largest memory of a job (GiB)"].to_list() == [
        "2; 3.0",
        "2; 4.0",
        "2; 5.0",
    ]


def test_markdown_has_a_cell_for_everything(published) -> None:
    p, _ = published
    shown = side_by_side.side_by_side(side_by_side.claims(p))
    lines = side_by_side.markdown(shown).splitlines()
    assert lines[:2] == ["|  | reviews | xnli | pawsx |", "| --- | --- | --- | --- |"]
    assert lines[2].startswith("| C0: no mask - chance | ") and len(lines) == len(shown) + 2
    assert {line.count("|") for line in lines} == {5}


def test_results_say_what_they_were_made_of(published, tmp_path: Path) -> None:
    p, _ = published
    save.save_figure("claims_by_study", side_by_side.claims(p), side_by_side.results_dir(p))
    side_by_side.write_provenance(p, {"commit": "abc"})
    record = json.loads((tmp_path / "results" / "provenance.json").read_text())
    assert record["parameters"] == {"studies": list(NAMES), "pooled": ["xnli", "reviews"]}
    assert set(record["files"]) == {f"claims_by_study.{suffix}" for suffix in ("csv", "pdf", "png")}
    for name in NAMES:
        for table in ("accuracy.csv", "claims.csv"):
            assert record["inputs"][name][table] == artifacts.describe(tmp_path / name / table)["sha256"]


def inputs(p: ResultsParameters) -> dict[str, dict[str, str]]:
    side_by_side.results_dir(p).mkdir(exist_ok=True)
    side_by_side.write_provenance(p, {})
    return json.loads((side_by_side.results_dir(p) / "provenance.json").read_text())["inputs"]


def test_a_redrawn_figure_leaves_results_as_they_are(published, tmp_path: Path) -> None:
    p, _ = published
    figure = tmp_path / "xnli" / "claims.png"
    before = inputs(p)
    figure.write_bytes(b"as drawn now")
    described = (tmp_path / "xnli" / "provenance.json").read_text()
    provenance.redrawn(tmp_path / "xnli")
    assert (tmp_path / "xnli" / "provenance.json").read_text() != described
    assert inputs(p) == before


@pytest.mark.parametrize("changed", ["claims.csv", "accuracy.csv", "seeds", "wall_seconds"])
def test_whatever_results_are_read_from_changes_their_inputs(published, tmp_path: Path, changed: str) -> None:
    p, _ = published
    before = inputs(p)
    record = json.loads((tmp_path / "xnli" / "provenance.json").read_text())
    if changed == "seeds":
        record["parameters"]["seeds"] = [0, 1, 2]
    elif changed == "wall_seconds":
        record["stages"]["search"]["wall_seconds"] += 1
    else:
        record["files"][changed]["sha256"] = "of another table"
    artifacts.write_json(tmp_path / "xnli" / "provenance.json", record)
    after = inputs(p)
    assert after["xnli"] != before["xnli"]
    assert {name: after[name] for name in ("reviews", "pawsx")} == {
        name: before[name] for name in ("reviews", "pawsx")
    }


def test_a_study_that_is_not_there_is_named(published) -> None:
    p, _ = published
    with pytest.raises(
        InputError, match="^studies: 'marc' has no claims.csv; allowed: pawsx, reviews, xnli$"
    ):
        side_by_side.claims(p.model_copy(update={"studies": ("marc",)}))
    with pytest.raises(InputError, match="^studies: .*; allowed: each value once"):
        ResultsParameters(studies=("xnli", "xnli"))


def test_tables_that_the_study_did_not_write_are_refused(published, tmp_path: Path) -> None:
    p, _ = published
    file = tmp_path / "xnli" / "claims.csv"
    file.write_text(file.read_text().replace("undecided", "supported"))
    with pytest.raises(InputError, match="^studies: 'xnli': claims.csv is not what its provenance.json"):
        side_by_side.claims(p)


def test_studies_published_before_scale_was_recorded_are_refused(published, tmp_path: Path) -> None:
    p, _ = published
    record = json.loads((tmp_path / "pawsx" / "provenance.json").read_text())
    del record["stages"]
    artifacts.write_json(tmp_path / "pawsx" / "provenance.json", record)
    with pytest.raises(InputError, match="^studies: 'pawsx': .* run its notebook 04 again"):
        side_by_side.scale(p)


def test_the_figure_has_every_study_in_its_place(published) -> None:
    p, tables = published
    fig: Figure = FIGURES["claims_by_study"](side_by_side.claims(p))
    assert_legible(fig)
    assert [ax.get_title().split()[0] for ax in fig.axes] == ["C0", "C1", "C2", "C3", "C5", "C6"]
    c1 = fig.axes[1]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == list(NAMES)
    points = [line for line in c1.lines if line.get_marker() == "o"]
    for place, name in enumerate(NAMES):
        (row,) = tables[name].query("claim == 'C1' and language == @ALL").itertuples()
        (point,) = [line for line in points if round(line.get_ydata()[0]) == place]
        assert point.get_xdata()[0] == pytest.approx(100 * row.value)
        assert point.get_color() == VERDICTS[row.verdict]
        assert (point.get_markerfacecolor() == "white") == (row.verdict == "undecided")


def test_questions_are_answered_from_published_artefacts_and_pooled_where_all_are_there() -> None:
    p = ResultsParameters(studies=("xnli", "intents"))  # intents was published without artefacts
    tables = side_by_side.question_tables(p)
    assert list(tables) == ["xnli"]
    found = side_by_side.answers(p, tables)
    assert set(found["study"]) == {"xnli"}
    pooled = side_by_side.answers(p.model_copy(update={"pooled": ("xnli",)}), tables)
    both = pooled.pivot(index="contrast", columns="study", values="value")
    np.testing.assert_allclose(both["pooled"], both["xnli"])
    shown = question_texts.by_study(pooled)
    assert list(shown.columns) == ["xnli", "pooled", "its sides also differ in"]
    assert shown.loc["Q8: full, no mask: slope over training", "xnli"] == "not run"
    languages = side_by_side.by_language(tables)
    rows = question_texts.by_language(languages, ["full, no mask − chance"])
    assert list(rows.index) == [f"Q1: full, no mask: {t}" for t in ("en", "fr", "de", "ru", "es")]
    assert set(side_by_side.hubs(tables)["study"]) == {"xnli"}
