"""A study's tables that answer no question of the analysis plan: parts, heads, languages, translations."""

import pandas as pd

from modspec.analysis.by_part import head_influence, head_share, layer_share
from modspec.analysis.head_relation import head_relation
from modspec.analysis.measurements import StudyRuns, read_measured
from modspec.analysis.study_tables import (
    artefacts,
    concatenated,
    head_masks,
    influence_matrix,
    mask_overlap,
    optional_table,
    searched_masks,
)
from modspec.analysis.translations import translations
from modspec.analysis.typology import language_pairs, mantel_tests
from modspec.workflow.artifacts import read_manifest
from modspec.workflow.parameters import FigureParameters

PARTS = ["condition", "seed", "language", "id", "train_language", "part", "layer", "head", "proponents"]
PARTS += ["influence", "chance"]


def tables(p: FigureParameters) -> dict[str, pd.DataFrame]:
    """Return the exploratory tables of a study by figure name; checks every artefact on the way.

    ``head_masks`` and ``importance`` are there for comparison, and without a figure.

    Raises:
        InputError: an artefact is missing or damaged; names the first.
    """
    searches, trained, scored = artefacts(p).values()
    for directory in (*searches, *trained, *scored):
        read_manifest(directory)
    masks, importance = searched_masks(searches), concatenated(searches, "importance")
    parts = optional_table(scored, "parts", PARTS)
    runs = StudyRuns([read_measured(directory) for directory in scored])
    training_examples = int(runs.sizes.sum())
    heads = head_influence(parts, training_examples), head_share(parts)
    kept = head_masks(masks)
    pairs = language_pairs(mask_overlap(masks), influence_matrix(runs.own_statistics), training_examples)
    return {
        "layer_share": layer_share(parts, p.confidence),
        "head_share": heads[1],
        "head_influence": heads[0],
        "head_relation": head_relation(*heads, importance, kept),
        "typology": pairs,
        "typology_tests": mantel_tests(pairs),  # a table without a figure
        "translations": translations(concatenated(scored, "translations"), p.confidence),
        "head_masks": kept,
        "importance": importance,
    }
