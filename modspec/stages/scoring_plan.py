"""What stage 3 scores: passes over the training examples, each under its masks, and their columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.stages.material import Material, masks_in_force, searched_masks
from modspec.subnetworks.masks import Masks, random_masks
from modspec.workflow.parameters import InfluenceParameters

# Added to the seed for random masks that are not those that sft_random trains under.
RANDOM_DRAW = 1000


@dataclass(frozen=True)
class Pass:
    """One pass over the training examples: their masks, and the evaluation examples scored in it.

    train_mask, evaluation_mask: None, (layers, heads), or one for each example. kinds, mask_languages: of
    every column, its mask kind and the language that the mask was made for ("" without mask). positions: of
    the columns' examples in ``split``. draw: which of several random masks.
    """

    name: str
    kinds: tuple[str, ...]
    mask_languages: tuple[str, ...]
    positions: np.ndarray
    train_mask: np.ndarray | None = None
    evaluation_mask: np.ndarray | None = None
    train_gradient_mask: str = "test_example"
    draw: int = 0
    split: str = "test"


def plan_passes(material: Material) -> list[Pass]:
    """The passes that the parameters ask for; a training pass costs far more than a further column.

    Under ``evaluation`` gradients, training examples are scored under the evaluation example's mask: one
    pass a mask. Under ``own`` gradients each is scored under its own language's mask: one pass in all. With
    ``train_items``, one more pass without mask, whose evaluation examples are training examples.
    """
    p = material.parameters
    assert isinstance(p, InfluenceParameters)
    train, test = scored_train(material), material.examples["test"]
    of = {
        language: np.flatnonzero(test.languages == language)[: p.evaluation_per_language]
        for language in p.languages
    }
    passes = [_unmasked("none", np.concatenate(list(of.values())))]
    if p.train_items:
        passes.append(_unmasked("train-items", translated_items(train, p.train_items), split="train"))
    own = masks_in_force(material, p.condition, p.seed)
    if "test_example" in p.train_gradient_masks:
        for name, kind, draw, masks in _sets(material, own):
            for language, mask in masks.items():
                columns = _columns(p, kind, language, of)
                passes.append(Pass(f"{name}-{language}", *columns, mask, mask, draw=draw))
    if "own_language" in p.train_gradient_masks and {"own", "other_language"} & set(p.mask_kinds):
        columns = [_columns(p, "own", language, of) for language in own]
        kinds, mask_languages, positions = ([x for c in columns for x in c[part]] for part in range(3))
        masks = [np.stack([own[of] for of in languages]) for languages in (train.languages, mask_languages)]
        columns = tuple(kinds), tuple(mask_languages), np.array(positions)
        passes.append(Pass("own-gradients", *columns, *masks, train_gradient_mask="own_language"))
    return passes


def translated_items(train: Examples, count: int) -> np.ndarray:
    """Positions of the first ``count`` training examples of each language whose translations are all there.

    Raises InputError where the task has not as many.
    """
    languages = dict.fromkeys(train.languages.tolist())
    groups, first, sizes = np.unique(train.groups, return_index=True, return_counts=True)
    distinct = {(g, t) for g, t in zip(train.groups.tolist(), train.languages.tolist(), strict=True)}
    full = [
        (place, group)
        for group, place, size in zip(groups.tolist(), first.tolist(), sizes.tolist(), strict=True)
        if size == len(languages) > 1 and all((group, language) in distinct for language in languages)
    ]
    if len(full) < count:
        raise InputError(
            f"train_items: {count}; allowed: at most {len(full)}, the training examples of this task that "
            "have a translation in every language (0: do without)"
        )
    chosen = {group for _, group in sorted(full)[:count]}
    return np.flatnonzero([group in chosen for group in train.groups.tolist()])


def scored_train(material: Material) -> Examples:
    """The training examples that are scored: all, or the first ``scored_per_language`` of each language.

    They are in random order, and in parallel tasks in the same one, so that these are translations too.
    """
    train, count = material.examples["train"], material.parameters.scored_per_language
    if count is None:
        return train
    rank = np.zeros(len(train), dtype=np.int64)
    for language in dict.fromkeys(train.languages.tolist()):
        own = train.languages == language
        rank[own] = np.arange(own.sum())
    return train.take(np.flatnonzero(rank < count))


def _unmasked(name: str, positions: np.ndarray, split: str = "test") -> Pass:
    count = len(positions)
    return Pass(name, ("none",) * count, ("",) * count, positions, split=split)


def _sets(material: Material, own: Masks) -> Iterable[tuple[str, str, int, Masks]]:
    """Name, kind, draw and masks of everything that training examples are scored under."""
    p = material.parameters
    if {"own", "other_language"} & set(p.mask_kinds):
        yield "own", "own", 0, own
    if "random" in p.mask_kinds:
        for draw in range(p.random_draws):
            yield f"random{draw}", "random", draw, random_masks(own, p.seed + RANDOM_DRAW * (draw + 1))
    if "other_seed" in p.mask_kinds:
        yield "other_seed", "other_seed", 0, masks_in_force(material, p.condition, p.other_seed)
    if "inherited" in p.mask_kinds:
        yield "inherited", "inherited", 0, searched_masks(material, p.seed, importance="inherited")


def _columns(
    p: InfluenceParameters, kind: str, language: str, of: dict[str, np.ndarray]
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Kinds, mask languages and positions of the test examples to score under one language's mask.

    Other languages' masks take turns over the examples: each is scored under one of them.
    """
    chosen = {language: (kind, of[language])} if kind in p.mask_kinds else {}
    if kind == "own" and "other_language" in p.mask_kinds:
        for other, positions in of.items():
            if other != language:
                turns = [t for t in of if t != other]
                turn = np.arange(len(positions)) % len(turns) == turns.index(language)
                chosen[other] = ("other_language", positions[turn])
    kinds = tuple(chosen[other][0] for other in of if other in chosen for _ in chosen[other][1])
    positions = np.concatenate([chosen[other][1] for other in of if other in chosen])
    return kinds, (language,) * len(kinds), positions
