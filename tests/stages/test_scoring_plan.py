"""What stage 3 plans to score."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.stages.scoring_plan import (
    MaskSet,
    _columns,
    count_columns,
    plan_passes,
    scored_train,
    translated_items,
)
from modspec.workflow.parameters import InfluenceParameters

LANGUAGES = ("de", "en")


def examples(per_language: int, prefix: str, parallel: bool = True) -> Examples:
    rows = [(t, i) for t in LANGUAGES for i in range(per_language)]
    count = len(rows)
    return Examples(
        tuple(np.array([0, 5, 2]) for _ in rows),
        None,
        np.zeros(count, dtype=np.int64),
        np.array([t for t, _ in rows]),
        np.array([f"{prefix}-{t}-{i}" for t, i in rows]),
        np.array([f"{i}" if parallel else f"{t}{i}" for t, i in rows]),
    )


MASKS = {t: np.arange(6).reshape(2, 3) != dropped for dropped, t in enumerate(LANGUAGES)}


def masks_of(p: InfluenceParameters) -> list[MaskSet]:
    """One set of masks of every kind and draw that the parameters ask for."""
    kinds = [kind for kind in p.mask_kinds if kind not in ("none", "other_language")]
    if "other_language" in p.mask_kinds and "own" not in kinds:
        kinds.append("own")
    draws = {"random": p.random_draws, "accuracy_matched": p.random_draws, "dose": len(p.dose_shares)}
    return [
        MaskSet(kind, {"": MASKS["en"]} if kind == "dose" else MASKS, draw)
        for kind in kinds
        for draw in range(draws.get(kind, 1))
    ]


def planned(**values) -> list:
    """Passes for parameters, without artefacts."""
    p = InfluenceParameters(
        languages=LANGUAGES, train_per_language=4, evaluation_per_language=2, top_k=3, **values
    )
    splits = {"train": examples(4, "train"), "dev": examples(5, "dev"), "test": examples(3, "test")}
    return plan_passes(SimpleNamespace(examples=splits), p, masks_of(p))


@pytest.mark.parametrize("kind", ["random", "accuracy_matched"])
def test_every_random_draw_is_another_and_a_pass_a_language(kind):
    found = planned(mask_kinds=("none", kind), random_draws=3)
    assert [p.name for p in found] == ["none"] + [f"{kind}{d}-{t}" for d in range(3) for t in LANGUAGES]
    assert [p.draw for p in found] == [0, 0, 0, 1, 1, 2, 2]
    assert all(set(p.positions) <= {0, 1, 3, 4} for p in found)


def test_masks_of_no_language_are_scored_for_all_languages():
    found = planned(mask_kinds=("none", "dose"), dose_shares=(0.8, 0.4))
    assert [p.name for p in found] == ["none", "dose0", "dose1"]
    for one in found[1:]:
        assert one.positions.tolist() == found[0].positions.tolist()
        assert set(one.mask_kinds) == {"dose"} and set(one.mask_languages) == {""}


def test_predictions_are_kept_for_every_mask_but_those_in_force():
    """Of all dev and test examples, not of the scored ones alone."""
    found = planned(mask_kinds=("none", "own", "pooled_others", "other_language", "dose"))
    for one in found:
        kinds = set(one.mask_kinds) - {"none", "own"}
        assert set(one.predicted) == ({"dev", "test"} if kinds else set())
        for split, (predicted_kinds, languages, positions) in one.predicted.items():
            assert set(predicted_kinds) == kinds and len(languages) == len(positions)
            if split == "test":  # under the same masks as what is scored
                scored = {(k, i) for k, i in zip(one.mask_kinds, one.positions, strict=True) if k in kinds}
                assert scored <= set(zip(predicted_kinds, positions, strict=True))
    for kind in ("pooled_others", "other_language", "dose"):
        of_kind = [
            p
            for one in found
            for k, _, places in [one.predicted.get("dev", ((), (), ()))]
            for name, p in zip(k, places, strict=True)
            if name == kind
        ]
        draws = len(InfluenceParameters().dose_shares) if kind == "dose" else 1
        assert sorted(of_kind) == sorted([*range(10)] * draws)


def test_inherited_masks_are_scored_for_their_own_language():
    found = planned(mask_kinds=("none", "inherited"))
    assert [p.name for p in found] == ["none", "inherited-de", "inherited-en"]
    assert found[1].mask_kinds == ("inherited", "inherited") and found[1].positions.tolist() == [0, 1]


def test_other_languages_share_the_pass_of_the_mask():
    found = planned(mask_kinds=("none", "own", "other_language"))
    assert found[1].mask_kinds == ("own", "own", "other_language", "other_language")
    assert found[1].mask_languages == ("de",) * 4


def test_other_languages_masks_take_turns_over_the_examples():
    p = InfluenceParameters(mask_kinds=("none", "own", "other_language"), evaluation_per_language=6)
    of = {t: np.arange(6) + 10 * i for i, t in enumerate(p.languages)}
    under = {t: _columns(p.mask_kinds, "own", t, of) for t in p.languages}
    for kinds, _, positions in under.values():
        assert sorted(positions[np.array(kinds) == "own"] % 10) == list(range(6))
    others = [
        x for k, _, positions in under.values() for kind, x in zip(k, positions, strict=True) if kind != "own"
    ]
    assert sorted(others) == sorted(np.concatenate(list(of.values())))


def test_a_part_of_the_training_examples_are_the_first_of_each_language():
    train = examples(4, "train")
    material = SimpleNamespace(examples={"train": train})
    found = scored_train(material, SimpleNamespace(scored_per_language=3))
    assert found.ids.tolist() == [f"train-{t}-{i}" for t in LANGUAGES for i in range(3)]
    assert scored_train(material, SimpleNamespace(scored_per_language=None)) is train


def test_own_gradients_are_one_pass_with_a_mask_for_every_example():
    found = planned(mask_kinds=("none", "own"), train_gradient_masks=("own_language",))
    assert [p.name for p in found] == ["none", "own-gradients"]
    assert found[1].train_mask.shape == (8, 2, 3) and found[1].evaluation_mask.shape == (4, 2, 3)
    assert found[1].train_gradient_mask == "own_language"


def test_own_and_pooled_others_masks_have_own_gradients_and_no_other_kind_has():
    kinds = ("none", "own", "pooled_others", "accuracy_matched", "other_language", "dose")
    found = planned(mask_kinds=kinds, train_gradient_masks=("test_example", "own_language"))
    own = [p for p in found if p.train_gradient_mask == "own_language"]
    assert [p.name for p in own] == ["own-gradients", "pooled_others-gradients"]
    masks = {p.name: p.evaluation_mask for p in found}
    for one, kind in zip(own, ("own", "pooled_others"), strict=True):
        assert set(one.mask_kinds) == {kind} and one.mask_languages == ("de", "de", "en", "en")
        for mask, language in zip(one.evaluation_mask, one.mask_languages, strict=True):
            assert (mask == masks[f"{kind}-{language}"]).all()


def test_training_items_are_whole_sets_of_translations():
    found = planned(mask_kinds=("none",), train_items=2)
    item = found[1]
    assert (item.name, item.split, item.mask_kinds) == ("train-items", "train", ("none",) * 4)
    assert item.positions.tolist() == [0, 1, 4, 5]


def test_a_task_without_translations_refuses_training_items():
    with pytest.raises(InputError, match="train_items: 1; allowed: at most 0"):
        translated_items(examples(4, "x", parallel=False), 1)
    with pytest.raises(InputError, match="train_items: 5; allowed: at most 4"):
        translated_items(examples(4, "x"), 5)
    one = examples(4, "x").of("de")
    with pytest.raises(InputError, match="train_items: 1; allowed: at most 0"):
        translated_items(one, 1)


OTHER_KINDS = [(), ("own",), ("own", "other_language"), ("own", "pooled_others"), ("other_seed", "inherited")]
OTHER_KINDS.append(("accuracy_matched", "dose"))


@pytest.mark.parametrize("kinds", OTHER_KINDS)
@pytest.mark.parametrize("gradients", [("test_example",), ("test_example", "own_language")])
def test_columns_are_counted_without_masks(kinds: tuple, gradients: tuple) -> None:
    values = {"mask_kinds": ("none", "random", *kinds), "random_draws": 2, "train_items": 3}
    passes = planned(**values, train_gradient_masks=gradients)
    p = InfluenceParameters(
        languages=LANGUAGES,
        train_per_language=4,
        evaluation_per_language=2,
        top_k=3,
        train_gradient_masks=gradients,
        **values,
    )
    assert count_columns(p) == sum(len(one.positions) for one in passes)
