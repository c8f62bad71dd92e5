"""Captions of a study's figures, for papers, in Markdown and LaTeX."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modspec.files import write_whole
from modspec.terms import LABELS

# Figure -> what it shows. Where it has intervals, {intervals} says of what.
SUBJECTS = {
    "head_masks": (
        "Attention heads (layers × heads) that each language's subnetwork keeps, by number of seeds."
    ),
    "pruning_trajectories": (
        "Dev accuracy against the number of heads left while heads are dropped, both in per cent of "
        "the unpruned encoder; one line per language and seed."
    ),
    "mask_overlap": (
        "Jaccard overlap of two subnetworks of one language or of two, from one seed or from two. "
        "Chance: two random masks of the same sizes."
    ),
    "accuracy": (
        "Test accuracy in per cent by condition, mask (rows) and language (columns), mean over seeds."
    ),
    "in_language_share": "In-language share by language, condition and mask; dashed: chance. {intervals}",
    "specialization": (
        "What a mask adds to the in-language share of no mask, by language, condition and mask. {intervals}"
    ),
    "share_by_accuracy": (
        "In-language share against test accuracy under masks that the classifier was not trained "
        "under; one point per seed and mask, means over languages. The line joins random masks of "
        "several sizes."
    ),
    "influence_matrix": (
        "Share of each training language (columns) among the proponents of test examples of each "
        "language (rows), in per cent, mean over seeds."
    ),
    "share_change": (
        "In-language share under sparse fine-tuning minus full fine-tuning, by language. {intervals}"
    ),
    "questions": (
        "Contrasts of the analysis plan by question. Bold: primary contrasts; grey bands: equivalence"
        " margins. {intervals}"
    ),
    "sensitivity": "Contrasts of in-language shares by setting, the study's own first. {intervals}",
    "share_by_k": (
        "In-language share of all languages against the number k of proponents, by mask. {intervals}"
    ),
    "layer_share": (
        "In-language share if training examples are ranked by one part of one layer alone, full fine-"
        "tuning, no mask; small points: single seeds. {intervals}"
    ),
    "head_share": "In-language share by one attention head alone, in points above chance, mean over seeds.",
    "head_influence": (
        "Contribution of each attention head to the influence of training examples, by language of "
        "the test examples, mean over seeds."
    ),
    "head_relation": (
        "Rank correlation over heads between influence and head importance or masks. Bands: heads "
        "permuted within layers."
    ),
    "typology": (
        "Similarity of languages (rows) against typological distance (columns); one point per pair."
    ),
    "translations": "How often translations of one item influence each other, beside controls. {intervals}",
}
ESCAPED = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "×": r"$\times$", "−": r"$-$"}


def write_captions(figures: Path, content: Mapping[str, Any]) -> list[Path]:
    """Write ``<figure>.caption.md`` and ``<figure>.caption.tex`` beside every figure of a study.

    Args:
        figures: directory of the figures.
        content: what the study's ``provenance.json`` says: ``parameters`` and ``stages``.

    Returns:
        The files that were written.
    """
    written = []
    for name in SUBJECTS:
        if (figures / f"{name}.csv").exists():
            text = caption(name, content)
            label = f"fig:{content['study']}-{name}".replace("_", "-")
            files = {".md": f"{text}\n", ".tex": f"\\caption{{{_latex(text)}}}\n\\label{{{label}}}\n"}
            for suffix, lines in files.items():
                written.append(figures / f"{name}.caption{suffix}")
                write_whole(written[-1], lines)
    return written


def caption(name: str, content: Mapping[str, Any]) -> str:
    """Return a figure's caption: what it shows, and the size of the study.

    Args:
        name: of the figure, a key of ``SUBJECTS``.
        content: as for :func:`write_captions`.
    """
    parameters, stages = content["parameters"], content["stages"]
    trained, scored = (stages[stage]["parameters"] for stage in ("finetuning", "influence"))
    seeds, examples = parameters["seeds"], scored["scored_per_language"] or trained["train_per_language"]
    intervals = f"{100 * parameters['confidence']:g} % intervals over seeds and test items."
    conditions = ", ".join(LABELS["condition"][condition] for condition in parameters["conditions"])
    facts = (
        f"Study {content['study']}: task {trained['task']}, encoder {trained['encoder']}, languages "
        f"{', '.join(trained['languages'])}; {conditions}; {len(seeds)} seed{'s' * (len(seeds) != 1)}; "
        f"{scored['evaluation_per_language']} test and {examples:,} training examples per language; "
        f"k = {scored['top_k']}."
    )
    return f"{SUBJECTS[name].format(intervals=intervals)} {facts}"


def _latex(text: str) -> str:
    """Return a text with LaTeX's special characters escaped."""
    return re.sub("[" + "".join(ESCAPED) + "]", lambda character: ESCAPED[character[0]], text)
