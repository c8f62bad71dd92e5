"""Figure: the claims, study by study."""

import pandas as pd
from matplotlib.figure import Figure

from modspec.figures.effects import effects_by_claim
from modspec.figures.frames import only
from modspec.figures.style import figure
from modspec.terms import ALL_LANGUAGES


@figure("study claim comparison language value low high verdict")
def claims_by_study(frame: pd.DataFrame) -> Figure:
    """Draw every claim's effects over all languages, by study; filled where the corrected test rejects."""
    return effects_by_claim(only(frame, language=ALL_LANGUAGES), "study", frame["study"].unique().tolist())
