"""Hub examples: training examples that are proponents of (almost) everything.

Scores rank labels before languages, so a hub at best is a proponent of all test examples of its own label.
An example is a hub if it is a proponent of half as many test examples as one label has, where all labels have
as many.
"""

import numpy as np
import pandas as pd

from modspec.analysis.measurements import DEFAULT, Setting, StudyRuns
from modspec.terms import CONDITIONS, MASK_KINDS

HUB = 0.5  # part of one label's test examples that a hub is a proponent of
SETTINGS = {"cosine": DEFAULT, "dot": Setting(score="dot")}


def hub_share(runs: StudyRuns) -> pd.DataFrame:
    """Return how many proponents are hub examples, by condition, kind of mask and score.

    Args:
        runs: of all conditions and seeds.

    Returns:
        One row per condition, mask_kind and score, means over seeds: ``hubs``, the number of hub examples;
        ``hub_share``, the share of all proponents that are hubs; ``most``, the largest share of the test
        examples that one training example is a proponent of; ``even``, that share if all examples of a label
        were proponents of equally many of its test examples.
    """
    rows = []
    labels, train = runs.train["label"].nunique(), runs.sizes.sum()
    for condition in CONDITIONS:
        for kind in MASK_KINDS:
            for score, setting in SETTINGS.items():
                if runs.has(condition, kind, setting):
                    top_k = runs.parameters["top_k"]
                    cells = [runs.cell(condition, kind, t, setting) for t in runs.languages]
                    listed = top_k * (
                        np.mean([cell.weights for cell in cells], axis=0) + runs.samples / train
                    )
                    is_hub = listed >= HUB / labels
                    share = np.where(is_hub, listed, 0).sum(axis=1) / top_k
                    values = is_hub.sum(axis=1).mean(), share.mean(), listed.max(axis=1).mean()
                    rows.append((condition, kind, score, *values, top_k / train))
    columns = ["condition", "mask_kind", "score", "hubs", "hub_share", "most", "even"]
    return pd.DataFrame(rows, columns=columns)
