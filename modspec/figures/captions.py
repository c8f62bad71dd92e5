"""Captions of figures, for papers: a file in Markdown and one in LaTeX beside each figure."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from modspec.output.files import write_whole
from modspec.terms import LABELS, POOLED

# Figure of a study -> what it shows. Where it has intervals, {intervals} says of what.
SUBJECTS = {
    "head_masks": (
        "Attention heads (layers × heads) that each language's subnetwork keeps, by number of seeds. "
        "Above: how many heads it keeps, mean over seeds."
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
    "in_language_share": (
        "In-language share by language, condition and mask; dashed: chance. Another language's mask: mean "
        "over the masks of all other languages. {intervals}"
    ),
    "specialization": (
        "What a mask adds to the in-language share of no mask, by language, condition and mask. Another "
        "language's mask: mean over the masks of all other languages. {intervals}"
    ),
    "share_by_accuracy": (
        "In-language share against test accuracy under masks that the classifier was not trained "
        "under; one point per seed and mask, means over languages. Random masks of several sizes "
        "are joined by a line, where the study has them."
    ),
    "influence_matrix": (
        "Share of each training language (columns) among the proponents of test examples of each "
        "language (rows), in per cent, mean over seeds."
    ),
    "share_change": (
        "In-language share under sparse fine-tuning minus full fine-tuning, by language. {intervals}"
    ),
    "share_over_training": (
        "In-language share without a mask over full fine-tuning, all languages together and each; dashed: "
        "chance. {intervals}"
    ),
    "questions": (
        "Contrasts of the analysis plan by question; questions that were not run are left out. Bold: primary "
        "contrasts; grey bands: equivalence margins, where the question has one. {intervals}"
    ),
    "sensitivity": "Contrasts of in-language shares by setting, the study's own first. {intervals}",
    "share_by_k": (
        "In-language share of all languages against the number k of proponents, by mask. {intervals}"
    ),
    "layer_share": (
        "In-language share if training examples are ranked by one part of one layer alone, full fine-"
        "tuning, no mask; small points: single seeds. {intervals}"
    ),
    "head_share": (
        "In-language share by one attention head alone, in points above chance, mean over seeds. Calibration "
        "did not find planted heads by it."
    ),
    "head_influence": (
        "Contribution of each attention head to the influence of training examples, by language of "
        "the test examples, mean over seeds. Calibration did not find planted heads by it."
    ),
    "head_relation": (
        "Rank correlation over heads between influence and head importance or masks. Bands: 95 % of the "
        "correlations after heads were permuted within layers, which need not lie around zero."
    ),
    "typology": (
        "Similarity of languages (rows) against typological distance (columns); one point per pair. Mask "
        "overlap: of masks from one seed."
    ),
    "translations": "How often translations of one item influence each other, beside controls. {intervals}",
}
OF_SEARCH = ("head_masks", "pruning_trajectories", "mask_overlap")  # these show no influence
OF_BOTH = ("questions", "share_by_accuracy")  # these show influence and test accuracy
# Figure of notebook 0 -> what it shows. Braces: a parameter of the notebook, lists joined by commas.
CLONED = (
    " Task {task}, encoder {encoder}, language {language}; {sentences} training and "
    "{evaluation_per_language} test examples; seeds: {seeds}; k = {top_k}."
)
JUDGED = (
    " Task {task}, encoder {encoder}, languages {languages}; {judged_train} training and "
    "{judged_per_language} test examples per language; seeds: {seeds}."
)
CALIBRATION = {
    "false_positive_rates": (
        "False positives where there is nothing to find: share of {clone_splits} random splits of one "
        "language into two halves in which a test reports a difference between them. Dashed: the level that "
        "the tests claim, {level:g}. Intervals: Clopper-Pearson, over splits." + CLONED
    ),
    "dose_response": (
        "In-language share and AUC of a language's plain half and of its enciphered half, against the share "
        "of word-piece types that the cipher replaces. Thin lines: single seeds. {confidence:g} % intervals "
        "over seeds and test examples." + CLONED
    ),
    "planted_heads": (
        "How far subnetwork search, head importance and influence by head agree with heads that were planted "
        "for one language. Hollow: agreement with other languages' planted heads. Grey: mean and middle 95 % "
        "of random plantings. Task {task}, encoder {encoder}; {train_per_language} training and "
        "{judged_per_language} test examples per language; seeds: {planted_seeds}."
    ),
    "template_truth": (
        "Share of the k strongest proponents that have the test sentence's template, intent or language, "
        "against k, by scorer. Dashed: chance. {confidence:g} % intervals over test sentences." + JUDGED
    ),
    "datamodeling": (
        "Linear datamodeling score: mean Spearman correlation, over test sentences, between the summed "
        "scores of {subsets} random subsets of the training examples and the margins of models trained on "
        "them, {retrainings} models per subset. Ceiling: what perfect predictions would reach. "
        "{confidence:g} % bootstrap intervals." + JUDGED
    ),
    "verdict_rates": (
        "How often simulated studies give the right verdict (solid), and the verdict equivalent or "
        "negligible (dotted), against the true effect, by question and number of seeds. Variances: those of "
        "the studies {simulated_studies}, with the seeds' variance as estimated. {simulations:,} studies per "
        "effect; {simulated_items} test items for shares, {simulated_test_items:,} for accuracies."
    ),
}
ESCAPED = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "×": r"$\times$", "−": r"$-$"}


def write_captions(figures: Path, study: str, captions: Mapping[str, str]) -> list[Path]:
    """Write captions beside those of the figures that are there.

    Args:
        figures: directory of the figures.
        study: its name, for LaTeX's labels.
        captions: by figure, from one of the functions below.

    Returns:
        The files that were written, ``<figure>.caption.md`` and ``<figure>.caption.tex``.
    """
    written = []
    for name, text in captions.items():
        if (figures / f"{name}.csv").exists():
            label = f"fig:{study}-{name}".replace("_", "-")
            files = {".md": f"{text}\n", ".tex": f"\\caption{{{_latex(text)}}}\n\\label{{{label}}}\n"}
            for suffix, lines in files.items():
                written.append(figures / f"{name}.caption{suffix}")
                write_whole(written[-1], lines)
    return written


def of_study(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the captions of a study's figures: what each shows, and the size of the study.

    Args:
        content: what the study's ``provenance.json`` says: ``study``, ``parameters`` and ``stages``.
    """
    parameters, stages = content["parameters"], content["stages"]
    trained, scored = (stages[stage]["parameters"] for stage in ("finetuning", "influence"))
    seeds, examples = parameters["seeds"], scored["scored_per_language"] or trained["train_per_language"]
    intervals = f"{100 * parameters['confidence']:g} % intervals over seeds and test items."
    conditions = ", ".join(LABELS["condition"][condition] for condition in parameters["conditions"])
    study = (
        f"Study {content['study']}: task {trained['task']}, encoder {trained['encoder']}, languages "
        f"{', '.join(trained['languages'])}; {conditions}; {len(seeds)} seed{'s' * (len(seeds) != 1)}"
    )
    searched = f"dev accuracy on {trained['dev_per_language']:,} examples per language"
    accuracy = f"accuracy on {trained['test_per_language']:,} test examples per language"
    influence = (
        f"influence of {examples:,} training examples per language on {scored['evaluation_per_language']} "
        f"test examples per language; k = {scored['top_k']}"
    )
    sizes = dict.fromkeys(SUBJECTS, [influence]) | dict.fromkeys(OF_SEARCH, [searched])
    sizes |= {"accuracy": [accuracy]} | dict.fromkeys(OF_BOTH, [accuracy, influence])
    return {
        name: f"{text.format(intervals=intervals)} {'; '.join([study, *sizes[name]])}."
        for name, text in SUBJECTS.items()
    }


def of_studies(answers: pd.DataFrame, pooled: Sequence[str]) -> dict[str, str]:
    """Return the caption of the figure of questions over several studies.

    Args:
        answers: what the figure shows; its columns ``study`` and ``seeds`` are read.
        pooled: the studies whose mean it shows, where it shows one.
    """
    text = SUBJECTS["questions"].format(intervals="95 % intervals over seeds and test items.")
    studies = [study for study in answers["study"].unique() if study != POOLED]
    mean = f"; pooled: mean of {' and '.join(pooled)}" if POOLED in {*answers["study"]} else ""
    seeds = int(answers["seeds"].max())
    return {"questions": f"{text} Studies {', '.join(studies)}{mean}; {seeds} seeds per study."}


def of_calibration(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the captions of notebook 0's figures.

    Args:
        parameters: of the notebook.
    """
    lists = {name: ", ".join(map(str, value)) for name, value in parameters.items() if _is_list(value)}
    facts = {**parameters, **lists, "confidence": 100 * (1 - parameters["level"])}
    return {name: text.format(**facts) for name, text in CALIBRATION.items()}


def of_benchmark(workload: str, machine: Mapping[str, Any]) -> dict[str, str]:
    """Return the caption of the benchmark's figure.

    Args:
        workload: what is scored.
        machine: of ``machine.json``: ``processor``, ``instructions``, ``threads``.
    """
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}"
    text = (
        "Seconds for influence scores against the number of training examples (left) and of evaluation "
        f"examples (right), by package. Dashed: scores from a part of the parameters only. {workload}. "
        f"{machine['processor']} ({machine['instructions']}), {threads}; one run per point."
    )
    return {"influence_scaling": text}


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _latex(text: str) -> str:
    """Return a text with LaTeX's special characters escaped."""
    return re.sub("[" + "".join(ESCAPED) + "]", lambda character: ESCAPED[character[0]], text)
