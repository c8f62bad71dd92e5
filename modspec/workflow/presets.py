"""Presets: a whole study in one YAML file, resolved and checked before anything runs.

A preset names ``seeds`` and ``conditions`` and sets parameters by section: ``data`` (shared by stages 1 to
3), ``search``, ``finetuning``, ``influence``, ``influence_by_condition`` (for one condition's scoring only),
``figures``, and ``calibration``, which runs only on request. All other parameters keep the defaults of
``modspec.workflow.parameters``.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from modspec.errors import InputError, quoted
from modspec.terms import CONDITIONS
from modspec.workflow.parameters import (
    RENAMED,
    STAGES,
    DataParameters,
    FinetuningParameters,
    InfluenceParameters,
    Parameters,
    SearchParameters,
    renamed_message,
)
from modspec.workflow.paths import project_root

PRESETS = Path("notebooks/presets")
SECTIONS = ("data", "search", "finetuning", "influence", "influence_by_condition", "figures", "calibration")
TOP = {"seeds": [0, 1], "conditions": list(CONDITIONS), "threads": 1}  # keys outside sections, and defaults
KEYS = (*TOP, *SECTIONS)
# Parameters that the study sets for each of its jobs.
# Parameters of the data that a study has once: a stage's seed, device and precision may be its own.
SHARED = set(DataParameters.model_fields) - {"study_dir", "seed", "device", "precision"}
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
            search = self.parameters("search", seed=seed)
            finetuning = self.parameters("finetuning", seed=seed, condition=condition)
            influence = self.parameters("influence", seed=seed, condition=condition)
            for problem in _contradictions(search, finetuning, influence):
                raise InputError(problem)
        self.parameters("figures")
        if self.values["calibration"]:
            self.parameters("calibration")


def _contradictions(
    search: SearchParameters, finetuning: FinetuningParameters, influence: InfluenceParameters
) -> Iterator[str]:
    """Yield one line for each parameter of a stage that does not fit an earlier stage's."""
    for later, name in product((finetuning, influence), sorted(SHARED)):
        if getattr(later, name) != getattr(search, name):
            values = f"{quoted(getattr(search, name))} in search, but {quoted(getattr(later, name))} later"
            yield f"{name}: {values}; allowed: one for all stages, in section data"
    chosen, epochs = influence.checkpoints, finetuning.epochs
    if finetuning.keep_checkpoints == "last" and chosen not in ("last", (epochs,)):
        yield f"checkpoints: {quoted(chosen)}; allowed: 'last', or keep_checkpoints = 'all'"
    if isinstance(chosen, tuple) and max(chosen) > epochs:
        yield f"checkpoints: {quoted(chosen)}; allowed: 'last', 'all', or some of 1 to {epochs}"
    if "inherited" in influence.mask_kinds and not search.inherited_importance:
        yield "mask_kinds: 'inherited'; allowed: others, or inherited_importance = True"


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
    preset = read_preset(file)
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


class _Loader(yaml.BaseLoader):
    """YAML whose plain scalars mean what :func:`typed` says: "no" and "nan" are language codes."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        value = super().construct_scalar(node)
        return typed(value) if node.style is None else value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            line = next(key for key, _ in node.value[::-1] if key.value == twice[0]).start_mark.line + 1
            raise InputError(f"line {line}: {quoted(twice[0])} stands twice; allowed: each key once")
        return super().construct_mapping(node, deep=True)


def read_preset(file: Path) -> dict[str, Any]:
    """Return the content of a preset: keys of :data:`KEYS`, sections being mappings.

    Raises:
        InputError: the file is no YAML, or its keys or sections are others.
    """
    try:
        preset = yaml.load(file.read_bytes(), _Loader) or {}
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(preset, dict):
        raise InputError(f"{file.name}: {quoted(preset)}; allowed: a mapping of {', '.join(KEYS)}")
    for key, value in preset.items():
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"{close[0]} (did you mean it?), " if close else ""
            raise InputError(f"{file.name}: {quoted(key)} is not a key; allowed: {hint}{', '.join(KEYS)}")
        if key in SECTIONS and not isinstance(value, dict | None):
            raise InputError(f"{file.name}: {key}: {quoted(value)}; allowed: parameters, each as name: value")
    return preset


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


# What a plain word means: a number, a Boolean, nothing; every other word is text. YAML's own rules would read
# "no" as false, "nan" as a number and 5e-5 as text.
_MEANINGS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    (r"[-+]?(0|[1-9]\d*)", int),
    (r"[-+]?(\d+\.\d*|\.?\d+)([eE][-+]?\d+)?", float),
    (r"true|True|TRUE", lambda _: True),
    (r"false|False|FALSE", lambda _: False),
    (r"null|Null|NULL|None|~|", lambda _: None),
)


def typed(word: str) -> Any:
    """Return what a word means that somebody typed without quotes."""
    return next((meaning(word) for form, meaning in _MEANINGS if re.fullmatch(form, word)), word)


def _retyped(value: Any) -> Any:
    """Return an override with its words :func:`typed`, at any depth: Snakemake leaves them text in lists."""
    if isinstance(value, dict):
        return {key: _retyped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_retyped(item) for item in value]
    return typed(value) if isinstance(value, str) else value
