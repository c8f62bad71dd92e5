"""The figure of share against accuracy shows every mask once, and joins the sizes of the dose curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.figures.save import FIGURES
from modspec.figures.style import MARKS
from modspec.terms import LABELS, MASK_KINDS
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")


def frame(seeds: int, kinds: tuple[str, ...] = MASK_KINDS) -> pd.DataFrame:
    """Shares that rise as accuracy falls, as damage makes them."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for kind in kinds:
            for draw in range(4 if kind == "dose" else 1):
                accuracy = 0.65 - 0.07 * draw - 0.03 * (kind != "none") + 0.01 * rng.random()
                rows.append(("full", seed, kind, draw, 0.5 - 0.4 * accuracy, 0.2, accuracy))
    columns = ["condition", "seed", "mask_kind", "draw", "value", "chance", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def test_every_mask_is_a_point_and_a_seeds_sizes_a_line() -> None:
    table = frame(3)
    (ax,) = FIGURES["share_by_accuracy"](table).axes
    drawn = [line for line in ax.lines if line.get_marker() != "None"]
    dose = [line for line in drawn if line.get_marker() == MARKS["dose"]["marker"]]
    assert len(dose) == 3 and all(line.get_linestyle() == "-" for line in dose)
    points = np.concatenate([line.get_xydata() for line in drawn])
    expected = 100 * table[["accuracy", "value"]].to_numpy()
    np.testing.assert_allclose(points[np.lexsort(points.T)], expected[np.lexsort(expected.T)])


@pytest.mark.parametrize("seeds", [1, 6])
@pytest.mark.parametrize("kinds", [MASK_KINDS, ("none", "own", "pooled_others")])
def test_legible(seeds: int, kinds: tuple[str, ...]) -> None:
    fig = FIGURES["share_by_accuracy"](frame(seeds, kinds))
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels == [*(LABELS["mask_kind"][kind] for kind in MASK_KINDS if kind in kinds), "chance"]
    assert_legible(fig)
