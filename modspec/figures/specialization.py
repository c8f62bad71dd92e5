"""Figure: how much a mask adds to the in-language share."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import only
from modspec.figures.points_by_language import points_by_language
from modspec.figures.style import figure


@figure("seed condition mask_kind language train_gradient_mask score value low high")
def specialization(frame: pd.DataFrame) -> Figure:
    """Draw Delta_t = S_t(m) - S_t(no mask), own masks beside their controls; cosine scores, all seeds."""
    frame = only(frame, seed="all", score="cosine").assign(chance=0.0)
    return points_by_language(
        frame, "condition", "mask_kind", "language specialization\n$\\Delta_t$ (points)"
    )
