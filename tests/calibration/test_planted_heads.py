"""Planted heads: masks, ratings, and their agreement with what was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from modspec.calibration import planted_heads as planted
from modspec.calibration import planting, scorers
from modspec.calibration.models import searched_mask
from modspec.calibration.planted_heads import (
    by_influence,
    planted_accuracy,
    planted_heads,
    planted_subnetworks,
    planting_attempts,
    recovery,
)
from modspec.calibration.planting import planting_sentence
from modspec.errors import InputError
from modspec.influence import influence
from modspec.subnetworks.head_importance import head_gradients, importance
from tests.calibration.test_scorers import count_trainings
from tests.calibration.test_templates import tiny
from tests.helpers.models import HEADS, LAYERS, projection, random_encoder, random_examples

# Ratings.


def test_influence_rates_heads_by_own_minus_other_languages() -> None:
    model = random_encoder()
    train, evaluation = random_examples(12, seed=1), random_examples(6, seed=2)
    scores = influence(model, train, evaluation, by_part=True)
    ratings = by_influence(model, train, evaluation)
    assert set(ratings) == {(f"influence, {s}", t) for s in ("cosine", "dot") for t in ("en", "de")}
    for (name, language), found in ratings.items():
        parts = {"influence, cosine": scores.cosine_by_part, "influence, dot": scores.dot_by_part}[name]
        found = found.reshape(LAYERS, HEADS)
        for group, part in zip(scores.parts, parts, strict=True):
            if group.part == "head":
                columns = part[:, evaluation.languages == language]
                own = train.languages == language
                expected = columns[own].mean() - columns[~own].mean()
                assert found[group.layer - 1, group.head - 1] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_search_and_importance_find_the_only_heads_that_reach_the_output() -> None:
    """Columns of the output projection are zero but for those of one head in each layer."""
    model = random_encoder(dtype=torch.float32)
    alive = np.zeros((LAYERS, HEADS), dtype=bool)
    alive[[0, 1], [2, 0]] = True
    size = model.config.hidden_size // HEADS
    with torch.no_grad():
        for layer in range(LAYERS):
            columns = torch.from_numpy(np.repeat(~alive[layer], size))
            model.get_parameter(projection(layer, "bert"))[:, columns] = 0
    train = random_examples(12)
    _, p = tiny(step=0.2, threshold=1.0)
    assert ((importance(head_gradients(model, train)) > 0) == alive).all()
    mask = searched_mask(model, train, train, p, torch.float32)
    assert (mask >= alive).all() or mask.sum() < 2
    assert mask.sum() < LAYERS * HEADS


# Agreement.


def rated(
    values: dict[tuple[int, str], np.ndarray], owners: dict[int, np.ndarray], score: str
) -> pd.DataFrame:
    frames = []
    for (seed, language), of in values.items():
        layers, heads = np.indices(of.shape) + 1
        columns = {"layer": layers, "head": heads, "owner": owners[seed], "value": of}
        frames.append(
            pd.DataFrame({k: v.ravel() for k, v in columns.items()}).assign(seed=seed, language=language)
        )
    table = pd.concat(frames).sample(frac=1, random_state=0)
    return table.assign(languages=2, condition="sft_random", score=score)


def owners_of(seed: int) -> np.ndarray:
    """6 layers of 4 heads, of which one is planted for each of two languages and two for none."""
    grid = np.tile(np.array(["de", "en", "", ""], dtype=object), (6, 1))
    return np.random.default_rng(seed).permuted(grid, axis=1)


def test_precision_recall_and_auc_by_hand() -> None:
    owners = {0: np.array([["de", "en", "", ""], ["", "de", "en", ""]], dtype=object)}
    values = {
        (0, "de"): np.array([[0.9, 0.8, 0.1, 0.0], [0.2, 0.3, 0.4, 0.5]]),
        (0, "en"): np.array([[0.1, 0.9, 0.0, 0.2], [0.3, 0.4, 0.8, 0.5]]),
    }
    table = recovery(rated(values, owners, "importance"), 200).set_index(["measure", "language"])
    # de: rated highest are its own head and one of en; above its second head, 0.3, are en's two and one more.
    assert table.loc[("precision", "de"), ["value", "others", "chance"]].tolist() == [0.5, 0.5, 0.25]
    assert table.loc[("auc", "de"), "value"] == pytest.approx((6 + 3) / 12)
    assert table.loc[("precision", "en"), ["value", "others", "chance"]].tolist() == [1, 0, 0.25]
    assert table.loc[("auc", "en"), "value"] == 1
    assert table.loc[("auc", "all languages"), "value"] == pytest.approx((0.75 + 1) / 2)
    assert (table.loc["auc", "chance"] == 0.5).all()
    masks = {
        (0, "de"): np.array([[1, 1, 0, 0], [0, 1, 0, 0]]),
        (0, "en"): np.array([[1, 1, 1, 0], [0, 0, 0, 1]]),
    }
    table = recovery(rated(masks, owners, "search"), 200).set_index(["measure", "language"])
    assert table.loc[("precision", "de"), ["value", "others"]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert table.loc[("recall", "de"), ["value", "others", "chance"]].tolist() == [1, 0.5, 3 / 8]
    assert table.loc[("precision", "en"), ["value", "others"]].tolist() == [0.25, 0.25]
    assert table.loc[("recall", "all languages"), ["value", "others", "chance"]].tolist() == [
        0.75,
        0.5,
        3.5 / 8,
    ]


def test_planted_ratings_are_found_and_random_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    owners = {seed: owners_of(seed) for seed in range(3)}
    noise = {(s, t): rng.random((6, 4)) for s in owners for t in ("de", "en")}
    clear = {(s, t): of / 10 + (owners[s] == t) for (s, t), of in noise.items()}
    found = recovery(rated(clear, owners, "importance"), 999)
    assert (found["value"] == 1).all() and (found["others"] <= 0.5).all()
    assert (found["p"] == 1 / 1000).all() and (found["chance_high"] < 1).all() and (found["seeds"] == 3).all()
    nothing = recovery(rated(noise, owners, "importance"), 999)
    pooled = nothing[nothing["language"] == "all languages"]
    assert (pooled["p"] > 0.05).all()
    assert ((pooled["chance_low"] <= pooled["value"]) & (pooled["value"] <= pooled["chance_high"])).all()
    # Random plantings average to chance.
    assert ((pooled["chance_low"] + pooled["chance_high"]) / 2).to_numpy() == pytest.approx(
        pooled["chance"].to_numpy(), abs=0.05
    )


def test_the_test_of_recovery_holds_its_level() -> None:
    rng = np.random.default_rng(0)
    p = []
    for study in range(200):
        owners = {0: owners_of(study)}
        # Heads of one layer are rated alike, and languages alike: neither may make random heads "found".
        common = rng.standard_normal((6, 1)) + rng.standard_normal((6, 4))
        values = {(0, t): common + 0.3 * rng.standard_normal((6, 4)) for t in ("de", "en")}
        table = recovery(rated(values, owners, "importance"), 99)
        p.append(table[(table["measure"] == "auc") & (table["language"] == "all languages")]["p"].item())
    assert 1 <= np.sum(np.array(p) <= 0.05) <= 20  # 10 expected; binomial, both tails below 0.002


# The experiment.


@pytest.mark.slow
def test_models_are_kept_and_told_apart(tmp_path, monkeypatch) -> None:
    material, p = tiny(planted_languages=(2, 3), planted_attempts=1, planted_epochs=2)
    monkeypatch.setattr(planting, "TAKEN", -2.0)  # whatever the tiny encoder learnt
    seeds = count_trainings(monkeypatch, planted, planting)
    scorers.trained.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        planted_heads(material, p, tmp_path)
    scorers.trained.stop_at = 0
    table = planted_heads(material, p, tmp_path)
    accuracy = planted_accuracy(material, p, tmp_path)
    assert len(seeds) == 2 * 3 * 2 + 1
    assert table.groupby(["languages", "condition", "score"]).ngroups == 2 * 2 * 4
    assert set(table["language"]) == {"all languages", "de", "en", "fr"}
    assert set(table[table["languages"] == 2]["language"]) == {"all languages", "de", "en"}
    ratings = pd.read_parquet(tmp_path / "planted" / "heads.parquet")
    assert len(ratings) == 12 * 4 * 2 * 2 * (2 + 3)
    owners = ratings[(ratings["languages"] == 3) & (ratings["seed"] == 1)].groupby(["layer", "head"])["owner"]
    assert (owners.nunique() == 1).all()
    assert set(accuracy["mask_kind"]) == {"none", "own", "other_language"}
    assert accuracy["accuracy"].between(0, 1).all() and (accuracy["seeds"] == 2).all()
    effects = planted_subnetworks(material, p, tmp_path)
    rows = effects.groupby(["languages", "condition"]).size().to_dict()
    of_two, of_three = ({"sft_random": n + 1, "full": n + 1, "matched": 1} for n in (2, 3))
    expected = {(2, name): n for name, n in of_two.items()} | {(3, name): n for name, n in of_three.items()}
    assert rows == expected and (effects["seeds"] == 2).all()
    assert set(effects.query("condition == 'matched'")["language"]) == {"de"}
    assert len(planting_attempts(material, p, tmp_path)) == 2 * (2 + 3)


def test_where_planting_failed_nothing_is_claimed(tmp_path, monkeypatch) -> None:
    material, p = tiny(planted_attempts=2, planted_epochs=1, planted_seeds=(0,))
    monkeypatch.setattr(planting, "TAKEN", 2.0)  # never
    assert planted_heads(material, p, tmp_path).empty
    assert set(planted_subnetworks(material, p, tmp_path)["condition"]) == {"matched"}
    attempts = planting_attempts(material, p, tmp_path)
    assert attempts["attempt"].tolist() == [1, 1, 2, 2] and not attempts["took"].any()
    assert "failed" in planting_sentence(attempts)


def test_only_languages_that_there_are_can_be_planted(tmp_path) -> None:
    with pytest.raises(InputError, match="^planted_languages: 4; allowed: 2 to 3, the languages"):
        material, p = tiny(planted_languages=(2, 4))
        planted_heads(material, p, tmp_path)
    assert not list(tmp_path.iterdir())
