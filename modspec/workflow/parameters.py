"""Typed, strict parameters, one model a stage: names, ranges and defaults stand here and nowhere else.

Validation needs neither torch nor data, so that the workflow checks a whole study before it starts.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modspec.errors import InputError
from modspec.terms import Condition, MaskKind, Precision, TrainGradientMask

Languages = Annotated[tuple[str, ...], Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]

PATHS_AND_HARDWARE = {"study_dir", "data_dir", "figures_dir", "device", "memory_gib"}


class Strict(BaseModel):
    """A notebook's parameters. Unknown, mistyped or out-of-range ones raise InputError."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def __init__(self, **values: Any) -> None:
        # YAML, JSON and papermill know lists, not tuples.
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_one_line(error, type(self))) from None

    @classmethod
    def from_notebook(cls) -> Self:
        """The parameters set by this notebook's ``parameters`` cell and by papermill after it.

        Collected are the variables assigned in cells that hold nothing but assignments of literals,
        which is what both are; a name that is not a parameter is therefore found, not ignored.
        """
        from IPython import get_ipython

        shell = get_ipython()
        names = [name for cell in shell.history_manager.input_hist_raw for name in literal_names(cell)]
        return cls(**{name: shell.user_ns[name] for name in names if name in shell.user_ns})

    def identity(self) -> dict[str, Any]:
        """The parameters that decide the result, as JSON values: no paths, no device."""
        return self.model_dump(mode="json", exclude=PATHS_AND_HARDWARE)


class Parameters(Strict):
    """What all stages share."""

    study_dir: str = Field("runs/embedded", description="where the study's artefacts are kept")


def literal_names(cell: str) -> list[str]:
    """Names assigned in a cell that only assigns literals to names; empty for any other cell."""
    try:
        statements = ast.parse(cell).body
        names = []
        for statement in statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                return []
            ast.literal_eval(statement.value)
            if not isinstance(statement.targets[0], ast.Name):
                return []
            names.append(statement.targets[0].id)
    except (SyntaxError, ValueError):
        return []
    return names


class DataParameters(Parameters):
    """Task, encoder and sampling: the same in every stage that touches text."""

    task: str = Field("intents", description="intents, xnli, pawsx, marc, multiemo, or local")
    data_dir: str | None = Field(None, description="directory of local files; None: the task's own source")
    languages: Languages = Field(("en", "de", "fr", "es", "ru"), description="language codes")
    encoder: str = Field("e5-small", description="e5-small, tiny, a hub id, or a local directory")
    train_per_language: Positive = Field(44, description="training examples a language")
    dev_per_language: Positive = Field(50, description="dev examples a language")
    test_per_language: Positive = Field(30, description="test examples a language")
    parallel: bool = Field(True, description="parallel tasks: the same pairs in every language")
    data_seed: Seed = Field(0, description="seed of sampling, common to all runs of a study")
    max_length: Annotated[int, Field(ge=8, le=512)] = Field(128, description="pieces a text (pair)")
    seed: Seed = Field(0, description="seed of initialisation, batches and dropout")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, …")
    precision: Precision = Field("auto", description="of training, search and evaluation")

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        repeated = [code for code in self.languages if self.languages.count(code) > 1]
        if repeated:
            raise ValueError(f"languages: {repeated[0]!r} is named twice; allowed: each language once")
        return self


class TrainingParameters(DataParameters):
    """What stages 1 and 2 start from."""

    start_languages: tuple[str, ...] = Field(
        (), description="those to fine-tune on first, mixed and without masks; none: the pretrained encoder"
    )
    start_epochs: Positive = Field(3, description="of that")

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        for code in self.start_languages:
            if code not in self.languages:
                raise ValueError(f"start_languages: {code!r}; allowed: some of {', '.join(self.languages)}")
            if self.start_languages.count(code) > 1:
                raise ValueError(f"start_languages: {code!r} is named twice; allowed: each language once")
        return self

    def start_identity(self) -> dict[str, Any]:
        """Of :meth:`identity`, what decides the start: stages for which it is the same share one."""
        decisive = {*TrainingParameters.model_fields, "batch_size", "learning_rate", "weight_decay"}
        return {name: value for name, value in self.identity().items() if name in decisive}


class SearchParameters(TrainingParameters):
    """Stage 1: a subnetwork for every language."""

    epochs: Positive = Field(8, description="of fine-tuning on the one language")
    batch_size: Positive = 8
    learning_rate: Rate = 0.0003
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    threshold: Share = Field(0.95, description="dev score to keep, as a share of the unpruned score")
    step: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="share of all heads dropped a step")
    importance_examples: Positive = Field(44, description="training examples that importance averages")
    inherited: bool = Field(True, description="also search with the importance that inherited code computes")

    @model_validator(mode="after")
    def _check_search(self) -> Self:
        if self.importance_examples > self.train_per_language:
            raise ValueError(
                f"importance_examples: {self.importance_examples}; "
                f"allowed: at most train_per_language = {self.train_per_language}"
            )
        return self


class FinetuningParameters(TrainingParameters):
    """Stage 2: one classifier over all languages."""

    condition: Condition = Field(
        "full", description="full, or SFT under own, random, or shared masks: intersection or union"
    )
    epochs: Positive = 7
    batch_size: Positive = 8
    learning_rate: Rate = 0.0002
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    keep_checkpoints: Literal["last", "all"] = Field("all", description="epochs whose weights are kept")


class InfluenceParameters(DataParameters):
    """Stage 3: which training examples each prediction is owed to."""

    condition: Condition = Field("full", description="the classifier to score")
    checkpoints: Literal["last", "all"] | Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        "last", description="epochs that TracIn sums over: last, all, or a list"
    )
    eta: Literal["learning_rate", "one"] = Field("learning_rate", description="checkpoints' weights")
    scored_per_language: Positive | None = Field(
        None, description="training examples a language whose influence is scored; None: all"
    )
    evaluation_per_language: Positive = Field(6, description="test examples a language, for whom")
    train_items: Annotated[int, Field(ge=0)] = Field(
        0, description="parallel tasks: training examples a language that are scored as well"
    )
    top_k: Positive = Field(10, description="number of proponents and of opponents")
    top_ks: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (10, 20, 30, 50, 100, 200, 500), description="other such numbers, as far as there are examples"
    )
    mask_kinds: Annotated[tuple[MaskKind, ...], Field(min_length=1)] = Field(
        ("none", "own", "other_language", "other_seed", "random"),
        description="masks that evaluation examples are scored under",
    )
    train_gradient_masks: Annotated[tuple[TrainGradientMask, ...], Field(min_length=1)] = Field(
        ("test_example",),
        description="training gradients under the evaluation example's mask, or the example's own; under "
        "sparse fine-tuning the first counts",
    )
    random_draws: Positive = Field(1, description="random masks for every language's mask")
    other_seed: Seed = Field(1, description="the search seed of the other-seed masks")
    by_part: bool = Field(True, description="also scores by head and other part of the encoder, no mask")
    score_precision: Precision = Field("float32", description="of influence")
    batch_size: Positive = Field(64, description="of gradient passes, at most")
    memory_gib: Annotated[float, Field(gt=0)] | None = Field(
        None, description="for evaluation gradients; None: half of what is free"
    )

    @model_validator(mode="after")
    def _check_influence(self) -> Self:
        scored = self.scored_per_language or self.train_per_language
        if scored > self.train_per_language:
            raise ValueError(
                f"scored_per_language: {scored}; "
                f"allowed: at most train_per_language = {self.train_per_language}, or None for all"
            )
        examples = len(self.languages) * scored
        if self.top_k > examples:
            name = "train_per_language" if self.scored_per_language is None else "scored_per_language"
            raise ValueError(
                f"top_k: {self.top_k}; allowed: at most the {examples} training examples (languages x {name})"
            )
        if self.evaluation_per_language > self.test_per_language:
            raise ValueError(
                f"evaluation_per_language: {self.evaluation_per_language}; "
                f"allowed: at most test_per_language = {self.test_per_language}"
            )
        controls = [kind for kind in self.mask_kinds if kind in ("other_seed", "random", "inherited")]
        if controls and "test_example" not in self.train_gradient_masks:
            raise ValueError(
                f"train_gradient_masks: {list(self.train_gradient_masks)}; allowed: any that include 'test_example', "
                f"under which mask_kinds {controls} are scored"
            )
        if "none" not in self.mask_kinds:
            raise ValueError(
                f"mask_kinds: {list(self.mask_kinds)}; allowed: any that include 'none', the baseline"
            )
        if "other_seed" in self.mask_kinds and self.other_seed == self.seed:
            raise ValueError(
                f"other_seed: {self.other_seed}; allowed: a searched seed other than seed = {self.seed}, "
                "or mask_kinds without 'other_seed'"
            )
        return self


class FigureParameters(Parameters):
    """Stage 4: tables and figures over all seeds and conditions of a study."""

    figures_dir: str = Field("runs/embedded/figures", description="where figures and their CSVs go")
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1)
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] = ("full", "sft", "sft_random")
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(0.95, description="level of the intervals")
    resamples: Annotated[int, Field(ge=100)] = Field(2000, description="bootstrap resamples")
    permutations: Annotated[int, Field(ge=99)] = Field(1999, description="of language labels, a test")


class CalibrationParameters(DataParameters):
    """Notebook 0: what the instrument reads where nothing is, and where something was planted."""

    figures_dir: str = Field("runs/embedded/figures", description="where figures and their CSVs go")
    seed: Seed = Field(0, description="seed of random splits and ciphers")
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        (0, 1, 2), description="of initialisation, batches and dropout: one model each"
    )
    language: str = Field("en", description="the language that is split and ciphered")
    sentences: Annotated[int, Field(ge=4)] = Field(220, description="training examples of that language")
    epochs: Positive = 7
    batch_size: Positive = 8
    learning_rate: Rate = 0.0002
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    threshold: Share = Field(0.95, description="dev score to keep, as a share of the unpruned score")
    step: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="share of all heads dropped a step")
    evaluation_per_language: Annotated[int, Field(ge=4)] = Field(30, description="test examples scored")
    top_k: Positive = Field(10, description="number of proponents; fewer than a label has sentences")
    clone_splits: Positive = Field(200, description="random splits of the language")
    cipher_shares: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)] = Field(
        (0.0, 0.25, 0.5, 0.75, 1.0), description="shares of piece types that are re-encoded"
    )
    level: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="of tests; 1 - it, of intervals")
    resamples: Annotated[int, Field(ge=100)] = Field(1999, description="bootstrap resamples, permutations")
    planted_languages: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = Field(
        (2,), description="numbers of languages to plant heads for, the first ones"
    )
    planted_epochs: Positive = Field(20, description="of their training, which has few heads to work with")
    planted_learning_rate: Rate = 0.0003
    judged_train: Positive = Field(44, description="training examples a language, to be judged as proponents")
    judged_per_language: Positive = Field(8, description="evaluation examples a language and kind, for that")
    subsets: Positive = Field(32, description="subsets of the training examples that are retrained on")
    subset_share: Rate = Field(0.5, description="share of the training examples in each")
    retrainings: Annotated[int, Field(ge=2)] = Field(2, description="on each subset, with the first seeds")

    @model_validator(mode="after")
    def _check_calibration(self) -> Self:
        if self.language not in self.languages:
            raise ValueError(f"language: {self.language!r}; allowed: one of {', '.join(self.languages)}")
        if self.evaluation_per_language > self.test_per_language:
            raise ValueError(
                f"evaluation_per_language: {self.evaluation_per_language}; "
                f"allowed: at most test_per_language = {self.test_per_language}"
            )
        examples = min(self.sentences, len(self.languages) * self.train_per_language)
        if self.top_k > examples:
            raise ValueError(
                f"top_k: {self.top_k}; allowed: at most {examples}, the lesser of sentences and "
                "languages x train_per_language"
            )
        for name in ("seeds", "cipher_shares"):
            values = list(getattr(self, name))
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: {values}; allowed: each value once")
        return self


class ResultsParameters(Strict):
    """Notebook 5: finished studies side by side."""

    figures_dir: str = Field("figures", description="where every study has a folder, and this gets one")
    studies: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("xnli", "pawsx", "reviews"), description="names of studies, in the order to show them"
    )

    @model_validator(mode="after")
    def _check_studies(self) -> Self:
        if len(set(self.studies)) < len(self.studies):
            raise ValueError(f"studies: {list(self.studies)}; allowed: each study once")
        return self


STAGES: Mapping[str, type[Parameters]] = {
    "search": SearchParameters,
    "finetuning": FinetuningParameters,
    "influence": InfluenceParameters,
    "figures": FigureParameters,
    "calibration": CalibrationParameters,
}


def _one_line(error: ValidationError, model: type[Strict]) -> str:
    """The first problem as ``parameter: value; allowed: …``."""
    problem = error.errors()[0]
    # The name, and the place in a list; not which member of a union was tried.
    name = ".".join(str(part) for i, part in enumerate(problem["loc"]) if i == 0 or isinstance(part, int))
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"{name}: {value!r} is not a parameter of this stage; allowed: {_names(name, model)}"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    allowed = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{name}: {value!r} ({type(value).__name__}); allowed: {allowed}"


def _names(name: str, model: type[Strict]) -> str:
    close = difflib.get_close_matches(name, model.model_fields, n=1)
    hint = f"{close[0]} (did you mean it?), " if close else ""
    return hint + ", ".join(field for field in model.model_fields if field not in close)
