"""Figure: the claims, language by language."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.effects import effects_by_claim
from modspec.figures.frames import levels
from modspec.figures.style import figure
from modspec.terms import ALL_LANGUAGES


@figure("claim comparison language value low high verdict")
def claims(frame: pd.DataFrame) -> Figure:
    """Draw every claim's effects by language, with intervals; filled where the corrected test rejects."""
    languages = [*(code for code in levels(frame, "language") if code != ALL_LANGUAGES), ALL_LANGUAGES]
    return effects_by_claim(frame, "language", languages)
