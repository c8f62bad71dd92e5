"""Shares of translations: hand counts, brute force, simulated chance, levels, degenerate inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ttest_1samp

from modspec.analysis.scores import KeptScores
from modspec.analysis.translations import COLUMNS, by_example, parallel, translations
from modspec.errors import InputError

ALL = "all languages"
KEYS = ["condition", "measure", "language_a", "language_b"]


@dataclass(frozen=True)
class Scored(KeptScores):
    """A run whose scores are given instead of read."""

    tables: dict[str, np.ndarray]

    def scores(self, scoring_pass: str, score: str = "cosine", **variant: str) -> np.ndarray:
        return self.tables[scoring_pass]


def translated(runs: list[KeptScores], top_k: int) -> pd.DataFrame:
    return translations(pd.concat([by_example(run, top_k=top_k) for run in runs], ignore_index=True))


def examples(split: str, languages: str, groups: int, labels: int) -> pd.DataFrame:
    """``groups`` examples in each language, group g of label g modulo ``labels``; language by language."""
    rows = [
        (f"{language}-{split}{group}", language, f"label{group % labels}", f"{split}{group}")
        for language, group in itertools.product(languages.split(), range(groups))
    ]
    return pd.DataFrame(rows, columns=["id", "language", "label", "group"])


def run(
    train: pd.DataFrame,
    test: pd.DataFrame,
    scores: np.ndarray,
    items: np.ndarray | None = None,
    seed: int = 0,
) -> Scored:
    tables, columns = {"none": scores}, [test.assign(scoring_pass="none")]
    if items is not None:
        tables["train-items"] = items
        columns.append(train.assign(scoring_pass="train-items"))
    columns = pd.concat(columns, ignore_index=True)
    parameters = {"condition": "full", "seed": seed}
    return Scored(Path(), parameters, train, columns, pd.Series({1: 1.0}), tables)


def simulated(
    seed: int, make: Callable[[np.random.Generator, pd.DataFrame, pd.DataFrame], np.ndarray]
) -> Scored:
    """20 groups in three languages, 8 test groups, two labels; scores as ``make`` says."""
    rng = np.random.default_rng(seed)
    train, test = examples("train", "de en fr", 20, 2), examples("test", "de en fr", 8, 2)
    return run(train, test, make(rng, train, test), make(rng, train, train), seed)


def noise(rng: np.random.Generator, rows: pd.DataFrame, columns: pd.DataFrame) -> np.ndarray:
    return rng.normal(size=(len(rows), len(columns)))


def by_label(rng: np.random.Generator, rows: pd.DataFrame, columns: pd.DataFrame) -> np.ndarray:
    """Language and label decide, translations do not."""
    same = [np.equal.outer(rows[name].to_numpy(), columns[name].to_numpy()) for name in ("label", "language")]
    return noise(rng, rows, columns) + 3 * same[0] + same[1]


def by_meaning(rng: np.random.Generator, rows: pd.DataFrame, columns: pd.DataFrame) -> np.ndarray:
    """Translations score alike, for translations as well, and an example's own translations high."""
    row, column = (pd.factorize(frame["group"])[0] for frame in (rows, columns))
    common = rng.normal(size=(row.max() + 1, column.max() + 1))[np.ix_(row, column)]
    own = np.equal.outer(rows["group"].to_numpy(), columns["group"].to_numpy())
    return common + 0.5 * noise(rng, rows, columns) + 2 * own


def test_hand_counts() -> None:
    train = examples("train", "de en fr", 3, 1)  # rows: de 0-2, en 3-5, fr 6-8
    test = examples("test", "de en", 1, 1)
    ranked = [[0, 3, 1, 8], [1, 4, 7, 2]]  # groups 0 0 1 2, and 1 1 1 2
    scores = np.zeros((9, 2))
    for column, rows in enumerate(ranked):
        scores[rows, column] = [4, 3, 2, 1]
    found = translated([run(train, test, scores)], top_k=4).set_index(KEYS)
    observed, value = found["observed"], found["value"]
    assert observed["full", "translated_proponents", "de", ALL] == pytest.approx(2 / 4)
    assert observed["full", "translated_proponents", "en", ALL] == pytest.approx(3 / 4)
    assert observed["full", "distinct_groups", "de", ALL] == 3
    assert observed["full", "distinct_groups", "en", ALL] == 2
    # One test group has no unrelated ones: no control, no row.
    assert "shared_groups" not in found.index.unique("measure")
    # de has two of its three rows, en and fr one: independently 2/3, 1/3, 1/3 in each group.
    one = 2 / 3 * (2 / 3) ** 2 + 2 * (1 / 3 * 1 / 3 * 2 / 3)
    assert value["full", "translated_proponents", "de", ALL] == pytest.approx(2 / 4 - (1 - 3 * one / 4))
    assert value["full", "distinct_groups", "de", ALL] == pytest.approx(3 - 3 * (1 - 1 / 3 * (2 / 3) ** 2))


def test_overlap_of_the_proponents_groups_by_hand() -> None:
    train, test = examples("train", "de en", 4, 1), examples("test", "de en", 2, 1)
    # Columns: de test0, de test1, en test0, en test1; rows: groups 0-3 in de, then in en.
    groups = [{0, 1}, {2, 3}, {0, 2}, {2, 3}]
    scores = np.zeros((8, 4))
    for column, of in enumerate(groups):
        scores[list(of), column] = 1
    found = translated([run(train, test, scores)], top_k=2).set_index(KEYS).sort_index()
    row = found.loc["full", "shared_groups"]
    for pair in (("de", "en"), ("de", ALL), ("en", ALL), (ALL, ALL)):
        assert row.loc[pair, "observed"] == pytest.approx((1 / 3 + 1) / 2)
        # Unrelated: de test0 with en test1 share none, de test1 with en test0 one of three.
        assert row.loc[pair, "control"] == pytest.approx((0 + 1 / 3) / 2)
        assert np.isnan(row.loc[pair, "chance"])


def test_own_translations_by_brute_force() -> None:
    """Every item and translation, in a loop; the item itself would be its strongest proponent."""
    made = simulated(3, by_meaning)
    train, scores = made.train, made.tables["train-items"]
    found = translated([made], top_k=5).set_index(KEYS).loc["full"]
    kinds = [*zip(train["language"], train["label"], strict=True)]
    lists: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for item, other in itertools.permutations(range(len(train)), 2):
        if train["group"][item] == train["group"][other]:
            rest = [row for row in range(len(train)) if row != item]
            order = sorted(rest, key=lambda row: -scores[row, item])[:2]

            def hit(row: int) -> bool:
                return row in order  # noqa: B023 - called in this turn

            def lower(row: int) -> float:
                below = sum(scores[one, item] < scores[row, item] for one in rest)  # noqa: B023
                return below / (len(train) - 2)

            like = [row for row in rest if row != other and kinds[row] == kinds[other]]
            key = train["language"][item], train["language"][other]
            for name, of in (("translations_found", hit), ("translation_percentile", lower)):
                pair = float(of(other)), float(np.mean([of(row) for row in like]))
                lists.setdefault((name, *key), []).append(pair)
    assert len(lists) == 12
    for key, pairs in lists.items():
        observed, control = np.mean(pairs, axis=0)
        assert tuple(found.loc[key, ["observed", "control"]]) == pytest.approx((observed, control))
        assert found.loc[key, "value"] == pytest.approx(observed - control)
        assert found.loc[key, "examples"] == 20
    assert found.loc[("translations_found", "de", "en"), "chance"] == pytest.approx(2 / 59)
    assert found.loc[("translation_percentile", "de", "en"), "chance"] == 0.5


def test_chance_and_control_are_what_simulation_gives() -> None:
    made = simulated(1, by_label)
    found = translated([made], top_k=10).set_index(KEYS).loc["full"]
    rng = np.random.default_rng(0)
    strata = made.train.groupby(["language", "label"]).ngroup().to_numpy()
    groups = made.train["group"].to_numpy()

    def measured(rows: np.ndarray) -> tuple[float, int]:
        names, counts = np.unique(groups[rows], return_counts=True)
        return counts[counts > 1].sum() / len(rows), len(names)

    free = np.mean([measured(rng.choice(60, 10, replace=False)) for _ in range(4000)], axis=0)
    of_german = []
    for column in np.flatnonzero((made.columns_of("none")["language"] == "de").to_numpy()):
        top = np.argsort(-made.tables["none"][:, column])[:10]
        for _ in range(500):
            drawn = [
                rng.choice(np.flatnonzero(strata == s), (strata[top] == s).sum(), replace=False)
                for s in np.unique(strata[top])
            ]
            of_german.append(measured(np.concatenate(drawn)))
    fair = np.mean(of_german, axis=0)
    for place, (measure, tolerance) in enumerate(
        (("translated_proponents", 0.015), ("distinct_groups", 0.08))
    ):
        row = found.loc[(measure, "de", ALL)]
        assert row["chance"] == pytest.approx(free[place], abs=tolerance)
        assert row["control"] == pytest.approx(fair[place], abs=tolerance)
    assert fair[0] > free[0] + 0.1  # what language and label alone do


@pytest.mark.slow
@pytest.mark.parametrize("make", [noise, by_label])
def test_what_knows_nothing_of_translations_shows_no_effect(make: Callable) -> None:
    """Over 100 studies: no bias, and 5 % of the tests reject, though language and label differ strongly."""
    examples = [by_example(simulated(seed, make), top_k=10) for seed in range(100)]
    rows = pd.concat([frame.assign(study=study) for study, frame in enumerate(examples)])
    rows["value"] = (rows["observed"] - rows["control"]).astype(float)
    means = rows.groupby(["measure", "study", "id"])["value"].mean()
    assert means.index.unique("measure").size == 5
    for measure, values in means.groupby("measure"):
        by_study = values.unstack("id").to_numpy()
        assert ttest_1samp(by_study.mean(axis=1), 0).pvalue > 1e-4, measure
        rejected = (ttest_1samp(by_study, 0, axis=1).pvalue <= 0.05).sum()
        assert rejected <= binom.ppf(0.9995, 100, 0.05), measure


def test_what_follows_meaning_shows_an_effect() -> None:
    found = translated([simulated(seed, by_meaning) for seed in range(3)], top_k=10).set_index(KEYS)
    pooled = found.xs(ALL, level="language_a").xs(ALL, level="language_b").droplevel("condition")
    assert (pooled["p"] < 0.05).all() and (pooled["seeds"] == 3).all()
    assert set(pooled["examples"]) == {8, 20}
    assert (pooled["value"].drop("distinct_groups") > 0).all() and pooled["value"]["distinct_groups"] < 0
    assert (pooled["low"] < pooled["value"]).all() and (pooled["value"] < pooled["high"]).all()


def test_all_languages_is_the_mean_over_languages() -> None:
    found = translated([simulated(1, noise)], top_k=10).set_index(KEYS)["observed"].loc["full"]
    for measure in ("translated_proponents", "translation_percentile"):
        rows = found[measure].xs(ALL, level="language_b")
        assert rows[ALL] == pytest.approx(rows.drop(ALL).mean())
    pairs = found["translations_found"].drop(ALL, level="language_b")
    assert found["translations_found", "en", ALL] == pytest.approx(pairs["en"].mean())
    pairs = found["shared_groups"].drop(ALL, level="language_b")
    assert found["shared_groups", "en", ALL] == pytest.approx(pairs[[("de", "en"), ("en", "fr")]].mean())


def test_training_items_of_a_sample_per_seed_lie_within_seeds() -> None:
    """Test examples stay crossed with seeds; of training items only the seeds' means are compared."""
    runs = [simulated(seed, by_meaning) for seed in range(3)]
    own = []
    for made in runs:
        name = f"sample{made.parameters['seed']}-"
        train = made.train.assign(id=name + made.train["id"], group=name + made.train["group"])
        items = made.columns["scoring_pass"] == "train-items"
        columns = made.columns.copy()
        columns.loc[items, ["id", "group"]] = name + columns.loc[items, ["id", "group"]]
        own.append(replace(made, train=train, columns=columns))
    found, crossed = (translated(some, top_k=10).set_index(KEYS).loc["full"] for some in (own, runs))
    of_items = found.index.get_level_values("measure").isin(["translations_found", "translation_percentile"])
    pd.testing.assert_frame_equal(found[~of_items], crossed[~of_items])
    columns = ["seeds", "examples", "observed", "chance", "control", "value"]
    pd.testing.assert_frame_equal(found.loc[of_items, columns], crossed.loc[of_items, columns])
    each = [translated([made], top_k=10).set_index(KEYS)["value"].to_dict() for made in own]
    for key, row in found[of_items].iterrows():
        test = ttest_1samp([values["full", *key] for values in each], 0)
        interval = test.confidence_interval(0.95)
        assert tuple(row[["low", "high", "p"]]) == pytest.approx((*interval, test.pvalue))


def test_conditions_are_kept_apart_and_items_are_a_choice() -> None:
    made = simulated(1, noise)
    columns = made.columns.query("scoring_pass == 'none'")
    other = replace(made, parameters={"condition": "sft", "seed": 1}, columns=columns)
    found = translated([made, other], top_k=10)
    measures = found.groupby("condition")["measure"].unique().map(set)
    assert measures["full"] - measures["sft"] == {"translations_found", "translation_percentile"}
    shared = found[found["measure"].isin(measures["sft"])].drop(columns="condition")
    full, sft = (
        shared[found.loc[shared.index, "condition"] == c].reset_index(drop=True) for c in ("full", "sft")
    )
    pd.testing.assert_frame_equal(full, sft)


def test_ties_are_broken_by_position_and_show_no_percentile() -> None:
    train, test = examples("train", "de en", 20, 2), examples("test", "de en", 4, 2)
    tied = [np.zeros((40, 8)), np.zeros((40, 40))]
    found = translated([run(train, test, *tied)], top_k=10).set_index(KEYS).loc["full"]
    row = found.loc[("translated_proponents", ALL, ALL)]
    assert row["observed"] == row["control"] == row["value"] == 0 and row["p"] == 1  # ten German ones
    row = found.loc[("translation_percentile", ALL, ALL)]
    assert row["observed"] == pytest.approx(0.5) and row["value"] == pytest.approx(0, abs=1e-12)


def test_one_proponent_has_no_translation() -> None:
    row = (
        translated([simulated(1, noise)], top_k=1)
        .set_index(KEYS)
        .sort_index()
        .loc["full", "translated_proponents"]
    )
    assert (row[["observed", "chance", "control"]].abs() < 1e-12).all(axis=None)


def test_every_training_example_is_a_proponent() -> None:
    row = (
        translated([simulated(1, noise)], top_k=60)
        .set_index(KEYS)
        .sort_index()
        .loc["full", "translated_proponents"]
    )
    assert row[["observed", "chance", "control"]].to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("groups", ["own", "templates", "one language"])
def test_tasks_without_translations_have_no_rows(groups: str) -> None:
    train = examples("train", "de en", 6, 2)
    if groups == "own":
        train["group"] = train["id"]
    elif groups == "templates":
        train["group"] = train["language"] + train["label"]
    else:
        train = train[train["language"] == "de"].reset_index(drop=True)
    assert not parallel(train)
    found = translated([run(train, train, np.zeros((len(train), len(train))))], top_k=2)
    assert found.empty and list(found.columns) == COLUMNS


@pytest.mark.parametrize("top_k", [0, 61])
def test_an_impossible_k_is_refused(top_k: int) -> None:
    with pytest.raises(InputError, match=f"^top_k: {top_k}; allowed: 1 to 60, the training examples$"):
        translated([simulated(1, noise)], top_k=top_k)
