"""Synthetic frames of the figures of claims."""

from __future__ import annotations

import numpy as np
import pandas as pd

from modspec import terms

COMPARISONS = {
    claim: [
        text
        for text, comparison in terms.COMPARISONS.items()
        if comparison.claim == claim and "all masks'" not in text
    ]
    for claim in terms.CLAIMS
}
VERDICTS = dict.fromkeys(["C3", "C5", "C6"], ["rises", "falls", "undecided"])
CHOICES = ["study's own (cosine, k = 100)", *(f"k = {k}" for k in (10, 20, 30, 50, 200, 500))]
CHOICES += [
    "AUC instead of top k",
    "AUC within label",
    "opponents",
    "dot product",
    "last checkpoint",
    "eta = one",
]
CHOICES += ["SFT: own-mask gradients", "masks by inherited importance"]
SHARE_CLAIMS = ("C0", "C1", "C2", "C3", "C6")
KINDS = ["none", "own", "other_language", "other_seed", "random"]


def claim_frames(languages: list[str], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Frames of claims, sensitivity and share_by_k for these languages."""

    def point(claim: str) -> tuple:
        value = rng.normal(0, 0.03) * (1e-4 if claim == "C4" else 1)
        verdict = rng.choice(VERDICTS.get(claim, ["supported", "contradicted", "undecided"]))
        return value, value - abs(value) / 2, value + abs(value) / 2, verdict

    claims = [
        (claim, comparison, t, *point(claim))
        for claim, comparisons in COMPARISONS.items()
        for comparison in comparisons
        for t in (*languages, "all languages")
        if (claim, t) != ("C4", "all languages")
    ]
    sensitivity = [
        (choice, claim, comparison, *point(claim))
        for choice in CHOICES
        for claim in SHARE_CLAIMS
        for comparison in COMPARISONS[claim]
    ]
    chance = 1 / len(languages)
    shares = [
        (kind, k, chance + 0.1 / k, chance + 0.05 / k, chance + 0.15 / k, chance)
        for kind in KINDS
        for k in (10, 20, 30, 50, 100, 200, 500)
    ]
    columns = {
        "claims": "claim comparison language value low high verdict",
        "sensitivity": "choice claim comparison value low high verdict",
        "share_by_k": "mask_kind top_k value low high chance",
    }
    return {
        name: pd.DataFrame(rows, columns=listed.split())
        for (name, listed), rows in zip(columns.items(), (claims, sensitivity, shares), strict=True)
    }
