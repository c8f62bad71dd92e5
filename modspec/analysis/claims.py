"""Test the claims: effects, intervals, p-values, verdicts.

    C0  S_t(no mask) exceeds chance in the fully fine-tuned model (the baseline)
    C1  Delta_t = S_t(own mask) - S_t(no mask) > 0 in the fully fine-tuned model
    C2  Delta_t exceeds that of random, other languages' and other seeds' masks
    C3  under SFT the change in S_t is not uniformly positive: some languages lose specialization
    C4  where S_t falls under SFT, the influence of other languages' examples rises
    C5  SFT changes accuracy, against full fine-tuning and SFT with random masks (direction open)
    C6  SFT changes Delta_t (direction open)

C0 to C5 entered the code after a first run of ``embedded`` and before the larger studies were run. C6 was
added after the results of intents, xnli and reviews were seen, so a verdict on those studies does not test it
(docs/log.md).

A p-value is the larger of two, so that both must hold: a t test over seeds and test examples (would other
seeds and sentences show it?), and a permutation of the training examples' language labels (would any grouping
of these training examples show it?). C4 and C5 are no shares and have the first alone. All tests are
two-sided, as the intervals are. Holm's correction is applied within a claim, over languages and controls; the
row of all languages together is not corrected.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from modspec.analysis.intervals import adjusted, bootstrap_interval, estimate
from modspec.analysis.measurements import DEFAULT, Cell, Setting, StudyRuns
from modspec.analysis.permutation import language_permutation
from modspec.terms import ALL_LANGUAGES, CLAIMS, COMPARISONS, Comparison

UPWARD = {claim.code for claim in CLAIMS if claim.direction == "positive"}
COLUMNS = ["claim", "comparison", "language", "value", "low", "high", "bootstrap_low", "bootstrap_high"]
COLUMNS += ["effect_size", "p_permutation", "p_t", "p", "p_adjusted", "minimum_detectable", "seeds"]
COLUMNS += ["examples", "verdict"]
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Level:
    """The level of intervals and tests."""

    confidence: float = 0.95  # of intervals; tests are at 1 - confidence
    permutations: int = 1999  # how often language labels are shuffled
    resamples: int = 2000  # of values, for bootstrap intervals; 0: none


@dataclass(frozen=True)
class Effect:
    """One row of the claims table before it is tested."""

    comparison: Comparison
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
        ``COLUMNS``. Values are shares (C0 to C3, C6), mean scores (C4) and accuracies (C5); ``effect_size``
        is the mean over the standard deviation of examples. Claims that the study's conditions and masks
        cannot show have no rows.
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
        table.loc[family.index, "p_adjusted"] = adjusted(family["p"].to_numpy())
    table["verdict"] = [_verdict(row, level) for row in table.itertuples()]
    # C4 speaks of languages whose share falls: its other rows decide nothing.
    table.loc[(table["claim"] == "C4") & ~table["language"].isin(_falling(table)), "verdict"] = UNDECIDED
    return table


def _falling(table: pd.DataFrame) -> set[str]:
    """Return the languages whose share falls significantly under SFT, by C3."""
    changes = {c.text for c in COMPARISONS.values() if (c.claim, c.condition) == ("C3", "sft")}
    falls = table["comparison"].isin(changes) & (table["verdict"] == "falls")
    return set(table[falls]["language"]) - {ALL_LANGUAGES}


def exchangeable(train: pd.DataFrame) -> np.ndarray:
    """Return strata of training examples whose languages could have been otherwise.

    Translations of one example where the task is parallel, otherwise examples of one label, so that the
    content of a language's examples is not mistaken for the language.

    Args:
        train: one row per training example: language, label, group.

    Returns:
        int (train,).
    """
    languages_per_group = train.groupby("group")["language"].nunique()
    languages = train["language"].nunique()
    parallel = languages > 1 and len(languages_per_group) > 1 and (languages_per_group == languages).all()
    return pd.factorize(train["group" if parallel else "label"])[0]


def share_effects(runs: StudyRuns, setting: Setting) -> Iterator[Effect]:
    """Yield C0 to C3 and C6: differences of in-language shares."""
    if not runs.has("full", "none", setting):
        return
    for language in (*runs.languages, ALL_LANGUAGES):
        languages = runs.languages if language == ALL_LANGUAGES else [language]
        for comparison in COMPARISONS.values():
            if all(runs.has(*cell, setting) for cell in _needed_cells(comparison)):
                cells = {t: _share_cell(runs, comparison, t, setting) for t in languages}
                values = np.concatenate([cell.values for cell in cells.values()], axis=1)
                yield Effect(comparison, language, values, cells)


def _needed_cells(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the conditions and kinds of mask that a difference of shares is made of, beside (full, none)."""
    condition = comparison.condition
    return {
        "C0": [("full", "none")],
        "C1": [("full", "own")],
        "C2": [("full", "own"), ("full", comparison.control)],
        "C3": [(condition, "own")],
        "C6": [("full", "own"), (condition, "own"), (condition, "none")],
    }.get(comparison.claim, [("", "")])  # C4 and C5 are no differences of shares


def _share_cell(runs: StudyRuns, comparison: Comparison, language: str, setting: Setting) -> Cell:
    """Return one language's difference of shares."""
    match comparison.claim:
        case "C0":
            return runs.cell("full", "none", language, setting)
        case "C1":
            return runs.specialization("full", language, setting)
        case "C2":
            control = runs.cell("full", comparison.control, language, setting)
            return runs.cell("full", "own", language, setting).minus(control)
        case "C3":
            return runs.change(comparison.condition, language, setting)
    full = runs.specialization("full", language, setting)
    return runs.specialization(comparison.condition, language, setting).minus(full)


def cross_effects(runs: StudyRuns) -> Iterator[Effect]:
    """Yield C4: the change in the mean score of other languages' examples where S_t falls under SFT."""
    (comparison,) = (comparison for comparison in COMPARISONS.values() if comparison.claim == "C4")
    if runs.has("sft", "own") and runs.has("full", "none"):
        for language in runs.languages:
            if runs.change("sft", language).values.mean() < 0:
                change = runs.cross_score("sft", "own", language) - runs.cross_score("full", "none", language)
                yield Effect(comparison, language, change)


def accuracy_effects(predictions: pd.DataFrame) -> Iterator[Effect]:
    """Yield C5: the change in test accuracy under the masks in force, paired by seed and test example."""
    test = predictions[predictions["split"] == "test"]
    present = set(test["condition"])
    for comparison in COMPARISONS.values():
        if comparison.claim == "C5" and {"sft", comparison.condition} <= present:
            sparse = _correct(test, "sft", "in_force")
            column = "no_mask" if comparison.condition == "full" else "in_force"
            baseline = _correct(test, comparison.condition, column)
            for language in (*dict.fromkeys(sparse["language"]), ALL_LANGUAGES):
                tables = [
                    rows[(rows["language"] == language) | (language == ALL_LANGUAGES)].pivot(
                        index="seed", columns="id", values="correct"
                    )
                    for rows in (sparse, baseline)
                ]
                yield Effect(comparison, language, (tables[0] - tables[1]).to_numpy())


def _correct(test: pd.DataFrame, condition: str, column: str) -> pd.DataFrame:
    rows = test[test["condition"] == condition]
    return rows.assign(correct=(rows[column] == rows["label"]).astype(float))


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """Return one verdict per claim and comparison, by the rule that the claim's wording asks for.

    C0, C1, C2, C5, C6: that of all languages together. C3: supported if any language's share falls,
    contradicted if every one rises. C4: the verdict that all languages have whose share falls significantly;
    undecided where they differ or there are none.

    Args:
        table: :func:`claims`.

    Returns:
        Columns claim, comparison, verdict.
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
) -> list[float]:
    """Return p of every effect on shares, all under the same shuffled labels; NaN for the others."""
    on_shares = [effect for effect in effects if effect.cells]
    labels = pd.Categorical(runs.train["language"], runs.languages).codes
    weights = np.zeros((len(on_shares), len(runs.languages), len(labels)), dtype=np.float32)
    for row, effect in zip(weights, on_shares, strict=True):
        count = sum(cell.values.size for cell in effect.cells.values())
        for language, cell in effect.cells.items():
            examples = cell.values.shape[1]
            row[runs.languages.index(language)] = cell.weights.sum(axis=0) * (examples / count)
    p = iter(language_permutation(weights, labels, strata, resamples=level.permutations))
    return [float(next(p)) if effect.cells else np.nan for effect in effects]


def _row(effect: Effect, p_permutation: float, level: Level) -> tuple:
    """Return an effect's row of the claims table; its verdict is added later."""
    estimated = estimate(effect.values, confidence=level.confidence)
    bootstrapped = (np.nan, np.nan)
    if level.resamples:
        options = {"confidence": level.confidence, "resamples": level.resamples}
        bootstrapped = bootstrap_interval(effect.values, **options)
    spread = effect.values.mean(axis=0).std(ddof=1) if effect.values.shape[1] > 1 else np.nan
    p = estimated.p if np.isnan(p_permutation) else float(np.maximum(estimated.p, p_permutation))
    return (
        *(effect.comparison.claim, effect.comparison.text, effect.language),
        *(estimated.value, estimated.low, estimated.high),
        *bootstrapped,
        estimated.value / spread if spread > 0 else np.nan,
        *(p_permutation, estimated.p, p, p),  # the last is adjusted where there is a family
        *(estimated.minimum_detectable, estimated.seeds, estimated.examples),
    )


def _verdict(row: tuple, level: Level) -> str:
    """Return a row's verdict: undecided where the corrected test does not reject; otherwise supported or
    contradicted where the claim is that the effect is above zero, and rises or falls where it is open."""
    if not row.p_adjusted < 1 - level.confidence:
        return UNDECIDED
    names = ("supported", "contradicted") if row.claim in UPWARD else ("rises", "falls")
    return names[0] if row.value > 0 else names[1]
