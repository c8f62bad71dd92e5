"""The strongest proponents and opponents of every scored test example: small enough to be published.

Scores are large and stay where they were computed. This table is kept with a study's other small files, so
that a reader can look into a published study, example by example.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from modspec.analysis.fitting_unit import in_fitting_unit
from modspec.analysis.measurements import TRAIN_ITEMS
from modspec.analysis.scores import SCORES, KeptScores
from modspec.analysis.shares import strongest
from modspec.errors import InputError
from modspec.workflow import artifacts

FILE = "strongest_examples.parquet"
COUNT = 20
SIDES = ("proponent", "opponent")
# A test example under a mask, as stage 3 describes the columns of its scores.
SCORED = ["id", "language", "label", "predicted", "mask_kind", "mask_language", "draw", "train_gradient_mask"]
# Few values, many rows: integer codes and a list of the values, in memory and in the file.
CATEGORIES = [name for name in SCORED if name != "draw"] + ["score", "side", "train_id"]


def strongest_examples(run: KeptScores, count: int = COUNT) -> pd.DataFrame:
    """Return the strongest proponents and opponents of every scored test example, by every score.

    Ranked are the TracIn sums over the run's checkpoints. Opponents are the training examples with the lowest
    scores, as everywhere in this study, also where few scores are negative.

    Args:
        run: kept scores.
        count: number of proponents, and of opponents; all training examples where there are fewer.

    Returns:
        One row per scored test example and mask, score, side and rank, strongest first; ties as in
        :func:`modspec.analysis.shares.strongest`. Columns: those of ``SCORED`` (``label``: the gold label;
        ``predicted``: the label that the last scored checkpoint predicts under this very mask); ``score``,
        "cosine" or "dot"; ``side``, "proponent" or "opponent"; ``rank``, from 1; ``train_id``, of the
        training example; ``value``, its score. Training examples that were scored as test examples are left
        out.
    """
    table = pd.concat(_tables(run, min(count, len(run.train))), ignore_index=True)
    types = dict.fromkeys(CATEGORIES, "category") | {"draw": "int16", "rank": "int16", "value": "float32"}
    return table.astype(types)


def _tables(run: KeptScores, count: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of every scoring pass and score, ordered by test example, side and rank."""
    train_ids = run.train["id"].to_numpy()
    for name, columns in run.columns.groupby("scoring_pass", sort=False):
        if name == TRAIN_ITEMS:
            continue
        repeated = columns[SCORED].loc[columns.index.repeat(len(SIDES) * count)].reset_index(drop=True)
        for score in SCORES:
            scores = run.scores(name, score, checkpoint_weights=run.parameters["eta"])
            rows = np.concatenate([strongest(scores, count, opponents=side == SIDES[1]) for side in SIDES])
            yield repeated.assign(
                score=score,
                side=np.tile(np.repeat(SIDES, count), len(columns)),
                rank=np.tile(np.arange(1, count + 1), len(SIDES) * len(columns)),
                train_id=train_ids[rows.T.ravel()],
                value=np.take_along_axis(scores, rows, axis=0).T.ravel(),
            )


def write_strongest_examples(table: pd.DataFrame, directory: Path) -> None:
    """Write what :func:`strongest_examples` returns into the directory."""
    # Scores are all different; split into bytes, they take a third less.
    others = [name for name in table if name != "value"]
    encoding = {"use_dictionary": others, "column_encoding": {"value": "BYTE_STREAM_SPLIT"}}
    table.to_parquet(directory / FILE, index=False, compression="zstd", **encoding)


def was_not_published(directory: Path) -> bool:
    """Return whether an artefact of stage 3 came back from the repository without its strongest examples.

    Raises:
        InputError: the artefact is missing or damaged.
    """
    return FILE in artifacts.read_manifest(directory).get("left_out", [])


def read_strongest_examples(directory: Path) -> pd.DataFrame:
    """Return what :func:`strongest_examples` returned for an artefact of stage 3, whose files are checked.

    Raises:
        InputError: the artefact is missing or damaged, was made before this table was kept, or is a published
            one without it.
    """
    if was_not_published(directory):
        raise InputError(
            f"{directory}: has no {FILE}, because it was published for the study's first seed alone; run "
            "stage 3 again to get it"
        )
    if FILE not in artifacts.read_manifest(directory)["files"]:
        raise InputError(
            f"{directory}: has no {FILE}, because it was made before stage 3 kept the strongest examples; "
            "run stage 3 again to get them"
        )
    return pd.read_parquet(directory / FILE)


def with_texts(
    table: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame, *, count: int = 3
) -> pd.DataFrame:
    """Return, for readers, the strongest proponents (cosine, no mask) of each language's first test example.

    Args:
        table: as :func:`strongest_examples` returns it.
        train: by id, what readers see of the training examples: language, text and label.
        test: the same of the test examples.
        count: number of proponents per test example.

    Returns:
        Indexed by language, test example, its gold and predicted label, and rank; columns: language, text and
        label of the training example, and its score in a unit that fits it.
    """
    is_shown = (table["mask_kind"] == "none") & (table["score"] == "cosine") & (table["side"] == "proponent")
    proponents = table[is_shown & (table["rank"] <= count)]
    proponents = proponents[proponents["id"].isin(proponents.drop_duplicates("language")["id"])]
    examples = train.loc[proponents["train_id"].to_numpy()]
    score = in_fitting_unit(proponents["value"].rename("score"))
    index = {
        "language": proponents["language"],
        "test example": test.loc[proponents["id"].to_numpy(), "text"],
        "gold label": proponents["label"],
        "predicted label": proponents["predicted"],
        "rank": proponents["rank"],
    }
    columns = {
        "training language": examples["language"],
        "training example": examples["text"],
        "label": examples["label"],
        score.name: score,
    }
    shown = {name: np.asarray(values) for name, values in (index | columns).items()}
    return pd.DataFrame(shown).set_index([*index])
