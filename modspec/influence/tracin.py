"""TracIn scores of all training examples for all evaluation examples, in blocks and shards, resumable."""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np
import psutil
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modspec.data.examples import Examples, check_label_range, sorted_batches
from modspec.errors import InputError, quoted
from modspec.influence.contraction import Contraction
from modspec.influence.direct_gradients import other_parameters
from modspec.influence.encoder_parts import EncoderPart, Places, placements
from modspec.influence.gradient_factors import GradientFactors, collect_factors, joined
from modspec.influence.gradients import HeadMask, Loss, Positions, Tracer, cross_entropy, tracing
from modspec.influence.inner_products import Shapes, Target, inner_products, make_target
from modspec.output.progress import tqdm

BATCHES_OF_A_BLOCK = 4
NOTHING = np.array([], dtype=np.int64)
Arrays = Mapping[str, np.ndarray]
TargetsFunction = Callable[[], list[Target]]
Remember = Callable[[str, Callable[[], Arrays]], Arrays]


@dataclass(frozen=True)
class Checkpoint:
    """One term of the TracIn sum."""

    #: Puts the checkpoint's weights into the model, in place.
    load: Callable[[nn.Module], None]
    #: Eta of this term.
    learning_rate: float


@dataclass(frozen=True)
class Report:
    """The cost of scoring: not part of the result, and not the same in every run."""

    #: Each costs one pass over the training examples per checkpoint.
    evaluation_blocks: int
    #: Mean time of such a pass over the training examples.
    pass_seconds: float
    #: Share of the linear layers' weights contracted in each form (dense, ghost) and, on a GPU, share of the
    #: dense work done by each method (triton, pytorch).
    shares: dict[str, float]

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        passes = "1 pass" if self.evaluation_blocks == 1 else f"{self.evaluation_blocks} passes"
        passes += f" of {self.pass_seconds:.1f} s over the training examples"
        return f"{passes}; linear layers: {shares or 'nothing left to do'}"


@dataclass(frozen=True)
class Scores:
    """Influence of training examples on evaluation examples, in float32."""

    #: Sum over checkpoints of eta × cosine of the two examples' gradients.
    cosine: Float[np.ndarray, "train evaluation"]
    #: The same with the dot product.
    dot: Float[np.ndarray, "train evaluation"]
    #: Positions of the training examples: all, or those of one shard.
    rows: Int[np.ndarray, " train"]
    #: Empty without ``by_part``.
    parts: tuple[EncoderPart, ...] = ()
    #: The contribution of each part; over the parts they add up to ``cosine``.
    cosine_by_part: Float[np.ndarray, "parts train evaluation"] | None = None
    #: The contribution of each part; over the parts they add up to ``dot``.
    dot_by_part: Float[np.ndarray, "parts train evaluation"] | None = None
    #: What scoring cost.
    report: Report | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Tiling:
    """The largest amounts of work done at once on a kind of device."""

    evaluation: int  # evaluation examples that a training batch meets in one matrix product
    tokens: int  # tokens of a batch, padding included
    pass_tokens: int  # of a forward and backward pass; on a CPU, its activations should stay in cache
    weights: int  # weights of a tile; on a CPU, a tile of 64 examples should stay in cache


TILINGS = {"cpu": Tiling(256, 8192, 768, 36_864), "cuda": Tiling(256, 32_768, 32_768, 2**22)}


def influence(
    model: nn.Module,
    train: Examples,
    evaluation: Examples,
    *,
    checkpoints: Iterable[Checkpoint] | None = None,
    train_mask: HeadMask | None = None,
    evaluation_mask: HeadMask | None = None,
    by_part: bool = False,
    loss: Loss = cross_entropy,
    precision: torch.dtype = torch.float32,
    batch_size: int = 64,
    memory: float | None = None,
    shard: tuple[int, int] = (0, 1),
    remember: Remember | None = None,
    progress: str | None = None,
) -> Scores:
    """Return the TracIn score of every training example for every evaluation example.

    Gradients run over all trainable parameters (Pruthi et al. 2020, equation in ``modspec.influence``).
    Dropout is off. An example whose gradient is zero has cosine 0 with every other example.

    Args:
        model: the encoder with its classifier; mode, hooks and ``requires_grad`` are restored.
        train: n training examples.
        evaluation: m evaluation examples.
        checkpoints: the terms of the TracIn sum; None scores the model as it is, with eta = 1.
        train_mask: Boolean head mask for training gradients, (layers, heads), or one per example,
            (n, layers, heads); None keeps all heads.
        evaluation_mask: the same for evaluation gradients, (layers, heads) or (m, layers, heads).
        by_part: also return the scores by part of the encoder, see ``modspec.influence.encoder_parts``.
        loss: called with a batch's logits, (batch, ...) in float64, with ``train`` or ``evaluation``, and
            with the positions of the batch in it; returns the loss of each example, (batch,). The default is
            the cross-entropy of a sequence classifier.
        precision: torch.bfloat16 runs forward, backward and contraction in bfloat16, with sums in float32;
            torch.float32 keeps the model's own precision.
        batch_size: largest number of training examples that are contracted at once.
        memory: bytes for evaluation gradients; None takes half of what is free. If they need more, the
            evaluation examples are scored in blocks, and each block needs its own pass over ``train``.
        shard: (i, n) scores only the i-th of n shards of the training examples, see :func:`merge`.
        remember: called with the name of every block of four training batches and a function that computes
            its arrays; returns these arrays, and may keep them on disk to return them when a killed run
            is started again. None keeps nothing.
        progress: title of a progress bar; None shows none.

    Returns:
        The scores, (n, m), or those of the shard's training examples.

    Raises:
        InputError: for arguments that do not fit, and for an encoder without trainable parameters.
        FloatingPointError: names the first example whose gradient is not finite.
    """
    terms = [Checkpoint(lambda model: None, 1.0)] if checkpoints is None else list(checkpoints)
    train_mask, evaluation_mask = _mask("train_mask", train_mask), _mask("evaluation_mask", evaluation_mask)
    if loss is cross_entropy:
        for name, examples in (("train", train), ("evaluation", evaluation)):
            check_label_range(name, examples, model.config.num_labels)
    _check(train, evaluation, train_mask, evaluation_mask, terms, precision, batch_size, memory, shard)
    parts, places = placements(model, by_part=by_part)
    device = next(model.parameters()).device
    tiling = TILINGS.get(device.type, TILINGS["cpu"])
    remember = remember or (lambda name, compute: compute())
    # The longest first: later batches reuse their memory, and too little memory shows at once.
    batches = sorted_batches(train.lengths, batch_size, tiling.tokens)[::-1]
    shapes = [(len(rows), int(train.lengths[rows].max())) for rows in batches]
    # A block of batches is the same work whatever the shard, so shards merge to the very same numbers.
    batch_blocks = [batches[i : i + BATCHES_OF_A_BLOCK] for i in range(0, len(batches), BATCHES_OF_A_BLOCK)]
    batch_blocks = batch_blocks[shard[0] :: shard[1]]
    positions = np.sort(np.concatenate([NOTHING, *(rows for block in batch_blocks for rows in block)]))
    fit = _examples_that_fit(model, precision, memory)
    evaluation_blocks = _evaluation_blocks(evaluation.lengths, fit, tiling)
    totals = {name: np.zeros((len(positions), len(evaluation))) for name in ("cosine", "dot")}
    if by_part:
        shape = (len(parts), len(positions), len(evaluation))
        totals |= {f"{name}_by_part": np.zeros(shape, np.float32) for name in ("cosine", "dot")}
    seconds, contraction = [], Contraction(device)
    bar = tqdm(desc=progress, disable=progress is None, mininterval=1.0)
    with bar, tracing(model, precision, loss) as trace:
        scorer = _Scorer(trace, places, len(parts), tiling, contraction)
        for number, checkpoint in enumerate(terms):
            checkpoint.load(model)
            bar.total = (number + 1) * len(evaluation_blocks) * len(batch_blocks)
            for evaluation_block in evaluation_blocks:
                start, columns = time.perf_counter(), np.concatenate([NOTHING, *evaluation_block])
                # Computed when first called: not at all if every block of batches is remembered.
                prepare = partial(scorer.targets, evaluation, evaluation_mask, evaluation_block, shapes)
                targets = cache(prepare)
                for batch_block in batch_blocks:
                    rows = np.concatenate(batch_block)
                    # Columns too, since their blocks depend on free memory, which differs when a run resumes.
                    name = f"checkpoint{number}-rows{_digest(rows)}-columns{_digest(columns)}"
                    compute = partial(scorer.score, train, train_mask, batch_block, targets)
                    arrays, place = remember(name, compute), np.searchsorted(positions, rows)
                    for score, total in totals.items():
                        total[..., place[:, None], columns] += checkpoint.learning_rate * arrays[score]
                    bar.update()
                if targets.cache_info().currsize:
                    seconds.append(time.perf_counter() - start)
    mean_seconds = float(np.mean(seconds)) if seconds else 0.0
    report = Report(len(evaluation_blocks), mean_seconds, contraction.shares())
    sums = {name: total.astype(np.float32, copy=False) for name, total in totals.items()}
    return Scores(rows=positions, parts=parts if by_part else (), report=report, **sums)


def merge(shards: Sequence[Scores]) -> Scores:
    """Join the scores of all shards of one call, in the order of the training examples.

    The result is exactly what the unsharded call returns (on a GPU: if every shard chose the same method of
    contraction).

    Raises:
        InputError: if a shard is missing or occurs twice.
    """
    rows = np.concatenate([shard.rows for shard in shards])
    order = np.argsort(rows, kind="stable")
    if not np.array_equal(rows[order], np.arange(len(rows))):
        distinct = len(set(rows.tolist()))
        raise InputError(
            f"shards: {len(shards)} with {len(rows)} rows, {distinct} of them distinct, up to row "
            f"{rows.max(initial=0)}; allowed: every shard of one call, once"
        )
    joined = {
        name: np.concatenate([getattr(shard, name) for shard in shards], axis=-2).take(order, axis=-2)
        for name in ("cosine", "dot", "cosine_by_part", "dot_by_part")
        if getattr(shards[0], name) is not None
    }
    return replace(shards[0], rows=rows[order], report=None, **joined)


@dataclass(frozen=True)
class _Scorer:
    """The hooks on the model and the layout of its parameters, which all passes of one call share."""

    trace: Tracer
    places: Places
    parts: int
    tiling: Tiling
    contraction: Contraction

    def targets(
        self, evaluation: Examples, mask: HeadMask | None, evaluation_block: list[Positions], shapes: Shapes
    ) -> list[Target]:
        """Return the gradients of each batch of evaluation examples, each with the shortest texts first.

        Args:
            evaluation: all evaluation examples.
            mask: their head mask or masks.
            evaluation_block: positions of the examples of each batch.
            shapes: the shapes of all training batches.
        """
        targets = []
        for columns in evaluation_block:
            factors = self._factors(evaluation, mask, columns)
            targets.append(make_target(factors, shapes, self.contraction))
            _check_finite(targets[-1].norms, evaluation, columns)
        return targets

    def score(
        self, train: Examples, mask: HeadMask | None, batch_block: list[Positions], targets: TargetsFunction
    ) -> Arrays:
        """Return cosine and dot of a block of training batches with an evaluation block.

        Returns:
            cosine, dot: float64 (rows of the block, columns of the block). If there are several parts, also
            cosine_by_part, dot_by_part: float32 (parts, rows of the block, columns of the block).
        """
        cosines, dots = [], []
        for rows in batch_block:
            factors = self._factors(train, mask, rows)
            products, squares = inner_products(factors, targets(), self.parts, self.contraction)
            norms = squares.sqrt()
            _check_finite(norms, train, rows)
            dot = torch.cat([norms.new_zeros(self.parts, len(rows), 0), *products], dim=2)
            scale = torch.outer(norms, torch.cat([norms.new_zeros(0), *(t.norms for t in targets())]))
            dots.append(dot.cpu().numpy())
            cosines.append(torch.where(scale > 0, dot / scale, 0).cpu().numpy())
        arrays = {}
        for name, values in (("cosine", cosines), ("dot", dots)):
            by_part = np.concatenate(values, axis=1)
            arrays[name] = by_part.sum(axis=0)
            if self.parts > 1:
                arrays[f"{name}_by_part"] = by_part.astype(np.float32)
        return arrays

    @torch.no_grad()
    def _factors(self, examples: Examples, mask: HeadMask | None, positions: Positions) -> GradientFactors:
        """Return the gradients of a batch, whose examples stand in the order of their lengths."""
        passes = []
        most = 1 if self.trace.direct(examples).one_at_a_time else len(positions)
        for cut in sorted_batches(examples.lengths[positions], most, self.tiling.pass_tokens):
            of_pass = positions[cut]
            pass_mask = mask[of_pass] if np.ndim(mask) == 3 else mask
            record = self.trace(examples, of_pass, pass_mask)
            passes.append(
                collect_factors(record, self.places, self.trace.trainable, pass_mask, self.tiling.weights)
            )
        return joined(passes)


def _examples_that_fit(model: nn.Module, precision: torch.dtype, memory: float | None) -> int:
    """Return how many evaluation examples fit into ``memory`` if all are multiplied out; at least 1."""
    formed = {m.weight for m in model.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad}
    formed.update(other_parameters(model).values())
    first = next(model.parameters())
    width = 2 if precision == torch.bfloat16 else first.element_size()
    held = sum(weight.numel() for weight in formed) * width
    if memory is None:
        on_gpu = first.device.type == "cuda"
        free = torch.cuda.mem_get_info(first.device)[0] if on_gpu else psutil.virtual_memory().available
        memory = free / 2
    return int(max(1, min(memory // max(held, 1), sys.maxsize)))  # memory may be infinite


def _evaluation_blocks(lengths: Int[np.ndarray, " n"], fit: int, tiling: Tiling) -> list[list[Positions]]:
    """Return evaluation batches in blocks of at most ``fit`` examples; one empty block if there are none.

    Blocks are of equal size, so that there are no more than needed: each costs a pass over the training
    examples.
    """
    blocks = np.array_split(np.argsort(lengths, kind="stable"), max(1, math.ceil(len(lengths) / fit)))
    return [
        [block[batch] for batch in sorted_batches(lengths[block], tiling.evaluation, tiling.tokens)]
        for block in blocks
    ]


def _digest(positions: Positions) -> str:
    """Return a file name for a set of positions: their number, and a digest."""
    return f"{len(positions)}-{hashlib.sha256(positions.tobytes()).hexdigest()[:12]}"


def _mask(name: str, mask: HeadMask | None) -> HeadMask | None:
    """Return a head mask as a Boolean array, also where it was given as lists."""
    if mask is None:
        return None
    try:
        array = np.asarray(mask)
    except ValueError:  # rows of different lengths
        array = np.array(np.nan)
    if array.ndim not in (2, 3) or not np.isin(array, (0, 1)).all():
        raise InputError(
            f"{name}: {quoted(mask)}; allowed: True and False, (layers, heads) or (examples, layers, heads)"
        )
    return array.astype(bool)


def _check(
    train: Examples,
    evaluation: Examples,
    train_mask: HeadMask | None,
    evaluation_mask: HeadMask | None,
    checkpoints: list[Checkpoint],
    precision: torch.dtype,
    batch_size: int,
    memory: float | None,
    shard: tuple[int, int],
) -> None:
    """Raise InputError for arguments of :func:`influence` that do not fit."""
    if torch.is_inference_mode_enabled():
        raise InputError("influence: called within torch.inference_mode(), where there are no gradients")
    if not checkpoints:
        raise InputError("checkpoints: none; allowed: at least one, or None for the model as it is")
    masks = (("train_mask", train_mask, train), ("evaluation_mask", evaluation_mask, evaluation))
    for name, mask, examples in masks:
        if np.ndim(mask) == 3 and len(mask) != len(examples):
            raise InputError(f"{name}: {len(mask)} masks for {len(examples)} examples; allowed: one for each")
    if precision not in (torch.float32, torch.bfloat16):
        raise InputError(f"precision: {precision}; allowed: torch.float32, torch.bfloat16")
    if batch_size < 1:
        raise InputError(f"batch_size: {batch_size}; allowed: at least 1")
    if memory is not None and not memory > 0:
        raise InputError(f"memory: {memory} bytes; allowed: more than 0, or None for half of what is free")
    index, count = shard
    if not 0 <= index < count:
        raise InputError(f"shard: {index} of {count}; allowed: (i, n) with 0 <= i < n")


def _check_finite(norms: Float[Tensor, " batch"], examples: Examples, positions: Positions) -> None:
    """Raise FloatingPointError for the first example whose gradient's norm is not finite."""
    if not (finite := norms.isfinite()).all():
        example = examples.ids[positions[int((~finite).nonzero()[0])]]
        raise FloatingPointError(f"the gradient of example {str(example)!r} is not finite")
