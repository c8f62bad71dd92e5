"""Figures of ground truth show what their frames say, legibly."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from modspec.calibration.scorers import SCORERS
from modspec.errors import InputError
from modspec.figures.calibration import SCORERS as LOOKS
from modspec.figures.calibration import datamodeling, planted_heads, template_truth
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")
WAYS = [("influence, cosine", "precision"), ("influence, cosine", "auc"), ("influence, dot", "precision")]
WAYS += [("influence, dot", "auc"), ("search", "precision"), ("search", "recall")]
WAYS += [("importance", "precision"), ("importance", "auc")]


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
