"""The strongest proponents and opponents: against sorted lists, in a file and before a reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.scores import KeptScores
from modspec.analysis.strongest_examples import (
    FILE,
    read_strongest_examples,
    strongest_examples,
    with_texts,
    write_strongest_examples,
)
from modspec.errors import InputError
from modspec.workflow import artifacts
from tests.helpers.attribution import LANGUAGES, columns_frame, train_frame, written

# As wide as a study's scores: learning rates times cosines.
RATES = (1e-5, 2e-5)


@pytest.fixture
def run(tmp_path: Path) -> KeptScores:
    """One run with few distinct scores, so that there are ties: no mask, and two draws of a mask."""
    train, rng = train_frame(15), np.random.default_rng(0)
    columns = [columns_frame("none", "none", 2)]
    for draw in range(2):
        options = {"languages": ("de",), "mask_language": "de", "draw": draw}
        columns.append(columns_frame(f"dose{draw}-de", "dose", 2, **options))
    columns.append(columns_frame("train-items", "none", 1))
    scores = {
        frame["scoring_pass"].iloc[0]: rng.integers(-9, 10, (len(train), len(frame))).astype(float)
        for frame in columns
    }
    table = pd.concat(columns, ignore_index=True)
    table["predicted"] = rng.choice(["yes", "no"], len(table))
    return written(tmp_path / "scores", "full", 0, scores, table, train, RATES)


@pytest.mark.parametrize("count", [1, 4, 45, 99])
def test_strongest_examples_against_sorted_lists(run: KeptScores, count: int) -> None:
    table = strongest_examples(run, count).astype({"value": float})
    scored = run.columns[run.columns["scoring_pass"] != "train-items"]
    kept = min(count, len(run.train))
    assert len(table) == len(scored) * 2 * 2 * kept
    train_ids, keys = run.train["id"].tolist(), ["id", "mask_kind", "draw"]
    groups = dict(iter(table.groupby([*keys, "score", "side"], observed=True)))
    for scoring_pass, columns in scored.groupby("scoring_pass", sort=False):
        for place, column in enumerate(columns.itertuples()):
            for score, times in (("cosine", 1), ("dot", 10)):
                # Whole numbers were planted at both checkpoints.
                planted = np.rint(run.scores(scoring_pass)[:, place] / sum(RATES)).astype(int)
                for side, sign in (("proponent", -1), ("opponent", 1)):
                    rows = groups[column.id, column.mask_kind, column.draw, score, side]
                    order = sorted(range(len(planted)), key=lambda row: (sign * planted[row], row))[:kept]
                    assert rows["rank"].tolist() == [*range(1, kept + 1)]
                    assert rows["train_id"].tolist() == [train_ids[row] for row in order]
                    expected = times * sum(RATES) * planted[order]
                    np.testing.assert_allclose(rows["value"], expected, rtol=1e-6)
                    for name in ("language", "label", "predicted", "mask_language", "train_gradient_mask"):
                        assert set(rows[name]) == {getattr(column, name)}


def test_the_weights_of_the_checkpoints_are_the_runs_own(tmp_path: Path) -> None:
    """Two checkpoints that rank the other way round: what counts more decides."""
    train = train_frame(1)
    run = written(tmp_path, "full", 0, {"none": np.zeros((3, 3))}, columns_frame("none", "none", 1), train)

    class Planted(KeptScores):
        def scores(
            self, scoring_pass, score="cosine", *, checkpoints="all", checkpoint_weights
        ) -> np.ndarray:
            assert checkpoints == "all"
            return np.arange(3)[:, None] * np.ones(3) * (-1 if checkpoint_weights == "one" else 1)

    for eta, first in (("learning_rate", "fr-0"), ("one", "de-0")):
        planted = Planted(run.directory, {"eta": eta}, run.train, run.columns, run.checkpoints)
        table = strongest_examples(planted)
        assert set(table.query("side == 'proponent' and rank == 1")["train_id"]) == {first}


def test_the_file_is_small_and_gives_back_the_table(tmp_path: Path) -> None:
    """A third of a study's run: 500 training examples per language, 40 test examples, 10 masks."""
    rng, train = np.random.default_rng(0), train_frame(500)
    names = [f"dose{draw}" for draw in range(10)]
    columns = [columns_frame(name, "dose", 40, draw=draw) for draw, name in enumerate(names)]
    scores = {name: rng.normal(size=(len(train), len(columns[0]))) for name in names}
    run = written(tmp_path / "scores", "full", 0, scores, pd.concat(columns, ignore_index=True), train, RATES)
    table = strongest_examples(run)
    with artifacts.writing(tmp_path / "kept", {"stage": "influence"}) as building:
        write_strongest_examples(table, building)
    back = read_strongest_examples(tmp_path / "kept")
    assert back.dtypes.equals(table.dtypes) and back.equals(table)
    assert len(table) == 10 * 120 * 2 * 2 * 20
    assert (tmp_path / "kept" / FILE).stat().st_size < 6 * len(table)
    assert table.memory_usage(deep=True).sum() < 24 * len(table)


def test_an_artefact_of_before_is_named_in_one_sentence(tmp_path: Path) -> None:
    with artifacts.writing(tmp_path / "full-seed0", {"stage": "influence"}) as building:
        (building / "train.parquet").touch()
    message = "full-seed0: has no strongest_examples.parquet, because it was made before stage 3 kept"
    with pytest.raises(InputError, match=message):
        read_strongest_examples(tmp_path / "full-seed0")


def test_readers_see_texts_labels_and_scores_that_are_not_zero(run: KeptScores) -> None:
    train, test = (
        frame.drop_duplicates("id").set_index("id").assign(text=lambda rows: "text of " + rows.index)
        for frame in (run.train, run.columns)
    )
    table = strongest_examples(run)
    shown = with_texts(table, train, test, count=4)
    assert shown.index.names == ["language", "test example", "gold label", "predicted label", "rank"]
    assert [*shown] == ["training language", "training example", "label", "score (× 1e-6)"]
    rows = shown.reset_index()
    assert rows["language"].tolist() == np.repeat(LANGUAGES, 4).tolist()
    assert rows["rank"].tolist() == [1, 2, 3, 4] * 3
    for place, language in enumerate(LANGUAGES):
        part, first = rows[rows["language"] == language], run.columns.iloc[2 * place]
        order = np.argsort(-run.scores("none")[:, 2 * place], kind="stable")[:4]
        best = run.train.iloc[order]
        assert set(part["test example"]) == {f"text of {first['id']}"}
        assert set(part["gold label"]) == {first["label"]}
        assert set(part["predicted label"]) == {first["predicted"]}
        assert part["training example"].tolist() == ("text of " + best["id"]).tolist()
        assert part["training language"].tolist() == best["language"].tolist()
        assert part["label"].tolist() == best["label"].tolist()
        scores = part["score (× 1e-6)"].astype(float)
        assert (scores > 0).all() and scores.is_monotonic_decreasing
        np.testing.assert_allclose(scores, 1e6 * run.scores("none")[order, 2 * place], rtol=1e-3)
