"""The book's pages of the questions: answer, contrasts, and the evidence of every study."""

import re
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from modspec.analysis import question_texts, verdicts
from modspec.pages import generated_docs
from modspec.pages.book_studies import Study, with_caption
from modspec.pages.markdown import markdown
from modspec.terms import CONTRASTS, POOLED, QUESTIONS
from modspec.workflow.parameters import ResultsParameters

# Question -> the figures of a study that speak to it. What they show is said in notebook 04.
EVIDENCE = {
    "Q1": ("in_language_share",),
    "Q2": ("mask_overlap", "head_masks"),
    "Q3": ("specialization", "share_by_accuracy"),
    "Q4": ("share_change",),
    "Q5": ("influence_matrix",),
    "Q6": ("accuracy",),
    "Q8": ("share_over_training",),
}
FIGURE = "questions"
# What stands in a table's cells -> what it means.
CELLS = {
    "[": "Brackets: 95 % interval.",
    "(p =": "p: of a permutation test.",
    "detectable": "Detectable: the effect that the study finds with 80 % power, uncorrected.",
    "dev accuracy": "Dev accuracy: its difference between the two masks.",
}
# Words of a primary contrast -> what they mean.
SIDES = {
    "chance": "*Chance*: the language's share of the scored training examples.",
    "pooled others": "*Pooled others' mask*: found in the same way, by the importance of other languages, "
    "and as large in every layer.",
    "one-language batches": "*One-language batches*: full fine-tuning whose batches each have one language, "
    "as in SFT.",
}
# Question -> what a study lacks whose primary contrast was not run.
NEEDS = {
    "Q3": "pooled-others masks",
    "Q4": "model fine-tuned with one-language batches",
    "Q6": "model fine-tuned with one-language batches",
    "Q7": "models trained without one language",
    "Q8": "scores at several checkpoints of training",
}
EXPECTED = {
    1: "A value above zero is expected.",
    -1: "A value below zero is expected.",
    0: "Either sign would be a finding.",
}
POOLED_STUDIES = " and ".join(ResultsParameters().pooled)
SIMULATED = (
    f"We simulated studies with a known true effect and the variances of {POOLED_STUDIES}, pooled "
    "([calibration](../docs/calibration.md)). The table says in how many per cent of them the verdict came "
    "out. *Holm*: after correction for the number of questions. *Cautious*: with the seeds' variance at the "
    "upper end of its 80 % interval."
)
SIMULATED_INTERVALS = (
    "With few seeds, intervals are wider than they need to be, so false positives stay below 5 %. With many "
    "seeds, a small effect is called *negligible* rather than found."
)
WORDS = (
    "The [verdicts](#verdicts), which use unrounded values, are explained below, "
    "other words in the [glossary](../docs/methods.md#glossary)."
)
# Question -> what its numbers are, where its unit alone does not say it.
NUMBERS = {
    "Q2": "r is a correlation of head importances after the seed's mean over languages is taken off.",
    "Q5": "AUC within label: the probability that a training example in the test example's language ranks "
    "above one in another language with the same label; 50 % is no preference. Below zero: SFT ranks other "
    "languages' examples higher (sharing). Above zero: it ranks them lower (specialization).",
    "Q7": "r is a rank correlation over pairs of languages.",
}


def question(
    code: str,
    answers: pd.DataFrame,
    languages: pd.DataFrame,
    studies: Sequence[Study],
    sections: Mapping[str, tuple[str, str]],
) -> str:
    """Return the page of a question: its answer, all contrasts, and the evidence of every study.

    Args:
        code: of the question.
        answers: the rows of ``questions.csv``.
        languages: the rows of ``languages_by_study.csv``.
        studies: whose figures are shown.
        sections: heading and text of a section of notebook 04, by the figure that it shows.
    """
    asked = QUESTIONS[code]
    rows, single = (table[table["question"] == code] for table in (answers, languages))
    primary = [contrast.text for contrast in CONTRASTS if contrast.question == code and contrast.primary]
    scale = 1 if asked.margin is None else asked.scale
    margin = f"Effects within ±{scale * asked.margin:g} are too small to matter." if asked.margin else ""
    decided = (
        f"The contrast `{primary[0]}` decides" if primary else "No contrast decides: the question restates Q4"
    )
    about = [f"{decided}. Unit: {asked.unit}.", EXPECTED[asked.sign], margin, NUMBERS.get(code, "")]
    about += [text for word, text in SIDES.items() if word in "".join(primary)]
    legend = {
        "Bold: the contrast that decides.": primary,
        "Grey band: effects that are too small to matter.": asked.margin,
        f"Pooled: {POOLED_STUDIES}.": POOLED in {*rows["study"]},
    }
    decisive = rows[rows["contrast"].isin(primary)] if primary else rows
    explained, others = _explained(decisive), _explained(rows)
    parts = [
        f"# {code} · {asked.text}",
        " ".join(filter(None, about)),
        f"## Answer\n\n{_cells(decisive)}",
        " ".join([*_not_run(code, rows, decisive), *explained, WORDS]),
    ]
    if (rows["verdict"] != verdicts.NOT_RUN).any():
        parts += [
            f"![Contrasts of {code} by study, with intervals]({code.lower()}/{FIGURE}.png)",
            " ".join(
                [
                    *(text for text, there in legend.items() if there),
                    "Hollow: undecided. Where an interval ends in an arrow, it goes on beyond the axis.",
                ]
            ),
        ]
    if len(rows["contrast"].unique()) > len(primary):
        differences = question_texts.by_study(rows)
        parts += [
            "## All contrasts",
            "A secondary contrast changes something else too, which the last column names.",
            markdown(_unprefixed(differences if primary else differences.iloc[:, -1:], code)),
            " ".join(text for text in others if text not in explained),
        ]
    if shown := {*primary, *generated_docs.BY_LANGUAGE} & set(single["contrast"]):
        parts += [
            "## Single languages, paired by item",
            "Share of a language among the proponents of an item in it, minus its share among the proponents "
            "of the item's translations. Verdicts are corrected for their number (Holm), intervals are not.",
            markdown(_unprefixed(question_texts.by_language(single, shown), code)),
        ]
    rates = generated_docs.verdict_rate_rows()
    rates = rates[rates.index.str.startswith(f"{code}, ")]
    if len(rates):
        parts += [
            "## How often such a verdict errs, and what it finds",
            f"{SIMULATED} {SIMULATED_INTERVALS if asked.margin else ''}",
            markdown(_with_units(rates.rename(index=lambda n: n.removeprefix(f"{code}, ")).T, asked.unit)),
        ]
    parts += _evidence(code, studies, sections, {*rows["study"]})
    parts += [f"## Verdicts\n\n{verdict_words()}", _onward(studies)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _explained(rows: pd.DataFrame) -> list[str]:
    """Return what stands in the cells of a table, for those cells that it has."""
    effects = " ".join(map(question_texts.effect, rows.to_dict("records")))
    return [text for mark, text in CELLS.items() if mark in effects]


def _not_run(code: str, rows: pd.DataFrame, decisive: pd.DataFrame) -> list[str]:
    """Return why the contrast that decides was not run in some studies, and what was."""
    if not (decisive["verdict"] == verdicts.NOT_RUN).any():
        return []
    text = f"*Not run*: the study has no {NEEDS[code]}."
    related = (rows["verdict"] != verdicts.NOT_RUN).any()
    return [text, "[Related contrasts](#all-contrasts) were run."] if related else [text]


def _with_units(rates: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return simulated rates with the unit of each row in its name."""
    return rates.rename(index=lambda name: f"{name} ({unit if 'smallest effect' in name else '%'})")


def _cells(rows: pd.DataFrame) -> str:
    """Return a row per contrast and a column per study."""
    wide = question_texts.by_study(rows).drop(columns="the two sides also differ in")
    return markdown(_unprefixed(wide, rows["question"].iloc[0]).T)


def _unprefixed(table: pd.DataFrame, code: str) -> pd.DataFrame:
    """Return a table of one question without the question's code before each row."""
    columns = {POOLED: POOLED_STUDIES}
    return table.rename(index=lambda name: name.removeprefix(f"{code}: "), columns=columns)


def _evidence(
    code: str, studies: Sequence[Study], sections: Mapping[str, tuple[str, str]], in_tables: Collection[str]
) -> list[str]:
    """Return the figures of every study that speak to a question, with captions and how they are read."""
    parts = []
    for name in EVIDENCE.get(code, ()):
        shown = [study for study in studies if (study.figures / f"{name}.png").exists()]
        if shown:
            heading, text = sections.get(name, (name.replace("_", " "), ""))
            parts += [f"## {heading}", text]
        for study in shown:
            parts += [f"### {study.heading}"]
            if study.page.startswith("runs/") or study.name not in in_tables:
                parts += ["The tables above leave this study out. Its notebook 4 has its contrasts."]
            parts += [with_caption(study, name)]
    return parts or ["## By study\n\nNo study holds a figure for this question yet."]


def _onward(studies: Sequence[Study]) -> str:
    """Return links to the notebooks behind a question's page."""
    links = [f"- [{s.heading}](../{s.page}.md): all notebooks and figures" for s in studies]
    return "\n".join(
        ["## Where the numbers come from", "", *links, "- [Results in full](../docs/results.md)"]
    )


def verdict_words() -> str:
    """Return what the verdicts mean, from where they are given."""
    text = re.sub(r"\n {20,}", " ", verdicts.__doc__ or "")  # lines that go on
    found = re.findall(r"^    (\S.*?)  +(\S.*)$", text, re.MULTILINE)
    return markdown(
        pd.DataFrame({"meaning": [meaning for _, meaning in found]}, index=[word for word, _ in found])
    )
