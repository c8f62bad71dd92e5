"""The study's vocabulary, once: codes, labels and order of everything that a table or a figure names.

Codes are what artefacts and CSVs hold, labels what a reader sees. Conditions say which masks they train
under; ``modspec.subnetworks.condition_masks`` makes these masks.
"""

from dataclasses import dataclass
from typing import Literal, get_args

# Conditions: what stage 2 trains. The order is the order of every table and figure.
Condition = Literal["full", "one_language_batches", "sft", "sft_random", "sft_intersection", "sft_union"]
CONDITIONS: tuple[str, ...] = get_args(Condition)
# Condition -> the masks that its batches are trained under: none; each language's own ("searched"); the same
# with all masks' heads permuted alike ("random"); or one mask for every language, of the heads that all or
# any of the searched masks keep.
TRAINS_UNDER: dict[str, str | None] = {
    "full": None,
    "one_language_batches": None,
    "sft": "searched",
    "sft_random": "random",
    "sft_intersection": "intersection",
    "sft_union": "union",
}
SPARSE_CONDITIONS = tuple(condition for condition, masks in TRAINS_UNDER.items() if masks)
# Conditions whose batches mix languages. In all others each batch is of one language.
MIXED_BATCHES = ("full",)
# Conditions whose training can be repeated without one language.
LeftOutCondition = Literal["full", "sft"]
LEFT_OUT_CONDITIONS: tuple[str, ...] = get_args(LeftOutCondition)
# Conditions under which every language has the same mask.
SHARED_MASK_CONDITIONS = ("sft_intersection", "sft_union")
# What a condition trains under -> mask_kind, in the first version's tables of accuracy, of the mask in force.
MASK_IN_FORCE = {None: "language", "searched": "language", "random": "random"}
MASK_IN_FORCE |= {"intersection": "shared", "union": "shared"}

# Kinds of mask that stage 3 scores test examples under. modspec.stages.control_masks makes those after "own".
MaskKind = Literal[
    "none",
    "own",
    "pooled_others",
    "accuracy_matched",
    "other_language",
    "other_seed",
    "random",
    "dose",
    "inherited",
]
MASK_KINDS: tuple[str, ...] = get_args(MaskKind)
# Kinds of mask that an own mask's effect is compared with.
CONTROL_MASK_KINDS = ("pooled_others", "accuracy_matched", "random", "other_language", "other_seed")

# The mask under which a training example's gradient is taken: that of the test example which it is compared
# with, or that of the training example's own language.
TrainGradientMask = Literal["test_example", "own_language"]

Precision = Literal["auto", "float32", "bfloat16"]
# Where all languages have the same items: in all splits or none, or in dev and test only.
Parallel = bool | Literal["dev_and_test"]

# Parts of the encoder that influence is resolved by.
ENCODER_PARTS = ("embeddings", "attention", "feed-forward", "norms", "classifier")

# In a column of languages that are left out of training: random items with as many examples as one language.
RANDOM_PART = "random part"
ALL_LANGUAGES = "all languages"  # in a column of languages: examples of all of them together

# Column -> code -> what a reader is shown, in drawing order.
LABELS: dict[str, dict[str, str]] = {
    "condition": {
        "full": "full fine-tuning",
        "one_language_batches": "one-language batches",
        "sft": "SFT",
        "sft_random": "SFT with random masks",
        "sft_intersection": "SFT with the masks' intersection",
        "sft_union": "SFT with the masks' union",
    },
    "mask_kind": {
        "none": "no mask",
        "own": "own mask",
        "language": "mask",
        "pooled_others": "pooled-others mask",
        "accuracy_matched": "accuracy-matched random mask",
        "other_language": "other language's mask",
        "other_seed": "own mask, other seed",
        "random": "random mask",
        "dose": "random mask of a given size",
        "inherited": "own mask, inherited importance",
        "shared": "shared mask",
    },
    "train_gradient_mask": {
        "test_example": "training gradients under the test example's mask",
        "own_language": "training gradients under their own masks",
    },
    "part": {part: {"norms": "layer norms"}.get(part, part) for part in ENCODER_PARTS},
    "quantity": {"lost margin": "lost margin (nats)", "influence": "influence (largest: 1)"},
    "baseline": {
        "full, no mask": "against full fine-tuning, no mask",
        "full, own mask": "against full fine-tuning, own mask",
    },
    # Calibration: tests whose false positives are counted.
    "test": {
        "interval": "t interval",
        "bootstrap": "percentile bootstrap",
        "permutation": "permutation of labels",
    },
    # Benchmark: which number of examples grows, and what computes the scores.
    "axis": {"train": "training examples", "evaluation": "evaluation examples"},
    "system": {
        "modspec bfloat16": "modspec, bfloat16",
        "modspec float32": "modspec, float32",
        "kronfluence": "kronfluence (linear layers)",
        "captum linear": "captum (linear layers)",
        "captum": "captum",
        "trak": "TRAK",
        "dattri": "dattri",
    },
}

# Measures that the calibration tests, in drawing order. The columns "measure" of other tables hold others.
CALIBRATION_MEASURES = {
    "share": "in-language share",
    "auc": "AUC",
    "label_auc": "AUC within label",
    "specialization": "specialization",
    "own_subnetwork": "own − pooled-others mask",
}


@dataclass(frozen=True)
class Question:
    """A question of the analysis plan."""

    text: str
    unit: str  # of its values, as readers see it
    # Effects below it do not matter; a fraction where the unit is points; None: none set.
    margin: float | None
    sign: int = 0  # of the effect that is expected: 1, -1, or 0 where either is a finding

    @property
    def scale(self) -> int:
        """By what values are multiplied to be in the question's unit."""
        return 100 if self.unit.startswith("points") else 1


POINT = 0.01
POOLED = "pooled"  # in the column of studies: the mean of several
QUESTIONS = {
    "Q1": Question("Does influence follow language without any intervention?", "points", POINT, 1),
    "Q2": Question("Do head importances depend on the language, not only on the seed?", "r", None, 1),
    "Q3": Question(
        "Does a language's own subnetwork raise the in-language share more than another subnetwork does?",
        "points",
        POINT,
        1,
    ),
    "Q4": Question("Does SFT change the in-language share?", "points", POINT),
    "Q5": Question("Does SFT trade specialization for sharing?", "points of AUC", None),
    "Q6": Question("What does SFT do to accuracy?", "points", 2 * POINT),
    "Q7": Question("Does influence predict what leaving a language out of training does?", "r", None, 1),
    "Q8": Question(
        "Does reliance on other languages grow with training?", "points per training run", POINT, -1
    ),
}

# What a contrast is a value of: in-language shares, AUCs within label, or test accuracies of conditions under
# kinds of mask; the slope of a share over training; how alike head importances or masks are within and
# between languages; how influence and the effect of leaving a language out go together.
Statistic = Literal["share", "label_auc", "accuracy", "slope", "importance", "overlap", "counterfactual"]


@dataclass(frozen=True)
class Contrast:
    """A value that speaks to a question: its primary statistic, or a secondary one shown beside it."""

    question: str
    text: str
    # Condition and kind of mask of one value, of two (a - b), or of four ((a - b) - (c - d)).
    values: tuple[tuple[str, str], ...] = ()
    confounds: str = ""  # what a secondary contrast shows besides the question's subject
    statistic: Statistic = "share"

    @property
    def primary(self) -> bool:
        """Whether the question is decided by it: one contrast of each question is, but none of Q5's."""
        return not self.confounds


_FULL, _FULL_OWN, _SFT_OWN = ("full", "none"), ("full", "own"), ("sft", "own")
_BATCHES, _SFT_RANDOM_OWN = ("one_language_batches", "none"), ("sft_random", "own")
_TRAINING_AND_MASKS = "masks, training and composition of batches"
_UNTRAINED = "one mask was trained under, the other was not; composition of batches"
_SEARCH = "mask size, and with it what a search finds by chance"
_WHICH_HEADS = "how much the heads matter to all languages; in version 1 also how much the masks overlap"
_RANKS = "the subject of Q4, by ranks: other languages' examples rise where a language's own fall"
CONTRASTS = (
    Contrast("Q1", "full, no mask − chance", (_FULL,)),
    Contrast(
        "Q2",
        "importance: same language − other language",
        statistic="importance",
    ),
    Contrast(
        "Q2",
        "mask overlap: same language − other language",
        confounds=_SEARCH,
        statistic="overlap",
    ),
    Contrast("Q3", "full: own − pooled others' mask", (_FULL_OWN, ("full", "pooled_others"))),
    Contrast("Q3", "full: own − no mask", (_FULL_OWN, _FULL), "damage by a mask that was not trained under"),
    Contrast(
        "Q3",
        "full: own − accuracy-matched random masks",
        (_FULL_OWN, ("full", "accuracy_matched")),
        "how much the heads matter to all languages",
    ),
    Contrast("Q3", "full: own − other languages' masks", (_FULL_OWN, ("full", "other_language")), _SEARCH),
    Contrast("Q3", "full: own − own mask of another seed", (_FULL_OWN, ("full", "other_seed")), _SEARCH),
    Contrast("Q3", "full: own − random masks", (_FULL_OWN, ("full", "random")), "accuracy under the mask"),
    Contrast("Q4", "SFT, own mask − one-language batches", (_SFT_OWN, _BATCHES)),
    Contrast("Q4", "SFT, own mask − full, no mask", (_SFT_OWN, _FULL), _TRAINING_AND_MASKS),
    Contrast("Q4", "SFT, own mask − full, own mask", (_SFT_OWN, _FULL_OWN), _UNTRAINED),
    Contrast(
        "Q4",
        "(SFT: own − no mask) − (full: own − no mask)",
        (_SFT_OWN, ("sft", "none"), _FULL_OWN, _FULL),
        "the trained state is the own mask under SFT, and no mask under full fine-tuning",
    ),
    Contrast("Q4", "SFT − SFT with random masks", (_SFT_OWN, _SFT_RANDOM_OWN), _WHICH_HEADS),
    Contrast("Q5", "AUC: SFT, own mask − one-language batches", (_SFT_OWN, _BATCHES), _RANKS, "label_auc"),
    Contrast(
        "Q5",
        "AUC: SFT, own mask − full, no mask",
        (_SFT_OWN, _FULL),
        f"{_TRAINING_AND_MASKS}; {_RANKS}",
        "label_auc",
    ),
    Contrast(
        "Q6",
        "accuracy: SFT − one-language batches",
        (_SFT_OWN, _BATCHES),
        statistic="accuracy",
    ),
    Contrast(
        "Q6", "accuracy: SFT, own mask − full, no mask", (_SFT_OWN, _FULL), _TRAINING_AND_MASKS, "accuracy"
    ),
    Contrast("Q6", "accuracy: SFT, own mask − full, own mask", (_SFT_OWN, _FULL_OWN), _UNTRAINED, "accuracy"),
    Contrast(
        "Q6",
        "accuracy: SFT − SFT with random masks",
        (_SFT_OWN, _SFT_RANDOM_OWN),
        _WHICH_HEADS,
        "accuracy",
    ),
    Contrast(
        "Q7",
        "influence and margin lost by leaving out",
        statistic="counterfactual",
    ),
    Contrast("Q8", "full, no mask: slope over training", (_FULL,), statistic="slope"),
)
