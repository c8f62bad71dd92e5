"""Figures of masks show what their frames say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.figures.save import FIGURES
from tests.helpers.frames import CODES, SMALL, cells, drawn, synthetic
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")


def test_head_masks_count_kept_heads() -> None:
    frame = synthetic(5, 2)["head_masks"]
    fig = drawn((5, 2), "head_masks")
    for ax, (language, rows) in zip(fig.axes, frame.groupby("language"), strict=False):
        assert ax.get_title() == f"{language}: {rows['kept'].sum() / 2:.0f} of 144 kept"
        counts = np.asarray(ax.collections[0].get_array()).reshape(12, 12)
        row = rows[(rows["layer"] == 3) & (rows["head"] == 7)]
        assert counts[2, 6] == row["kept"].sum()


def test_overlap_matrix_compares_different_seeds_only() -> None:
    columns = "seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance".split()
    pairs = [
        (0, "de", 0, "en", 8, 8, 16, 0.95, 0.30),  # one seed: only in the right panel
        (0, "de", 1, "en", 8, 8, 16, 0.50, 0.30),
        (0, "en", 1, "de", 8, 8, 16, 0.60, 0.30),
        (0, "de", 1, "de", 8, 8, 16, 0.70, 0.30),
        (0, "en", 1, "en", 8, 8, 16, 0.25, 0.30),
    ]
    fig = FIGURES["mask_overlap"](pd.DataFrame(pairs, columns=columns))
    assert cells(fig.axes[0]) == [".40", ".25", ".25", "-.05"]
    heights = [points.get_offsets()[:, 1].tolist() for points in fig.axes[1].collections[::3]]
    assert heights == [[0.70, 0.25], [0.95], [0.50, 0.60]]


def test_masks_that_keep_all_heads_overlap_as_chance_has_it() -> None:
    """Warnings are errors here: notebooks show them on red."""
    columns = "seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance".split()
    pairs = pd.DataFrame([(0, "de", 0, "en", 16, 16, 16, 1.0, 1.0)], columns=columns)
    assert cells(FIGURES["mask_overlap"](pairs).axes[0]) == [".00", ".00"]


def test_the_chosen_mask_is_the_last_that_passed() -> None:
    frame = SMALL["pruning_trajectories"]
    fig = FIGURES["pruning_trajectories"](frame)
    for ax, (_, run) in zip(fig.axes, frame.groupby("language"), strict=True):
        passed = run[run["accepted"]].iloc[-1]
        (chosen,) = [line for line in ax.lines if line.get_marker() == "D"]
        share = passed["dev_score"] / run["dev_score"].iloc[0]
        assert chosen.get_xdata() == pytest.approx([100 * passed["heads_left"] / 144])
        assert chosen.get_ydata() == pytest.approx([100 * share])


def test_accuracy_is_the_mean_over_seeds_of_test_examples() -> None:
    frame = synthetic(5, 2)["accuracy"]
    fig = drawn((5, 2), "accuracy")
    rows = frame[(frame["condition"] == "sft") & (frame["split"] == "test")]
    expected = []
    for kind, masks in (("none", [""]), ("language", CODES[:5]), ("random", None)):
        for mask in masks or CODES[:5]:
            for language in CODES[:5]:
                cell = rows[(rows["mask_kind"] == kind) & (rows["mask_language"] == mask)]
                values = cell.loc[cell["language"] == language, "accuracy"]
                expected.append(f"{100 * (values.iloc[0] + values.iloc[1]) / 2:.1f}")
    assert fig.axes[1].get_title() == "SFT" and cells(fig.axes[1]) == expected


def test_accuracy_has_the_majority_class_below_where_its_table_does() -> None:
    frame = SMALL["accuracy"]
    rates = {"dev": 0.9, **dict(zip(CODES[:2], (0.25, 0.5), strict=True))}
    majority = frame["language"].where(frame["split"] == "test", "dev").map(rates)
    before, after = (FIGURES["accuracy"](table) for table in (frame, frame.assign(majority=majority)))
    for old, new in zip(before.axes[:2], after.axes[:2], strict=True):
        assert cells(new) == [*cells(old), "25.0", "50.0"]
    labels = [label.get_text() for label in after.axes[0].get_yticklabels()]
    assert labels[-1] == "majority class" and len(labels) == len(before.axes[0].get_yticklabels()) + 1
    assert_legible(after)


def test_a_search_that_starts_at_zero_has_no_line() -> None:
    frame = SMALL["pruning_trajectories"].assign(dev_score=0.0, threshold_score=0.0)
    fig = FIGURES["pruning_trajectories"](frame)
    assert all(np.isnan(line.get_ydata()).all() for ax in fig.axes for line in ax.lines)
