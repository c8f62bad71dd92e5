"""The in-language share against accuracy, by mask."""

from __future__ import annotations

import pandas as pd
import pytest

from modspec.analysis.damage import share_by_accuracy

LANGUAGES = ("en", "de")


def statistics(kinds: dict[tuple[str, int], dict[str, list[float]]], condition: str = "full") -> pd.DataFrame:
    """Shares of test examples by kind of mask and draw, and language."""
    rows = [
        (condition, 0, kind, draw, t, u, "cosine", "test_example", share if u == t else 1 - share, 0.5)
        for (kind, draw), by_language in kinds.items()
        for t, shares in by_language.items()
        for share in shares
        for u in LANGUAGES
    ]
    columns = ["condition", "seed", "mask_kind", "draw", "language", "train_language", "score"]
    return pd.DataFrame(rows, columns=[*columns, "train_gradient_mask", "proponents", "chance"])


def accuracies(kinds: dict[tuple[str, float | None], float], condition: str = "full") -> pd.DataFrame:
    rows = [
        (condition, 0, kind, draw, t, split, accuracy + (0.1 if t == "en" else -0.1) - (split == "dev"))
        for (kind, draw), accuracy in kinds.items()
        for t in LANGUAGES
        for split in ("dev", "test")
    ]
    columns = ["condition", "seed", "mask_kind", "draw", "language", "split", "accuracy"]
    return pd.DataFrame(rows, columns=columns).assign(mask_language="")


def test_languages_count_alike_and_draws_stay_apart() -> None:
    shares = {
        ("none", 0): {"en": [0.6, 0.8, 0.7], "de": [0.5]},
        ("dose", 0): {"en": [0.8], "de": [0.6]},
        ("dose", 1): {"en": [0.9], "de": [0.7]},
    }
    right = {("none", None): 0.8, ("dose", 0): 0.6, ("dose", 1): 0.5, ("own", None): 0.7}
    table = share_by_accuracy(statistics(shares), accuracies(right))
    assert list(zip(table["mask_kind"], table["draw"], strict=True)) == list(shares)
    assert table["value"].tolist() == pytest.approx([0.6, 0.7, 0.8])
    assert table["accuracy"].tolist() == pytest.approx([0.8, 0.6, 0.5])
    assert (table["chance"] == 0.5).all()


def test_conditions_without_controls_are_left_out() -> None:
    shares = {("none", 0): {"en": [0.6], "de": [0.5]}, ("own", 0): {"en": [0.8], "de": [0.6]}}
    right = accuracies({("none", None): 0.8, ("own", None): 0.7}, "sft")
    assert share_by_accuracy(statistics(shares, "sft"), right).empty
    # The first version recorded no accuracy of the controls that it scored, but that of others.
    shares["random", 0] = {"en": [0.9], "de": [0.9]}
    others = accuracies({("random", None): 0.5}, "sft").assign(mask_language="en")
    recorded = pd.concat([right, others]).drop(columns="draw")
    assert share_by_accuracy(statistics(shares, "sft"), recorded).empty
