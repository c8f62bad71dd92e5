"""Presets: a whole study in one YAML file, resolved and checked before anything runs.

A preset names ``seeds`` and ``conditions`` and sets parameters by section: ``data`` (shared by stages 1 to
3), ``search``, ``finetuning``, ``influence``, ``finetuning_by_condition`` and ``influence_by_condition`` (for
one condition only), ``figures``, and ``calibration``, which runs only on request. Leaving languages out
repeats the training of section ``finetuning`` and so has no section: it is part of the study for those of its
seeds that are among ``left_out_seeds``, and for others runs only on request. All other parameters keep the
defaults of ``modspec.workflow.parameters``.

With ``train_samples: per_seed`` every seed of stages 1 to 3 draws its own training examples; dev and test
examples are the same for all. With ``blind: true`` notebooks show no influence and no figures are made: a
confirmatory study is looked at when it is complete. Jobs may run on different machines: with
``search_by_language: true`` every language's search is a job of its own, and with ``scoring_shards: N`` the
scoring of every condition and seed is divided among N jobs.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from modspec.errors import Contradiction, InputError, quoted
from modspec.terms import CONDITIONS
from modspec.workflow.parameters import (
    STAGES,
    DataParameters,
    FinetuningParameters,
    InfluenceParameters,
    Parameters,
    SearchParameters,
)
from modspec.workflow.paths import project_root
from modspec.workflow.plain_yaml import read_yaml, retyped

PRESETS = Path("notebooks/presets")
BY_CONDITION = ("finetuning_by_condition", "influence_by_condition")
SECTIONS = ("data", "search", "finetuning", "influence", *BY_CONDITION, "figures", "calibration")
# Keys outside sections, and their defaults.
TOP: dict[str, Any] = {"seeds": [0, 1], "conditions": list(CONDITIONS), "threads": 1}
TOP |= {"search_by_language": False, "scoring_shards": 1, "train_samples": "shared", "blind": False}
TOP |= {"left_out_seeds": []}
TRAIN_SAMPLES = ("shared", "per_seed")
MOST_SHARDS = 1000  # of one scoring; each is a job
KEYS = (*TOP, *SECTIONS)
# Parameters of the data that a study has once: a stage's seed, device and precision may be its own.
SHARED = set(DataParameters.model_fields) - {"study_dir", "seed", "device", "precision"}
# Parameters that the study sets for each of its jobs.
RESERVED = {"study_dir", "figures_dir", "seed", "seeds", "condition", "conditions", "other_seed"}
RESERVED |= {"train_sample_seed", "blind"}


# A study's name is that of its folders, and stands in commands of the shell.
STUDY_NAME, LONGEST_NAME = r"\w[\w.-]*", 100  # bytes


@dataclass(frozen=True)
class StudyPlan:
    """A preset with its overrides: the seeds and conditions of a study, and the parameters of its jobs."""

    name: str  # of the study, and of its folders under runs/ and figures/
    seeds: tuple[int, ...]
    conditions: tuple[str, ...]
    threads: int  # per job
    values: Mapping[str, Mapping[str, Any]]  # section -> parameter -> value
    search_by_language: bool = False  # every language's search is a job
    scoring_shards: int = 1  # jobs that a condition's and seed's scoring is divided among
    train_samples: str = "shared"  # one training sample for all seeds, or one "per_seed"
    blind: bool = False  # notebooks show no influence, and there are no figures
    left_out_seeds: tuple[int, ...] = ()  # for which leaving languages out is part of the study

    def parameters(self, stage: str, *, seed: int = 0, condition: str = "full") -> Parameters:
        """Return the parameters of one job.

        Args:
            stage: a key of :data:`modspec.workflow.parameters.STAGES`.
            seed, condition: of the job; figures and calibration have all seeds in one job.

        Raises:
            InputError: a parameter is wrong.
        """
        values: dict[str, Any] = {"study_dir": f"runs/{self.name}"}
        if stage in ("figures", "exploration", "calibration"):
            shared = self.values["data"] if stage == "calibration" else {"conditions": self.conditions}
            folder = "figures/exploration" if stage == "exploration" else "figures"
            values |= {"figures_dir": f"runs/{self.name}/{folder}", "seeds": self.seeds}
            section = "calibration" if stage == "calibration" else "figures"
            return STAGES[stage](**values | shared | self.values[section])
        section = "finetuning" if stage == "leave_one_out" else stage
        values |= {"seed": seed, **self.values["data"], **self.values[section]}
        if self.train_samples == "per_seed":
            values["train_sample_seed"] = seed
        if stage != "search":
            values["condition"] = condition
            values |= self.values[f"{section}_by_condition"].get(condition, {})
        if "blind" in STAGES[stage].model_fields:
            values["blind"] = self.blind
        if stage == "influence":
            if self.train_samples == "shared":
                # The next seed in the list; a study of one seed has none. Other seeds' masks are only for
                # seeds that share a training sample: with their own, a job must not depend on the list.
                values["other_seed"] = (*self.seeds, *self.seeds)[self.seeds.index(seed) + 1]
            fields, names = InfluenceParameters.model_fields, ("mask_kinds", "languages")
            kinds, languages = (values.get(name, fields[name].default) for name in names)
            missing = ["other_seed"] if len(self.seeds) == 1 else []
            if isinstance(languages, list | tuple) and len(languages) == 1:  # there are no others to pool
                missing += ["pooled_others", "accuracy_matched"]
            if isinstance(kinds, list | tuple):  # what is no list is refused below
                values["mask_kinds"] = [kind for kind in kinds if kind not in missing]
        return STAGES[stage](**values)

    def check(self) -> None:
        """Check every job; raise InputError for the first parameter that is wrong.

        Nobody is refused for what was not asked for. Of the calibration, and of conditions that the study
        leaves out, every parameter is checked, but not whether it suits the others.
        """
        for seed, condition in product(self.seeds, self.conditions):
            search = self.parameters("search", seed=seed)
            finetuning = self.parameters("finetuning", seed=seed, condition=condition)
            influence = self.parameters("influence", seed=seed, condition=condition)
            for problem in _contradictions(search, finetuning, influence):
                raise InputError(problem)
            if self.scoring_shards > 1 and influence.memory_gib is None:
                reason = "machines differ in free memory, and so would their blocks of scores"
                raise InputError(
                    f"scoring_shards: {self.scoring_shards}; allowed: 1, or memory_gib = a number ({reason})"
                )
        for seed in self.left_out_seeds:
            self.parameters("leave_one_out", seed=seed)
        self.parameters("figures")
        for stage, condition in [("calibration", ""), *product(["finetuning", "influence"], CONDITIONS)]:
            with suppress(Contradiction):
                self.parameters(stage, seed=self.seeds[0], condition=condition)


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
    if influence.over_training and finetuning.training_checkpoints < 2:
        yield "over_training: True; allowed: False, or training_checkpoints = 2 or more"
    if influence.over_training and isinstance(chosen, tuple) and max(chosen) < epochs:
        yield f"over_training: True; allowed: False, or checkpoints with the last epoch, {epochs}"
    needs_pooled = [k for k in influence.mask_kinds if k in ("pooled_others", "accuracy_matched")]
    if needs_pooled and not search.pooled_others:
        yield f"mask_kinds: {needs_pooled[0]!r}; allowed: others, or pooled_others = True"
    if "other_seed" in influence.mask_kinds and influence.train_sample_seed is not None:
        reason = "another seed's masks were found on another training sample"
        yield f"mask_kinds: 'other_seed'; allowed: others, because train_samples = 'per_seed' ({reason})"


def from_command_line(settings: Sequence[str]) -> StudyPlan:
    """Return the study that settings name, each ``NAME=VALUE`` as after ``snakemake --config``.

    Raises:
        InputError: a setting cannot be read, or a parameter is wrong.
    """
    from snakemake.cli import parse_config  # slow to import

    try:
        config = parse_config(settings)
    except (ValueError, AssertionError) as error:  # of Snakemake; the latter where a value is blank
        raise InputError(str(error) or f"a value is blank among {quoted(settings)}") from None
    return resolve(config)


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
    config = {key: retyped(value) for key, value in config.items()}
    file = _preset_file(config.pop("preset", "embedded"))
    name = _study_name(config.pop("study", file.stem))
    preset = read_preset(file)
    values = {section: preset.get(section) or {} for section in SECTIONS}
    top = TOP | {key: preset[key] for key in TOP if key in preset}
    for key, value in config.items():
        if key in TOP:
            top[key] = value
        elif key in SECTIONS:
            _check_section(key, value)
            values[key] = _merged(values[key], value or {})
        else:
            section = _section_of(key, value)
            _check_section(section, {key: value})
            values[section] = values[section] | {key: value}
    # Data that somebody asks for are the calibration's too, whatever data the preset gives it.
    asked = {*config, *(config.get("data") or {})} - {*(config.get("calibration") or {})}
    values["calibration"] = {k: v for k, v in values["calibration"].items() if k not in asked & SHARED}
    seeds, conditions = _list_of("seeds", top["seeds"], int), _list_of("conditions", top["conditions"], str)
    left_out = top["left_out_seeds"]
    left_out = [] if left_out == [] else _list_of("left_out_seeds", left_out, int)
    threads, shards = (_count(name, top[name]) for name in ("threads", "scoring_shards"))
    samples = top["train_samples"]
    if samples not in TRAIN_SAMPLES:
        raise InputError(f"train_samples: {quoted(samples)}; allowed: {' or '.join(TRAIN_SAMPLES)}")
    for key in ("search_by_language", "blind"):
        if not isinstance(top[key], bool):
            raise InputError(f"{key}: {quoted(top[key])}; allowed: true or false")
    plan = StudyPlan(
        name,
        tuple(seeds),
        tuple(conditions),
        threads,
        values,
        top["search_by_language"],
        shards,
        samples,
        top["blind"],
        tuple(seed for seed in left_out if seed in seeds),
    )
    plan.check()
    return plan


def _preset_file(preset: Any) -> Path:
    """Return the file of a preset that is named by its path, or by its name in :data:`PRESETS`."""
    file, known = Path(str(preset)).expanduser(), project_root() / PRESETS
    if file.suffix not in (".yaml", ".yml"):
        file = known / f"{preset}.yaml"
    try:
        found = file.is_file()
    except OSError:  # a name that no file can have
        found = False
    if not found:
        names = ", ".join(sorted(path.stem for path in known.glob("*.yaml")))
        raise InputError(f"preset: {quoted(preset)} does not exist; allowed: {names}, or a YAML file")
    return file


def _study_name(name: Any) -> str:
    """Return the name of a study, which is the name of its folders too."""
    if isinstance(name, str) and re.fullmatch(STUDY_NAME, name) and len(name.encode()) <= LONGEST_NAME:
        return name
    raise InputError(
        f"study: {quoted(name)}; allowed: letters, digits, _, - and ., no number alone, "
        f"first a letter or digit, at most {LONGEST_NAME} bytes (name it with study=NAME)"
    )


def read_preset(file: Path) -> dict[str, Any]:
    """Return the content of a preset: keys of :data:`KEYS`, sections being mappings.

    Raises:
        InputError: the file is no YAML, or its keys or sections are others.
    """
    preset = read_yaml(file)
    if not isinstance(preset, dict):
        raise InputError(f"{file.name}: {quoted(preset)}; allowed: a mapping of {', '.join(KEYS)}")
    for key, value in preset.items():
        if key not in KEYS:
            raise InputError(f"{file.name}: {quoted(key)} is not a key; allowed: {_closest_first(key, KEYS)}")
        if key in SECTIONS:
            try:
                _check_section(key, value)
            except InputError as error:
                raise InputError(f"{file.name}: {error}") from None
    return preset


def _closest_first(key: Any, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(key), allowed, n=1)
    return ", ".join(
        [*(f"{name} (did you mean it?)" for name in close), *(n for n in allowed if n not in close)]
    )


def _check_section(section: str, value: Any) -> None:
    """Raise InputError unless a section is a mapping of parameters that are not set for each job anyway."""
    if not isinstance(value, dict | None):
        raise InputError(f"{section}: {quoted(value)}; allowed: a mapping such as '{{name: value}}'")
    for name, of_name in (value or {}).items():
        if section in BY_CONDITION:
            if name not in CONDITIONS:
                allowed = _closest_first(name, list(CONDITIONS))
                raise InputError(f"{section}: {quoted(name)} is not a condition; allowed: {allowed}")
            if not isinstance(of_name, dict):
                raise InputError(
                    f"{section}: {name}: {quoted(of_name)}; allowed: a mapping '{{name: value}}'"
                )
            _check_section(f"{section}: {name}", of_name)
        elif not isinstance(name, str):
            raise InputError(f"{section}: {quoted(name)} is not a parameter; allowed: names of parameters")
        elif name in RESERVED and (section, name) != ("calibration", "seeds"):
            allowed = "seeds, conditions, train_samples"
            raise InputError(f"{section}: {quoted(name)} is set for each job; allowed: {allowed}")


def _merged(section: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with changes, also within the mappings of sections by condition."""
    both = {k: {**section[k], **v} for k, v in changes.items() if isinstance(v, dict) and k in section}
    return {**section, **changes, **both}


def _section_of(name: str, value: Any) -> str:
    """Return the one section that has this parameter; raise InputError where none or several have it."""
    if name in DataParameters.model_fields:
        return "data"
    having = [stage for stage, model in STAGES.items() if name in model.model_fields and stage in SECTIONS]
    # The calibration shares names with every stage; its own values of these are set in its section.
    stages = [stage for stage in having if stage != "calibration"] or having
    if len(stages) == 1:
        return stages[0]
    if stages:
        examples = " or ".join(f"{stage}='{{{name}: {value}}}'" for stage in stages)
        raise InputError(f"{name}: stages {', '.join(stages)} have one each; allowed: {examples}")
    known = sorted({field for model in STAGES.values() for field in model.model_fields} - RESERVED)
    raise InputError(
        f"{name}: {quoted(value)} is not a parameter; allowed: preset, study, {', '.join((*KEYS, *known))}"
    )


def _count(name: str, value: Any) -> int:
    """Return a number of things; raise InputError unless it is a whole number, at least 1."""
    (count,) = _list_of(name, [value], int)
    if count < 1:
        raise InputError(f"{name}: {count}; allowed: at least 1")
    if name == "scoring_shards" and count > MOST_SHARDS:
        raise InputError(f"{name}: {count}; allowed: at most {MOST_SHARDS}")
    return count


def _list_of(name: str, values: Any, kind: type) -> list:
    """Return ``values`` as a list; raise InputError unless they are distinct and of the type ``kind``."""
    values = values if isinstance(values, list) else [values]
    if not values or any(type(value) is not kind for value in values) or len(set(values)) < len(values):
        word = {int: "whole numbers", str: "words"}[kind]
        raise InputError(f"{name}: {quoted(values)}; allowed: one or more different {word}")
    return values
