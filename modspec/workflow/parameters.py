"""Typed, strict parameters, one model per stage: the home of their names, ranges, defaults and descriptions.

Checking them needs neither torch nor data, so the workflow can check a whole study before it starts.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from modspec.errors import InputError
from modspec.terms import Condition, MaskKind, Precision, TrainGradientMask


def _distinct(values: tuple) -> tuple:
    """Return ``values``; raise ValueError where one is repeated."""
    if len(set(values)) < len(values):
        raise ValueError(f"{list(values)}; allowed: each value once")
    return values


Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_distinct)]
Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positives = Annotated[tuple[Positive, ...], Field(min_length=1)]
Resamples = Annotated[int, Field(ge=100)]

# Parameters that several stages have.
FiguresDir = Annotated[str, Field(description="directory of the figures and of the CSVs they are drawn from")]
BatchSize = Annotated[int, Field(ge=1, description="examples per training batch")]
LearningRate = Annotated[float, Field(gt=0, lt=1, description="highest learning rate of the schedule")]
WeightDecay = Annotated[float, Field(ge=0, lt=1, description="weight decay of AdamW")]
Threshold = Annotated[float, Field(gt=0, le=1, description="share of the unpruned dev accuracy to keep")]
Step = Annotated[float, Field(gt=0, lt=1, description="share of all heads that a pruning step drops")]

# Parameters that do not decide a result.
PATHS_AND_HARDWARE = {"study_dir", "data_dir", "figures_dir", "device", "memory_gib"}

# Old name -> new name and {old value: new value}. Artefacts of earlier versions record the old ones.
RENAMED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "train_gradients": ("train_gradient_masks", {"evaluation": "test_example", "own": "own_language"}),
    "inherited": ("inherited_importance", {}),
}


def renamed(name: str, value: Any) -> tuple[str, Any]:
    """Return the present name and value of a parameter; those that were never renamed stay as they are."""
    new_name, new_values = RENAMED.get(name, (name, {}))
    if isinstance(value, list | tuple):
        return new_name, [renamed(name, item)[1] for item in value]
    return new_name, new_values.get(value, value) if isinstance(value, str) else value


def renamed_message(name: str, value: Any) -> str:
    """Return the answer to an old name: one line that shows how to write it now."""
    new_name, new_value = renamed(name, value)
    shown = f"[{', '.join(map(str, new_value))}]" if isinstance(new_value, list) else new_value
    return f"{name}: was renamed; allowed: {new_name}: {shown}"


class Strict(BaseModel):
    """A notebook's parameters. An unknown, mistyped or out-of-range parameter raises InputError."""

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
        """Return the parameters set by this notebook's ``parameters`` cell and by papermill after it.

        They are looked up in the history of executed cells, because among the notebook's variables a misspelt
        parameter could not be told from any other variable and would be ignored.
        """
        from IPython import get_ipython

        shell = get_ipython()
        names = [name for cell in shell.history_manager.input_hist_raw for name in literal_names(cell)]
        return cls(**{name: shell.user_ns[name] for name in names if name in shell.user_ns})

    def identity(self) -> dict[str, Any]:
        """Return the parameters that decide the result, as JSON values: no paths, no device."""
        return self.model_dump(mode="json", exclude=PATHS_AND_HARDWARE)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """Yield one line for each parameter that contradicts another one."""
        yield from ()

    def _at_most(self, name: str, limit: str) -> Iterator[str]:
        value, most = getattr(self, name), getattr(self, limit)
        if value is not None and value > most:
            yield f"{name}: {value}; allowed: at most {limit} = {most}"


class Parameters(Strict):
    """The parameter that all stages share."""

    study_dir: str = Field("runs/embedded", description="directory of the study's artefacts")


def literal_names(cell: str) -> list[str]:
    """Return the names that a cell assigns if it does nothing but assign literals to names, else none."""
    names = []
    try:
        for statement in ast.parse(cell).body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            ast.literal_eval(statement.value)
            (target,) = statement.targets
            names.append(target.id)
    except (SyntaxError, ValueError, TypeError, AttributeError):  # a statement is not NAME = LITERAL
        return []
    return names


class DataParameters(Parameters):
    """Task, encoder and sampling: the same in every stage that reads text."""

    task: str = Field("intents", description="intents (embedded), xnli, pawsx, marc, multiemo, or local")
    data_dir: str | None = Field(
        None, description="directory of the task's files; None: the Hugging Face hub, or embedded for intents"
    )
    languages: Names = Field(("en", "de", "fr", "es", "ru"), description="codes of the languages to study")
    encoder: str = Field("e5-small", description="e5-small, tiny, a model on the hub, or a local directory")
    train_per_language: Positive = Field(44, description="training examples per language")
    dev_per_language: Positive = Field(50, description="dev examples per language")
    test_per_language: Positive = Field(30, description="test examples per language")
    parallel: bool = Field(
        True, description="where translations are known: take the same items in every language"
    )
    data_seed: Seed = Field(0, description="seed that draws the examples, the same for all runs of a study")
    max_length: Annotated[int, Field(ge=8, le=512)] = Field(
        128, description="tokens per text or text pair; further tokens are cut off"
    )
    seed: Seed = Field(0, description="seed of the classifier's initialisation, batch order and dropout")
    device: str = Field("auto", description="auto (a GPU if there is one), cpu, cuda, cuda:1, …")
    precision: Precision = Field(
        "auto",
        description="number format of training, search and evaluation; auto: bfloat16 if the hardware has it",
    )


class TrainingParameters(DataParameters):
    """The warm start that stages 1 and 2 have in common."""

    start_languages: Annotated[tuple[str, ...], AfterValidator(_distinct)] = Field(
        (), description="languages to fine-tune on first, mixed and without masks; none: no warm start"
    )
    start_epochs: Positive = Field(3, description="epochs of the warm start")

    def _problems(self) -> Iterator[str]:
        for code in self.start_languages:
            if code not in self.languages:
                yield f"start_languages: {code!r}; allowed: some of {', '.join(self.languages)}"

    def start_identity(self) -> dict[str, Any]:
        """Return the parameters that decide the warm start; stages that agree on them share one."""
        decisive = {*TrainingParameters.model_fields, "batch_size", "learning_rate", "weight_decay"}
        return {name: value for name, value in self.identity().items() if name in decisive}


class SearchParameters(TrainingParameters):
    """Stage 1: a subnetwork for every language."""

    epochs: Positive = Field(8, description="epochs of fine-tuning on one language before its search")
    batch_size: BatchSize = 8
    learning_rate: LearningRate = 0.0003
    weight_decay: WeightDecay = 0.01
    threshold: Threshold = 0.95
    step: Step = 0.1
    importance_examples: Positive = Field(
        44, description="training examples that importance is averaged over"
    )
    inherited_importance: bool = Field(
        True, description="also search with the importance that widely copied code computes"
    )

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        yield from self._at_most("importance_examples", "train_per_language")


class FinetuningParameters(TrainingParameters):
    """Stage 2: one classifier for all languages."""

    condition: Condition = Field(
        "full",
        description="full, or sparse (sft): own or random masks, or one for all, intersection or union",
    )
    epochs: Positive = Field(7, description="epochs of fine-tuning on all languages")
    batch_size: BatchSize = 8
    learning_rate: LearningRate = 0.0002
    weight_decay: WeightDecay = 0.01
    keep_checkpoints: Literal["last", "all"] = Field("all", description="epochs whose weights are kept")


class InfluenceParameters(DataParameters):
    """Stage 3: the influence of training examples on predictions."""

    condition: Condition = Field("full", description="condition of stage 2 whose classifier is scored")
    checkpoints: Literal["last", "all"] | Positives = Field(
        "last", description="epochs that TracIn sums over: last, all, or a list of epochs"
    )
    eta: Literal["learning_rate", "one"] = Field(
        "learning_rate", description="weight of a checkpoint in the TracIn sum: its learning rate, or 1"
    )
    scored_per_language: Positive | None = Field(
        None, description="training examples per language whose influence is scored; None: all"
    )
    evaluation_per_language: Positive = Field(
        6, description="test examples per language whose predictions are attributed"
    )
    train_items: Annotated[int, Field(ge=0)] = Field(
        0, description="parallel tasks: training examples per language that are attributed like test examples"
    )
    top_k: Positive = Field(
        10, description="k: number of strongest proponents, or opponents, that are counted"
    )
    top_ks: Positives = Field(
        (10, 20, 30, 50, 100, 200, 500),
        description="other values of k to report, if there are enough examples",
    )
    mask_kinds: Annotated[tuple[MaskKind, ...], Field(min_length=1)] = Field(
        ("none", "own", "other_language", "other_seed", "random"),
        description="masks that test examples are scored under",
    )
    train_gradient_masks: Annotated[tuple[TrainGradientMask, ...], Field(min_length=1)] = Field(
        ("test_example",),
        description="mask of training gradients: the test example's, or their own language's; the first one "
        "named is the main setting under sparse fine-tuning",
    )
    random_draws: Positive = Field(1, description="random masks drawn per own mask")
    other_seed: Seed = Field(1, description="seed of the search whose masks are the other_seed masks")
    by_part: bool = Field(
        True, description="also score each head and other part of the encoder, without mask"
    )
    score_precision: Precision = Field("float32", description="number format of scoring, as for precision")
    batch_size: Positive = Field(64, description="largest number of examples per gradient pass")
    memory_gib: Annotated[float, Field(gt=0)] | None = Field(
        None, description="GiB for the test examples' gradients; None: half of the free memory"
    )

    def _problems(self) -> Iterator[str]:
        yield from self._at_most("scored_per_language", "train_per_language")
        limit = "train_per_language" if self.scored_per_language is None else "scored_per_language"
        examples = len(self.languages) * getattr(self, limit)
        if self.top_k > examples:
            allowed = f"at most the {examples} training examples (languages x {limit})"
            yield f"top_k: {self.top_k}; allowed: {allowed}"
        yield from self._at_most("evaluation_per_language", "test_per_language")
        controls = [kind for kind in self.mask_kinds if kind in ("other_seed", "random", "inherited")]
        if controls and "test_example" not in self.train_gradient_masks:
            allowed = f"any that include 'test_example', because mask_kinds has {controls}"
            yield f"train_gradient_masks: {list(self.train_gradient_masks)}; allowed: {allowed}"
        if "none" not in self.mask_kinds:
            yield f"mask_kinds: {list(self.mask_kinds)}; allowed: any that include 'none', the baseline"
        if "other_seed" in self.mask_kinds and self.other_seed == self.seed:
            allowed = f"a searched seed other than seed = {self.seed}, or mask_kinds without 'other_seed'"
            yield f"other_seed: {self.other_seed}; allowed: {allowed}"


class FigureParameters(Parameters):
    """Stage 4: tables and figures over all seeds and conditions of a study."""

    figures_dir: FiguresDir = "figures/embedded"
    seeds: Seeds = Field((0, 1), description="seeds of the study")
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] = Field(
        ("full", "sft", "sft_random"), description="conditions of the study"
    )
    confidence: Fraction = Field(0.95, description="confidence level of the intervals")
    resamples: Resamples = Field(2000, description="bootstrap resamples per interval")
    permutations: Annotated[int, Field(ge=99)] = Field(1999, description="permutations of labels per test")


class CalibrationParameters(DataParameters):
    """Notebook 0: results of the method where there is nothing to find, and where something was planted."""

    figures_dir: FiguresDir = "figures/embedded"
    seed: Seed = Field(0, description="seed of the random splits and ciphers")
    seeds: Seeds = Field(
        (0, 1, 2), description="seeds of initialisation, batches and dropout; a model for each"
    )
    language: str = Field("en", description="language that is split into clones and enciphered")
    sentences: Annotated[int, Field(ge=4)] = Field(
        220, description="training examples per language; clones and ciphers use those of one language"
    )
    epochs: Positive = Field(7, description="epochs of fine-tuning")
    batch_size: BatchSize = 8
    learning_rate: LearningRate = 0.0002
    weight_decay: WeightDecay = 0.01
    threshold: Threshold = 0.95
    step: Step = 0.1
    evaluation_per_language: Annotated[int, Field(ge=4)] = Field(
        30, description="test examples of that language whose predictions are attributed"
    )
    top_k: Positive = Field(10, description="k; should be below the number of training examples per label")
    clone_splits: Positive = Field(200, description="random splits of that language into two halves")
    cipher_shares: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1), AfterValidator(_distinct)
    ] = Field((0.0, 0.25, 0.5, 0.75, 1.0), description="shares of the word-piece types that are replaced")
    level: Fraction = Field(0.05, description="level of the tests; intervals have confidence 1 - level")
    resamples: Resamples = Field(1999, description="bootstrap resamples per interval, permutations per test")
    planted_languages: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = Field(
        (2,), description="planted subnetworks: numbers of languages that share the heads, from the first on"
    )
    planted_epochs: Positive = Field(20, description="planted subnetworks: epochs of fine-tuning")
    planted_learning_rate: LearningRate = Field(0.0003, description="planted subnetworks: learning rate")
    judged_train: Positive = Field(44, description="templates and retraining: training examples per language")
    judged_per_language: Positive = Field(
        8, description="same, and planted subnetworks: evaluation examples per language (and kind)"
    )
    subsets: Positive = Field(32, description="retraining: random subsets of the training examples")
    subset_share: Fraction = Field(
        0.5, description="retraining: share of the training examples in each subset"
    )
    retrainings: Annotated[int, Field(ge=2)] = Field(2, description="retraining: models per subset")

    def _problems(self) -> Iterator[str]:
        if self.language not in self.languages:
            yield f"language: {self.language!r}; allowed: one of {', '.join(self.languages)}"
        yield from self._at_most("evaluation_per_language", "test_per_language")
        examples = min(self.sentences, len(self.languages) * self.train_per_language)
        if self.top_k > examples:
            allowed = f"at most {examples}, the lesser of sentences and languages x train_per_language"
            yield f"top_k: {self.top_k}; allowed: {allowed}"


class ResultsParameters(Strict):
    """Notebook 5: finished studies side by side."""

    figures_dir: str = Field("figures", description="directory with a folder for each study and the results")
    studies: Names = Field(("xnli", "pawsx", "reviews"), description="studies to show, in this order")


STAGES: Mapping[str, type[Parameters]] = {
    "search": SearchParameters,
    "finetuning": FinetuningParameters,
    "influence": InfluenceParameters,
    "figures": FigureParameters,
    "calibration": CalibrationParameters,
}


def _one_line(error: ValidationError, model: type[Strict]) -> str:
    """Return the first problem as ``parameter: value; allowed: …``."""
    problem = error.errors()[0]
    # The parameter, and the position in a list; without the member of a union that was tried.
    name = ".".join(str(part) for i, part in enumerate(problem["loc"]) if i == 0 or isinstance(part, int))
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        if renamed(name, value)[0] in model.model_fields:
            return renamed_message(name, value)
        close = difflib.get_close_matches(name, model.model_fields, n=1)
        hint = f"{close[0]} (did you mean it?), " if close else ""
        others = ", ".join(field for field in model.model_fields if field not in close)
        return f"{name}: {value!r} is not a parameter of this stage; allowed: {hint}{others}"
    if problem["type"] == "value_error":  # raised here: by a check of one parameter, or of several
        return f"{name}: {problem['ctx']['error']}" if name else str(problem["ctx"]["error"])
    allowed = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{name}: {value!r} ({type(value).__name__}); allowed: {allowed}"
