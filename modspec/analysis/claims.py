"""The claims, tested: effects, intervals, p-values, verdicts. All but C0 and C6 were fixed before any run.

    C0  S_t(no mask) exceeds chance in the fully fine-tuned model (the baseline)
    C1  Delta_t = S_t(own mask) - S_t(no mask) > 0 in the fully fine-tuned model
    C2  Delta_t exceeds that of random, other languages' and other seeds' masks
    C3  under SFT the change in S_t is not uniformly positive: some languages lose specialization
    C4  where S_t falls under SFT, the influence of other languages' examples rises
    C5  what SFT does to accuracy, against full fine-tuning and SFT with random masks (direction open)
    C6  what SFT does to Delta_t (direction open; asked after the results of intents, xnli and reviews were
        seen, so that a verdict on those is no test of it)

A p-value is the larger of two, so that both must hold: a t test over seeds and evaluation examples (would
other seeds and sentences show it?), and a permutation of the training examples' language labels (would any
grouping of these training examples show it?). C4 and C5 are no shares and have the first alone. All tests
are two-sided, as the intervals are. Holm's correction within a claim, over languages and controls; the row of
all languages stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modspec.analysis.intervals import Estimate, adjusted, bootstrap_interval, estimate
from modspec.analysis.measurements import Cell
from modspec.analysis.membership import Membership
from modspec.analysis.permutation import language_permutation
from modspec.figures.frames import ALL_LANGUAGES

UPWARD = ("C0", "C1", "C2", "C4")  # claims that something is above zero
CONTROLS = ("random", "other_language", "other_seed")
SPARSE = {
    "sft": "SFT",
    "sft_random": "SFT with random masks",
    "sft_intersection": "SFT with all masks' intersection",
    "sft_union": "SFT with all masks' union",
}
COLUMNS = [
    "claim",
    "comparison",
    "language",
    "value",
    "low",
    "high",
    "bootstrap_low",
    "bootstrap_high",
    "effect_size",
    "p_permutation",
    "p_t",
    "p",
    "p_adjusted",
    "minimum_detectable",
    "seeds",
    "examples",
    "verdict",
]
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Level:
    """How sure to be: level of intervals and, as 1 - confidence, of tests; how often language labels are
    shuffled, and values resampled for bootstrap intervals."""

    confidence: float = 0.95
    permutations: int = 1999
    resamples: int = 2000

    @property
    def alpha(self) -> float:
        """Level of the tests."""
        return 1 - self.confidence


@dataclass(frozen=True)
class Effect:
    """One row to be: values (seeds, examples), and the cells that made them (none for C4 and C5)."""

    claim: str
    comparison: str
    language: str
    values: np.ndarray
    cells: Mapping[str, Cell] | None = None


def claims(
    membership: Membership, predictions: pd.DataFrame, strata: np.ndarray, level: Level
) -> pd.DataFrame:
    """The claims table: a row for each claim, comparison and language, and for all languages.

    ``predictions``: stage 2's, of all conditions and seeds. ``strata``: int (train,), within which language
    labels are exchangeable, see :func:`exchangeable`. Values are shares (C0 to C3, C6), mean scores (C4) and
    accuracies (C5); ``effect_size`` is the mean over the standard deviation of examples. Claims that the
    study's conditions and masks cannot show have no rows.
    """
    effects = [*share_effects(membership), *cross_effects(membership), *accuracy_effects(predictions)]
    if not effects:
        return pd.DataFrame(columns=COLUMNS)
    permuted = _permutations(membership, [e for e in effects if e.cells], strata, level)
    rows = [_row(effect, permuted.get(id(effect)), level) for effect in effects]
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    for _, family in table[table["language"] != ALL_LANGUAGES].groupby("claim"):
        table.loc[family.index, "p_adjusted"] = adjusted(family["p"].to_numpy(), "holm")
    table["verdict"] = [_verdict(row, level) for row in table.itertuples()]
    # C4 speaks of languages whose share falls: where that is not sure, its rows decide nothing.
    table.loc[(table["claim"] == "C4") & ~table["language"].isin(_falling(table)), "verdict"] = UNDECIDED
    return table


def _falling(table: pd.DataFrame) -> set[str]:
    """The languages whose share falls reliably under SFT, by C3."""
    c3 = table[(table["claim"] == "C3") & (table["comparison"] == "SFT - full")]
    return set(c3[c3["verdict"] == "falls"]["language"]) - {ALL_LANGUAGES}


def exchangeable(train: pd.DataFrame) -> np.ndarray:
    """Strata of training examples whose languages could have been otherwise: int (n,).

    Translations of one example where the task is parallel, else examples of one label: what a language's
    examples say shall not pass for the language.
    """
    languages_a_group = train.groupby("group")["language"].nunique()
    parallel = (languages_a_group == train["language"].nunique()).all() and len(languages_a_group) > 1
    key = "group" if parallel and train["language"].nunique() > 1 else "label"
    return pd.factorize(train[key])[0]


def share_effects(membership: Membership) -> Iterator[Effect]:
    """C0 to C3 and C6: differences of in-language shares."""
    has = membership.has
    for language in (*membership.languages, ALL_LANGUAGES):
        if not has("full", "none"):
            return
        baseline = _cells(membership, "full", "none", language)
        yield _effect("C0", "no mask - chance", language, baseline)
        if has("full", "own"):
            own = _cells(membership, "full", "own", language)
            yield _effect("C1", "own mask - no mask", language, _minus(own, baseline))
            for control in CONTROLS:
                if has("full", control):
                    other = _cells(membership, "full", control, language)
                    name = {"random": "random mask", "other_language": "other languages' masks"}
                    comparison = f"own mask - {name.get(control, 'other seed')}"
                    yield _effect("C2", comparison, language, _minus(own, other))
        for condition, name in SPARSE.items():
            if has(condition, "own"):
                sparse = _cells(membership, condition, "own", language)
                yield _effect("C3", f"{name} - full", language, _minus(sparse, baseline))
                if has("full", "own") and has(condition, "none"):
                    added = _minus(sparse, _cells(membership, condition, "none", language))
                    change = _minus(added, _minus(own, baseline))
                    yield _effect("C6", f"{name} - full, specialization", language, change)


def cross_effects(membership: Membership) -> Iterator[Effect]:
    """C4: change in the mean score of other languages' examples where S_t falls under SFT."""
    if not (membership.has("sft", "own") and membership.has("full", "none")):
        return
    for language in membership.languages:
        before, after = (membership.cell(*run, language) for run in (("full", "none"), ("sft", "own")))
        change = after.minus(before)
        if change.values.mean() < 0:
            yield Effect("C4", "SFT - full, other languages' scores", language, change.cross)


def accuracy_effects(predictions: pd.DataFrame) -> Iterator[Effect]:
    """C5: test accuracy under the masks in force, paired by seed and test example."""
    test = predictions[predictions["split"] == "test"]
    right = {
        (condition, kind): (rows[kind] == rows["label"])
        .astype(float)
        .to_frame("right")
        .assign(seed=rows["seed"], id=rows["id"], language=rows["language"])
        for condition, rows in test.groupby("condition", sort=False)
        for kind in ("no_mask", "in_force")
    }
    sparse = right.get(("sft", "in_force"))
    for name, other in (("full", ("full", "no_mask")), ("SFT with random masks", ("sft_random", "in_force"))):
        if sparse is None or other not in right:
            continue
        for language in (*dict.fromkeys(sparse["language"]), ALL_LANGUAGES):
            tables = [
                rows[(rows["language"] == language) | (language == ALL_LANGUAGES)].pivot(
                    index="seed", columns="id", values="right"
                )
                for rows in (sparse, right[other])
            ]
            yield Effect("C5", f"SFT - {name}, accuracy", language, (tables[0] - tables[1]).to_numpy())


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """One verdict a claim and comparison, by the rule that its wording asks for: claim, comparison, verdict.

    C0, C1, C2, C5, C6: the row of all languages; C2 as a whole needs every control. C3: supported if any
    language's share falls, contradicted if every one rises. C4: of languages whose share falls reliably,
    supported if cross-language scores rise in all of them; undecided where there are none.
    """
    rows = []
    for (claim, comparison), part in table.groupby(["claim", "comparison"], sort=False):
        single = part[part["language"] != ALL_LANGUAGES]
        whole = part[part["language"] == ALL_LANGUAGES]
        if claim == "C3":
            verdict = UNDECIDED
            if (single["verdict"] == "falls").any():
                verdict = "supported"
            elif (single["verdict"] == "rises").all():
                verdict = "contradicted"
        elif claim == "C4":
            verdicts = set(single[single["language"].isin(_falling(table))]["verdict"])
            verdict = verdicts.pop() if len(verdicts) == 1 else UNDECIDED
        else:
            verdict = whole["verdict"].iloc[0]
        rows.append((claim, comparison, verdict))
    return pd.DataFrame(rows, columns=["claim", "comparison", "verdict"])


def _cells(membership: Membership, condition: str, kind: str, language: str) -> dict[str, Cell]:
    """One language's cell, or every language's."""
    languages = membership.languages if language == ALL_LANGUAGES else [language]
    return {of: membership.cell(condition, kind, of) for of in languages}


def _minus(a: Mapping[str, Cell], b: Mapping[str, Cell]) -> dict[str, Cell]:
    return {language: a[language].minus(b[language]) for language in a}


def _effect(claim: str, comparison: str, language: str, cells: Mapping[str, Cell]) -> Effect:
    values = np.concatenate([cell.values for cell in cells.values()], axis=1)
    return Effect(claim, comparison, language, values, cells)


def _permutations(
    membership: Membership, effects: Sequence[Effect], strata: np.ndarray, level: Level
) -> dict[int, float]:
    """p by effect, all under the same shuffled labels."""
    labels = pd.Categorical(membership.train["language"], membership.languages).codes
    weights = np.zeros((len(effects), len(membership.languages), len(labels)), dtype=np.float32)
    for row, effect in zip(weights, effects, strict=True):
        count = sum(cell.values.size for cell in effect.cells.values())
        for language, cell in effect.cells.items():
            examples = cell.values.shape[1]
            row[membership.languages.index(language)] = cell.weights.sum(axis=0) * (examples / count)
    p = language_permutation(weights, labels, strata, resamples=level.permutations)
    return {id(effect): float(value) for effect, value in zip(effects, p, strict=True)}


def _row(effect: Effect, p_permutation: float | None, level: Level) -> tuple:
    found: Estimate = estimate(effect.values, confidence=level.confidence)
    boot = bootstrap_interval(effect.values, confidence=level.confidence, resamples=level.resamples)
    spread = effect.values.mean(axis=0).std(ddof=1) if effect.values.shape[1] > 1 else np.nan
    both = [found.p] if p_permutation is None else [found.p, p_permutation]
    p = float(np.max(both))
    return (
        effect.claim,
        effect.comparison,
        effect.language,
        found.value,
        found.low,
        found.high,
        *boot,
        found.value / spread if spread > 0 else np.nan,
        np.nan if p_permutation is None else p_permutation,
        found.p,
        p,
        p,
        found.minimum_detectable,
        found.seeds,
        found.examples,
    )


def _verdict(row: tuple, level: Level) -> str:
    """Of one row: supported or contradicted where the claim is that it is above zero; else rises or falls;
    undecided where the corrected test does not reject."""
    if not row.p_adjusted < level.alpha:
        return UNDECIDED
    names = ("supported", "contradicted") if row.claim in UPWARD else ("rises", "falls")
    return names[0] if row.value > 0 else names[1]
