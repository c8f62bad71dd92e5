"""What a table of a notebook shows, in a sentence or two: computed from the table, so that it is always true.

Shares and accuracies are per cent with one decimal, their differences points. Where a mean over languages is
given, each language counts once.
"""

import pandas as pd

from modspec.analysis.question_texts import effect
from modspec.analysis.verdicts import NOT_RUN
from modspec.terms import ALL_LANGUAGES, LABELS

UNDER = {kind: f"under {label}s" for kind, label in LABELS["mask_kind"].items()}
UNDER |= {
    "none": "without a mask",
    "language": "under own masks",
    "dose": "under random masks of given sizes",
}
UNDER |= {"other_language": "under other languages' masks", "other_seed": "under own masks of another seed"}
UNDER |= {"inherited": "under own masks by inherited importance"}


def title(study_dir: str, *parts: str) -> str:
    """Return the heading of an executed notebook, as Markdown: its study, and which part of it.

    Args:
        study_dir: the study's directory.
        parts: condition (its code) and seed, for instance.
    """
    named = [LABELS["condition"].get(part, part) for part in parts]
    return "## Study " + " · ".join([study_dir.rstrip("/").rpartition("/")[2], *named])


def searches(trajectory: pd.DataFrame) -> str:
    """Return how large the subnetworks are, and what pruning cost.

    Args:
        trajectory: stage 1's, by exact importance.
    """
    passed = trajectory[trajectory["accepted"]].sort_values("step").groupby(["language", "seed"], sort=False)
    last, first = passed.last(), passed.first()
    kept = last["heads_left"].groupby("language", sort=False).mean()
    ends = f"Subnetworks keep {_range(last['heads_left'], '.0f')} of {last['heads'].iloc[0]} heads"
    text = f"{ends} (mean {last['heads_left'].mean():.0f})"
    if len(kept) > 1 and kept.min() < kept.max():
        text += f": fewest for {kept.idxmin()}, most for {kept.idxmax()}"
    lost = 100 * (first["dev_score"] - last["dev_score"]).mean()
    return f"{text}. Pruning costs {lost:.1f} points of dev accuracy on average."


def overlap_with(table: pd.DataFrame, name: str) -> str:
    """Return the mean of :func:`modspec.analysis.study_tables.overlap_with` beside chance.

    Args:
        table: what that function returned.
        name: of the other masks.
    """
    found, chance = table["Jaccard overlap"].mean(), table["chance"].mean()
    return (
        f"Own and {name} masks overlap by {found:.2f} on average (Jaccard); random masks of the same sizes "
        f"would overlap by {chance:.2f}."
    )


def overlap(table: pd.DataFrame) -> str:
    """Return how alike masks of other seeds are, within a language and between two.

    Args:
        table: :func:`modspec.analysis.study_tables.mask_overlap`.
    """
    across = table[table["seed_a"] != table["seed_b"]]
    if across.empty:
        return "With one seed, masks cannot be compared across seeds."
    same = across["language_a"] == across["language_b"]
    means = across.groupby(same)["jaccard"].mean()
    other = f", masks of two languages by {means[False]:.2f}" if False in means else ""
    return (
        f"Across seeds, two masks of one language overlap by {means[True]:.2f} (Jaccard){other}; random "
        f"masks of these sizes would overlap by {across['chance'].mean():.2f}."
    )


def accuracy(table: pd.DataFrame, split: str = "test") -> str:
    """Return the accuracy by condition and kind of mask, in the order of the table.

    Args:
        table: columns condition (if there are several), mask_kind, mask_language, language, split, accuracy.
        split: whose accuracy.
    """
    rows = table[table["split"] == split]
    # The first version's tables have every language's own mask for every language.
    rows = rows[(rows["mask_language"] == "") | (rows["mask_language"] == rows["language"])]
    if rows.empty:
        return f"No accuracy was measured on {split} examples."
    by_condition = rows.groupby("condition", sort=False) if "condition" in rows else [("", rows)]
    parts = []
    for condition, of_condition in by_condition:
        named = f"{LABELS['condition'][condition]} " if condition else ""
        parts.append(named + _by_kind(of_condition.groupby("mask_kind", sort=False)["accuracy"].mean()))
    return f"Mean {split} accuracy: {'; '.join(parts)}."


def shares(table: pd.DataFrame) -> str:
    """Return the in-language share by kind of mask beside chance, and the languages at the ends.

    Args:
        table: :func:`modspec.analysis.study_tables.in_language_share`, of one condition, over all its seeds.
    """
    rows = table[(table["score"] == "cosine") & (table["measure"] == "proponents")]
    text = _by_kind(rows.groupby("mask_kind", sort=False)["value"].mean())
    chance = 100 * rows["chance"].mean()
    sentences = f"In-language share of the proponents, mean over languages: {text}. Chance is {chance:.1f} %."
    unmasked = rows[rows["mask_kind"] == "none"].set_index("language")["value"]
    if len(unmasked) > 1:
        lowest, highest = unmasked.idxmin(), unmasked.idxmax()
        ends = f"{100 * unmasked[lowest]:.1f} % ({lowest}) to {100 * unmasked[highest]:.1f} % ({highest})"
        sentences += f" Without a mask it goes from {ends}."
    return sentences


def over_training(table: pd.DataFrame) -> str:
    """Return where the in-language share without mask begins and ends.

    Args:
        table: stage 3's, columns progress, language, share.
    """
    means = 100 * table.groupby("progress")["share"].mean()
    first, last = means.index.min(), means.index.max()
    return (
        f"The in-language share goes from {means[first]:.1f} % after {100 * first:.0f} % of training to "
        f"{means[last]:.1f} % at its end."
    )


def influence_matrix(table: pd.DataFrame) -> str:
    """Return where the matrix is largest, in its rows and off its diagonal.

    Args:
        table: :func:`modspec.analysis.study_tables.influence_matrix`, of one condition; cosine, no mask.
    """
    rows = table[(table["mask_kind"] == "none") & (table["score"] == "cosine")]
    if rows.empty or rows["train_language"].nunique() < 2:
        return "There is no influence without a mask to compare between languages."
    matrix = rows.pivot_table("share", "language", "train_language", sort=False)
    own = (matrix.idxmax(axis=1) == matrix.index).sum()
    long = matrix.stack()
    off = long[long.index.get_level_values(0) != long.index.get_level_values(1)]
    test, train = off.idxmax()
    return (
        f"Without a mask, {own} of {len(matrix)} languages have more proponents in their own language than "
        f"in any other. The largest share between two languages: {100 * off.max():.1f} % of the proponents "
        f"of test examples in {test} are in {train}."
    )


def contrasts(table: pd.DataFrame, question: str) -> str:
    """Return what every contrast of a question that was run says, with its verdict.

    Args:
        table: of :func:`modspec.analysis.questions.question_table`, of one study.
        question: its code.
    """
    rows = table[(table["question"] == question) & (table["verdict"] != NOT_RUN)].to_dict("records")
    if not rows:
        return f"- **{question}** No contrast of it was run."
    return "\n".join(f"- **{question}** {row['contrast']}: {effect(row)}." for row in rows)


def damage(table: pd.DataFrame) -> str:
    """Return how far accuracy and share move over the random masks that belong to no language.

    Args:
        table: :func:`modspec.analysis.damage.share_by_accuracy`.
    """
    dose = table[table["mask_kind"] == "dose"]
    if dose.empty:
        return "No random masks of several sizes were scored."
    by_size = dose.groupby("draw")[["accuracy", "value"]].mean().sort_values("accuracy", ascending=False)
    (accurate, share), (damaged, share_then) = (100 * by_size.iloc[row].to_numpy() for row in (0, -1))
    return (
        f"Over random masks of {len(by_size)} sizes, accuracy goes from {accurate:.1f} to {damaged:.1f} % "
        f"and the in-language share from {share:.1f} to {share_then:.1f} %."
    )


def sensitivity(table: pd.DataFrame) -> str:
    """Return how many other settings give the study's own verdict, by contrast.

    Args:
        table: :func:`modspec.analysis.robustness.sensitivity`.
    """
    own = table["setting"] == table["setting"].iloc[0]
    verdicts = table[own].set_index("contrast")["verdict"]
    others = table[~own]
    if others.empty:
        return "This study has one setting."
    agree = (others["verdict"] == others["contrast"].map(verdicts)).groupby(others["contrast"], sort=False)
    parts = [f"{contrast}: {found.sum()} of {len(found)}" for contrast, found in agree]
    return "Other settings with the study's own verdict: " + "; ".join(parts) + "."


def encoder_parts(table: pd.DataFrame) -> str:
    """Return which part of the encoder alone has the largest and the smallest in-language share.

    Args:
        table: :func:`modspec.analysis.by_part.layer_share`.
    """
    rows = table[(table["seed"].astype(str) == "all") & (table["language"] == ALL_LANGUAGES)]
    rows = rows[rows["condition"] == "full"].set_index(["part", "layer"])["value"]
    if rows.empty:
        return "The parts of the encoder were not scored."
    (top, above), (low, below), largest, smallest = rows.idxmax(), rows.idxmin(), rows.max(), rows.min()
    return (
        f"The share is largest by {top} of layer {above} alone ({100 * largest:.1f} %) and smallest by {low} "
        f"of layer {below} ({100 * smallest:.1f} %). Layer 0 is the embeddings, the last one the classifier."
    )


def _by_kind(shares: pd.Series) -> str:
    """Return a share for each kind of mask, which is the index."""
    return ", ".join(f"{100 * share:.1f} % {UNDER[kind]}" for kind, share in shares.items())


def _range(values: pd.Series, form: str) -> str:
    """Return the ends of some numbers, or the one that they all are."""
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (values.min(), values.max())))
