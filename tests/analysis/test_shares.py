"""Statistics of test examples against naive loops; training examples' weights against the statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from modspec.analysis.shares import example_statistics, share_statistics, training_weights
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


def test_label_auc_equals_mann_whitney_among_the_label_s_examples():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(120, 4)).round(1)  # ties
    train_languages, labels = rng.choice(LANGUAGES, 120), rng.choice(["yes", "no"], 120)
    same_label = labels[:, None] == np.array(["yes", "no", "yes", "maybe"])
    ids = np.arange(4).astype(str)
    table = example_statistics(scores, train_languages, np.repeat("en", 4), ids, 10, same_label)
    for row in table.itertuples():
        column, label = scores[:, int(row.id)], same_label[:, int(row.id)]
        inside, outside = (
            column[label & ((train_languages == row.train_language) == own)] for own in (True, False)
        )
        if row.id == "3":  # no training example has its label
            assert np.isnan(row.label_auc)
            continue
        u = mannwhitneyu(inside, outside).statistic
        assert row.label_auc == pytest.approx(u / (len(inside) * len(outside)), abs=1e-12)


def test_labels_change_nothing_but_the_auc_within_label():
    rng = np.random.default_rng(2)
    scores, languages = rng.normal(size=(30, 6)), rng.choice(LANGUAGES, 30)
    given = languages, rng.choice(LANGUAGES, 6), np.arange(6), 5
    table = example_statistics(scores, *given, rng.random((30, 6)) < 0.5)
    without = example_statistics(scores, *given)
    pd.testing.assert_frame_equal(table[without.columns], without)
    shares = share_statistics(scores, *given)
    pd.testing.assert_frame_equal(table[shares.columns], shares)


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


@given(st.integers(4, 30), st.integers(1, 5), st.integers(0, 999), st.booleans())
def test_weights_sum_to_the_statistics(count, columns, seed, ties):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (count, columns)) if ties else rng.normal(size=(count, columns))
    languages = rng.choice(["a", "b", "c"], count)
    languages[:2] = ["a", "b"]
    k = int(rng.integers(1, count + 1))
    ids = np.array([f"{i}" for i in range(columns)])
    same_label = rng.random((count, columns)) < 0.5
    scores = scores.astype(np.float32)
    table = example_statistics(scores, languages, np.repeat("a", columns), ids, k, same_label)
    for language, rows in table.groupby("train_language"):
        own = languages == language
        for measure in ("proponents", "opponents"):
            share = training_weights(scores, measure, k)[own].sum(axis=0) + own.mean()
            np.testing.assert_allclose(share, rows[measure], atol=1e-6)
        auc = training_weights(scores, "auc", k)[own].sum(axis=0) / (own.sum() * (~own).sum()) + 0.5
        np.testing.assert_allclose(auc, rows["auc"], atol=1e-6)
        pairs = same_label[own].sum(axis=0) * same_label[~own].sum(axis=0)
        within = training_weights(scores, "label_auc", k, same_label)[own].sum(axis=0)
        paired = pairs > 0
        expected = rows["label_auc"].to_numpy()
        np.testing.assert_allclose(within[paired] / pairs[paired] + 0.5, expected[paired], atol=1e-6)
        assert np.isnan(expected[~paired]).all()


def test_weights_of_a_column_add_up_to_zero_and_k_is_checked():
    scores = np.random.default_rng(0).normal(size=(12, 4))
    same = np.random.default_rng(1).random((12, 4)) < 0.5
    for measure in ("proponents", "opponents", "auc", "label_auc"):
        np.testing.assert_allclose(training_weights(scores, measure, 5, same).sum(axis=0), 0, atol=1e-5)
    for k in (0, 13):
        with pytest.raises(InputError, match=f"top_k: {k}; allowed: 1 to 12"):
            training_weights(scores, "proponents", k)
    assert (training_weights(scores, "proponents", 12) == 0).all()  # all are proponents: nothing to tell
