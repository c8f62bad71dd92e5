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
from modspec.workflow.strict_parameters import Strict

# JSON schema's names of bounds -> how a reader sees them.
BOUNDS = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}


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
    return f"## {heading}\n\n{markdown(pd.DataFrame.from_dict(rows, orient='index'))}"


def all_parameters() -> str:
    """Return the sections of all notebooks."""
    sections = [
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
