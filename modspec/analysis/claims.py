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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modspec.analysis.intervals import adjusted, bootstrap_interval, estimate
from modspec.analysis.measurements import DEFAULT, Cell, Setting, StudyRuns
from modspec.analysis.permutation import language_permutation
from modspec.terms import ALL_LANGUAGES, CLAIMS

UPWARD = {claim.code for claim in CLAIMS if claim.direction == "positive"}
CONTROL_NAMES = {
    "random": "random mask",
    "other_language": "other languages' masks",
    "other_seed": "other seed",
}
SPARSE = {
    "sft": "SFT",
    "sft_random": "SFT with random masks",
    "sft_intersection": "SFT with all masks' intersection",
    "sft_union": "SFT with all masks' union",
}
COLUMNS = ["claim", "comparison", "language", "value", "low", "high", "bootstrap_low", "bootstrap_high"]
COLUMNS += ["effect_size", "p_permutation", "p_t", "p", "p_adjusted", "minimum_detectable", "seeds"]
COLUMNS += ["examples", "verdict"]
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
    """One row of the claims table before it is tested."""

    claim: str
    comparison: str
    language: str
    values: np.ndarray  # (seeds, examples)
    cells: Mapping[str, Cell] | None = None  # by language; None for C4 and C5, which are no shares


def claims(
    runs: StudyRuns, predictions: pd.DataFrame, strata: np.ndarray, level: Level, setting: Setting = DEFAULT
) -> pd.DataFrame:
    """Return the claims table: one row per claim, comparison and language, and one for all languages.

    Args:
        runs: of all conditions and seeds.
        predictions: stage 2's, of all conditions and seeds.
        strata: int (train,), within which language labels are exchangeable, see :func:`exchangeable`.
        level: of intervals and tests.
        setting: how shares are measured.

    Returns:
        ``COLUMNS``. Values are shares (C0 to C3, C6), mean scores (C4) and accuracies (C5); ``effect_size`` is
        the mean over the standard deviation of examples. Claims that the study's conditions and masks cannot
        show have no rows.
    """
    effects = [
        *share_effects(runs, setting),
        *(cross_effects(runs) if setting == DEFAULT else ()),
        *accuracy_effects(predictions),
    ]
    if not effects:
        return pd.DataFrame(columns=COLUMNS)
    permuted = _permutations(runs, effects, strata, level)
    rows = [_row(effect, p, level) for effect, p in zip(effects, permuted, strict=True)]
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


def share_effects(runs: StudyRuns, setting: Setting) -> Iterator[Effect]:
    """Yield C0 to C3 and C6: differences of in-language shares."""
    if not runs.has("full", "none", setting):
        return
    for language in (*runs.languages, ALL_LANGUAGES):
        languages = runs.languages if language == ALL_LANGUAGES else [language]

        def effect(
            claim: str,
            comparison: str,
            cell: Callable[[str], Cell],
            *,
            language: str = language,
            languages: Sequence[str] = languages,
        ) -> Effect:
            cells = {t: cell(t) for t in languages}
            values = np.concatenate([cell.values for cell in cells.values()], axis=1)
            return Effect(claim, comparison, language, values, cells)

        has_own = runs.has("full", "own", setting)
        yield effect("C0", "no mask - chance", lambda t: runs.cell("full", "none", t, setting))
        if has_own:
            yield effect("C1", "own mask - no mask", lambda t: runs.specialization("full", t, setting))
            for control, name in CONTROL_NAMES.items():
                if runs.has("full", control, setting):
                    yield effect(
                        "C2",
                        f"own mask - {name}",
                        lambda t, control=control: runs.cell("full", "own", t, setting).minus(
                            runs.cell("full", control, t, setting)
                        ),
                    )
        for condition, name in SPARSE.items():
            if runs.has(condition, "own", setting):
                yield effect(
                    "C3", f"{name} - full", lambda t, condition=condition: runs.change(condition, t, setting)
                )
                if has_own and runs.has(condition, "none", setting):
                    yield effect(
                        "C6",
                        f"{name} - full, specialization",
                        lambda t, condition=condition: runs.specialization(condition, t, setting).minus(
                            runs.specialization("full", t, setting)
                        ),
                    )


def cross_effects(runs: StudyRuns) -> Iterator[Effect]:
    """Yield C4: the change in the mean score of other languages' examples where S_t falls under SFT."""
    if runs.has("sft", "own") and runs.has("full", "none"):
        for language in runs.languages:
            if runs.change("sft", language).values.mean() < 0:
                change = runs.cross_score("sft", "own", language) - runs.cross_score("full", "none", language)
                yield Effect("C4", "SFT - full, other languages' scores", language, change)


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


def _permutations(
    runs: StudyRuns, effects: Sequence[Effect], strata: np.ndarray, level: Level
) -> list[float | None]:
    """p of every effect on shares, all under the same shuffled labels; None for the others."""
    on_shares = [effect for effect in effects if effect.cells]
    labels = pd.Categorical(runs.train["language"], runs.languages).codes
    weights = np.zeros((len(on_shares), len(runs.languages), len(labels)), dtype=np.float32)
    for row, effect in zip(weights, on_shares, strict=True):
        count = sum(cell.values.size for cell in effect.cells.values())
        for language, cell in effect.cells.items():
            examples = cell.values.shape[1]
            row[runs.languages.index(language)] = cell.weights.sum(axis=0) * (examples / count)
    p = iter(language_permutation(weights, labels, strata, resamples=level.permutations))
    return [float(next(p)) if effect.cells else None for effect in effects]


def _row(effect: Effect, p_permutation: float | None, level: Level) -> tuple:
    found = estimate(effect.values, confidence=level.confidence)
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
