"""Which examples stage 3 scores under which masks, in which passes over the training examples."""

from collections.abc import Iterator, Mapping, Sequence
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


def plan_passes(material: Material, parameters: InfluenceParameters) -> list[ScoringPass]:
    """Return the passes that the parameters ask for; a further pass costs far more than a further column.

    With training gradients under the test example's mask, one pass per mask. With each under its own
    language's mask, one pass in all. With ``train_items``, one more pass without mask, whose evaluation
    examples are training examples.

    Raises:
        InputError: masks are missing, or the task has too few translated training examples.
    """
    p = parameters
    train, test = scored_train(material, p), material.examples["test"]
    positions = {
        language: np.flatnonzero(test.languages == language)[: p.evaluation_per_language]
        for language in p.languages
    }
    passes = [_unmasked("none", np.concatenate(list(positions.values())))]
    if p.train_items:
        passes.append(_unmasked("train-items", translated_items(train, p.train_items), split="train"))
    own_masks = masks_in_force(material, p, p.condition, p.seed)
    if "test_example" in p.train_gradient_masks:
        for name, kind, draw, masks in _mask_sets(material, p, own_masks):
            for language, mask in masks.items():
                columns = _columns(p.mask_kinds, kind, language, positions)
                passes.append(ScoringPass(f"{name}-{language}", *columns, mask, mask, draw=draw))
    if "own_language" in p.train_gradient_masks and {"own", "other_language"} & set(p.mask_kinds):
        columns = [_columns(p.mask_kinds, "own", language, positions) for language in own_masks]
        kinds, mask_languages, places = ([x for c in columns for x in c[field]] for field in range(3))
        train_mask, evaluation_mask = (
            np.stack([own_masks[t] for t in languages]) for languages in (train.languages, mask_languages)
        )
        columns = tuple(kinds), tuple(mask_languages), np.array(places)
        masks = train_mask, evaluation_mask
        passes.append(ScoringPass("own-gradients", *columns, *masks, train_gradient_mask="own_language"))
    return passes


def count_columns(parameters: InfluenceParameters) -> int:
    """Return the number of columns of all passes of :func:`plan_passes`, without the masks that it needs."""
    p, kinds = parameters, set(parameters.mask_kinds) - {"none"}
    columns, of_a_kind = 1, {kind: p.random_draws if kind == "random" else 1 for kind in kinds}
    if "test_example" in p.train_gradient_masks:
        columns += sum(of_a_kind.values())
    if "own_language" in p.train_gradient_masks:
        columns += len({"own", "other_language"} & kinds)
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


def _mask_sets(
    material: Material, p: InfluenceParameters, own_masks: Masks
) -> Iterator[tuple[str, str, int, Masks]]:
    """Name, kind, draw and masks of everything that training examples are scored under."""
    if {"own", "other_language"} & set(p.mask_kinds):
        yield "own", "own", 0, own_masks
    if "random" in p.mask_kinds:
        for draw in range(p.random_draws):
            yield f"random{draw}", "random", draw, random_masks(own_masks, p.seed + RANDOM_DRAW * (draw + 1))
    if "other_seed" in p.mask_kinds:
        yield "other_seed", "other_seed", 0, masks_in_force(material, p, p.condition, p.other_seed)
    if "inherited" in p.mask_kinds:
        yield "inherited", "inherited", 0, searched_masks(material, p, p.seed, importance="inherited")


def _columns(
    mask_kinds: Sequence[str], kind: str, language: str, positions: Mapping[str, np.ndarray]
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Kinds, mask languages and positions of the test examples to score under one language's mask.

    Other languages' masks take turns over the examples: each example is scored under one of them.
    """
    chosen = {language: (kind, positions[language])} if kind in mask_kinds else {}
    if kind == "own" and "other_language" in mask_kinds:
        for other, places in positions.items():
            if other != language:
                turns = [t for t in positions if t != other]
                turn = np.arange(len(places)) % len(turns) == turns.index(language)
                chosen[other] = ("other_language", places[turn])
    in_order = [chosen[t] for t in positions if t in chosen]
    kinds = tuple(kind for kind, places in in_order for _ in places)
    return kinds, (language,) * len(kinds), np.concatenate([places for _, places in in_order])
