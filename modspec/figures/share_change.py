"""Figure: how sparse fine-tuning changes the in-language share."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.points_by_language import points_by_language
from modspec.figures.style import figure


@figure("condition train_gradient_mask language baseline value low high examples")
def share_change(frame: pd.DataFrame) -> Figure:
    """Draw the change in S_t under sparse fine-tuning, by language, against each baseline."""
    frame = frame.assign(chance=0.0)
    return points_by_language(frame, "baseline", "condition", "change in in-language\nshare (points)")
