"""Write the generated tables of ``docs/``: run ``python -m modspec.pages.generated_docs``, or ``make docs``.

A page holds a generated table between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Tables are made from
the published CSVs under ``figures/`` and from the parameter models, so that no number is typed by hand.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pandas as pd

from modspec.analysis import language_specificity, question_texts, side_by_side, typology
from modspec.analysis.language_specificity import importance_similarity, overlap_similarity
from modspec.analysis.questions import StudyTables
from modspec.analysis.verdict_rates import summary
from modspec.terms import LABELS, POOLED, QUESTIONS
from modspec.workflow.parameters import (
    STAGES,
    DataParameters,
    Parameters,
    ResultsParameters,
    TrainingParameters,
)
from modspec.workflow.paths import project_root
from modspec.workflow.strict_parameters import Strict

TASKS = ("xnli", "pawsx", "reviews")
RESULTS = ResultsParameters(studies=TASKS)
STUDIES = (*TASKS, "intents")
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n)(?:(?!<!-- generated).)*?(<!-- end -->)", re.DOTALL)

# JSON schema's names of bounds -> how a reader sees them.
BOUNDS = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}
# Column of a CSV -> code -> what a reader sees.
NAMES = {
    "condition": LABELS["condition"],
    "mask_kind": LABELS["mask_kind"] | {"language": "own mask"},
    "measure": {"share": "in-language share", "label_auc": "AUC within label", "auc": "AUC"},
    "split": {"test": "test sentences", "held out": "held-out sentences of the training templates"},
    "workload": {"a": "random encoder", "b": "intents", "c": "XNLI"},
}
COMPARISON = "claim comparison"
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
        return _markdown(wide.rename(columns=str))


def parameters(heading: str, model: type[Strict], without: type[Strict] = Strict) -> str:
    """Return a section: a row for each parameter of ``model`` that ``without`` lacks or sets otherwise."""
    known = without.model_fields
    rows = {
        f"`{name}`": {
            "default": f"`{json.dumps(described.get('default'), ensure_ascii=False)}`",
            "allowed": _allowed(described),
            "meaning": described.get("description", ""),
        }
        for name, described in model.model_json_schema()["properties"].items()
        if name not in known or known[name].default != model.model_fields[name].default
    }
    return f"## {heading}\n\n{_markdown(pd.DataFrame.from_dict(rows, orient='index'))}"


def all_parameters() -> str:
    """Return the sections of all notebooks."""
    sections = [
        parameters("Notebooks 00 to 03: data and encoder", DataParameters),
        parameters("01 subnetwork search", STAGES["search"], DataParameters),
        parameters("02 fine-tuning", STAGES["finetuning"], DataParameters),
        parameters("03 influence scoring", STAGES["influence"], DataParameters),
        parameters("06 leave one language out", STAGES["leave_one_out"], TrainingParameters),
        parameters("00 calibration", STAGES["calibration"], DataParameters),
        parameters("04 figures", STAGES["figures"], Parameters),
        parameters("05 results", ResultsParameters),
    ]
    return "\n\n".join(sections)


def claims(*studies: str) -> str:
    """Return effects, intervals and verdicts: a row for each comparison, a column for each study."""
    found = side_by_side.claims(ResultsParameters(studies=studies))
    return _markdown(side_by_side.side_by_side(found))


def scale() -> str:
    """Return the size of the three studies."""
    return _markdown(side_by_side.scale(RESULTS))


def settings() -> str:
    """Return how many other settings give each verdict; settings that change no number are left out."""
    table = _read("sensitivity", STUDIES)
    numbers, keys = ["value", "low", "high"], ["study", *COMPARISON.split()]
    main = table.groupby(keys)[numbers].transform("first")
    changed = table[(table[numbers] != main).any(axis=1)]
    counts = changed.groupby([*keys, "verdict"], sort=False).size().reset_index(name="count")
    counts["text"] = counts["count"].astype(str) + " " + counts["verdict"]
    wide = counts.pivot_table("text", keys[1:], "study", aggfunc=", ".join, sort=False, fill_value="–")
    return _markdown(wide)


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
    for study in TASKS:
        searches = sorted((project_root() / "figures" / study / "artefacts" / "search").glob("seed*"))
        importance = pd.concat([pd.read_parquet(folder / "importance.parquet") for folder in searches])
        measures = {
            "correlation of head importances, less the seed's mean": importance_similarity(importance),
            "Jaccard overlap of masks, less chance": overlap_similarity(_read("mask_overlap", (study,))),
        }
        for name, similarity in measures.items():
            test = language_specificity.specificity(similarity)
            cell = f"{test.same:.3f}, other {test.other:.3f} (p = {test.p:.2g})"
            rows.setdefault(name, {})[study] = cell
    return _markdown(pd.DataFrame.from_dict(rows, orient="index"))


def contrasts() -> str:
    """Return the questions, and the answers of the studies."""
    questions = [f"- **{code}** {question.text}" for code, question in QUESTIONS.items()]
    table = question_texts.by_study(side_by_side.answers(RESULTS, _question_tables()))
    table = table.rename(columns={POOLED: " and ".join(RESULTS.pooled)})
    return "\n".join(questions) + "\n\n" + _markdown(table)


def by_language() -> str:
    """Return what is above chance, and what an own mask adds, for single languages paired by item."""
    return _markdown(question_texts.by_language(side_by_side.by_language(_question_tables()), BY_LANGUAGE))


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
    table = summary(pd.read_csv(project_root() / "figures" / "results" / "verdict_rates.csv"))
    first, second = table["seed_variance"].unique()
    keys = ["question", "seeds"]
    cautious = table[table["seed_variance"] == second].set_index(keys)
    rows = {}
    for row in table[table["seed_variance"] == first].sort_values(keys).to_dict("records"):
        key = row["question"], row["seeds"]
        points = 100 if row["margin"] > 0 else 1  # Q2, which has no margin, is about correlations
        question = "any question" if row["question"] == "any" else row["question"]
        rows[f"{question}, {row['seeds']} seeds"] = {
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
    return _markdown(pd.DataFrame.from_dict(rows, orient="index"))


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
    return _markdown(pd.DataFrame.from_dict(rows, orient="index"))


def _percent(share: float | None) -> str:
    return _number(100, share, 1)


def _number(scale: float, value: float | None, digits: int = 2) -> str:
    """Return a number times ``scale``, or a dash where there is none."""
    return "–" if pd.isna(value) else f"{scale * value:.{digits}f}"


def language_distances() -> str:
    """Return the smallest p of each study's Mantel tests, with Holm's correction."""
    tests = pd.concat(
        typology.mantel_tests(_read("typology", (study,)).query("seed == 'all'"))
        .nsmallest(1, "p")
        .assign(study=study, test="smallest p")
        for study in STUDIES
    )
    cell = "rank correlation {rho:.2f}, p = {p:.3f}, after Holm {p_holm:.2f}"
    return Table("", "study measure distance", "test", cell).show(tests)


def _allowed(schema: dict[str, Any]) -> str:
    """Return in words what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_allowed(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_allowed(schema['items'])}"
    bounds = [f"{sign}{schema[key]}" for key, sign in BOUNDS.items() if key in schema]
    return ", ".join([schema["type"], *bounds])


def _read(name: str, folders: tuple[str, ...]) -> pd.DataFrame:
    """Return a table of several studies, one below the other, with a column ``study``."""
    files = {folder: project_root() / "figures" / folder / f"{name}.csv" for folder in folders}
    tables = [pd.read_csv(file, dtype={"seed": str}).assign(study=study) for study, file in files.items()]
    return pd.concat(tables, ignore_index=True)


def _markdown(table: pd.DataFrame) -> str:
    """Return a table of text, with a minus sign before negative numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", side_by_side.markdown(table))


def _full_fine_tuning(file: str, index: str, query: str) -> Table:
    """Return shares under full fine-tuning, over all seeds, where ``query`` holds."""
    return Table(file, index, "study", SHARE, f"seed == 'all' and condition == 'full' and {query}", 100)


def _setting(choice: str) -> Table:
    """Return the effects on shares and specialization under another setting."""
    query = f"choice == '{choice}' and claim in ['C3', 'C6']"
    return Table("sensitivity", COMPARISON, "study", EFFECT, query, 100)


calibration = partial(Table, studies=("embedded/calibration",))
BLOCKS: dict[str, Callable[[], str]] = {
    "parameters": all_parameters,
    "scale": scale,
    "claims": partial(claims, *TASKS),
    "claims_intents": partial(claims, "intents"),
    "claims_embedded": partial(claims, "embedded"),
    "settings": settings,
    "overlap": overlap,
    "specificity": specificity,
    "contrasts": contrasts,
    "by_language": by_language,
    "hubs": hubs,
    "verdict_rates": verdict_rates,
    "verdict_spreads": verdict_spreads,
    "language_distances": language_distances,
    "detectable": Table(
        "claims", COMPARISON, "study", "{minimum_detectable:.1f}", "language == 'all languages'", 100
    ),
    "own_gradients": _setting("SFT: own-mask gradients"),
    "dot_product": _setting("dot product"),
    "accuracy": Table("accuracy", "condition mask_kind", "study", "{accuracy:.1f}", "split == 'test'", 100),
    "shares_by_language": _full_fine_tuning(
        "in_language_share",
        "language",
        "mask_kind == 'none' and score == 'cosine' and measure == 'proponents'",
    ),
    "encoder_parts": _full_fine_tuning(
        "layer_share",
        "part layer",
        "language == 'all languages' and part != 'norms' and layer in [0, 1, 12, 13]",
    ),
    "translations": Table(
        "translations",
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

if __name__ == "__main__":
    for file in sorted((project_root() / "docs").glob("*.md")):
        file.write_text(regenerate(file.read_text(encoding="utf-8")), encoding="utf-8")
