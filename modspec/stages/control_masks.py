"""The masks that stage 3 scores under: own masks, and the controls that they are compared with."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from modspec.models.head_masking import head_grid
from modspec.models.prediction import accuracy
from modspec.output.progress import tqdm
from modspec.stages.material import Material, masks_in_force, searched_masks
from modspec.stages.resuming import resumable
from modspec.stages.scoring_plan import MaskSet
from modspec.subnetworks.accuracy_matching import accuracy_matched
from modspec.subnetworks.masks import dose_masks, load_masks, random_masks, save_masks
from modspec.workflow.parameters import InfluenceParameters
from modspec.workflow.paths import pieces_dir, scores_dir

# Name of the piece with the masks that are matched in accuracy.
ACCURACY_MATCHED = "accuracy-matched"
# Between the seeds of a run's draws of random masks, so that no draw of one run is another run's.
RANDOM_DRAW = 1000


def mask_sets(
    material: Material, parameters: InfluenceParameters, model: PreTrainedModel, origin: Mapping[str, Any]
) -> list[MaskSet]:
    """Return the masks of every kind that the parameters ask for.

    Args:
        model: the classifier that is scored, which accuracy-matched masks are matched on.
        origin: what decides the scores, and so these masks.

    Raises:
        InputError: a search that these masks need has not been run, or was run on other data.
    """
    p, kinds = parameters, set(parameters.mask_kinds)
    own = masks_in_force(material, p, p.condition, p.seed)
    searched = partial(searched_masks, material, p, p.seed)
    sets = []
    if {"own", "other_language"} & kinds:
        sets.append(MaskSet("own", own))
    if "pooled_others" in kinds:
        sets.append(MaskSet("pooled_others", searched(importance="pooled_others")))
    if "accuracy_matched" in kinds:
        matched = load_masks(match_accuracy(material, p, model, origin) / "masks.safetensors")
        for draw in range(p.random_draws):
            masks = {language: matched[f"{language}/{draw}"] for language in p.languages}
            sets.append(MaskSet("accuracy_matched", masks, draw))
    if "random" in kinds:
        seeds = [p.seed + RANDOM_DRAW * (draw + 1) for draw in range(p.random_draws)]
        sets += [MaskSet("random", random_masks(own, seed), draw) for draw, seed in enumerate(seeds)]
    if "dose" in kinds:
        masks = dose_masks(head_grid(model), p.dose_shares, p.seed)
        sets += [MaskSet("dose", {"": mask}, draw) for draw, mask in enumerate(masks)]
    if "other_seed" in kinds:
        sets.append(MaskSet("other_seed", masks_in_force(material, p, p.condition, p.other_seed)))
    if "inherited" in kinds:
        sets.append(MaskSet("inherited", searched(importance="inherited")))
    return sets


def match_accuracy(
    material: Material, parameters: InfluenceParameters, model: PreTrainedModel, origin: Mapping[str, Any]
) -> Path:
    """Find random masks under which the model is as accurate on dev data as under own masks.

    A language's random masks start from its own mask. They swap as many heads as its own and its
    pooled-others mask differ in, or fewer where accuracy would differ by more than ``accuracy_tolerance``:
    :func:`modspec.subnetworks.accuracy_matching.accuracy_matched`.

    Returns:
        A directory with ``masks.safetensors`` {language/draw: mask} and ``matching.parquet``: one row per
        language and draw, with the number of swaps and the dev accuracies under both masks.
    """
    p = parameters
    piece = pieces_dir(scores_dir(p, p.condition, p.seed)) / ACCURACY_MATCHED

    def make(building: Path) -> None:
        own = masks_in_force(material, p, p.condition, p.seed)
        pooled = searched_masks(material, p, p.seed, importance="pooled_others")
        masks, rows = {}, []
        with tqdm(total=len(own) * p.random_draws, desc="accuracy-matched masks", unit="mask") as bar:
            for place, (language, mask) in enumerate(own.items()):
                dev = material.examples["dev"].of(language)
                score = partial(accuracy, model, dev, precision=material.precision)
                own_score, most_swaps = score(mask), int((mask & ~pooled[language]).sum())
                for draw in range(p.random_draws):
                    rng = np.random.default_rng([p.seed, draw, place])
                    found, swaps, found_score = accuracy_matched(
                        mask, own_score, most_swaps, score, p.accuracy_tolerance, rng
                    )
                    masks[f"{language}/{draw}"] = found
                    rows.append((language, draw, most_swaps, swaps, own_score, found_score))
                    bar.update()
        save_masks(building / "masks.safetensors", masks)
        columns = ["language", "draw", "most_swaps", "swaps", "own_accuracy", "accuracy"]
        pd.DataFrame(rows, columns=columns).to_parquet(building / "matching.parquet", index=False)

    return resumable(piece, {**origin, "piece": ACCURACY_MATCHED}, make)
