"""Presets: a whole study in one YAML file, resolved and validated before anything runs.

A preset names ``seeds`` and ``conditions`` and sets parameters by section: ``data`` (what stages 1 to 3
share), ``search``, ``finetuning``, ``influence``, ``figures``, ``influence_by_condition`` for what differs
between conditions, and ``calibration``, which is run on request. Everything else keeps the defaults of
``modspec.workflow.parameters``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from modspec.errors import InputError
from modspec.workflow.parameters import STAGES, Condition, DataParameters, Parameters
from modspec.workflow.paths import project_root

PRESETS = Path("notebooks/presets")
SECTIONS = ("data", "search", "finetuning", "influence", "influence_by_condition", "figures", "calibration")
KEYS = ("seeds", "conditions", "threads", *SECTIONS)
# Set by the study itself, for every job.
RESERVED = {"study_dir", "figures_dir", "seed", "seeds", "condition", "conditions", "other_seed"}


@dataclass(frozen=True)
class Study:
    """A resolved study: validated parameters of every job."""

    name: str
    seeds: tuple[int, ...]
    conditions: tuple[str, ...]
    threads: int
    values: Mapping[str, Mapping[str, Any]]

    def parameters(self, stage: str, *, seed: int = 0, condition: str = "full") -> Parameters:
        """The validated parameters of one job."""
        values: dict[str, Any] = {"study_dir": f"runs/{self.name}"}
        if stage == "figures":
            values |= {
                "figures_dir": f"runs/{self.name}/figures",
                "seeds": self.seeds,
                "conditions": self.conditions,
            }
            return STAGES[stage](**values, **self.values["figures"])
        if stage == "calibration":
            values |= {"figures_dir": f"runs/{self.name}/figures", "seeds": self.seeds}
            return STAGES[stage](**values | self.values["data"] | self.values["calibration"])
        values |= {"seed": seed, **self.values["data"], **self.values[stage]}
        if stage != "search":
            values["condition"] = condition
        if stage == "influence":
            values |= self.values["influence_by_condition"].get(condition, {})
            kinds = values.get("mask_kinds", STAGES[stage].model_fields["mask_kinds"].default)
            # The control is the next seed in the list; a study of one seed cannot have it.
            values["other_seed"] = (*self.seeds, *self.seeds)[self.seeds.index(seed) + 1]
            if len(self.seeds) == 1:
                values["mask_kinds"] = [kind for kind in kinds if kind != "other_seed"]
        return STAGES[stage](**values)

    def check(self) -> None:
        """Validate every job; raises InputError for the first parameter that is wrong."""
        for seed in self.seeds:
            self.parameters("search", seed=seed)
            for condition in self.conditions:
                self.parameters("finetuning", seed=seed, condition=condition)
                self.parameters("influence", seed=seed, condition=condition)
        self.parameters("figures")
        if self.values["calibration"]:
            self.parameters("calibration")


def resolve(config: Mapping[str, Any]) -> Study:
    """A study from ``preset`` and overrides, as Snakemake's ``--config`` gives them.

    ``preset``: a name in notebooks/presets, or the path of a YAML file. ``study``: what to call the
    results (default: the preset's name). Every other key is a key of a preset, or a parameter that only
    one section has: ``top_k=20``; where several have it, ``finetuning='{epochs: 3}'``.
    """
    config = dict(config)
    source = str(config.pop("preset", "embedded"))
    file = Path(source) if source.endswith((".yaml", ".yml")) else project_root() / PRESETS / f"{source}.yaml"
    if not file.exists():
        names = sorted(path.stem for path in (project_root() / PRESETS).glob("*.yaml"))
        raise InputError(f"preset: {source!r} is not there; allowed: {', '.join(names)}, or a YAML file")
    name = str(config.pop("study", file.stem))
    preset = _retyped(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    if unknown := set(preset) - set(KEYS):
        raise InputError(f"{file.name}: {sorted(unknown)[0]!r} is not a key; allowed: {', '.join(KEYS)}")
    values = {section: dict(preset.get(section) or {}) for section in SECTIONS}
    top = {key: preset[key] for key in ("seeds", "conditions", "threads") if key in preset}
    for key, given in config.items():
        value = _retyped(given)
        if key in ("seeds", "conditions", "threads"):
            top[key] = value
        elif key in SECTIONS:
            if not isinstance(value, dict):
                raise InputError(f"{key}: {value!r}; allowed: a mapping such as '{{name: value}}'")
            values[key] |= value
        else:
            values[_section_of(key, value)][key] = value
    for section, given in values.items():
        if taken := RESERVED & set(given) - ({"seeds"} if section == "calibration" else set()):
            raise InputError(
                f"{section}: {sorted(taken)[0]!r} is set for each job; allowed: seeds, conditions"
            )
    study = Study(
        name,
        tuple(_list_of("seeds", top.get("seeds", [0, 1]), int)),
        tuple(_list_of("conditions", top.get("conditions", list(get_args(Condition))), str)),
        _list_of("threads", [top.get("threads", 1)], int)[0],
        values,
    )
    study.check()
    return study


def _section_of(name: str, value: Any) -> str:
    """The one section that has this parameter."""
    if name in DataParameters.model_fields:
        return "data"
    having = [stage for stage, model in STAGES.items() if name in model.model_fields]
    # The calibration has names of every stage: in its own section they are set for it.
    stages = [stage for stage in having if stage != "calibration"] or having
    if len(stages) == 1:
        return stages[0]
    if stages:
        examples = " or ".join(f"{stage}='{{{name}: {value}}}'" for stage in stages)
        raise InputError(f"{name}: stages {', '.join(stages)} have one each; allowed: {examples}")
    known = sorted({field for model in STAGES.values() for field in model.model_fields} - RESERVED)
    raise InputError(
        f"{name}: {value!r} is not a parameter; allowed: preset, study, {', '.join((*KEYS, *known))}"
    )


def _list_of(name: str, values: Any, kind: type) -> list:
    values = values if isinstance(values, list) else [values]
    if not values or any(type(value) is not kind for value in values) or len(set(values)) < len(values):
        raise InputError(f"{name}: {values!r}; allowed: one or more different values of type {kind.__name__}")
    return values


def _retyped(value: Any) -> Any:
    """Numbers, Booleans and nulls that Snakemake leaves as strings inside lists and mappings.

    And numbers like 5e-5, which YAML takes for text.
    """
    if isinstance(value, dict):
        return {key: _retyped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_retyped(item) for item in value]
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                pass
        # Not YAML's own rule, for which the language code "no" is false.
        return {"true": True, "false": False, "null": None}.get(value.lower(), value)
    return value
