"""Write the generated tables of README and ``docs/``: ``make docs``, or run this module.

A page holds a generated table between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Tables are made from
the published CSVs under ``figures/`` and from the parameter models, so that no number is typed by hand.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import pandas as pd

from modspec.analysis import language_specificity, question_texts, side_by_side, typology
from modspec.analysis.language_specificity import importance_similarity, overlap_similarity
from modspec.analysis.questions import StudyTables
from modspec.analysis.simulated_verdicts import summary
from modspec.pages import notebook_index
from modspec.pages.markdown import markdown
from modspec.pages.parameter_reference import all_parameters
from modspec.terms import CALIBRATION_MEASURES, CONTRASTS, LABELS, POOLED, QUESTIONS
from modspec.workflow.parameters import ResultsParameters
from modspec.workflow.paths import project_root

RESULTS = ResultsParameters()
TASKS = RESULTS.studies
STUDIES = (*TASKS, "intents")
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n)(?:(?!<!-- generated).)*?(<!-- end -->)", re.DOTALL)

# Column of a CSV -> code -> what a reader sees.
NAMES = {
    "condition": LABELS["condition"] | {"matched": "English planted, all masks almost equally accurate"},
    "mask_kind": LABELS["mask_kind"] | {"language": "own mask"},
    "measure": CALIBRATION_MEASURES,
    "split": {"test": "test sentences", "held out": "held-out sentences of the training templates"},
    "workload": {"a": "random encoder", "b": "intents", "c": "XNLI"},
}
# Contrasts that README shows.
FINDINGS = (
    "full, no mask − chance",
    "importance: same language − other language",
    "full: own − no mask",
    "full: own − other languages' masks",
    "SFT, own mask − full, no mask",
    "accuracy: SFT, own mask − full, no mask",
)
BY_LANGUAGE = ("full, no mask − chance", "full: own − no mask")  # contrasts that are shown for each language
EFFECT = "{value:+.1f} [{low:.1f}, {high:.1f}]"
SHARE = "{value:.1f} [{low:.1f}, {high:.1f}]"
P_VALUE = "{value:.2f} (p = {p:.4f})"


def regenerate(page: str) -> str:
    """Return a page's text with every generated block made anew.

    Raises:
        KeyError: a block's name is not in :data:`BLOCKS`.
    """
    return BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n\n{block[3]}", page)


@dataclass(frozen=True)
class Table:
    """A published CSV, reshaped into a Markdown table."""

    file: str  # its name in the folders of the studies, without ".csv"
    index: str  # columns of the CSV that name a row, spaces between
    columns: str  # column of the CSV that names a column
    cell: str  # format of a cell, with names of the CSV's columns
    query: str = ""  # rows of the CSV to keep; all by default
    scale: float = 1  # factor of all numbers that are shown: 100 for per cent
    studies: tuple[str, ...] = STUDIES  # folders under figures/

    def __call__(self) -> str:
        """Return the table; a cell that several rows share shows their mean."""
        frame = _read(self.file, self.studies)
        return self.show(frame.query(self.query) if self.query else frame)

    def show(self, frame: pd.DataFrame) -> str:
        """Return the table of the given rows, which stand in order of appearance."""
        index = self.index.split()
        rows = frame.groupby([*index, self.columns], sort=False, dropna=False)
        means = self.scale * rows.mean(numeric_only=True)
        cells = means.reset_index().astype(dict.fromkeys(index, str)).replace(NAMES)
        cells["cell"] = [self.cell.format_map(row) for row in cells.to_dict("records")]
        wide = cells.pivot_table("cell", index, self.columns, aggfunc="first", sort=False, fill_value="–")
        return markdown(wide.rename(columns=str))


def scale() -> str:
    """Return the size of the three studies."""
    return markdown(side_by_side.scale(RESULTS))


def settings() -> str:
    """Return how many other settings give each verdict; a setting has rows where it changes a number."""
    table, keys = _read("sensitivity", TASKS), ["study", "question", "contrast"]
    changed = table[table["setting"] != table.groupby("study")["setting"].transform("first")]
    counts = changed.groupby([*keys, "verdict"], sort=False).size().reset_index(name="count")
    counts["text"] = counts["count"].astype(str) + " " + counts["verdict"]
    wide = counts.pivot_table("text", keys[1:], "study", aggfunc=", ".join, sort=False, fill_value="–")
    return markdown(wide)


def overlap() -> str:
    """Return the mean Jaccard overlap of masks, and the overlap of random masks of the same sizes."""
    table = _read("mask_overlap", STUDIES)
    for column in ("language", "seed"):
        same = table[f"{column}_a"] == table[f"{column}_b"]
        table[column] = same.map({True: f"same {column}", False: f"other {column}"})
    table = table.sort_values(["seed", "language"], ascending=[True, False], kind="stable")
    return Table("", "language seed", "study", "{jaccard:.3f} (chance {chance:.3f})").show(table)


def specificity() -> str:
    """Return how alike importances and masks of different seeds are, within a language and between two."""
    rows = {}
    for study, tables in _question_tables().items():
        measures = {
            "correlation of head importances, less the seed's mean": importance_similarity(tables.importance),
            "Jaccard overlap of masks, less chance": overlap_similarity(tables.overlap),
        }
        for name, similarity in measures.items():
            test = language_specificity.specificity(similarity)
            cell = f"{test.same:.3f}, other {test.other:.3f} (p = {test.p:.2g})"
            rows.setdefault(name, {})[study] = cell
    return markdown(pd.DataFrame.from_dict(rows, orient="index"))


def questions() -> str:
    """Return what each question compares, its unit, margin and expected sign."""
    signs = {1: "above 0", -1: "below 0", 0: "open"}
    primary = {contrast.question: contrast.text for contrast in CONTRASTS if contrast.primary}
    rows = {
        f"{code} {question.text}": {
            "primary contrast": primary.get(code, "none: it restates Q4 by ranks"),
            "unit": question.unit,
            "margin": "–" if question.margin is None else f"±{question.scale * question.margin:g}",
            "expected": signs[question.sign],
        }
        for code, question in QUESTIONS.items()
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"))


def answers() -> str:
    """Return the answers of the studies, each and pooled."""
    return markdown(_named(question_texts.answers(_answers())))


def findings() -> str:
    """Return the contrasts that README shows."""
    shown = _answers()[lambda table: table["contrast"].isin(FINDINGS)]
    return markdown(_named(question_texts.findings(shown)))


def contrasts() -> str:
    """Return every contrast of the studies, each and pooled."""
    return markdown(_named(question_texts.by_study(_answers())))


def contrasts_embedded() -> str:
    """Return every contrast of the embedded study, from its published table."""
    table = pd.read_csv(project_root() / "figures" / "embedded" / "questions.csv", keep_default_na=False)
    numbers = table.columns.difference(["study", "question", "contrast", "primary", "confounds", "verdict"])
    return markdown(question_texts.by_study(table.assign(**table[numbers].apply(pd.to_numeric))))


@cache
def _answers() -> pd.DataFrame:
    """Return the studies' table of answers, made once for all blocks."""
    return side_by_side.answers(RESULTS, _question_tables())


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose column of pooled studies is called by their names."""
    return table.rename(columns={POOLED: " and ".join(RESULTS.pooled)})


def by_language() -> str:
    """Return what is above chance, and what an own mask adds, for single languages paired by item."""
    return markdown(question_texts.by_language(side_by_side.by_language(_question_tables()), BY_LANGUAGE))


def hubs() -> str:
    """Return how many proponents are hub examples, in the fully fine-tuned model."""
    table = side_by_side.hubs(_question_tables()).query("condition == 'full'")
    table["score"] = table["score"].replace({"dot": "dot product"})
    cell = "{hub_share:.0f} % (at most {most:.0f} % of the test examples)"
    return Table("", "score mask_kind", "study", cell, scale=100).show(table)


@cache
def _question_tables() -> dict[str, StudyTables]:
    """Return what the questions are answered from, read once for all blocks."""
    return side_by_side.question_tables(RESULTS)


def verdict_rates() -> str:
    """Return how often the verdict on each question errs and is right, in simulated studies."""
    return markdown(verdict_rate_rows())


def verdict_rate_rows() -> pd.DataFrame:
    """Return :func:`verdict_rates` as text: a row per question and number of seeds."""
    table = summary(pd.read_csv(project_root() / "figures" / "results" / "verdict_rates.csv"))
    first, second = table["seed_variance"].unique()
    keys = ["question", "seeds"]
    cautious = table[table["seed_variance"] == second].set_index(keys)
    rows = {}
    for row in table[table["seed_variance"] == first].sort_values(keys).to_dict("records"):
        key = row["question"], row["seeds"]
        points = 100 if row["margin"] > 0 else 1  # Q2, which has no margin, is about correlations
        name = "any question" if row["question"] == "any" else row["question"]
        rows[f"{name}, {row['seeds']} seeds"] = {
            "false positives": _percent(row["false_positives"]),
            "false positives, Holm": _percent(row["false_positives_holm"]),
            "equivalent at effect 0": _percent(row["small_at_zero"]),
            "equivalent at the margin": _percent(row["small_at_margin"]),
            "found at the margin": _percent(row["power_at_margin"]),
            "found at twice the margin": _percent(row["power_at_double"]),
            "smallest effect found": _number(points, row["smallest"]),
            "cautious: equivalent at effect 0": _percent(cautious["small_at_zero"].get(key)),
            "cautious: smallest effect found": _number(points, cautious["smallest"].get(key)),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def verdict_spreads() -> str:
    """Return the standard deviations behind the simulated verdicts."""
    table = pd.read_csv(project_root() / "figures" / "results" / "verdict_spreads.csv")
    rows = {}
    for (question, study), of_study in table.groupby(["question", "study"], sort=False):
        estimated, cautious = of_study.iloc[0], of_study.iloc[-1]
        rows[f"{question}, {study}"] = {
            "seeds": _number(100, estimated["seed"]),
            "seeds, cautious": _number(100, cautious["seed"]),
            "items": _number(100, estimated["item"]),
            "rest": _number(100, estimated["rest"]),
            "independent heads": _number(1, estimated["heads"], 0),
        }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"))


def templates() -> str:
    """Return what each notebook is, and asks."""
    return markdown(notebook_index.template_table(project_root() / "notebooks"))


def executed() -> str:
    """Return links to all published executed notebooks, with minutes."""
    folders = {folder.name for folder in (project_root() / "notebooks" / "executed").glob("[!.]*")}
    first = [study for study in ("results", *STUDIES) if study in folders]
    studies = [*first, *sorted(folders - set(first))]
    return markdown(notebook_index.whole_index(project_root(), studies))


def _percent(share: float | None) -> str:
    return _number(100, share, 1)


def _number(scale: float, value: float | None, digits: int = 2) -> str:
    """Return a number times ``scale``, or a dash where there is none."""
    return "–" if pd.isna(value) else f"{scale * value:.{digits}f}"


def language_distances() -> str:
    """Return the smallest p of each study's Mantel tests, with Holm's correction."""
    tests = pd.concat(
        typology.mantel_tests(_read("exploration/typology", (study,)).query("seed == 'all'"))
        .nsmallest(1, "p")
        .assign(study=study, test="smallest p")
        for study in STUDIES
    )
    cell = "rank correlation {rho:.2f}, p = {p:.3f}, after Holm {p_holm:.2f}"
    return Table("", "study measure distance", "test", cell).show(tests)


def _read(name: str, folders: tuple[str, ...]) -> pd.DataFrame:
    """Return a table of several studies, one below the other, with a column ``study``."""
    files = {folder: project_root() / "figures" / folder / f"{name}.csv" for folder in folders}
    tables = [pd.read_csv(file, dtype={"seed": str}).assign(study=study) for study, file in files.items()]
    return pd.concat(tables, ignore_index=True)


def _full_fine_tuning(file: str, index: str, query: str) -> Table:
    """Return shares under full fine-tuning, over all seeds, where ``query`` holds."""
    return Table(file, index, "study", SHARE, f"seed == 'all' and condition == 'full' and {query}", 100)


def _setting(name: str) -> Table:
    """Return what SFT does to shares under another setting."""
    query = f"setting == \"{name}\" and question == 'Q4'"
    return Table("sensitivity", "contrast", "study", EFFECT, query, 100, TASKS)


calibration = partial(Table, studies=("embedded/calibration",))
BLOCKS: dict[str, Callable[[], str]] = {
    "templates": templates,
    "executed": executed,
    "parameters": all_parameters,
    "scale": scale,
    "questions": questions,
    "answers": answers,
    "findings": findings,
    "contrasts_embedded": contrasts_embedded,
    "claims_intents": Table(
        "claims",
        "claim comparison verdict",
        "study",
        EFFECT,
        "language == 'all languages'",
        100,
        ("intents",),
    ),
    "settings": settings,
    "overlap": overlap,
    "specificity": specificity,
    "contrasts": contrasts,
    "by_language": by_language,
    "hubs": hubs,
    "verdict_rates": verdict_rates,
    "verdict_spreads": verdict_spreads,
    "language_distances": language_distances,
    "own_gradients": _setting("own-mask gradients"),
    "dot_product": _setting("dot product"),
    # The first version's tables have every language's mask for every language.
    "accuracy": Table(
        "accuracy",
        "condition mask_kind",
        "study",
        "{accuracy:.1f}",
        "split == 'test' and (mask_language.isna() or mask_language == language)",
        100,
    ),
    "shares_by_language": _full_fine_tuning(
        "in_language_share",
        "language",
        "mask_kind == 'none' and score == 'cosine' and measure == 'proponents'",
    ),
    "encoder_parts": _full_fine_tuning(
        "exploration/layer_share",
        "part layer",
        "language == 'all languages' and part != 'norms' and layer in [0, 1, 12, 13]",
    ),
    "translations": Table(
        "exploration/translations",
        "language_a",
        "study",
        "{observed:.0f} (random: {control:.0f})",
        "condition == 'full' and measure == 'translated_proponents'",
        100,
        TASKS,
    ),
    "shares_by_k_intents": Table("share_by_k", "mask_kind", "top_k", SHARE, scale=100, studies=("intents",)),
    "clones": calibration("false_positive_rates", "measure language", "test", "{value:.1f}", scale=100),
    "cipher": calibration(
        "dose_response", "measure", "dose", P_VALUE, "seed == 'all' and language == 'both halves'"
    ),
    "planted_heads": calibration(
        "planted_heads", "score measure", "language", P_VALUE, "condition == 'sft_random'"
    ),
    "own_subnetwork": calibration(
        "own_subnetwork", "condition", "language", "{value:+.0f} [{low:.0f}, {high:.0f}]", scale=100
    ),
    "templates_1": calibration("template_truth", "score", "measure", "{value:.0f}", "k == 1", 100),
    "templates_10": calibration("template_truth", "score", "measure", "{value:.0f}", "k == 10", 100),
    "retraining": calibration("datamodeling", "score", "split", "{value:.2f} [{low:.2f}, {high:.2f}]"),
    "benchmark": Table(
        "influence_benchmark",
        "workload train system",
        "covers",
        "{seconds:.1f} s, {peak_gib:.1f} GiB, error {relative_error:.0e}",
        studies=("benchmark",),
    ),
}

PAGES = ("README.md", "docs/*.md", "notebooks/README.md")  # those with generated tables

if __name__ == "__main__":
    for file in sorted(file for pattern in PAGES for file in project_root().glob(pattern)):
        file.write_text(regenerate(file.read_text(encoding="utf-8")), encoding="utf-8")
