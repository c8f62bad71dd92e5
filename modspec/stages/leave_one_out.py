"""Notebook 06: stage 2's training without one language, and what that changes in every test item's margin.

Counterfactual influence: a classifier that never saw language l is compared with the one that saw all. It is
not the truth about l's examples, because leaving a language out also leaves out training steps, and other
examples then come in other batches. For comparison, a random part of the items is left out too. It has as
many examples as one language.

All trainings of a condition and seed share the initialisation, the optimiser and its settings, and the number
of epochs. What is left is shuffled anew into batches by the same seed. Each remaining language is seen as
often as before, so there are fewer steps: 80 % of them without one of five languages. The learning rate rises
and falls over these steps as it does over all.

Under sparse fine-tuning the test items of a language that was left out are predicted under that language's
own mask, as by the classifier trained on all. Masks are those of stage 1, whose search trained on the
language. The mask therefore still depends on the language that was left out.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from modspec.data.examples import Examples
from modspec.models.finetuning import finetune
from modspec.models.prediction import logits, margins
from modspec.stages.finetuning import keep_checkpoints
from modspec.stages.material import Material, load_checkpoint, made_by, masks_in_force
from modspec.stages.resuming import outlives, resumable
from modspec.stages.warm_start import started_classifier, training_options
from modspec.subnetworks.masks import Masks
from modspec.terms import RANDOM_PART, TRAINS_UNDER
from modspec.workflow import artifacts
from modspec.workflow.parameters import FinetuningParameters, LeaveOneOutParameters
from modspec.workflow.paths import checkpoint_file, checkpoints_dir, leave_one_out_dir, pieces_dir, search_dir

MARGINS = "margins.parquet"


def leave_one_out(material: Material, parameters: LeaveOneOutParameters) -> Path:
    """Train without each language, and without a random part; return the artefact's directory.

    The classifier trained on all is stage 2's. Where its weights are gone it is trained again, unless the
    artefact is there.

    Files: ``margins.parquet``, one row per left-out set and test item: seed, condition; left_out, a language
    or :data:`modspec.terms.RANDOM_PART`; id, language, group, label; margin and prediction after training
    without the set, and margin_all and prediction_all of the classifier trained on all. Margins are log p /
    (1 - p) in nats, see :func:`modspec.models.prediction.margins`; labels and predictions are positions in
    the task's labels. ``left_out.parquet``, one row per left-out set and training example in it: left_out,
    id, language.
    """
    p = parameters
    directory = leave_one_out_dir(p, p.condition, p.seed)
    made_before = made_by("leave_one_out", material, p.identity(), {})
    if outlives(directory, made_before, checkpoints_dir(p, p.condition, p.seed)):
        return directory
    in_force = masks_in_force(material, p, p.condition, p.seed)
    masks = in_force if TRAINS_UNDER[p.condition] else None
    trained = keep_checkpoints(material, p, in_force)

    def make(building: Path) -> None:
        model = material.new_classifier(p.seed)
        load_checkpoint(model, trained / checkpoint_file(p.epochs))
        everything = measured(model, material, masks)
        train, tables, members = material.examples["train"], [], []
        for left_out in (*p.languages, RANDOM_PART):
            table = pd.read_parquet(train_without(material, p, left_out, masks) / MARGINS)
            table = table.assign(
                margin_all=everything["margin"], prediction_all=everything["prediction"], left_out=left_out
            )
            tables.append(table.assign(seed=p.seed, condition=p.condition))
            gone = train.take(left_out_positions(train, left_out, p.seed))
            columns = {"left_out": left_out, "id": gone.ids, "language": gone.languages}
            members.append(pd.DataFrame(columns))
        pd.concat(tables, ignore_index=True).to_parquet(building / MARGINS, index=False)
        pd.concat(members, ignore_index=True).to_parquet(building / "left_out.parquet", index=False)

    inputs = {"search": search_dir(p, p.seed), "checkpoints": trained}
    resumable(directory, made_by("leave_one_out", material, p.identity(), inputs), make)
    shutil.rmtree(pieces_dir(directory), ignore_errors=True)
    return directory


def train_without(
    material: Material, parameters: LeaveOneOutParameters, left_out: str, masks: Masks | None
) -> Path:
    """Train without a language, or without a random part; return the piece's directory.

    Files: ``margins.parquet``, one row per test item, see :func:`measured`.

    Args:
        material: with all examples.
        parameters: of stage 2's training.
        left_out: a language, or :data:`modspec.terms.RANDOM_PART`.
        masks: {language: bool (layers, heads)} of training and of test items' predictions; None for none.
    """
    p = parameters
    sets = (*p.languages, RANDOM_PART)
    directory = leave_one_out_dir(p, p.condition, p.seed)

    def make(building: Path) -> None:
        remaining, started = without(material, p, left_out)
        model = started_classifier(remaining, started)
        finetune(
            model,
            remaining.examples["train"],
            epochs=p.epochs,
            masks=masks,
            **training_options(remaining, started),
            progress=f"without {left_out} ({sets.index(left_out) + 1} of {len(sets)}): fine-tuning",
        )
        measured(model, material, masks).to_parquet(building / MARGINS, index=False)

    inputs = {"search": search_dir(p, p.seed)}
    origin = made_by("leave_one_out", material, p.identity(), inputs, left_out=left_out)
    return resumable(pieces_dir(directory) / left_out, origin, make)


def without(
    material: Material, parameters: FinetuningParameters, left_out: str
) -> tuple[Material, FinetuningParameters]:
    """Return the material without the training examples of a left-out set, and the parameters without its
    language among ``start_languages``: a warm start must not have seen what is left out either."""
    p, train = parameters, material.examples["train"]
    kept = np.setdiff1d(np.arange(len(train)), left_out_positions(train, left_out, p.seed))
    remaining = train.take(kept)
    # Other data: a warm start is shared by all that start alike.
    data = artifacts.fingerprint([material.fingerprints["data"], remaining.ids.tolist()])
    start = tuple(language for language in p.start_languages if language != left_out)
    return (
        replace(
            material,
            examples={**material.examples, "train": remaining},
            fingerprints={**material.fingerprints, "data": data},
        ),
        p.model_copy(update={"start_languages": start}),
    )


def left_out_positions(train: Examples, left_out: str, seed: int) -> np.ndarray:
    """Return the positions of the training examples that are left out, int64.

    Args:
        train: all training examples.
        left_out: a language; or :data:`modspec.terms.RANDOM_PART`: random translation groups. They are whole,
            and together have about as many examples as the average language. Every label and every language
            loses the same share.
        seed: of the random part.
    """
    if left_out != RANDOM_PART:
        return np.flatnonzero(train.languages == left_out)
    rows = pd.DataFrame({"group": train.groups, "language": train.languages, "label": train.labels})
    groups = rows.groupby("group", sort=False).agg(
        examples=("label", "size"), language=("language", "first"), label=("label", "first")
    )
    # In a random order, in which every stratum advances at the same pace, the first groups go. Translations
    # of an item are one group, which belongs to the stratum of its first language.
    groups = groups.iloc[np.random.default_rng(seed).permutation(len(groups))]
    stratum = groups.groupby(["language", "label"])["examples"]
    middle = (stratum.cumsum() - groups["examples"] / 2) / stratum.transform("sum")
    groups = groups.iloc[np.argsort(middle, kind="stable")]
    size = len(train) / len(set(train.languages.tolist()))
    reached = np.append(0, groups["examples"].cumsum())
    chosen = groups.index[: int(np.abs(reached - size).argmin())]
    return np.flatnonzero(np.isin(train.groups, chosen))


def measured(model: PreTrainedModel, material: Material, masks: Masks | None) -> pd.DataFrame:
    """Return a classifier's margin and prediction for every test item.

    Args:
        model: the classifier.
        material: whose test items are measured.
        masks: {language: bool (layers, heads)} that a language's items are predicted under; None for none.

    Returns:
        One row per test item: id, language, group, label, margin (nats), prediction.
    """
    test = material.examples["test"]
    outputs = np.empty((len(test), len(material.task.labels)))
    for language in material.task.languages:
        of_language = np.flatnonzero(test.languages == language)
        mask = None if masks is None else masks[language]
        outputs[of_language] = logits(model, test.take(of_language), mask, precision=material.precision)
    return pd.DataFrame(
        {
            "id": test.ids,
            "language": test.languages,
            "group": test.groups,
            "label": test.labels,
            "margin": margins(outputs, test.labels),
            "prediction": outputs.argmax(-1),
        }
    )
