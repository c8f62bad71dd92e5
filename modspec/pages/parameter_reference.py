"""The reference of all parameters, from the parameter models: default, what is allowed, meaning."""

import json
from typing import Any

import pandas as pd

from modspec.pages.markdown import markdown
from modspec.workflow.parameters import (
    STAGES,
    DataParameters,
    Parameters,
    ResultsParameters,
    TrainingParameters,
)
from modspec.workflow.presets import TOP
from modspec.workflow.strict_parameters import Strict

# JSON schema's names of bounds -> how a reader sees them.
BOUNDS = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}


# Key of a study outside sections -> what is allowed, and its meaning.
STUDY = {
    "seeds": (
        "list of integer, ≥ 0",
        "of the study: each has a search, and a training and a scoring per condition",
    ),
    "conditions": ("list of conditions of 02", "how classifiers are trained"),
    "threads": ("integer, ≥ 1", "threads per job"),
    "search_by_language": ("boolean", "every language's search is a job of its own"),
    "scoring_shards": ("integer, ≥ 1, ≤ 1000", "jobs that every scoring is divided among; needs memory_gib"),
    "train_samples": (
        "`shared`, `per_seed`",
        "one training sample for all seeds, or one for each",
    ),
    "blind": ("boolean", "show no influence and draw no figures: a confirmatory study that is not complete"),
    "left_out_seeds": (
        "list of integer, ≥ 0",
        "those of the seeds for which leaving languages out (06) is part of the study",
    ),
}


def study_keys() -> str:
    """Return the section of what a preset sets for a whole study."""
    rows = {
        f"`{key}`": {"default": f"`{json.dumps(TOP[key])}`", "allowed": allowed, "meaning": meaning}
        for key, (allowed, meaning) in STUDY.items()
    }
    return f"## A study\n\n{markdown(pd.DataFrame.from_dict(rows, orient='index'))}"


def parameters(heading: str, model: type[Strict], without: type[Strict] = Strict) -> str:
    """Return a section: a row for each parameter of ``model`` that ``without`` lacks or sets otherwise."""
    known = without.model_fields
    rows = {
        f"`{name}`": {
            "default": f"`{json.dumps(described.get('default'), ensure_ascii=False)}`",
            "allowed": _allowed(described),
            "meaning": described.get("description", "").replace("None:", "null:"),
        }
        for name, described in model.model_json_schema()["properties"].items()
        if name not in known or known[name].default != model.model_fields[name].default
    }
    return f"## {heading}\n\n{markdown(pd.DataFrame.from_dict(rows, orient='index'))}"


def all_parameters() -> str:
    """Return the sections of all notebooks."""
    sections = [
        study_keys(),
        parameters("Notebooks 00 to 03: data and encoder", DataParameters),
        parameters("01 subnetwork search", STAGES["search"], DataParameters),
        parameters("02 fine-tuning", STAGES["finetuning"], DataParameters),
        parameters("03 influence scoring", STAGES["influence"], DataParameters),
        parameters("06 leave one language out", STAGES["leave_one_out"], TrainingParameters),
        parameters("00 calibration", STAGES["calibration"], DataParameters),
        parameters("04 figures, 07 exploration", STAGES["figures"], Parameters),
        parameters("05 results", ResultsParameters),
    ]
    return "\n\n".join(sections)


def _allowed(schema: dict[str, Any]) -> str:
    """Return in words what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_allowed(choice) for choice in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_allowed(schema['items'])}"
    bounds = [f"{sign}{schema[key]}" for key, sign in BOUNDS.items() if key in schema]
    return ", ".join([schema["type"], *bounds])
