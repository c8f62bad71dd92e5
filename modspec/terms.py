"""The study's vocabulary, once: codes, labels and order of everything that a table or a figure names.

Codes are what artefacts and CSVs hold, labels what a reader sees. Conditions say which masks they train
under; ``modspec.subnetworks.condition_masks`` makes these masks.
"""

from dataclasses import dataclass
from typing import Literal, get_args

# Conditions: what stage 2 trains. The order is the order of every table and figure.
Condition = Literal["full", "sft", "sft_random", "sft_intersection", "sft_union"]
CONDITIONS: tuple[str, ...] = get_args(Condition)
# Condition -> the masks that its batches are trained under: none; each language's own ("searched"), or its
# random control; or one mask for every language, of the heads that all or any of the searched masks keep.
TRAINS_UNDER: dict[str, str | None] = {
    "full": None,
    "sft": "searched",
    "sft_random": "random",
    "sft_intersection": "intersection",
    "sft_union": "union",
}
# Conditions under which every language has the same mask.
SHARED_MASK_CONDITIONS = ("sft_intersection", "sft_union")
# What a condition trains under -> mask_kind, in tables of accuracy, of the mask in force for a language.
MASK_IN_FORCE = {None: "language", "searched": "language", "random": "random"}
MASK_IN_FORCE |= {"intersection": "shared", "union": "shared"}

# Kinds of mask that stage 3 scores test examples under.
MaskKind = Literal["none", "own", "other_language", "other_seed", "random", "inherited"]
MASK_KINDS: tuple[str, ...] = get_args(MaskKind)
# Kinds of mask that an own mask's effect is compared with.
CONTROL_MASK_KINDS = ("random", "other_language", "other_seed")

# The mask under which a training example's gradient is taken: that of the test example which it is compared
# with, or that of the training example's own language.
TrainGradientMask = Literal["test_example", "own_language"]

Precision = Literal["auto", "float32", "bfloat16"]

# Parts of the encoder that influence is resolved by.
ENCODER_PARTS = ("embeddings", "attention", "feed-forward", "norms", "classifier")

ALL_LANGUAGES = "all languages"  # in a column of languages: examples of all of them together

# Column -> code -> what a reader is shown, in drawing order.
LABELS: dict[str, dict[str, str]] = {
    "condition": {
        "full": "full fine-tuning",
        "sft": "SFT",
        "sft_random": "SFT with random masks",
        "sft_intersection": "SFT with the masks' intersection",
        "sft_union": "SFT with the masks' union",
    },
    "mask_kind": {
        "none": "no mask",
        "own": "own mask",
        "language": "mask",
        "other_language": "other language's mask",
        "other_seed": "own mask, other seed",
        "random": "random mask",
        "inherited": "own mask, inherited importance",
        "shared": "shared mask",
    },
    "train_gradient_mask": {
        "test_example": "training gradients under the test example's mask",
        "own_language": "training gradients under their own masks",
    },
    "part": {part: {"norms": "layer norms"}.get(part, part) for part in ENCODER_PARTS},
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


# The claims of the study's first version: code -> what is claimed.
CLAIMS = {
    "C0": "without a mask, the in-language share exceeds chance (full fine-tuning)",
    "C1": "a language's own mask raises its in-language share (full fine-tuning)",
    "C2": "an own mask raises it by more than a control mask does",
    "C3": "SFT changes the in-language share",
    "C4": "where SFT lowers the share, other languages' scores rise",
    "C5": "SFT changes accuracy",
    "C6": "SFT changes specialization, which is what an own mask adds to the share",
}
# Those whose effect is claimed to be above zero; of the others, either sign is a finding.
UPWARD_CLAIMS = ("C0", "C1", "C2", "C4")


@dataclass(frozen=True)
class Comparison:
    """A difference that a claim is about."""

    claim: str  # code of the claim
    text: str  # in the column "comparison" of tables
    label: str  # short, beside other comparisons of the same claim
    name: str = ""  # of the control or condition, in sentences
    # C3, C4, C6: the condition that is compared with full fine-tuning; C5: the one that SFT is compared with.
    condition: str = "full"
    control: str = "none"  # C2: the kind of mask that the own mask is compared with


_CONTROLS = {"random": "random mask", "other_language": "other languages' masks", "other_seed": "other seed"}
_SPARSE = {
    "sft": "SFT",
    "sft_random": "SFT with random masks",
    "sft_intersection": "SFT with all masks' intersection",
    "sft_union": "SFT with all masks' union",
}
_OF_SPARSE_CONDITIONS = (
    Comparison(claim, f"{name} - full{ending}", f"{name} − full", name, condition)
    for condition, name in _SPARSE.items()
    for claim, ending in (("C3", ""), ("C6", ", specialization"))
)
# By their text, in the order of the claims table.
COMPARISONS = {
    comparison.text: comparison
    for comparison in (
        Comparison("C0", "no mask - chance", "no mask − chance"),
        Comparison("C1", "own mask - no mask", "own mask − no mask"),
        *(Comparison("C2", f"own mask - {n}", n, n, control=kind) for kind, n in _CONTROLS.items()),
        *_OF_SPARSE_CONDITIONS,
        Comparison("C4", "SFT - full, other languages' scores", "SFT − full", "SFT", "sft"),
        Comparison("C5", "SFT - full, accuracy", "SFT − full", "full fine-tuning"),
        Comparison(
            "C5",
            "SFT - SFT with random masks, accuracy",
            "SFT − SFT with random masks",
            "SFT with random masks",
            "sft_random",
        ),
    )
}


# --- version 2 of the analysis plan ------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question of the analysis plan."""

    text: str
    margin: float | None  # effects below it do not matter; in the value's unit; None: none was set
    sign: int = 0  # of the effect that is expected: 1, -1, or 0 where either is a finding


POINT = 0.01
QUESTIONS = {
    "Q1": Question("Is influence language-wise without intervention?", POINT, 1),
    "Q3": Question("Does a language's own subnetwork add in-language influence of its own?", POINT, 1),
    "Q4": Question("Does SFT change the in-language share?", POINT),
    "Q6": Question("What does SFT do to accuracy?", 2 * POINT),
}


@dataclass(frozen=True)
class Contrast:
    """A difference of in-language shares, or of accuracies (Q6), that speaks to a question."""

    question: str
    # Condition and kind of mask of one value, of two (a - b), or of four ((a - b) - (c - d)).
    values: tuple[tuple[str, str], ...]
    text: str
    differs_in: str  # besides the question's subject; empty: in nothing


_FULL, _FULL_OWN, _SFT_OWN = ("full", "none"), ("full", "own"), ("sft", "own")
_SFT_RANDOM_OWN = ("sft_random", "own")
_TRAINING_AND_MASKS = "masks, training and composition of batches"
_UNTRAINED = "a trained with an untrained mask; composition of batches"
# Those that the first version's runs can show. Each side of a contrast is (condition, kind of mask).
CONTRASTS = (
    Contrast("Q1", (_FULL,), "full, no mask − chance", ""),
    Contrast("Q3", (_FULL_OWN, _FULL), "full: own − no mask", "damage by a mask that was not trained under"),
    Contrast(
        "Q3", (_FULL_OWN, ("full", "other_language")), "full: own − other languages' masks", "mask size"
    ),
    Contrast("Q3", (_FULL_OWN, ("full", "other_seed")), "full: own − own mask of another seed", "mask size"),
    Contrast("Q3", (_FULL_OWN, ("full", "random")), "full: own − random masks", "accuracy under the mask"),
    Contrast("Q4", (_SFT_OWN, _FULL), "SFT, own mask − full, no mask", _TRAINING_AND_MASKS),
    Contrast("Q4", (_SFT_OWN, _FULL_OWN), "SFT, own mask − full, own mask", _UNTRAINED),
    Contrast(
        "Q4",
        (_SFT_OWN, ("sft", "none"), _FULL_OWN, _FULL),
        "(SFT: own − no mask) − (full: own − no mask)",
        "the trained state is the own mask under SFT, and no mask under full fine-tuning",
    ),
    Contrast("Q4", (_SFT_OWN, _SFT_RANDOM_OWN), "SFT − SFT with random masks", "overlap of the masks"),
    Contrast("Q6", (_SFT_OWN, _FULL), "accuracy: SFT, own mask − full, no mask", _TRAINING_AND_MASKS),
    Contrast("Q6", (_SFT_OWN, _FULL_OWN), "accuracy: SFT, own mask − full, own mask", _UNTRAINED),
    Contrast(
        "Q6", (_SFT_OWN, _SFT_RANDOM_OWN), "accuracy: SFT − SFT with random masks", "overlap of the masks"
    ),
)
