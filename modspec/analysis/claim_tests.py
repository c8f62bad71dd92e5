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
from modspec.analysis.shares import by_seed_and_example
from modspec.terms import ALL_LANGUAGES, COMPARISONS, UPWARD_CLAIMS, Comparison

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
    runs: StudyRuns,
    predictions: pd.DataFrame | None,
    strata: np.ndarray,
    level: Level,
    setting: Setting = DEFAULT,
) -> pd.DataFrame:
    """Return the claims table: one row per claim, comparison and language, and one for all languages.

    Args:
        runs: of all conditions and seeds.
        predictions: stage 2's, of all conditions and seeds; None: no C5.
        strata: int (train,), within which language labels are exchangeable, see :func:`exchangeable`; of the
            training examples of all seeds, which are ``runs.train``.
        level: of intervals and tests.
        setting: how shares are measured.

    Returns:
        ``COLUMNS``. Values are shares (C0 to C3, C6), mean scores (C4) and accuracies (C5); ``effect_size``
        is the mean over the standard deviation of examples. Claims that the study's conditions and masks
        cannot show have no rows.
    """
    effects = [*share_effects(runs, setting)]
    if setting == DEFAULT:
        effects += cross_effects(runs)
    if predictions is not None:
        effects += accuracy_effects(predictions)
    if not effects:
        return pd.DataFrame(columns=COLUMNS)
    permuted = _permutations(runs, effects, strata, level)
    rows = [_row(effect, p, level) for effect, p in zip(effects, permuted, strict=True)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    for _, family in table[table["language"] != ALL_LANGUAGES].groupby("claim"):
        table.loc[family.index, "p_adjusted"] = adjusted(family["p"].to_numpy())
    rejected, rises = table["p_adjusted"] < 1 - level.confidence, table["value"] > 0
    words = np.where(
        table["claim"].isin(UPWARD_CLAIMS),
        np.where(rises, "supported", "contradicted"),
        np.where(rises, "rises", "falls"),
    )
    table["verdict"] = np.where(rejected, words, UNDECIDED)
    # C4 speaks of languages whose share falls: its other rows decide nothing.
    table.loc[(table["claim"] == "C4") & ~table["language"].isin(_falling(table)), "verdict"] = UNDECIDED
    return table


def _falling(table: pd.DataFrame) -> set[str]:
    """Return the languages whose share falls significantly under SFT, by C3."""
    changes = {c.text for c in COMPARISONS.values() if (c.claim, c.condition) == ("C3", "sft")}
    falls = table["comparison"].isin(changes) & (table["verdict"] == "falls")
    return set(table[falls]["language"]) - {ALL_LANGUAGES}


def exchangeable(train: pd.DataFrame, samples: np.ndarray | None = None) -> np.ndarray:
    """Return strata of training examples whose languages could have been otherwise.

    Translations of one example where the task is parallel, otherwise examples of one label, so that the
    content of a language's examples is not mistaken for the language. Examples that other seeds drew are in
    other strata, so that every seed keeps as many of each language.

    Args:
        train: one row per training example: language, label, group.
        samples: bool (seeds, train), whether a seed drew the example; None: all did.

    Returns:
        int (train,).
    """
    languages_per_group = train.groupby("group")["language"].nunique()
    languages = train["language"].nunique()
    parallel = languages > 1 and len(languages_per_group) > 1 and (languages_per_group == languages).all()
    names = train["group" if parallel else "label"]
    if samples is None:
        return pd.factorize(names)[0]
    drawn_by = np.unique(samples, axis=1, return_inverse=True)[1].ravel()
    return pd.factorize(pd.MultiIndex.from_arrays([names, drawn_by]))[0]


def share_effects(runs: StudyRuns, setting: Setting) -> Iterator[Effect]:
    """Yield C0 to C3 and C6: differences of in-language shares."""
    for language in (*runs.languages, ALL_LANGUAGES):
        languages = runs.languages if language == ALL_LANGUAGES else [language]
        for comparison in COMPARISONS.values():
            scored = _compared(comparison)
            if scored and all(runs.has(*scored_under, setting) for scored_under in scored):
                cells = {t: runs.difference(scored, t, setting) for t in languages}
                values = np.concatenate([cell.values for cell in cells.values()], axis=1)
                yield Effect(comparison, language, values, cells)


def _compared(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the conditions and kinds of mask that a difference of shares is made of, for
    :meth:`modspec.analysis.measurements.StudyRuns.difference`; none for C4 and C5, which are no shares."""
    full, full_own, sparse_own = ("full", "none"), ("full", "own"), (comparison.condition, "own")
    return {
        "C0": [full],
        "C1": [full_own, full],
        "C2": [full_own, ("full", comparison.control)],
        "C3": [sparse_own, full],
        "C6": [sparse_own, (comparison.condition, "none"), full_own, full],
    }.get(comparison.claim, [])


def cross_effects(runs: StudyRuns) -> Iterator[Effect]:
    """Yield C4: the change in the mean score of other languages' examples where S_t falls under SFT."""
    (comparison,) = (comparison for comparison in COMPARISONS.values() if comparison.claim == "C4")
    sparse, full = ("sft", "own"), ("full", "none")
    if runs.has(*sparse) and runs.has(*full):
        for language in runs.languages:
            if runs.difference([sparse, full], language).values.mean() < 0:
                change = runs.cross_score(*sparse, language) - runs.cross_score(*full, language)
                yield Effect(comparison, language, change)


def accuracy_effects(predictions: pd.DataFrame) -> Iterator[Effect]:
    """Yield C5: the change in test accuracy under the masks in force, paired by seed and test example."""
    test = predictions[predictions["split"] == "test"].set_index(["condition", "seed", "language", "id"])
    correct = test[["in_force", "no_mask"]].eq(test["label"], axis=0).astype(float)
    present = set(correct.index.unique("condition"))
    for comparison in COMPARISONS.values():
        if comparison.claim == "C5" and {"sft", comparison.condition} <= present:
            baseline = "no_mask" if comparison.condition == "full" else "in_force"
            change = correct.loc["sft"]["in_force"] - correct.loc[comparison.condition][baseline]
            rows = change.rename("change").reset_index()
            for language in (*dict.fromkeys(rows["language"]), ALL_LANGUAGES):
                chosen = rows[(rows["language"] == language) | (language == ALL_LANGUAGES)]
                yield Effect(comparison, language, by_seed_and_example(chosen, "change"))


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
        if claim == "C3":
            verdicts = {"falls": "supported", UNDECIDED: UNDECIDED, "rises": "contradicted"}
            verdict = next(verdicts[v] for v in verdicts if (single["verdict"] == v).any())
        elif claim == "C4":
            verdicts = set(single[single["language"].isin(_falling(table))]["verdict"])
            verdict = verdicts.pop() if len(verdicts) == 1 else UNDECIDED
        else:
            verdict = part.loc[part["language"] == ALL_LANGUAGES, "verdict"].item()
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


def _row(effect: Effect, p_permutation: float, level: Level) -> dict[str, object]:
    """Return an effect's row of the claims table; its verdict is added later."""
    estimated = estimate(effect.values, confidence=level.confidence)
    bootstrapped = (np.nan, np.nan)
    if level.resamples:
        options = {"confidence": level.confidence, "resamples": level.resamples}
        bootstrapped = bootstrap_interval(effect.values, **options)
    spread = effect.values.mean(axis=0).std(ddof=1) if effect.values.shape[1] > 1 else np.nan
    p = estimated.p if np.isnan(p_permutation) else float(np.maximum(estimated.p, p_permutation))
    return {
        **vars(estimated),
        "claim": effect.comparison.claim,
        "comparison": effect.comparison.text,
        "language": effect.language,
        "bootstrap_low": bootstrapped[0],
        "bootstrap_high": bootstrapped[1],
        "effect_size": estimated.value / spread if spread > 0 else np.nan,
        "p_permutation": p_permutation,
        "p_t": estimated.p,
        "p": p,
        "p_adjusted": p,  # where there is a family, it is adjusted
    }
