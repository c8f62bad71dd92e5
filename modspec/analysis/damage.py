"""How the in-language share changes with the damage that a mask does to the classifier."""

import pandas as pd

DAMAGE = ["condition", "seed", "mask_kind", "draw"]


def share_by_accuracy(statistics: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the in-language share and the test accuracy under every mask, as means over languages.

    Args:
        statistics: ``statistics.parquet`` under the study's own settings.
        accuracy: of every kind of mask, draw, language and split; see
            :func:`modspec.analysis.study_tables.tables`.

    Returns:
        Columns condition, seed, mask_kind, draw, value, chance and accuracy, in the order of the statistics;
        only conditions that were scored under a mask beside none and own.
    """
    in_language = statistics["language"] == statistics["train_language"]
    shown = statistics[
        in_language
        & (statistics["score"] == "cosine")
        & (statistics["train_gradient_mask"] == "test_example")
    ]
    # Languages count alike, however many test examples they have under a mask.
    by_language = shown.groupby([*DAMAGE, "language"], sort=False)[["proponents", "chance"]].mean()
    shares = by_language.groupby(DAMAGE, sort=False).mean().rename(columns={"proponents": "value"})
    # The first version's accuracies under random masks of a language are not of the masks that it scored.
    test = accuracy[(accuracy["split"] == "test") & (accuracy["mask_language"] == "")]
    test = test.assign(draw=lambda rows: rows.get("draw", 0))
    test = test.fillna({"draw": 0}).astype({"draw": int})
    accuracies = test.groupby(DAMAGE)["accuracy"].mean()
    table = shares.join(accuracies, how="inner").reset_index()
    compared = table.loc[~table["mask_kind"].isin(["none", "own"]), "condition"]
    return table[table["condition"].isin(compared)].reset_index(drop=True)
