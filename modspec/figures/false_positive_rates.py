"""Figure: how often tests find an effect where there is none."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import levels, refuse_duplicates
from modspec.figures.points import name_places, points, side_by_side
from modspec.figures.style import DOUBLE, REFERENCE, figure, grid, legend, sample
from modspec.terms import CALIBRATION_MEASURES, LABELS

# Tests are no conditions or masks, so they have other colours (Paul Tol's).
TESTS = {
    "interval": {"color": "#332288", "marker": "o"},
    "bootstrap": {"color": "#88CCEE", "marker": "s"},
    "permutation": {"color": "#AA4499", "marker": "D"},
}


@figure("measure language test value low high level")
def false_positive_rates(frame: pd.DataFrame) -> Figure:
    """Draw each test's rate of false positives on clones in percent, with its interval, and the level that
    the test claims."""
    refuse_duplicates(frame, ["measure", "language", "test"], "value")
    halves, tests = levels(frame, "language")[::-1], levels(frame, "test")
    frame = frame.assign(x=side_by_side(frame, "language", halves, "test", tests, 0.7))
    panels = levels(frame, "measure", CALIBRATION_MEASURES)
    fig, axes = grid(panels, 4, (DOUBLE, 1.5), 0.55, sharex=True, sharey=True)
    for measure, ax in axes.items():
        rates = frame[frame["measure"] == measure]
        name_places(ax, halves)
        for test in tests:
            rows = rates[rates["test"] == test]
            points(ax, rows["x"], rows, TESTS[test])
        ax.axhline(100 * rates["level"].iloc[0], **REFERENCE)
        ax.set_title(CALIBRATION_MEASURES[measure])
    axes[panels[0]].set_ylim(bottom=0)
    fig.supxlabel("evaluation examples of")
    fig.supylabel("false positives (%)")
    handles = [sample(LABELS["test"][test], **TESTS[test]) for test in tests]
    legend(fig, [*handles, sample("nominal level", **REFERENCE)])
    return fig
