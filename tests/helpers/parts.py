"""Contributions of parts of an encoder, example by example, simulated; and stage 3's table of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LAYERS, HEADS, TOP_K = 2, 3, 4
TRAINING = {"de": 8, "en": 5, "fr": 7}  # examples a language: not the same number
EVALUATION = {"de": 3, "en": 3, "fr": 2}
PLANTED = (2, 3)  # layer and head that contribute where both languages are one


@dataclass(frozen=True)
class Simulation:
    """parts: (part, layer, head), of which heads make up ``attention`` too. contributions: {(condition,
    seed, evaluation language, id): array of shape (training examples, parts)}. trained: the training
    examples' languages."""

    parts: list[tuple[str, int, int]]
    contributions: dict[tuple[str, int, str, str], np.ndarray]
    trained: np.ndarray


def simulated(seeds: int = 2, conditions: tuple[str, ...] = ("full", "sft")) -> Simulation:
    """Small numbers around a pattern that seeds share, and one planted head; the same on every call."""
    parts = [("embeddings", 0, 0), ("classifier", LAYERS + 1, 0)]
    for layer in range(1, LAYERS + 1):
        parts += [("head", layer, head) for head in range(1, HEADS + 1)]
        parts += [("attention", layer, 0), ("feed-forward", layer, 0), ("norms", layer, 0)]
    rng = np.random.default_rng(seeds)
    common = rng.normal(0, 1e-7, len(parts))
    trained = np.repeat(list(TRAINING), list(TRAINING.values()))
    contributions = {}
    for condition in conditions:
        for seed in range(seeds):
            for language, count in EVALUATION.items():
                for number in range(count):
                    values = common + rng.normal(0, 1e-7, (len(trained), len(parts)))
                    values[trained == language, parts.index(("head", *PLANTED))] += 2e-6
                    for layer in range(1, LAYERS + 1):
                        heads = [parts.index(("head", layer, head)) for head in range(1, HEADS + 1)]
                        values[:, parts.index(("attention", layer, 0))] = values[:, heads].sum(axis=1)
                    contributions[condition, seed, language, f"{language}-{number}"] = values
    return Simulation(parts, contributions, trained)


def table(simulation: Simulation) -> pd.DataFrame:
    """``parts.parquet`` as stage 3 defines it, over all conditions and seeds."""
    rows = []
    for (condition, seed, language, number), values in simulation.contributions.items():
        for column, part in enumerate(simulation.parts):
            ranking = np.argsort(values[:, column])
            for trained, count in TRAINING.items():
                own = simulation.trained == trained
                shares = own[ranking[-TOP_K:]].mean(), own[ranking[:TOP_K]].mean()
                summed, chance = values[own, column].sum(), count / len(own)
                rows.append((condition, seed, language, number, trained, *part, *shares, summed, chance))
    names = "condition seed language id train_language part layer head proponents opponents influence chance"
    whole = pd.DataFrame(rows, columns=names.split())
    heads = whole[whole["part"] == "head"].assign(id="")
    means = heads.groupby(names.split()[:8], sort=False, as_index=False).mean()
    return pd.concat([whole[whole["part"] != "head"], means], ignore_index=True)
