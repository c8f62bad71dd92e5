"""From a study's artefacts to its tables: complete, checked, and each of them drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from modspec.analysis import by_part, exploration, study_tables
from modspec.analysis.measurements import measure, write_measured
from modspec.analysis.scores import read_scores
from modspec.analysis.translations import by_example
from modspec.analysis.typology import mantel_tests
from modspec.errors import InputError
from modspec.figures.save import FIGURES, draw
from modspec.subnetworks.masks import save_masks
from modspec.workflow import artifacts
from modspec.workflow.parameters import FigureParameters
from modspec.workflow.paths import finetuning_dir, influence_dir, scores_dir, search_dir
from tests.helpers.frames import SMALL
from tests.helpers.parts import EVALUATION, HEADS, LAYERS, TRAINING, simulated, table

CONDITIONS = ("full", "sft")


ORDER = ["fr", "de", "en"]  # of the study's languages; safetensors have them by the alphabet


@pytest.fixture
def study(tmp_path: Path) -> FigureParameters:
    """The files that stages 1 to 3 leave, of random numbers: two seeds, two conditions, three languages."""
    rng = np.random.default_rng(0)
    p = FigureParameters(study_dir=str(tmp_path / "run"), conditions=CONDITIONS)
    parts = table(simulated(len(p.seeds), CONDITIONS))
    train = np.repeat(list(TRAINING), list(TRAINING.values()))
    evaluation = np.repeat(list(EVALUATION), list(EVALUATION.values()))
    ids = np.array([f"{language}-{number}" for number, language in enumerate(evaluation)])
    for seed in p.seeds:
        made_by = {"parameters": {"seed": seed, "languages": ORDER}}
        with artifacts.writing(search_dir(p, seed), made_by) as folder:
            masks = {language: rng.random((LAYERS, HEADS)) < 0.5 for language in TRAINING}
            save_masks(folder / "masks.safetensors", masks)
            steps = SMALL["pruning_trajectories"].assign(importance="exact", note="", seed=seed)
            steps.to_parquet(folder / "trajectory.parquet")
            heads = pd.DataFrame([(t, *place) for t in TRAINING for place in np.ndindex(LAYERS, HEADS)])
            heads = heads.set_axis(["language", "layer", "head"], axis=1)
            heads = heads.assign(weight=rng.random(len(heads)), step=0, importance="exact", seed=seed)
            heads.assign(layer=heads["layer"] + 1, head=heads["head"] + 1).to_parquet(
                folder / "importance.parquet"
            )
        for condition in CONDITIONS:
            made_by = {"parameters": {"seed": seed, "condition": condition}}
            with artifacts.writing(finetuning_dir(p, condition, seed), made_by) as folder:
                accuracy = SMALL["accuracy"].assign(seed=seed, condition=condition)
                accuracy.to_parquet(folder / "accuracy.parquet")
                hits = {"no_mask": rng.integers(0, 2, len(ids)), "in_force": rng.integers(0, 2, len(ids))}
                predicted = pd.DataFrame({"id": ids, "language": evaluation, "label": 0} | hits)
                predicted = pd.concat([predicted.assign(split=split) for split in ("dev", "test")])
                predicted = predicted.assign(seed=seed, condition=condition)
                predicted.to_parquet(folder / "predictions.parquet")
            parameters = {"condition": condition, "seed": seed, "top_k": 5, "eta": "one"}
            made_by = {"parameters": parameters | {"train_gradient_masks": ["test_example"]}}
            with artifacts.writing(scores_dir(p, condition, seed), made_by) as folder:
                rows = {"id": np.arange(len(train)).astype(str), "language": train, "label": "yes"}
                pd.DataFrame(rows).assign(group=rows["id"]).to_parquet(folder / "train.parquet")
                rates = {"epoch": [3], "learning_rate": [0.1]}
                pd.DataFrame(rates).to_parquet(folder / "checkpoints.parquet")
                arrays, columns = {}, []
                for kind in ("none", "own"):
                    scores = rng.normal(size=(len(train), len(ids)))
                    arrays |= {f"{kind}/{s}/epoch03": scores.astype(np.float32) for s in ("cosine", "dot")}
                    column = pd.DataFrame(
                        {"id": ids, "language": evaluation, "scoring_pass": kind, "mask_kind": kind}
                    )
                    mask = {"mask_language": "", "train_gradient_mask": "test_example", "draw": 0}
                    columns.append(column.assign(label="yes", **mask))
                save_file(arrays, folder / "scores.safetensors")
                pd.concat(columns, ignore_index=True).to_parquet(folder / "columns.parquet")
            scored = read_scores(scores_dir(p, condition, seed))
            with artifacts.writing(influence_dir(p, condition, seed), made_by) as folder:
                write_measured(measure(scored, (10, 20)), folder)
                by_example(scored, top_k=5).to_parquet(folder / "translations.parquet")
                own = (parts["condition"] == condition) & (parts["seed"] == seed)
                parts[own].to_parquet(folder / "parts.parquet")
    return p


EXPLORED = ("layer_share", "head_share", "head_influence", "head_relation", "typology", "translations")


@pytest.mark.slow
def test_every_figure_of_a_study_gets_its_table_and_is_drawn(study: FigureParameters, tmp_path: Path) -> None:
    found = study_tables.tables(study)
    figures = {*SMALL, "share_by_accuracy"} - set(EXPLORED)
    assert figures <= set(FIGURES) and set(found) == {*figures, "single_languages"}
    assert [*found["head_masks"]["language"].unique()] == ORDER
    assert found.pop("single_languages").empty  # the task is not parallel
    assert found.pop("share_by_accuracy").empty  # no controls were scored
    assert found.pop("share_over_training").empty  # nor any checkpoints on the way
    for name in found:
        assert draw(found, name, tmp_path / "figures") is not None
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(found)


@pytest.mark.slow
def test_every_exploratory_figure_gets_its_table_and_is_drawn(
    study: FigureParameters, tmp_path: Path
) -> None:
    found = exploration.tables(study)
    assert set(found) == {*EXPLORED, "typology_tests", "head_masks", "importance"}
    pd.testing.assert_frame_equal(found["typology_tests"], mantel_tests(found["typology"]))
    assert found["translations"].empty  # the task is not parallel
    for name in EXPLORED[:-1]:
        assert draw(found, name, tmp_path / "figures") is not None
    parts = table(simulated(len(study.seeds), CONDITIONS))
    expected = by_part.head_influence(parts, sum(TRAINING.values()))
    pd.testing.assert_frame_equal(found["head_influence"], expected)
    assert set(found["layer_share"]["condition"]) == set(CONDITIONS)


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (
            study_tables.tables,
            [
                "share_by_accuracy",
                "share_change",
                "share_over_training",
                "single_languages",
                "sensitivity",
                "share_by_k",
            ],
        ),
        (exploration.tables, ["head_share", "head_influence", "head_relation", "translations"]),
    ],
)
def test_a_study_without_full_fine_tuning_says_which_figures_it_lacks(
    study: FigureParameters, tmp_path: Path, capsys: pytest.CaptureFixture[str], tables, expected: list[str]
) -> None:
    found = tables(study.model_copy(update={"conditions": ("sft",)}))
    lacking = [name for name, frame in found.items() if frame.empty]
    assert lacking == expected
    assert [draw(found, name, tmp_path / "figures") for name in lacking] == [None] * len(expected)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": not in this study")[0] for line in lines] == lacking


def test_a_damaged_artefact_is_named(study: FigureParameters) -> None:
    file = influence_dir(study, "sft", 1) / "parts.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{file}: truncated or altered"):
        study_tables.tables(study)


def test_accuracy_stands_beside_the_commonest_label() -> None:
    labels = {"de": "AAAB", "en": "CDCC"}
    rows = [
        (f"{language}-{number}", language, split, label, seed)
        for language, text in labels.items()
        for split, of in (("test", text), ("dev", "XY"))
        for number, label in enumerate(of)
        for seed in range(2)
    ]
    predictions = pd.DataFrame(rows, columns=["id", "language", "split", "label", "seed"])
    kinds = [("none", ""), ("language", "de")]
    accuracy = pd.DataFrame(
        [
            (seed, condition, kind, mask, language, split, 0.5 + 0.1 * seed + 0.2 * (condition == "sft"))
            for seed in range(2)
            for condition in CONDITIONS
            for kind, mask in kinds
            for language in labels
            for split in ("dev", "test")
        ],
        columns="seed condition mask_kind mask_language language split accuracy".split(),
    )
    found = study_tables.with_majority(accuracy, predictions)
    assert set(found.loc[found["split"] == "test", "majority"]) == {0.75}
    assert set(found.loc[found["split"] == "dev", "majority"]) == {0.5}
    summary = study_tables.accuracy_summary(found)
    assert list(summary.index) == ["full", "sft", "majority class"]
    assert list(summary.columns) == ["de", "en", "mean"]
    assert summary["mean"].to_list() == pytest.approx([0.55, 0.75, 0.75])
    assert study_tables.accuracy_summary(found, "dev").loc["majority class"].to_list() == [0.5] * 3


def test_stages_are_described_by_what_their_runs_share(tmp_path: Path) -> None:
    p = FigureParameters(study_dir=str(tmp_path), seeds=(0, 1), conditions=("full",))

    def write(directory: Path, seconds: float, memory: float, **parameters: object) -> None:
        record = {"wall_seconds": seconds, "peak_memory_gib": memory, "threads": 1, "device": "CPU"}
        record["processor"] = f"processor {parameters['seed']}"
        with artifacts.writing(directory, {"parameters": parameters}, lambda: record):
            pass

    for seed in p.seeds:
        write(search_dir(p, seed), 10 + seed, 2.0, seed=seed, epochs=3)
        write(finetuning_dir(p, "full", seed), 1, 1.0, seed=seed, epochs=4)
        only_one = {"scored_per_language": 5} if seed else {}
        write(influence_dir(p, "full", seed), 2, 1.0 + seed, seed=seed, top_k=7, **only_one)
    found = study_tables.stages(p)
    common = {"runs": 2, "threads": 1, "processors": ["processor 0", "processor 1"]}
    assert found == {
        "search": common | {"wall_seconds": 21, "peak_memory_gib": 2, "parameters": {"epochs": 3}},
        "finetuning": common | {"wall_seconds": 2, "peak_memory_gib": 1, "parameters": {"epochs": 4}},
        "influence": common | {"wall_seconds": 4, "peak_memory_gib": 2, "parameters": {"top_k": 7}},
    }


def test_what_the_questions_are_answered_from_is_read_of_all_seeds(study: FigureParameters) -> None:
    folder = Path(study.study_dir)
    (folder / "influence" / "full-seed9.pieces").mkdir()  # of a run that was killed
    found = study_tables.read_question_tables(folder)
    assert found.over_training is None and found.counterfactual is None
    assert set(found.importance["seed"]) == set(found.predictions["seed"]) == set(study.seeds)
    assert len(found.overlap) == 15  # pairs of two seeds' masks of three languages
    shares = pd.DataFrame({"language": "en", "id": "en-1", "progress": [0.5, 1.0], "share": [0.4, 0.3]})
    for condition in CONDITIONS:
        for seed in study.seeds:
            place = influence_dir(study, condition, seed)
            shares.assign(condition=condition, seed=seed).to_parquet(place / "over_training.parquet")
    found = study_tables.read_question_tables(folder)
    assert set(found.over_training["condition"]) == {"full"} and len(found.over_training) == 4


def test_what_a_killed_job_leaves_is_not_read(study: FigureParameters) -> None:
    expected = study_tables.read_question_tables(Path(study.study_dir)).importance
    folder = search_dir(study, study.seeds[0])
    shutil.copytree(folder, folder.with_name(f".{folder.name}.host.1.half"))
    found = study_tables.read_question_tables(Path(study.study_dir)).importance
    pd.testing.assert_frame_equal(found, expected)


def test_conditions_with_other_seeds_are_refused(study: FigureParameters) -> None:
    """Contrasts are paired by seed: half a published study must not be paired by position."""
    shutil.rmtree(influence_dir(study, "sft", study.seeds[1]))
    with pytest.raises(InputError, match=r"influence full has seeds \[0, 1\], but influence sft has \[0\]"):
        study_tables.read_question_tables(Path(study.study_dir))
