"""Write the generated tables of ``docs/``: run ``python -m modspec.pages.generated_docs``, or ``make docs``.

A page holds a generated table between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Tables are made from
the published CSVs under ``figures/`` and from the parameter models, so that no number is typed by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from modspec.analysis import side_by_side, typology
from modspec.terms import LABELS
from modspec.workflow.parameters import STAGES, DataParameters, Parameters, ResultsParameters, Strict
from modspec.workflow.paths import project_root

TASKS = ("xnli", "pawsx", "reviews")
STUDIES = (*TASKS, "intents")
CALIBRATION = "embedded/calibration"
OWN_GRADIENTS = "SFT: own-mask gradients"  # settings by their names in sensitivity.csv
DOT_PRODUCT = "dot product"
BOUNDS = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n)(?:(?!<!-- generated).)*?(<!-- end -->)", re.DOTALL)


def regenerate(page: str) -> str:
    """Return a page's text with every generated block made anew.

    Raises:
        KeyError: a block's name is not in :data:`BLOCKS`.
    """
    return BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n\n{block[3]}", page)


# Parameters


def parameters(heading: str, model: type[Strict], without: type[Strict] = Strict) -> str:
    """Return a section with a row for each parameter of ``model`` that ``without`` does not have."""
    properties = model.model_json_schema()["properties"]
    rows = {
        f"`{name}`": {
            "default": f"`{json.dumps(described.get('default'), ensure_ascii=False)}`",
            "allowed": _allowed(described),
            "meaning": described.get("description", ""),
        }
        for name, described in properties.items()
        if name not in without.model_fields
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return f"## {heading}\n\n{_markdown(table)}"


def all_parameters() -> str:
    """Return the sections of all notebooks."""
    stages = {
        "01 subnetwork search": "search",
        "02 fine-tuning": "finetuning",
        "03 influence scoring": "influence",
        "00 calibration": "calibration",
    }
    sections = [
        parameters("Notebooks 00 to 03: data and encoder", DataParameters),
        *(parameters(heading, STAGES[stage], DataParameters) for heading, stage in stages.items()),
        parameters("04 figures", STAGES["figures"], Parameters),
        parameters("05 results", ResultsParameters),
    ]
    return "\n\n".join(sections)


def _allowed(schema: dict[str, Any]) -> str:
    """Return in words what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_allowed(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_allowed(schema['items'])}"
    return ", ".join(
        [schema["type"], *(f"{sign}{schema[key]}" for key, sign in BOUNDS.items() if key in schema)]
    )


# Results


def claims(*studies: str) -> str:
    """Return effects, intervals and verdicts: a row for each comparison, a column for each study."""
    found = side_by_side.claims(ResultsParameters(studies=studies))
    return _markdown(side_by_side.side_by_side(found))


def scale() -> str:
    """Return what stands behind the three tasks."""
    return _markdown(side_by_side.scale(ResultsParameters(studies=TASKS)))


def detectable() -> str:
    """Return the smallest effect over all languages that 80 % power would find, in points."""
    table = _all_studies("claims.csv").query("language == 'all languages'")
    return _table(table, ["claim", "comparison"], "study", lambda row: f"{100 * row.minimum_detectable:.1f}")


def settings() -> str:
    """Return how many other settings give each verdict; settings that change no number are left out."""
    table = _all_studies("sensitivity.csv")
    numbers, keys = ["value", "low", "high"], ["study", "claim", "comparison"]
    main = table.groupby(keys)[numbers].transform("first")
    changed = table[(table[numbers] != main).any(axis=1)]
    counts = changed.groupby([*keys, "verdict"], sort=False).size().reset_index(name="count")
    counts["text"] = counts["count"].astype(str) + " " + counts["verdict"]
    joined = counts.groupby(keys, sort=False)["text"].agg(", ".join).reset_index()
    return _table(joined, ["claim", "comparison"], "study", lambda row: row.text)


def sft_setting(choice: str) -> str:
    """Return what SFT changes under one other setting."""
    table = _all_studies("sensitivity.csv").query("choice == @choice and claim in ['C3', 'C6']")
    return _table(table, ["claim", "comparison"], "study", _effect)


def accuracy() -> str:
    """Return mean test accuracy in per cent by condition and kind of mask."""
    table = _all_studies("accuracy.csv").query("split == 'test'")
    table = table.groupby(["study", "condition", "mask_kind"], sort=False)["accuracy"].mean().reset_index()
    table = table.replace(
        {"condition": LABELS["condition"], "mask_kind": LABELS["mask_kind"] | {"language": "own mask"}}
    )
    return _table(table, ["condition", "mask_kind"], "study", lambda row: f"{100 * row.accuracy:.1f}")


def shares_by_language() -> str:
    """Return each language's in-language share without a mask, after full fine-tuning, in per cent."""
    table = _all_studies("in_language_share.csv").query(
        "seed == 'all' and condition == 'full' and mask_kind == 'none' and score == 'cosine'"
        " and measure == 'proponents'"
    )
    return _table(table, ["language"], "study", partial(_effect, sign=""))


def overlap() -> str:
    """Return the mean Jaccard overlap of masks, and what masks of the same sizes have by chance."""
    table = _all_studies("mask_overlap.csv")
    kinds = {
        (True, False): "same language, other seed",
        (False, False): "other language, other seed",
        (False, True): "other language, same seed",
    }
    same = zip(table["language_a"] == table["language_b"], table["seed_a"] == table["seed_b"], strict=True)
    table["pair"] = pd.Categorical([kinds[pair] for pair in same], kinds.values(), ordered=True)
    table = table.sort_values("pair", kind="stable").astype({"pair": str})
    means = table.groupby(["study", "pair"], sort=False)[["jaccard", "chance"]].mean().reset_index()
    return _table(means, ["pair"], "study", lambda row: f"{row.jaccard:.3f} (chance {row.chance:.3f})")


def encoder_parts() -> str:
    """Return the in-language share by single parts of the encoder, without a mask, in per cent."""
    table = _all_studies("layer_share.csv").query(
        "seed == 'all' and condition == 'full' and language == 'all languages'"
        " and (layer in [0, 1, 12] and part != 'norms' or part == 'classifier')"
    )
    table = table.assign(
        place=table["part"]
        + (", layer " + table["layer"].astype(str)).where(table["layer"].isin([1, 12]), "")
    )
    return _table(table, ["place"], "study", partial(_effect, sign=""))


def translations() -> str:
    """Return the share of proponents whose translation is a proponent too, in per cent."""
    table = _all_studies("translations.csv", TASKS).query(
        "condition == 'full' and measure == 'translated_proponents' and language_a == 'all languages'"
    )
    columns = {"observed": "proponents", "control": "random examples of the same languages and labels"}
    long = table.melt("study", list(columns), "examples", "shown").replace({"examples": columns})
    return _table(long, ["examples"], "study", lambda row: f"{100 * row.shown:.0f}")


def language_distances() -> str:
    """Return the smallest p of the Mantel tests of each study, with its correction."""
    rows = {}
    for study in STUDIES:
        tests = typology.mantel_tests(_read(study, "typology.csv")).query("seed == 'all'")
        first = tests.sort_values("p").iloc[0]
        rows[study] = {
            "similarity": {"overlap": "mask overlap", "influence": "influence"}[first["measure"]],
            "distance": first["distance"],
            "rank correlation": f"{first['rho']:.2f}",
            "p": f"{first['p']:.3f}",
            "p after Holm": f"{first['p_holm']:.2f}",
        }
    return _markdown(pd.DataFrame.from_dict(rows, orient="index"))


def shares_by_k(study: str) -> str:
    """Return the in-language share by number of proponents counted, in per cent."""
    table = _read(study, "share_by_k.csv").replace({"mask_kind": LABELS["mask_kind"]})
    return _table(table.rename(columns={"top_k": "k"}), ["mask_kind"], "k", partial(_effect, sign=""))


# Calibration


def clones() -> str:
    """Return false positive rates, in per cent, where two halves of one language are compared."""
    names = {
        "share": "in-language share",
        "label_auc": "AUC within label",
        "auc": "AUC over all labels",
        "specialization": "specialization",
    }
    table = _read(CALIBRATION, "false_positive_rates.csv").replace({"measure": names})
    return _table(table, ["measure", "language"], "test", lambda row: f"{100 * row.value:.1f}")


def cipher() -> str:
    """Return the reading of each measure by the share of word pieces that were exchanged."""
    names = {"share": "in-language share", "label_auc": "AUC within label", "auc": "AUC over all labels"}
    table = _read(CALIBRATION, "dose_response.csv").query("seed == 'all' and language == 'both halves'")
    table = table.assign(dose=(100 * table["dose"]).map("{:.0f} %".format)).replace({"measure": names})
    return _table(table, ["measure"], "dose", lambda row: f"{row.value:.2f} (p = {row.p:.4f})")


def planted_heads() -> str:
    """Return how well each method finds planted heads."""
    table = _read(CALIBRATION, "planted_heads.csv").query("condition == 'sft_random'")
    return _table(table, ["score", "measure"], "language", lambda row: f"{row.value:.2f} (p = {row.p:.4f})")


def templates(k: int) -> str:
    """Return what the first ``k`` proponents share with the test sentence, in per cent."""
    table = _read(CALIBRATION, "template_truth.csv").query("k == @k")
    return _table(table, ["score"], "measure", lambda row: f"{100 * row.value:.0f}")


def retraining() -> str:
    """Return the linear datamodeling scores."""
    names = {"test": "test sentences", "held out": "held-out sentences of the training templates"}
    table = _read(CALIBRATION, "datamodeling.csv").replace({"split": names})
    return _table(table, ["score"], "split", lambda row: f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]")


# Benchmark


def benchmark() -> str:
    """Return seconds, memory and error of all systems on the published workloads."""
    workloads = {"a": "random encoder", "b": "intents", "c": "XNLI"}
    table = _read("benchmark", "influence_benchmark.csv").replace({"workload": workloads})
    table["work"] = (
        table["workload"] + ", " + table["train"].map("{:,}".format) + " × " + table["evaluation"].astype(str)
    )
    rows = {
        f"{row.work}: {row.system}": {
            "parameters covered": row.covers,
            "seconds": f"{row.seconds:.1f}",
            "peak GiB": f"{row.peak_gib:.1f}",
            "relative error": f"{row.relative_error:.0e}",
            "Spearman with float32": "" if pd.isna(row.spearman) else f"{row.spearman:.4f}",
            "of its top 100": "" if pd.isna(row.top_100) else f"{100 * row.top_100:.1f} %",
        }
        for row in table.itertuples()
    }
    return _markdown(pd.DataFrame.from_dict(rows, orient="index"))


def _read(study: str, name: str) -> pd.DataFrame:
    return pd.read_csv(project_root() / "figures" / study / name, dtype={"seed": str})


def _all_studies(name: str, studies: tuple[str, ...] = STUDIES) -> pd.DataFrame:
    """Return a table of several studies, one below the other."""
    return pd.concat([_read(study, name).assign(study=study) for study in studies], ignore_index=True)


def _effect(row: Any, sign: str = "+") -> str:
    """Return a value and its interval in points."""
    return f"{100 * row.value:{sign}.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"


def _markdown(table: pd.DataFrame) -> str:
    """Return a table of text, with a minus sign before negative numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", side_by_side.markdown(table))


def _table(frame: pd.DataFrame, index: list[str], columns: str, text: Callable[[Any], str]) -> str:
    """Return a Markdown table of every row's ``text``; rows and columns keep their order of appearance."""
    cells = frame.assign(text=[text(row) for row in frame.itertuples()])
    wide = cells.pivot_table("text", index, columns, aggfunc="first", sort=False, fill_value="–")
    return _markdown(wide.rename(columns=str))


BLOCKS: dict[str, Callable[[], str]] = {
    "parameters": all_parameters,
    "scale": scale,
    "claims": partial(claims, *TASKS),
    "detectable": detectable,
    "settings": settings,
    "own_gradients": partial(sft_setting, OWN_GRADIENTS),
    "dot_product": partial(sft_setting, DOT_PRODUCT),
    "accuracy": accuracy,
    "shares_by_language": shares_by_language,
    "overlap": overlap,
    "encoder_parts": encoder_parts,
    "translations": translations,
    "language_distances": language_distances,
    "claims_intents": partial(claims, "intents"),
    "claims_embedded": partial(claims, "embedded"),
    "shares_by_k_intents": partial(shares_by_k, "intents"),
    "clones": clones,
    "cipher": cipher,
    "planted_heads": planted_heads,
    "templates_1": partial(templates, 1),
    "templates_10": partial(templates, 10),
    "retraining": retraining,
    "benchmark": benchmark,
}

if __name__ == "__main__":
    for file in sorted(Path(project_root() / "docs").glob("*.md")):
        file.write_text(regenerate(file.read_text(encoding="utf-8")), encoding="utf-8")
