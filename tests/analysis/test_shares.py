"""Specialization statistics against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from modspec.analysis.shares import example_statistics
from modspec.errors import InputError

LANGUAGES = np.array(["en", "de", "ko"])


def naive(scores, train_languages, language, column, k):
    """(proponents, opponents, auc, influence) of one cell of the table, by loops in plain Python."""
    values = [float(row[column]) for row in scores]
    first = sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]
    last = sorted(range(len(values)), key=lambda i: (values[i], i))[:k]
    own = [v for v, spoken in zip(values, train_languages, strict=True) if spoken == language]
    rest = [v for v, spoken in zip(values, train_languages, strict=True) if spoken != language]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in own for b in rest]
    return (
        sum(train_languages[i] == language for i in first) / k,
        sum(train_languages[i] == language for i in last) / k,
        sum(wins) / len(wins) if wins else float("nan"),
        sum(own),
    )


@settings(max_examples=100, deadline=None)
@given(
    train=st.integers(1, 25),
    evaluation=st.integers(1, 4),
    levels=st.sampled_from([1, 3, 1000]),
    spoken=st.integers(1, 3),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_statistics_equal_naive_loops_with_and_without_ties(train, evaluation, levels, spoken, seed, data):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-levels, levels + 1, (train, evaluation)) / levels).astype(np.float32)
    train_languages = rng.choice(LANGUAGES[:spoken], train)
    evaluation_languages = rng.choice(LANGUAGES, evaluation)
    ids = np.array([f"e{i}" for i in range(evaluation)])
    k = data.draw(st.integers(1, train))
    table = example_statistics(scores, train_languages, evaluation_languages, ids, k)

    present = set(train_languages.tolist())
    assert len(table) == evaluation * len(present)
    assert set(map(tuple, table[["id", "train_language"]].to_numpy())) == {
        (i, t) for i in ids for t in present
    }
    for row in table.itertuples():
        column = ids.tolist().index(row.id)
        assert row.language == evaluation_languages[column]
        expected = naive(scores, train_languages, row.train_language, column, k)
        found = (row.proponents, row.opponents, row.auc, row.influence)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        assert row.chance == pytest.approx(np.mean(train_languages == row.train_language))
    sums = table.groupby("id")[["proponents", "opponents", "chance"]].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-12)
    influence = table.groupby("id", sort=False)["influence"].sum().loc[ids]
    np.testing.assert_allclose(influence, scores.sum(0, dtype=float), atol=1e-10)


def test_auc_equals_mann_whitney():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 5)).round(1)  # ties
    train_languages = rng.choice(LANGUAGES, 200)
    ids = np.arange(5).astype(str)
    table = example_statistics(scores, train_languages, np.repeat("en", 5), ids, 10)
    for row in table.itertuples():
        own = train_languages == row.train_language
        column = scores[:, int(row.id)]
        u = mannwhitneyu(column[own], column[~own]).statistic
        assert row.auc == pytest.approx(u / (own.sum() * (~own).sum()), abs=1e-12)


def test_extremes():
    train_languages = np.repeat(["en", "de"], [3, 7])
    scores = np.where(train_languages == "en", 2.0, -1.0)[:, None]
    table = example_statistics(scores, train_languages, np.array(["en"]), np.array(["e"]), 3)
    table = table.set_index("train_language")
    assert table.loc["en", ["proponents", "opponents", "auc"]].tolist() == [1, 0, 1]
    assert table.loc["de", ["proponents", "opponents", "auc"]].tolist() == [0, 1, 0]
    assert table["influence"].to_dict() == {"en": 6, "de": -7}
    assert table["chance"].to_dict() == {"en": 0.3, "de": 0.7}


def test_random_scores_are_at_chance():
    rng = np.random.default_rng(0)
    train_languages = np.repeat(LANGUAGES, [60, 90, 150])
    ids = np.arange(400).astype(str)
    table = example_statistics(
        rng.normal(size=(300, 400)), train_languages, rng.choice(LANGUAGES, 400), ids, 30
    )
    means = table.groupby("train_language")[["proponents", "opponents", "auc", "chance"]].mean()
    # 400 x 30 draws: standard error below 0.005 for the shares, 0.002 for the AUC.
    np.testing.assert_allclose(means["proponents"], means["chance"], atol=0.02)
    np.testing.assert_allclose(means["opponents"], means["chance"], atol=0.02)
    np.testing.assert_allclose(means["auc"], 0.5, atol=0.01)


def test_one_training_language_has_no_auc():
    table = example_statistics(np.eye(3), np.repeat("en", 3), np.repeat("en", 3), np.arange(3), 2)
    assert table["auc"].isna().all() and (table["proponents"] == 1).all() and (table["chance"] == 1).all()


def test_no_evaluation_examples_give_no_rows():
    nothing = np.array([], dtype=str)
    table = example_statistics(np.zeros((3, 0)), np.array(["en", "en", "de"]), nothing, nothing, 2)
    assert len(table) == 0 and "proponents" in table


@pytest.mark.parametrize("top_k", [0, -1, 4])
def test_k_must_fit_the_training_data(top_k):
    with pytest.raises(InputError, match=f"top_k: {top_k}; allowed: 1 to 3, the training examples"):
        example_statistics(np.eye(3), np.repeat("en", 3), np.repeat("en", 3), np.arange(3), top_k)
