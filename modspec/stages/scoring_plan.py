"""Which examples stage 3 scores under which masks, in which passes over the training examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.stages.material import Material
from modspec.subnetworks.masks import Masks
from modspec.workflow.artifacts import fingerprint
from modspec.workflow.parameters import InfluenceParameters

# Kinds of mask that are drawn several times for a language.
DRAWN = ("random", "accuracy_matched", "dose")
# Kinds that are also scored with every training example under its own language's mask of that kind: the two
# sides of question Q3.
OWN_GRADIENT_KINDS = {"own", "pooled_others"}
# Examples under a mask: their kinds of mask, the languages that it was made for ("" without), and positions.
Columns = tuple[tuple[str, ...], tuple[str, ...], np.ndarray]


@dataclass(frozen=True)
class MaskSet:
    """Masks of one kind that training and test examples are scored under."""

    kind: str
    masks: Masks  # by the language that a mask was made for; of the kind "dose" one, for no language: ""
    draw: int = 0  # which of several random masks

    @property
    def name(self) -> str:
        """The name of the set in names of passes."""
        return f"{self.kind}{self.draw}" if self.kind in DRAWN else self.kind


@dataclass(frozen=True)
class ScoringPass:
    """One pass over the training examples: their masks, and the evaluation examples scored in it."""

    name: str
    mask_kinds: tuple[str, ...]  # of every column
    mask_languages: tuple[str, ...]  # of every column: the language that its mask was made for, "" without
    positions: np.ndarray  # int (columns,): of the columns' examples in ``split``
    # None, bool (layers, heads), or bool (examples, layers, heads), one mask per example.
    train_mask: np.ndarray | None = None
    evaluation_mask: np.ndarray | None = None
    train_gradient_mask: str = "test_example"
    draw: int = 0  # which of several random masks
    split: str = "test"  # where the evaluation examples are from: "test" or "train"
    # Split -> all examples that the mask is for, whose predictions under it are kept.
    predicted: Mapping[str, Columns] = field(default_factory=dict)

    def evaluation(self, material: Material, parameters: InfluenceParameters) -> Examples:
        """Return the evaluation examples of the columns."""
        train = scored_train(material, parameters)
        return (train if self.split == "train" else material.examples["test"]).take(self.positions)

    def origin(self, of_scores: Mapping[str, Any]) -> dict[str, Any]:
        """Return what decides the scores of this pass: all that decides the scores, its name, its masks.

        The masks too, because those that are matched in accuracy could differ between two machines.
        """
        masks = [None if m is None else m.tolist() for m in (self.train_mask, self.evaluation_mask)]
        return {**of_scores, "piece": self.name, "masks": fingerprint(masks)}


def plan_passes(
    material: Material, parameters: InfluenceParameters, mask_sets: Sequence[MaskSet]
) -> list[ScoringPass]:
    """Return the passes that the parameters ask for; a further pass costs far more than a further column.

    With training gradients under the test example's mask, one pass per mask. With each under its own
    language's mask, one pass per kind of :data:`OWN_GRADIENT_KINDS`. With ``train_items``, one more pass
    without mask, whose evaluation examples are training examples.

    Args:
        mask_sets: of every kind of mask that the parameters ask for.

    Raises:
        InputError: the task has too few translated training examples.
    """
    p = parameters
    train = scored_train(material, p)
    every = {split: _positions(material.examples[split], p.languages) for split in ("dev", "test")}
    positions = {t: places[: p.evaluation_per_language] for t, places in every["test"].items()}
    passes = [_unmasked("none", np.concatenate(list(positions.values())))]
    if p.train_items:
        passes.append(_unmasked("train-items", translated_items(train, p.train_items), split="train"))
    if "test_example" in p.train_gradient_masks:
        for of_kind in mask_sets:
            # Stage 2 has the predictions under own masks, which are in force there.
            kinds = [kind for kind in p.mask_kinds if kind != "own"]
            keeps_predictions = of_kind.kind != "own" or "other_language" in kinds
            for language, mask in of_kind.masks.items():
                columns = _columns(p.mask_kinds, of_kind.kind, language, positions)
                predicted = {
                    split: _columns(kinds, of_kind.kind, language, places)
                    for split, places in every.items()
                    if keeps_predictions
                }
                name = f"{of_kind.name}-{language}" if language else of_kind.name
                passes.append(ScoringPass(name, *columns, mask, mask, draw=of_kind.draw, predicted=predicted))
    if "own_language" in p.train_gradient_masks:
        passes += [
            _own_gradients(of_kind, train, positions)
            for of_kind in mask_sets
            if of_kind.kind in p.mask_kinds and of_kind.kind in OWN_GRADIENT_KINDS
        ]
    return passes


def count_columns(parameters: InfluenceParameters) -> int:
    """Return the number of columns of all passes of :func:`plan_passes`, without the masks that it needs."""
    p, kinds = parameters, set(parameters.mask_kinds) - {"none"}
    draws = {"random": p.random_draws, "accuracy_matched": p.random_draws, "dose": len(p.dose_shares)}
    columns, of_a_kind = 1, {kind: draws.get(kind, 1) for kind in kinds}
    if "test_example" in p.train_gradient_masks:
        columns += sum(of_a_kind.values())
    if "own_language" in p.train_gradient_masks:
        columns += len(OWN_GRADIENT_KINDS & kinds)
    return len(p.languages) * (columns * p.evaluation_per_language + p.train_items)


def translated_items(train: Examples, count: int) -> np.ndarray:
    """Return the positions of the first ``count`` training examples of each language whose translations are
    all there: int (count x languages,).

    Raises:
        InputError: the task has fewer.
    """
    languages = set(train.languages.tolist())
    spoken: dict[str, list[str]] = {}
    for group, language in zip(train.groups.tolist(), train.languages.tolist(), strict=True):
        spoken.setdefault(group, []).append(language)
    # A dictionary keeps the order in which the groups first appear.
    full = [g for g, t in spoken.items() if len(t) == len(languages) > 1 and set(t) == languages]
    if len(full) < count:
        raise InputError(
            f"train_items: {count}; allowed: at most {len(full)}, the training examples of this task that "
            "have a translation in every language (0: do without)"
        )
    return np.flatnonzero(np.isin(train.groups, full[:count]))


def scored_train(material: Material, parameters: InfluenceParameters) -> Examples:
    """Return the training examples that are scored: all, or the first ``scored_per_language`` per language.

    They are in random order, and in parallel tasks in the same one, so that these are translations too.
    """
    train, count = material.examples["train"], parameters.scored_per_language
    if count is None:
        return train
    first = [np.flatnonzero(train.languages == t)[:count] for t in dict.fromkeys(train.languages.tolist())]
    return train.take(np.sort(np.concatenate(first)))


def _unmasked(name: str, positions: np.ndarray, split: str = "test") -> ScoringPass:
    count = len(positions)
    return ScoringPass(name, ("none",) * count, ("",) * count, positions, split=split)


def _own_gradients(of_kind: MaskSet, train: Examples, positions: Mapping[str, np.ndarray]) -> ScoringPass:
    """Return the pass whose training and test examples are each under their own language's mask."""
    languages = np.repeat(list(positions), [len(places) for places in positions.values()]).tolist()
    train_mask, evaluation_mask = (
        np.stack([of_kind.masks[t] for t in of_examples]) for of_examples in (train.languages, languages)
    )
    return ScoringPass(
        f"{of_kind.kind}-gradients",
        (of_kind.kind,) * len(languages),
        tuple(languages),
        np.concatenate(list(positions.values())),
        train_mask,
        evaluation_mask,
        train_gradient_mask="own_language",
    )


def _positions(examples: Examples, languages: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the positions of every language's examples."""
    return {language: np.flatnonzero(examples.languages == language) for language in languages}


def _columns(
    mask_kinds: Sequence[str], kind: str, language: str, positions: Mapping[str, np.ndarray]
) -> Columns:
    """Return the examples that one language's mask is for; a mask of no language, "", is for all.

    Other languages' masks take turns over the examples: each example is scored under one of them.
    """
    for_languages = [language] if language else positions
    chosen = {t: (kind, positions[t]) for t in for_languages} if kind in mask_kinds else {}
    if kind == "own" and "other_language" in mask_kinds:
        for other, places in positions.items():
            if other != language:
                turns = [t for t in positions if t != other]
                turn = np.arange(len(places)) % len(turns) == turns.index(language)
                chosen[other] = ("other_language", places[turn])
    in_order = [chosen[t] for t in positions if t in chosen]
    kinds = tuple(kind for kind, places in in_order for _ in places)
    return kinds, (language,) * len(kinds), np.concatenate([places for _, places in in_order])
