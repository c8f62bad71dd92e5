"""Presets: a whole study in one YAML file, resolved and checked before anything runs.

A preset names ``seeds`` and ``conditions`` and sets parameters by section: ``data`` (shared by stages 1 to
3), ``search``, ``finetuning``, ``influence``, ``influence_by_condition`` (for one condition's scoring only),
``figures``, and ``calibration``, which runs only on request. All other parameters keep the defaults of
``modspec.workflow.parameters``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from modspec.errors import InputError
from modspec.terms import CONDITIONS
from modspec.workflow.parameters import RENAMED, STAGES, DataParameters, Parameters, renamed_message
from modspec.workflow.paths import project_root

PRESETS = Path("notebooks/presets")
SECTIONS = ("data", "search", "finetuning", "influence", "influence_by_condition", "figures", "calibration")
TOP = {"seeds": [0, 1], "conditions": list(CONDITIONS), "threads": 1}  # keys outside sections, and defaults
KEYS = (*TOP, *SECTIONS)
# Parameters that the study sets for each of its jobs.
RESERVED = {"study_dir", "figures_dir", "seed", "seeds", "condition", "conditions", "other_seed"}


@dataclass(frozen=True)
class StudyPlan:
    """A preset with its overrides: the seeds and conditions of a study, and the parameters of its jobs."""

    name: str  # of the study, and of its folders under runs/ and figures/
    seeds: tuple[int, ...]
    conditions: tuple[str, ...]
    threads: int  # per job
    values: Mapping[str, Mapping[str, Any]]  # section -> parameter -> value

    def parameters(self, stage: str, *, seed: int = 0, condition: str = "full") -> Parameters:
        """Return the parameters of one job.

        Args:
            stage: a key of :data:`modspec.workflow.parameters.STAGES`.
            seed, condition: of the job; figures and calibration have all seeds in one job.

        Raises:
            InputError: a parameter is wrong.
        """
        values: dict[str, Any] = {"study_dir": f"runs/{self.name}"}
        if stage in ("figures", "calibration"):
            shared = self.values["data"] if stage == "calibration" else {"conditions": self.conditions}
            values |= {"figures_dir": f"runs/{self.name}/figures", "seeds": self.seeds}
            return STAGES[stage](**values | shared | self.values[stage])
        values |= {"seed": seed, **self.values["data"], **self.values[stage]}
        if stage != "search":
            values["condition"] = condition
        if stage == "influence":
            values |= self.values["influence_by_condition"].get(condition, {})
            kinds = values.get("mask_kinds", STAGES[stage].model_fields["mask_kinds"].default)
            # The other seed is the next one in the list; a study of one seed has none.
            values["other_seed"] = (*self.seeds, *self.seeds)[self.seeds.index(seed) + 1]
            if len(self.seeds) == 1:
                values["mask_kinds"] = [kind for kind in kinds if kind != "other_seed"]
        return STAGES[stage](**values)

    def check(self) -> None:
        """Check every job; raise InputError for the first parameter that is wrong."""
        for seed, condition in product(self.seeds, self.conditions):
            self.parameters("search", seed=seed)
            self.parameters("finetuning", seed=seed, condition=condition)
            self.parameters("influence", seed=seed, condition=condition)
        self.parameters("figures")
        if self.values["calibration"]:
            self.parameters("calibration")


def resolve(config: Mapping[str, Any]) -> StudyPlan:
    """Return the plan of a study.

    Args:
        config: as Snakemake's ``--config`` gives it. ``preset``: a name in notebooks/presets, or the path of
            a YAML file. ``study``: the name of the results (default: the preset's name). Every other key
            overrides a key of the preset, or a parameter that only one section has, as in ``top_k=20``; where
            several sections have it, the section is named, as in ``finetuning='{epochs: 3}'``.

    Raises:
        InputError: the preset is missing, a key is unknown, or a parameter is wrong.
    """
    config = dict(config)
    source = str(config.pop("preset", "embedded"))
    file = Path(source) if source.endswith((".yaml", ".yml")) else project_root() / PRESETS / f"{source}.yaml"
    if not file.exists():
        names = sorted(path.stem for path in (project_root() / PRESETS).glob("*.yaml"))
        raise InputError(f"preset: {source!r} does not exist; allowed: {', '.join(names)}, or a YAML file")
    name = str(config.pop("study", file.stem))
    preset = _retyped(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    if unknown := set(preset) - set(KEYS):
        raise InputError(f"{file.name}: {sorted(unknown)[0]!r} is not a key; allowed: {', '.join(KEYS)}")
    values = {section: dict(preset.get(section) or {}) for section in SECTIONS}
    top = TOP | {key: preset[key] for key in TOP if key in preset}
    for key, given in config.items():
        value = _retyped(given)
        if key in TOP:
            top[key] = value
        elif key in SECTIONS:
            if not isinstance(value, dict):
                raise InputError(f"{key}: {value!r}; allowed: a mapping such as '{{name: value}}'")
            values[key] |= value
        else:
            values[_section_of(key, value)][key] = value
    for section, given in values.items():
        if taken := RESERVED & set(given) - ({"seeds"} if section == "calibration" else set()):
            message = f"{section}: {sorted(taken)[0]!r} is set for each job"
            raise InputError(f"{message}; allowed: seeds, conditions")
    seeds, conditions = _list_of("seeds", top["seeds"], int), _list_of("conditions", top["conditions"], str)
    (threads,) = _list_of("threads", [top["threads"]], int)
    plan = StudyPlan(name, tuple(seeds), tuple(conditions), threads, values)
    plan.check()
    return plan


def _section_of(name: str, value: Any) -> str:
    """Return the one section that has this parameter; raise InputError where none or several have it."""
    if name in RENAMED:
        raise InputError(renamed_message(name, value))
    if name in DataParameters.model_fields:
        return "data"
    having = [stage for stage, model in STAGES.items() if name in model.model_fields]
    # The calibration shares names with every stage; its own values of these are set in its section.
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
    """Return ``values`` as a list; raise InputError unless they are distinct and of the type ``kind``."""
    values = values if isinstance(values, list) else [values]
    if not values or any(type(value) is not kind for value in values) or len(set(values)) < len(values):
        raise InputError(f"{name}: {values!r}; allowed: one or more different values of type {kind.__name__}")
    return values


def _retyped(value: Any) -> Any:
    """Return ``value`` with strings that mean a number, Boolean or null replaced by it, at any depth.

    Snakemake leaves such strings inside lists and mappings, and YAML reads a number like 5e-5 as text.
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
        # YAML's own rule would turn the language code "no" into false.
        return {"true": True, "false": False, "null": None}.get(value.lower(), value)
    return value
