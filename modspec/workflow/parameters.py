"""Typed, strict parameters, one model per stage: the home of their names, ranges, defaults and descriptions.

Checking them needs neither torch nor data, so the workflow can check a whole study before it starts.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from modspec.errors import has_visible_character, quoted
from modspec.terms import Condition, LeftOutCondition, MaskKind, Parallel, Precision, TrainGradientMask
from modspec.workflow.strict_parameters import NOT_DECISIVE, Strict


def _distinct(values: tuple) -> tuple:
    """Return ``values``; raise ValueError where one is repeated."""
    if len(set(values)) < len(values):
        raise ValueError(f"{list(values)}; allowed: each value once")
    return values


def _visible(text: str) -> str:
    """Return ``text``; raise ValueError where a reader would see nothing of it."""
    if not has_visible_character(text):
        raise ValueError(f"{quoted(text)}; allowed: text that can be seen")
    return text


T = TypeVar("T")
Some = Annotated[tuple[T, ...], Field(min_length=1)]
Distinct = Annotated[Some[T], AfterValidator(_distinct)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what every random generator takes
Language = Annotated[str, AfterValidator(_visible)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Resamples = Annotated[int, Field(ge=100)]
Several = Annotated[int, Field(ge=2)]

# Parameters that several stages have.
FiguresDir = Annotated[str, Field(description="directory of the figures and of the CSVs they are drawn from")]
Blind = Annotated[
    bool, Field(description="show no influence: for seeds of a confirmatory study that is not complete")
]
BatchSize = Annotated[int, Field(ge=1, description="examples per training batch")]
LearningRate = Annotated[float, Field(gt=0, lt=1, description="highest learning rate of the schedule")]
WeightDecay = Annotated[float, Field(ge=0, lt=1, description="weight decay of AdamW")]
Threshold = Annotated[float, Field(gt=0, le=1, description="share of unpruned dev accuracy that must remain")]
Step = Annotated[float, Field(gt=0, lt=1, description="share of all heads that a pruning step drops")]


def param(default: Any, description: str) -> Any:
    """Return a pydantic field."""
    return Field(default, description=description)


class Parameters(Strict):
    """The parameter that all stages share."""

    study_dir: str = param("runs/embedded", "directory of the study's artefacts")


class DataParameters(Parameters):
    """Task, encoder and sampling: the same in every stage that reads text."""

    task: str = param(
        "intents", "intents (embedded), xnli, pawsx, marc, multiemo, or local; from the hub also xnli@COMMIT"
    )
    data_dir: str | None = param(None, "directory of the task's files; None: the hub, or embedded (intents)")
    columns: dict[Literal["id", "text", "text_pair", "label"], str | None] = param(
        {}, "names of the files' columns, where they are not the usual ones: {label: topic, id: null}"
    )
    languages: Distinct[Language] = param(("en", "de", "fr"), "codes of the languages to study")
    encoder: str = param(
        "e5-small", "e5-small, tiny, a model on the hub (ID or ID@COMMIT), or a local directory"
    )
    train_per_language: Positive = param(80, "training examples per language")
    dev_per_language: Positive = param(60, "dev examples per language")
    test_per_language: Positive = param(60, "test examples per language")
    parallel: Parallel = param(
        True,
        "where translations are known: the same items in every language (true), in dev and test only with no "
        "training item in two languages (dev_and_test), or each language its own (false)",
    )
    data_seed: Seed = param(0, "seed that draws the examples, the same for all runs of a study")
    train_sample_seed: Seed | None = param(
        None, "seed that draws the training examples; None: data_seed, one sample for all seeds"
    )
    max_length: Annotated[int, Field(ge=8, le=512)] = param(128, "tokens per text or text pair, at most")
    seed: Seed = param(0, "seed of the classifier's initialisation, batch order and dropout")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = param(
        "auto", "auto (a GPU if there is one), cpu, cuda, cuda:1, …"
    )
    precision: Precision = param(
        "auto", "number format of training, search and evaluation; auto: bfloat16 where it is faster"
    )

    def _problems(self) -> Iterator[str]:
        if self.columns and self.data_dir is None:
            yield f"columns: {self.columns}; allowed: with files of a data_dir"


class TrainingParameters(DataParameters):
    """The optimiser and the warm start, which stages 1 and 2 have in common."""

    batch_size: BatchSize = 8
    learning_rate: LearningRate = 0.0002
    weight_decay: WeightDecay = 0.01

    start_languages: Annotated[tuple[str, ...], AfterValidator(_distinct)] = param(
        (), "languages to fine-tune on first, mixed and without masks; none: no warm start"
    )
    start_epochs: Positive = param(3, "epochs of the warm start")

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        for code in self.start_languages:
            if code not in self.languages:
                yield f"start_languages: {code!r}; allowed: some of {', '.join(self.languages)}"

    def start_identity(self) -> dict[str, Any]:
        """Return the parameters that decide the warm start; stages that agree on them share one."""
        decisive = {*TrainingParameters.model_fields}
        return self.model_dump(mode="json", include=decisive, exclude=NOT_DECISIVE)


class SearchParameters(TrainingParameters):
    """Stage 1: a subnetwork for every language."""

    epochs: Positive = param(8, "epochs of fine-tuning on one language before its search")
    learning_rate: LearningRate = 0.0003
    threshold: Threshold = 0.95
    step: Step = 0.1
    importance_examples: Positive = param(40, "training examples that importance is averaged over")
    inherited_importance: bool = param(True, "also search by the importance of widely copied code")
    pooled_others: bool = param(
        True, "also search each language's mask by the importance of the other languages, as its control"
    )

    @property
    def searches_pooled_others(self) -> bool:
        """Return whether there are pooled-others masks: a single language has no others."""
        return self.pooled_others and len(self.languages) > 1

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        yield from self._at_most("importance_examples", "train_per_language")


class FinetuningParameters(TrainingParameters):
    """Stage 2: one classifier for all languages."""

    condition: Condition = param("full", "full, or sparse (sft) under own, random or shared masks")
    epochs: Positive = param(8, "epochs of fine-tuning on all languages")
    keep_checkpoints: Literal["last", "all"] = param("all", "epochs whose weights are kept")
    training_checkpoints: Annotated[int, Field(ge=0)] = param(
        0, "weights kept at so many equal steps over training, for the share over training; 0: none"
    )


class LeaveOneOutParameters(FinetuningParameters):
    """Notebook 6: stage 2's training, repeated without one language at a time."""

    condition: LeftOutCondition = param("full", "condition of stage 2 whose training is repeated")
    blind: Blind = False

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if len(self.languages) < 2:
            yield f"languages: {list(self.languages)}; allowed: two or more, since one is left out"


class InfluenceParameters(DataParameters):
    """Stage 3: the influence of training examples on predictions."""

    condition: Condition = param("full", "condition of stage 2 whose classifier is scored")
    checkpoints: Literal["last", "all"] | Some[Positive] = param("last", "epochs that TracIn sums over")
    eta: Literal["learning_rate", "one"] = param("learning_rate", "checkpoints' weights in the TracIn sum")
    scored_per_language: Positive | None = param(None, "training examples per language to score; None: all")
    evaluation_per_language: Positive = param(
        12, "test examples per language whose predictions are attributed"
    )
    train_items: Annotated[int, Field(ge=0)] = param(
        0, "parallel tasks: training examples per language that are attributed like test examples"
    )
    top_k: Positive = param(10, "number k of strongest proponents, or opponents, that are counted")
    top_ks: Some[Positive] = param(
        (10, 20, 30, 50, 100, 200, 500), "other values of k to report, if there are enough examples"
    )
    mask_kinds: Some[MaskKind] = param(
        ("none", "own", "pooled_others", "accuracy_matched", "other_language"),
        "masks that test examples are scored under",
    )
    train_gradient_masks: Some[TrainGradientMask] = param(
        ("test_example",), "masks of training gradients; under sparse fine-tuning the first is the main one"
    )
    random_draws: Positive = param(1, "random masks, and accuracy-matched random masks, per own mask")
    accuracy_tolerance: Fraction = param(
        0.01, "largest difference of dev accuracy between an own mask and its accuracy-matched random masks"
    )
    dose_shares: Distinct[Fraction] = param(
        (0.9, 0.7, 0.5, 0.3), "shares of heads that the random masks of the kind dose keep"
    )
    other_seed: Seed = param(1, "seed of the search whose masks are the other_seed masks")
    over_training: bool = param(
        False, "also score each of stage 2's training_checkpoints, without mask: the share over training"
    )
    by_part: bool = param(True, "also score each head and other part of the encoder, without mask")
    blind: Blind = False
    score_precision: Precision = param("float32", "number format of scoring; auto as for precision")
    batch_size: Positive = param(64, "largest number of training examples that are contracted at once")
    memory_gib: Annotated[float, Field(gt=0)] | None = param(
        None, "GiB for the test examples' gradients; None: half of the free memory"
    )

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        yield from self._at_most("scored_per_language", "train_per_language")
        limit = "train_per_language" if self.scored_per_language is None else "scored_per_language"
        examples = len(self.languages) * getattr(self, limit)
        if self.top_k > examples:
            allowed = f"at most the {examples} training examples (languages x {limit})"
            yield f"top_k: {self.top_k}; allowed: {allowed}"
        yield from self._at_most("evaluation_per_language", "test_per_language")
        controls = [kind for kind in self.mask_kinds if kind not in ("none", "own", "other_language")]
        if controls and "test_example" not in self.train_gradient_masks:
            allowed = f"any that include 'test_example', because mask_kinds has {controls}"
            yield f"train_gradient_masks: {list(self.train_gradient_masks)}; allowed: {allowed}"
        if "none" not in self.mask_kinds:
            yield f"mask_kinds: {list(self.mask_kinds)}; allowed: any that include 'none', the baseline"
        others = {"pooled_others", "accuracy_matched"} & set(self.mask_kinds)
        if others and len(self.languages) == 1:
            yield f"mask_kinds: {sorted(others)[0]!r}; allowed: with more languages than {self.languages[0]}"
        if "other_seed" in self.mask_kinds and self.other_seed == self.seed:
            allowed = f"a searched seed other than seed = {self.seed}, or mask_kinds without 'other_seed'"
            yield f"other_seed: {self.other_seed}; allowed: {allowed}"


class FigureParameters(Parameters):
    """Notebook 4: tables and figures over all seeds and conditions of a study."""

    figures_dir: FiguresDir = "runs/embedded/figures"
    seeds: Distinct[Seed] = param((0, 1), "seeds of the study")
    conditions: Some[Condition] = param(("full", "one_language_batches", "sft"), "conditions of the study")
    confidence: Fraction = param(0.95, "confidence level of the intervals")


class ExplorationParameters(FigureParameters):
    """Notebook 7: exploratory tables and figures of a study."""

    figures_dir: FiguresDir = "runs/embedded/figures/exploration"


class CalibrationParameters(DataParameters):
    """Notebook 0: results of the method where there is nothing to find, and where something was planted."""

    figures_dir: FiguresDir = "runs/embedded/figures"
    seed: Seed = param(0, "seed of the random splits and ciphers")
    seeds: Distinct[Seed] = param((0, 1, 2), "seeds of initialisation, batches and dropout; a model for each")
    # Ciphers are made of the other languages' word pieces.
    languages: Distinct[Language] = param(("en", "de", "fr", "es", "ru"), "codes of the languages to study")
    train_per_language: Positive = param(44, "training examples per language")
    dev_per_language: Positive = param(50, "dev examples per language")
    test_per_language: Positive = param(30, "test examples per language")
    language: str = param("en", "language that is split into clones and enciphered")
    sentences: Annotated[int, Field(ge=4)] = param(
        220, "training examples per language; clones and ciphers use those of one language"
    )
    epochs: Positive = param(7, "epochs of fine-tuning")
    batch_size: BatchSize = 8
    learning_rate: LearningRate = 0.0002
    weight_decay: WeightDecay = 0.01
    threshold: Threshold = 0.95
    step: Step = 0.1
    evaluation_per_language: Annotated[int, Field(ge=4)] = param(
        30, "test examples of that language whose predictions are attributed"
    )
    top_k: Positive = param(10, "number k of proponents; should be below the training examples per label")
    clone_splits: Positive = param(200, "random splits of that language into two halves")
    cipher_shares: Distinct[Annotated[float, Field(ge=0, le=1)]] = param(
        (0.0, 0.25, 0.5, 0.75, 1.0), "shares of the word-piece types that are replaced"
    )
    level: Fraction = param(0.05, "level of the tests; intervals have confidence 1 - level")
    resamples: Resamples = param(1999, "bootstrap resamples per interval, permutations per test")
    planted_languages: Some[Several] = param(
        (2,), "planted subnetworks: how many of the languages get one; each number is tried"
    )
    planted_seeds: Distinct[Seed] = param(
        (0, 1, 2, 3, 4, 5), "planted subnetworks: seeds; as many as the analysis plan has"
    )
    planted_epochs: Positive = param(20, "planted subnetworks: epochs of fine-tuning, first attempt")
    planted_attempts: Positive = param(
        3, "planted subnetworks: attempts at most, each twice as long as the last"
    )
    planted_top_k: Positive = param(4, "planted subnetworks: number k of proponents")
    planted_learning_rate: LearningRate = param(0.0003, "planted subnetworks: learning rate")
    judged_train: Positive = param(44, "templates and retraining: training examples per language")
    judged_per_language: Positive = param(
        8, "templates, retraining, planted subnetworks: evaluation examples per language"
    )
    subsets: Positive = param(32, "retraining: random subsets of the training examples")
    subset_share: Fraction = param(0.5, "retraining: share of the training examples in each subset")
    retrainings: Several = param(2, "retraining: models per subset")
    simulated_studies: Distinct[str] = param(
        ("xnli-v1", "reviews-v1"), "verdicts: published studies to simulate"
    )
    simulated_seeds: Distinct[Annotated[int, Field(ge=3)]] = param((3, 6, 10), "verdicts: simulated seeds")
    simulated_items: Several = param(40, "verdicts: simulated test items that have shares")
    simulated_test_items: Several = param(1490, "verdicts: simulated test items that have accuracies")
    simulations: Resamples = param(4000, "verdicts: simulated studies per true effect")

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if self.language not in self.languages:
            yield f"language: {self.language!r}; allowed: one of {', '.join(self.languages)}"
        yield from self._at_most("evaluation_per_language", "test_per_language")
        examples = min(self.sentences, len(self.languages) * self.train_per_language)
        if self.top_k > examples:
            allowed = f"at most {examples}, the lesser of sentences and languages x train_per_language"
            yield f"top_k: {self.top_k}; allowed: {allowed}"


class ResultsParameters(Strict):
    """Notebook 5: finished studies side by side."""

    figures_dir: str = param("figures", "directory with a folder for each study and the results")
    studies: Distinct[str] = param(("xnli-v1", "pawsx-v1", "reviews-v1"), "studies to show, in this order")
    pooled: Annotated[tuple[str, ...], AfterValidator(_distinct)] = param(
        ("xnli-v1", "reviews-v1"), "those of the studies whose mean answers a question; none: no mean"
    )

    def _problems(self) -> Iterator[str]:
        if set(self.pooled) - set(self.studies):
            yield f"pooled: {list(self.pooled)}; allowed: some of studies = {list(self.studies)}, or []"


STAGES: Mapping[str, type[Parameters]] = {
    "search": SearchParameters,
    "finetuning": FinetuningParameters,
    "influence": InfluenceParameters,
    "figures": FigureParameters,
    "exploration": ExplorationParameters,
    "calibration": CalibrationParameters,
    "leave_one_out": LeaveOneOutParameters,
}
