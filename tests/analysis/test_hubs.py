"""Hub examples: planted ones are counted, and none is found where scores are noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.analysis.hubs import hub_share
from modspec.analysis.measurements import StudyRuns, measure
from tests.helpers.attribution import LANGUAGES, columns_frame, train_frame, written

TOP_K = 6
PER_LANGUAGE = 30


def runs(tmp_path, planted: int) -> StudyRuns:
    """Two seeds of noise; the first training examples are proponents of all test examples of their label."""
    train, columns = train_frame(40), columns_frame("none", "none", PER_LANGUAGE)
    same_label = train["label"].to_numpy()[:, None] == columns["label"].to_numpy()
    found = []
    for seed in range(2):
        scores = np.random.default_rng(seed).normal(size=(len(train), len(columns)))
        scores[:planted] += np.where(same_label, 100, -100)[:planted]  # of no other label
        found.append(
            written(tmp_path / f"{seed}", "full", seed, {"none": scores}, columns, train, top_k=TOP_K)
        )
    return StudyRuns([measure(run) for run in found])


def test_planted_hubs_are_counted(tmp_path) -> None:
    """Two hubs of each label take two of every list's places."""
    table = hub_share(runs(tmp_path, planted=4)).set_index("score")
    assert table.index.tolist() == ["cosine", "dot"]
    for row in table.itertuples():
        assert row.hubs == 4 and row.hub_share == pytest.approx(2 / TOP_K, abs=1e-6)
        assert row.most == pytest.approx(0.5, abs=1e-6)  # all test examples of one label of two
        assert row.even == TOP_K / (40 * len(LANGUAGES))


def test_noise_has_no_hubs(tmp_path) -> None:
    table = hub_share(runs(tmp_path, planted=0))
    assert (table["hubs"] == 0).all() and (table["hub_share"] == 0).all() and (table["most"] < 0.25).all()


def test_seeds_that_drew_their_own_samples_are_counted_one_by_one(tmp_path) -> None:
    """The same scores of other training examples give the same numbers."""
    train, columns = train_frame(40), columns_frame("none", "none", PER_LANGUAGE)
    tables = []
    for number, names in enumerate((("a", "a"), ("a", "b"))):
        found = []
        for seed, name in enumerate(names):
            scores = np.random.default_rng(seed).normal(size=(len(train), len(columns)))
            sample = train.assign(id=name + train["id"], group=name + train["group"])
            place = tmp_path / f"{number}{seed}"
            found.append(written(place, "full", seed, {"none": scores}, columns, sample, top_k=TOP_K))
        tables.append(hub_share(StudyRuns([measure(run) for run in found])))
    pd.testing.assert_frame_equal(*tables)
