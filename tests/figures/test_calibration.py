"""The calibration's figures show what their frames say, legibly."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from modspec.calibration.scorers import SCORERS
from modspec.errors import InputError
from modspec.figures.calibration import HALVES, TESTS, datamodeling, planted_heads, template_truth
from modspec.figures.calibration import SCORERS as LOOKS
from modspec.figures.save import FIGURES
from modspec.terms import CALIBRATION_MEASURES as MEASURES
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")
DOSES = [0.0, 0.25, 0.5, 0.75, 1.0]
WAYS = [("influence, cosine", "precision"), ("influence, cosine", "auc"), ("influence, dot", "precision")]
WAYS += [("influence, dot", "auc"), ("search", "precision"), ("search", "recall")]
WAYS += [("importance", "precision"), ("importance", "auc")]


def rates(measures: tuple[str, ...] = tuple(MEASURES)) -> pd.DataFrame:
    keys = itertools.product(measures, ["one half", "both halves"], TESTS)
    rows = [(*key, 0.02 + 0.03 * i, 0.01, 0.04 + 0.04 * i, 0.05) for i, key in enumerate(keys)]
    return pd.DataFrame(rows, columns="measure language test value low high level".split())


def doses(seeds: int = 3) -> pd.DataFrame:
    keys = itertools.product(["all", *map(str, range(seeds))], DOSES, ["share", "auc", "label_auc"], HALVES)
    rows = [(*key, 0.5 + 0.4 * key[1] - 0.01 * i / 135, 0.45, 0.95, 0.5) for i, key in enumerate(keys)]
    return pd.DataFrame(rows, columns="seed dose measure language value low high chance".split())


@pytest.mark.parametrize("frame", [rates(), rates(("share",))], ids=len)
def test_rates_stand_at_their_values_beside_the_nominal_level(frame: pd.DataFrame) -> None:
    fig = FIGURES["false_positive_rates"](frame)
    assert_legible(fig)
    assert len(fig.axes) == frame["measure"].nunique()
    panels = zip(fig.axes, frame.groupby("measure", sort=False), strict=True)
    for place, (ax, (measure, rows)) in enumerate(panels):
        assert ax.get_title() == MEASURES[measure]
        points = {line.get_marker(): line.get_ydata() for line in ax.lines if line.get_marker() in "osD"}
        for test, look in TESTS.items():
            np.testing.assert_allclose(points[look["marker"]], 100 * rows[rows["test"] == test]["value"])
        (level,) = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert set(level.get_ydata()) == {5.0} and ax.get_ylim()[0] == 0
        named = place + 4 >= len(fig.axes)  # no panel below it, of four in a row
        assert [label.get_text() for label in ax.get_xticklabels()] == ["one half", "both halves"] * named


@pytest.mark.parametrize("seeds", [0, 1, 5])
def test_curves_are_those_over_all_seeds_with_single_seeds_behind(seeds: int) -> None:
    frame = doses(seeds)
    fig = FIGURES["dose_response"](frame)
    assert_legible(fig)
    for ax, measure in zip(fig.axes, ("share", "auc", "label_auc"), strict=True):
        rows = frame[(frame["measure"] == measure) & (frame["seed"] == "all")]
        for half, look in HALVES.items():
            (line,) = [line for line in ax.lines if line.get_marker() == look["marker"]]
            np.testing.assert_allclose(line.get_ydata(), 100 * rows[rows["language"] == half]["value"])
            assert line.get_color() == look["color"]
        assert len([line for line in ax.lines if line.get_linewidth() == 0.5]) == 3 * seeds
        (chance,) = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert set(chance.get_ydata()) == {50.0}
        assert list(ax.get_xticks()) == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(("name", "frame"), [("false_positive_rates", rates()), ("dose_response", doses())])
def test_double_rows_and_unknown_measures_are_refused(name: str, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=f"{name}.csv: column value has more than one row for"):
        FIGURES[name](pd.concat([frame, frame[:1]]))
    with pytest.raises(InputError, match="measure is 'recall', not one of share; auc; label_auc; spec"):
        FIGURES[name](frame.replace({"measure": {"share": "recall"}}))


def test_intervals_wider_than_any_share_do_not_flatten_the_curves() -> None:
    fig = FIGURES["dose_response"](doses().assign(low=-1.0, high=3.0))
    assert all(-6 < ax.get_ylim()[0] and ax.get_ylim()[1] < 106 for ax in fig.axes)
    assert_legible(fig)


def verdicts(numbers: tuple[int, ...]) -> pd.DataFrame:
    keys = itertools.product(["Q1", "Q2", "any"], ["as estimated", "cautious"], numbers, [0.0, 0.01, 0.02])
    table = pd.DataFrame(keys, columns=["question", "seed_variance", "seeds", "effect"])
    table["right"] = table["effect"] * table["seeds"] * 2
    table["small"] = (0.5 - 10 * table["effect"]).where(table["question"] == "Q1")
    table["margin"] = table["question"].map({"Q1": 0.01})
    return table[(table["question"] != "any") | (table["effect"] == 0)]


@pytest.mark.parametrize("numbers", [(3,), (3, 6, 10)], ids=str)
def test_verdicts_are_drawn_against_true_effects_at_the_estimated_variance(numbers: tuple[int, ...]) -> None:
    fig = FIGURES["verdict_rates"](verdicts(numbers))
    assert_legible(fig)
    assert [ax.get_title() for ax in fig.axes] == ["Q1", "Q2"]
    for ax, scale in zip(fig.axes, (100, 1), strict=True):
        found = [line for line in ax.lines if line.get_marker() in ("o", "s", "D")]
        solid = [line for line in found if line.get_linestyle() == "-"]
        assert len(solid) == len(numbers)
        for seeds, line in zip(numbers, solid, strict=True):
            np.testing.assert_allclose(line.get_xdata(), scale * np.array([0, 0.01, 0.02]))
            np.testing.assert_allclose(line.get_ydata(), 200 * seeds * np.array([0, 0.01, 0.02]))
        assert len(found) - len(solid) == (len(numbers) if scale == 100 else 0)  # Q2 has no equivalence


def planted_frame(counts: tuple[int, ...]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for count, condition, way in itertools.product(counts, ("sft_random", "full"), WAYS):
        for language in ("all languages", *"de en fr es ru".split()[:count]):
            chance = 0.5 if way[1] == "auc" else 1 / count
            value = rng.uniform(0.3, 1) if condition == "sft_random" else chance + rng.normal(0, 0.03)
            rows.append(
                (count, condition, *way, language, value, 0.2, chance, chance - 0.1, chance + 0.1, 0.1)
            )
    names = "languages condition score measure language value others chance chance_low chance_high p"
    return pd.DataFrame(rows, columns=names.split())


def template_frame(measures: int) -> pd.DataFrame:
    names = ["template", "intent", "intent, other language", "language"][:measures]
    rng = np.random.default_rng(1)
    rows = [
        (name, measure, k, *np.sort(rng.uniform(0.1, 0.9, 3))[[1, 0, 2]], 0.1, min(1, 8 / k), 50)
        for name, measure, k in itertools.product(SCORERS, names, (1, 2, 5, 10, 20, 50, 100))
    ]
    return pd.DataFrame(rows, columns="score measure k value low high chance best examples".split())


def modeling_frame(splits: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [
        (name, split, *np.sort(rng.uniform(-0.2, 0.6, 3))[[1, 0, 2]], 0.01, 0.0, 0.7, 40)
        for name, split in itertools.product(SCORERS, ["held out", "test"][:splits])
    ]
    return pd.DataFrame(rows, columns="score split value low high p chance ceiling subsets".split())


@pytest.mark.parametrize(
    ("draw", "frame"),
    [
        (planted_heads, planted_frame((2,))),
        (planted_heads, planted_frame((2, 5))),
        (template_truth, template_frame(1)),
        (template_truth, template_frame(4)),
        (datamodeling, modeling_frame(1)),
        (datamodeling, modeling_frame(2)),
    ],
    ids=["planted, 2", "planted, 2 and 5", "one likeness", "four likenesses", "one split", "two splits"],
)
def test_legible(draw, frame: pd.DataFrame) -> None:
    assert_legible(draw(frame))


def test_planted_and_unplanted_models_stand_beside_each_other() -> None:
    frame = planted_frame((2, 5))
    axes = planted_heads(frame).axes
    assert [ax.get_title() for ax in axes] == ["2 languages", "5 languages"]
    for count, ax in zip((2, 5), axes, strict=True):
        filled = [line for line in ax.lines if line.get_markersize() == 4 and line.get_mfc() != "white"]
        for condition, line in zip(("sft_random", "full"), filled, strict=True):
            rows = frame[(frame["languages"] == count) & (frame["condition"] == condition)]
            pooled = rows[rows["language"] == "all languages"]
            assert line.get_ydata() == pytest.approx(100 * pooled["value"])
            assert [round(x) for x in line.get_xdata()] == list(range(8))


def test_every_scorer_has_a_look_and_its_numbers() -> None:
    assert tuple(LOOKS) == SCORERS and len({tuple(look.values()) for look in LOOKS.values()}) == len(SCORERS)
    frame = template_frame(4)
    ax = template_truth(frame).axes[1]
    assert ax.get_title() == "same intent"
    best, chance, *lines = ax.lines
    assert chance.get_ydata() == pytest.approx([10] * 7) and best.get_ydata()[-1] == pytest.approx(8)
    drawn = [name for name in SCORERS if name != "random" and "alone" not in name]
    for name, line in zip(drawn, lines, strict=True):
        rows = frame[(frame["score"] == name) & (frame["measure"] == "intent")]
        assert (
            line.get_ydata() == pytest.approx(100 * rows["value"])
            and line.get_color() == LOOKS[name]["color"]
        )


def test_datamodeling_scores_stand_beside_their_names() -> None:
    frame = modeling_frame(2)
    ax = datamodeling(frame.sample(frac=1, random_state=0)).axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == list(SCORERS)
    split = ax.get_title()
    values = {names[int(line.get_ydata()[0])]: line.get_xdata()[0] for line in ax.lines[2:]}
    expected = frame[frame["split"] == split].set_index("score")["value"]
    assert values == pytest.approx(expected.to_dict())


@pytest.mark.parametrize("draw", [template_truth, datamodeling])
def test_an_unknown_scorer_is_an_error(draw) -> None:
    frame = template_frame(1) if draw is template_truth else modeling_frame(1)
    frame["score"] = frame["score"].replace({"BM25": "TF-IDF"})
    with pytest.raises(InputError, match="score is 'TF-IDF', not one of cosine, all checkpoints; "):
        draw(frame)
