"""The explorer: one HTML page on which a reader looks into a study, test item by test item.

The page is made from artefacts alone: stage 3's ``strongest_examples.parquet`` and the texts that
``modspec.stages.texts`` keeps. It holds the DataTables library, as the package itables ships it.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modspec.analysis.fitting_unit import fitting_exponent
from modspec.analysis.strongest_examples import COUNT, SIDES, read_strongest_examples, was_not_published
from modspec.analysis.translations import parallel
from modspec.errors import InputError
from modspec.pages.rendering import compressed, rendered
from modspec.stages.texts import FILE
from modspec.terms import CONDITIONS, LABELS
from modspec.workflow import artifacts
from modspec.workflow.paths import texts_dir

# What the page holds: the study's main score, and the masks that its main questions compare.
SCORE = "cosine"
SHOWN_MASKS = ("none", "own", "pooled_others", "accuracy_matched")
GRADIENTS = "test_example"  # training gradients under the test example's mask
SEEDS = 2
DIGITS = 4  # significant digits of a score
EXAMPLE = ["language", "label", "text", "text_pair", "group", "id", "split"]

# Task -> whose texts the page shows and what their licence allows; docs/cards.md says more.
LICENCES = {
    "intents": "The texts are expanded from home-assistant-intents. Licence: Apache 2.0.",
    "xnli": "The texts are from XNLI (Conneau et al. 2018). Licence: CC BY-NC 4.0 (Korean: CC BY-SA 4.0). "
    "CC BY-NC does not allow commercial use, and asks you to name the authors.",
    "pawsx": "The texts are from PAWS-X (Yang et al. 2019). They are free to use; its authors appreciate "
    "an acknowledgement.",
    "multiemo": "The texts are from MultiEmo (Kocoń et al. 2021). Licence: CC BY 4.0: name the authors.",
}
OTHER_LICENCE = (
    "The texts keep the licence of the data that the study was run on. Check it before you pass this page on."
)


def explorer(study_directory: Path) -> str:
    """Return the explorer of a study: one HTML page without any request to the network.

    Args:
        study_directory: its artefacts by stage: ``runs/<study>``, or ``figures/<study>/artefacts``.

    Raises:
        InputError: an artefact is missing, damaged, or was made before the strongest examples were kept.
    """
    return explorer_page(explorer_data(scored_runs(study_directory), study_name(study_directory)))


def scored_runs(study_directory: Path) -> list[Path]:
    """Return the directories of stage 3's artefacts, by condition and seed: of the first seeds alone, so that
    the page stays small.

    Raises:
        InputError: there are none.
    """
    runs = {}
    for run in artifacts.finished(Path(study_directory) / "influence"):
        parameters = artifacts.read_manifest(run)["made_by"]["parameters"]
        if not was_not_published(run):
            runs[CONDITIONS.index(parameters["condition"]), parameters["seed"]] = run
    if not runs:
        raise InputError(f"{study_directory}: has no scored run; run the study first")
    shown = sorted({seed for _, seed in runs})[:SEEDS]
    return [runs[key] for key in sorted(runs) if key[1] in shown]


def study_name(study_directory: Path) -> str:
    """Return the study's name: that of its folder in runs/ or figures/."""
    folder = Path(study_directory).resolve()
    return folder.parent.name if folder.name == "artefacts" else folder.name


def explorer_data(runs: Sequence[Path], study: str) -> dict[str, Any]:
    """Return all that the page shows, as JSON values.

    Args:
        runs: directories of stage 3's artefacts.
        study: its name.

    Returns:
        ``examples``, columns of all test and training examples that are named; ``runs``, of each its
        condition, seed, exponent of the scores' unit, ``items`` (positions in ``examples``) and ``masks``: by
        kind, and then item by item, the ``predicted`` label and the ``train`` examples (positions) with their
        ``scores``, proponents before opponents, strongest first.
    """
    manifests = [artifacts.read_manifest(run)["made_by"] for run in runs]
    texts = {origin["data"]: _texts(run, origin["data"]) for run, origin in zip(runs, manifests, strict=True)}
    examples = pd.concat(texts.values()).drop_duplicates(EXAMPLE, ignore_index=True)
    places = pd.Series(examples.index, pd.MultiIndex.from_frame(examples[EXAMPLE]))
    position = {
        data: pd.Series(
            places.loc[pd.MultiIndex.from_frame(rows[EXAMPLE])].to_numpy(),
            pd.MultiIndex.from_frame(rows[["split", "id"]]),
        )
        for data, rows in texts.items()
    }
    train = examples[examples["split"] == "train"]
    languages = [*dict.fromkeys(t for origin in manifests for t in origin["parameters"]["languages"])]
    labels = sorted(examples["label"].unique())
    groups, _ = pd.factorize(examples["group"])
    task = manifests[0]["parameters"]["task"]
    columns = {
        "id": examples["id"].tolist(),
        "language": [languages.index(language) for language in examples["language"]],
        "label": [labels.index(label) for label in examples["label"]],
        "text": examples["text"].tolist(),
        "pair": examples["text_pair"].tolist(),
        "group": groups.tolist(),
    }
    first = texts[manifests[0]["data"]]
    return {
        "study": study,
        "count": COUNT,
        "licence": LICENCES.get(task, OTHER_LICENCE),
        "languages": languages,
        "labels": labels,
        "conditions": LABELS["condition"],
        "masks": {kind: LABELS["mask_kind"][kind] for kind in SHOWN_MASKS},
        "group": _meaning_of_groups(first[first["split"] == "train"], train["group"]),
        "examples": columns,
        "runs": [
            _run(run, origin, position[origin["data"]], labels)
            for run, origin in zip(runs, manifests, strict=True)
        ],
    }


def explorer_page(data: dict[str, Any]) -> str:
    """Return the page that shows what :func:`explorer_data` returns."""
    bundle = files("itables") / "html" / "dt_bundle.js"
    return rendered(
        "explorer.html",
        study=data["study"],
        licence=data["licence"],
        strongest=data["count"],
        seeds=SEEDS,
        data=compressed(data),
        library=compressed(bundle.read_text(encoding="utf-8")),
        library_style=(files("itables") / "html" / "dt_bundle.css").read_text(encoding="utf-8"),
    )


def _run(run: Path, origin: dict[str, Any], position: pd.Series, labels: list[str]) -> dict[str, Any]:
    """Return what the page shows of a run; ``position``: by split and id, in the page's examples."""
    table = read_strongest_examples(run)
    table = table[(table["score"] == SCORE) & (table["train_gradient_mask"] == GRADIENTS)]
    table = table[table["mask_kind"].isin(SHOWN_MASKS) & (table["draw"] == 0)]
    items = table.loc[table["mask_kind"] == "none", "id"].unique().tolist()
    order = {identity: place for place, identity in enumerate(items)}
    exponent = fitting_exponent(float(table["value"].abs().max()))
    masks = {}
    for kind in SHOWN_MASKS:
        rows = table[table["mask_kind"] == kind]
        if rows.empty:
            continue
        keys = [rows["id"].astype(str).map(order), rows["side"].astype(str).map(SIDES.index), rows["rank"]]
        rows = rows.iloc[np.lexsort([*map(np.asarray, reversed(keys))])]
        of_item = rows.groupby(np.asarray(rows["id"].astype(str).map(order)))
        train = position.loc[[("train", identity) for identity in rows["train_id"]]].to_numpy()
        scores = [float(f"{float(value) / 10.0**exponent:.{DIGITS}g}") for value in rows["value"]]
        masks[kind] = {
            "predicted": [labels.index(label) for label in of_item["predicted"].first()],
            "train": train.reshape(len(items), -1).tolist(),
            "scores": np.reshape(scores, (len(items), -1)).tolist(),
        }
    return {
        "condition": origin["parameters"]["condition"],
        "seed": origin["parameters"]["seed"],
        "exponent": exponent,
        "items": [int(position["test", identity]) for identity in items],
        "masks": masks,
    }


def _texts(run: Path, data: str) -> pd.DataFrame:
    """Return the texts that a run's examples have."""
    directory = texts_dir(run.parent.parent, data)
    if not (directory / artifacts.MANIFEST).exists():
        raise InputError(f"{directory}: has no texts; run make pages on a machine that has the data")
    artifacts.read_manifest(directory)
    return pd.read_parquet(directory / FILE)


def _meaning_of_groups(train: pd.DataFrame, groups: pd.Series) -> str:
    """Return what examples of one group are: translations of each other, of one template, or nothing."""
    if parallel(train):
        return "translation"
    return "template" if groups.duplicated().any() else ""
