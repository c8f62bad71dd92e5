"""Figure: the in-language share by condition, mask and language."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.frames import only
from modspec.figures.points_by_language import points_by_language
from modspec.figures.style import figure


@figure("seed condition mask_kind train_gradient_mask score language measure value low high chance examples")
def in_language_share(frame: pd.DataFrame) -> Figure:
    """Draw S_t(m) against chance: each language's own share of its proponents; cosine scores, all seeds."""
    frame = only(frame, seed="all", score="cosine", measure="proponents")
    return points_by_language(frame, "condition", "mask_kind", "in-language share\nof proponents (%)")
