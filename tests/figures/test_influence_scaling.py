"""The benchmark's figure shows every system's seconds, legibly, and refuses frames that it cannot show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modspec.errors import InputError
from modspec.figures.influence_scaling import LOOKS
from modspec.figures.save import FIGURES
from modspec.terms import LABELS
from tests.helpers.legible import assert_legible

pytestmark = pytest.mark.filterwarnings("error")
SIZES = {"train": [16, 32, 64, 128, 256, 512], "evaluation": [5, 10, 20, 50]}
FIXED = {"train": 10, "evaluation": 32}


def frame() -> pd.DataFrame:
    """Every system a factor slower than the one before; the last stops early, as slow ones do."""
    rows = []
    for place, system in enumerate(LOOKS):
        for axis, sizes in SIZES.items():
            for size in sizes[: 2 if place == len(LOOKS) - 1 else None]:
                counts = {axis: size} | {other: FIXED[axis] for other in SIZES if other != axis}
                rows.append({"axis": axis, "system": system, **counts, "seconds": 0.3 * 2.5**place * size})
    return pd.DataFrame(rows)


def test_every_line_is_a_system_over_the_examples_that_grow() -> None:
    fig = FIGURES["influence_scaling"](frame())
    assert len(fig.axes) == 2
    for ax, (axis, sizes) in zip(fig.axes, SIZES.items(), strict=True):
        assert ax.get_xlabel().startswith(f"{LABELS['axis'][axis]} ({FIXED[axis]} ")
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        for line, (system, look) in zip(ax.lines, LOOKS.items(), strict=True):
            rows = frame()[(frame()["axis"] == axis) & (frame()["system"] == system)]
            np.testing.assert_allclose(line.get_xydata(), rows[[axis, "seconds"]])
            assert look == {option: getattr(line, f"get_{option}")() for option in look}
        assert list(ax.get_xticks()) == sizes
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels == [LABELS["system"][system] for system in LOOKS]


def test_only_systems_that_cover_a_part_are_dashed() -> None:
    from modspec.benchmark.systems import SYSTEMS

    assert set(LOOKS) == set(SYSTEMS) == set(LABELS["system"])
    dashed = {name for name, look in LOOKS.items() if look["ls"] == "--"}
    assert dashed == {name for name, system in SYSTEMS.items() if system.covers == "linear"}


@pytest.mark.parametrize("systems", [list(LOOKS), ["modspec float32"]])
def test_legible(systems: list[str]) -> None:
    assert_legible(FIGURES["influence_scaling"](frame()[frame()["system"].isin(systems)]))


def test_a_point_measured_twice_or_in_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="influence_scaling.csv: .* more than one row for train, modspec"):
        FIGURES["influence_scaling"](pd.concat([frame(), frame()[:1]]))
    with pytest.raises(InputError, match="seconds holds 0"):
        FIGURES["influence_scaling"](frame().assign(seconds=0.0))
    with pytest.raises(InputError, match="system is 'bergson'"):
        FIGURES["influence_scaling"](frame().assign(system="bergson"))
