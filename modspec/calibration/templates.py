"""Ground truth by template: do the strongest proponents share the evaluation sentence's template and intent?

Evaluation examples are of two kinds: *held out* from training, of templates (``group``) that training has
too, and those of the *test* split, whose templates training never has.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from modspec.analysis.intervals import mean_and_interval
from modspec.calibration.models import Content, kept
from modspec.calibration.scorers import SCORERS, all_scores
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.stages.material import Material
from modspec.workflow.parameters import CalibrationParameters

HELD_OUT, TEST = "held out", "test"
TOPS = (1, 2, 5, 10, 20, 50, 100)  # the k of top-k


def templates(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return how similar the proponents of every scorer (``score``) are to held-out sentences.

    Args:
        material: the task, from :func:`modspec.calibration.models.load_sentences`.
        p: the parameters of notebook 00.
        directory: gets the artefacts ``templates`` and ``scores``.

    Returns:
        The tables of :func:`alike`.
    """
    train, evaluation, kinds = judged(material, p)
    scores = all_scores(material, p, train, evaluation, directory)

    def make() -> Content:
        held_out = np.flatnonzero(kinds == HELD_OUT)
        held = evaluation.take(held_out)
        frames = [
            alike(scores[name][..., held_out], train, held, 1 - p.level).assign(score=name)
            for name in SCORERS
        ]
        return {"templates": pd.concat(frames, ignore_index=True)}

    target, inputs = directory / "templates", [directory / "scores"]
    return kept(target, material, p, ["level"], make, inputs, experiment="templates")["templates"]


def alike(
    scores: np.ndarray, train: Examples, evaluation: Examples, confidence: float = 0.95
) -> pd.DataFrame:
    """Return the share of the top-k proponents that have an evaluation example's template, intent, language.

    Ties are broken at random.

    Args:
        scores: (seeds, train, evaluation).
        train: the training examples.
        evaluation: the evaluation examples.
        confidence: of the intervals.

    Returns:
        One row per ``measure`` and ``k``, the values of TOPS up to the number of training examples.
        ``value``, ``low``, ``high``: share and interval, over seeds and examples. ``chance``: the base rate.
        ``best``: the highest possible share. ``examples``: number of evaluation examples.
    """
    label = train.labels[:, None] == evaluation.labels
    language = train.languages[:, None] == evaluation.languages
    measures = {
        "template": train.groups[:, None] == evaluation.groups,
        "intent": label,
        "intent, other language": label & ~language,
        "language": language,
    }
    count = len(train)
    shuffled = np.random.default_rng(0).permutation(count)
    order = shuffled[np.argsort(-scores[:, shuffled], axis=1, kind="stable")]
    ranks = np.arange(1, count + 1)[:, None]
    rows = []
    for measure, same in measures.items():
        shares = np.take_along_axis(same[None], order, axis=1).cumsum(axis=1) / ranks
        best = np.minimum(same.sum(axis=0), ranks) / ranks
        for k in (k for k in TOPS if k <= count):
            interval = mean_and_interval(shares[:, k - 1], confidence)
            rows.append((measure, k, *interval, same.mean(), best[k - 1].mean(), len(evaluation)))
    return pd.DataFrame(rows, columns="measure k value low high chance best examples".split())


# Examples.


def judged(material: Material, p: CalibrationParameters) -> tuple[Examples, Examples, np.ndarray]:
    """Draw ``judged_train`` training examples per language, and up to ``judged_per_language`` of either kind.

    The examples for training and holding out are taken from every label's largest templates in the training
    split, which therefore should be several times as large.

    Returns:
        The training examples, the evaluation examples, and the kind of each of the latter, HELD_OUT or TEST.

    Raises:
        InputError: this leaves no template with two sentences.
    """
    train, test = material.examples["train"], material.examples["test"]
    in_training, held_out, tested = [], [], []
    for number, language in enumerate(material.task.languages):
        rng = np.random.default_rng([p.data_seed, number])
        positions = np.flatnonzero(train.languages == language)
        chosen = from_largest_groups(train, positions, p.judged_train + p.judged_per_language, rng)
        held_out.append(hold_out(train.groups, chosen, p.judged_per_language, rng))
        in_training.append(np.setdiff1d(chosen, held_out[-1])[: p.judged_train])
        tested.append(np.flatnonzero(test.languages == language)[: p.judged_per_language])
    held, new = train.take(np.concatenate(held_out)), test.take(np.concatenate(tested))
    if not len(held):
        raise InputError(
            f"sentences: among {len(train)} training examples no two share a template; "
            "allowed: enough that some do, so that one can be held out"
        )
    kinds = np.repeat([HELD_OUT, TEST], [len(held), len(new)])
    return train.take(np.concatenate(in_training)), _joined(held, new), kinds


def from_largest_groups(
    examples: Examples, positions: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return up to ``size`` of ``positions``: as many of every label, from groups with most sentences."""
    order = rng.permutation(positions)
    pool = pd.DataFrame({"group": examples.groups[order], "label": examples.labels[order]}, index=order)
    groups = pool.groupby("group", sort=False)
    pool = pool.assign(size=-groups["label"].transform("size"), place=groups.ngroup())
    pool = pool.sort_values(["size", "place"], kind="stable")
    return np.sort(pool.groupby("label").cumcount().sort_values(kind="stable").index[:size])


def hold_out(groups: np.ndarray, positions: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to ``most`` random ones of ``positions``, at most half of each group's."""
    order = rng.permutation(positions)
    names = pd.Series(groups[order])
    by_group = names.groupby(names)
    return order[(by_group.cumcount() < by_group.transform("size") // 2).to_numpy()][:most]


def _joined(first: Examples, second: Examples) -> Examples:
    arrays = ("labels", "languages", "ids", "groups")
    return Examples(
        first.input_ids + second.input_ids,
        None if first.token_types is None else first.token_types + second.token_types,
        *(np.concatenate([getattr(part, name) for part in (first, second)]) for name in arrays),
    )
