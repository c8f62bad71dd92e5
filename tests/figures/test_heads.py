"""Figures by part of the encoder show what their frames say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modspec.errors import InputError
from modspec.figures.save import FIGURES
from modspec.figures.style import MARKS
from tests.helpers.frames import SMALL, drawn, synthetic

pytestmark = pytest.mark.filterwarnings("error")
LANGUAGES = ["de", "en", "es", "fr", "ru"]


def panels(fig: Figure) -> dict[tuple[str, str], Axes]:
    """Axes of head_influence by evaluation and training language, "all" for the first column."""
    names = [*itertools.product(LANGUAGES, ["all", *LANGUAGES])]
    return dict(zip(names, fig.axes[: len(names)], strict=True))


def drawn_values(ax: Axes) -> np.ndarray:
    return np.ma.filled(ax.collections[0].get_array(), np.nan).reshape(12, 12)


def test_head_influence_shows_what_a_training_language_adds_to_the_others() -> None:
    frame = synthetic(5, 2)["head_influence"]
    fig = drawn((5, 2), "head_influence")
    mean = frame.groupby(["language", "train_language", "layer", "head"])["contribution"].mean()
    assert [ax.get_title() for ax in fig.axes[:6]] == ["all", *LANGUAGES]
    for (language, trained), ax in panels(fig).items():
        values = {other: mean[language, other][3, 7] for other in LANGUAGES}
        if trained == "all":
            expected = np.mean(list(values.values()))
        else:
            own = values.pop(trained)
            expected = own - np.mean(list(values.values()))
        assert drawn_values(ax)[2, 6] == pytest.approx(1e9 * expected)
    labels = [bar.get_xlabel() for bar in fig.axes[30:]]
    assert len(labels) == 2 and all("$10^{-9}$" in label for label in labels)


def test_own_languages_and_no_others_are_outlined() -> None:
    for (language, trained), ax in panels(drawn((5, 2), "head_influence")).items():
        assert {spine.get_visible() for spine in ax.spines.values()} == {language == trained}


def test_a_pair_of_languages_without_data_is_grey() -> None:
    frame = synthetic(5, 2)["head_influence"]
    gap = (frame["language"] == "en") & (frame["train_language"] == "ru")
    axes = panels(FIGURES["head_influence"](frame[~gap]))
    assert (
        np.isnan(drawn_values(axes["en", "ru"])).all() and np.isfinite(drawn_values(axes["ru", "en"])).all()
    )
    assert np.isfinite(drawn_values(axes["en", "de"])).all()


def test_contributions_of_zero_are_drawn() -> None:
    fig = FIGURES["head_influence"](SMALL["head_influence"].assign(contribution=0.0))
    assert all("$10^{0}$" in bar.get_xlabel() for bar in fig.axes[6:])


def test_head_share_is_above_chance_and_the_mean_over_seeds() -> None:
    frame = synthetic(5, 2)["head_share"]
    for language, ax in zip(LANGUAGES, drawn((5, 2), "head_share").axes, strict=False):
        rows = frame[(frame["language"] == language) & (frame["layer"] == 3) & (frame["head"] == 7)]
        assert ax.get_title() == language and len(rows) == 2
        assert drawn_values(ax)[2, 6] == pytest.approx(100 * (rows["share"].mean() - 0.2))


def test_layer_share_draws_every_part_with_its_seeds_and_chance() -> None:
    frame = synthetic(5, 2)["layer_share"]
    frame = frame[(frame["condition"] == "sft") & (frame["language"] == "all languages")]
    ax = drawn((5, 2), "layer_share").axes[1]
    assert ax.get_title() == "SFT"
    chance, *lines = ax.lines
    assert chance.get_ydata() == [20, 20]
    parts = ["embeddings", "attention", "feed-forward", "norms", "classifier"]
    for part, mean, single in zip(parts, lines[::2], lines[1::2], strict=True):
        rows = frame[frame["part"] == part].sort_values("layer")
        assert {"color": mean.get_color(), "marker": mean.get_marker()} == MARKS[part]
        assert single.get_color() == mean.get_color()
        expected = rows.loc[rows["seed"] == "all", "value"]
        assert mean.get_ydata() == pytest.approx(100 * expected)
        assert sorted(single.get_ydata()) == pytest.approx(
            sorted(100 * rows.loc[rows["seed"] != "all", "value"])
        )
        assert [round(x) for x in mean.get_xdata()] == rows.loc[rows["seed"] == "all", "layer"].to_list()


@pytest.mark.parametrize(("study", "shown"), [((2, 1), False), ((5, 2), True)])
def test_single_seeds_are_shown_where_there_are_several(study: tuple[int, int], shown: bool) -> None:
    (legend,) = drawn(study, "layer_share").legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert ("one seed" in texts) == shown and "layer norms" in texts and "chance" in texts


def test_an_unknown_part_is_an_error() -> None:
    frame = SMALL["layer_share"].replace({"part": {"norms": "norm"}})
    with pytest.raises(InputError, match="part is 'norm', not one of embeddings; attention; feed-forward; "):
        FIGURES["layer_share"](frame)


def test_one_training_language_is_an_error() -> None:
    frame = SMALL["head_influence"]
    with pytest.raises(InputError, match="^head_influence.csv: column train_language leaves no others"):
        FIGURES["head_influence"](frame[frame["train_language"] == "de"])
