"""TracIn scores of all training for all evaluation examples: checkpoints, blocks, shards, resuming."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from tqdm import tqdm

from modspec.data.examples import Examples, sorted_batches
from modspec.errors import InputError
from modspec.influence.contraction import Paths
from modspec.influence.encoder_parts import Group, Placement, placements
from modspec.influence.gradient_factors import Gradients, factored
from modspec.influence.gradients import TraceFunction, tracing
from modspec.influence.inner_products import Target, inner_products, target

UNIT_BATCHES = 4
NOTHING = np.array([], dtype=np.int64)
Arrays = Mapping[str, np.ndarray]
Remember = Callable[[str, Callable[[], Arrays]], Arrays]


@dataclass(frozen=True)
class Checkpoint:
    """One term of the TracIn sum. load: puts the checkpoint's weights into the model, in place."""

    load: Callable[[nn.Module], None]
    learning_rate: float


@dataclass(frozen=True)
class Report:
    """What scoring took: not part of the result, and not the same in every run.

    blocks: passes over the training examples for each checkpoint, one for each block of evaluation examples
    that fits the memory budget. pass_seconds: of such a pass, mean. paths: share of the linear layers'
    weights contracted in each form (dense, ghost) and, on a GPU, of the dense work by each path.
    """

    blocks: int
    pass_seconds: float
    paths: dict[str, float]

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.paths.items())
        extra = f", each further one costing {self.pass_seconds:.1f} s" if self.blocks > 1 else ""
        passes = f"{self.blocks} pass{'es' if self.blocks > 1 else ''} of {self.pass_seconds:.1f} s"
        return f"{passes} over the training examples{extra}; linear layers: {shares or 'nothing left to do'}"


@dataclass(frozen=True)
class Scores:
    """Influence of training on evaluation examples: float32 of shape (rows, evaluation).

    rows: positions of the training examples; all of them, but of a shard. groups: what the leading axis of
    ``cosine_by_group`` and ``dot_by_group`` stands for, (groups, rows, evaluation), which add up over the
    groups to ``cosine`` and ``dot``; empty where groups were not asked for.
    """

    cosine: np.ndarray
    dot: np.ndarray
    rows: np.ndarray
    groups: tuple[Group, ...] = ()
    cosine_by_group: np.ndarray | None = None
    dot_by_group: np.ndarray | None = None
    report: Report | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Tiling:
    """How work is cut on a kind of device: at most so many evaluation examples, of them in one pass, tokens
    of a batch, and weights of a tile at once. On a CPU a tile of 64 examples should stay in cache."""

    evaluation: int
    evaluation_pass: int
    tokens: int
    weights: int


TILINGS = {"cpu": Tiling(64, 16, 4096, 36_864), "cuda": Tiling(256, 256, 32_768, 2**22)}


def influence(
    model: nn.Module,
    train: Examples,
    evaluation: Examples,
    *,
    checkpoints: Iterable[Checkpoint] | None = None,
    train_mask: np.ndarray | None = None,
    evaluation_mask: np.ndarray | None = None,
    groups: bool = False,
    precision: torch.dtype = torch.float32,
    batch_size: int = 64,
    memory: float | None = None,
    shard: tuple[int, int] = (0, 1),
    remember: Remember | None = None,
    progress: str | None = None,
) -> Scores:
    """TracIn scores of every training example for every evaluation example, over all trainable parameters.

    ``checkpoints``: None scores the model as it is, with eta = 1. Masks: None, (layers, heads), or
    (n, layers, heads): one for each example. ``groups``: also the scores by part of the parameters, see
    ``modspec.influence.encoder_parts``. ``precision``: bfloat16 for forward, backward and contraction with sums in
    float32; otherwise that of the model. ``batch_size``: examples of one pass at most. ``memory``: bytes for
    evaluation gradients, by default half of what is free; where they need more, they are scored in blocks,
    each with a training pass of its own. ``shard``: (i, n) scores only the i-th of n parts of the training
    examples, see :func:`merge`. ``remember``: called with the name of every finished unit of work and a
    function that does it, to keep and to return its arrays: the default keeps nothing.

    Dropout is off. An example whose gradient is zero has cosine 0 with every other.

    Raises InputError for arguments that do not fit and for an encoder without trainable parameters or with
    some in a type of module that it does not know, and FloatingPointError naming the first example whose
    gradient is not finite.
    """
    _check(train, evaluation, train_mask, evaluation_mask, precision, batch_size, memory, shard)
    every, places = placements(model, resolved=groups)
    trains = {parameter: parameter.requires_grad for parameter in model.parameters()}
    device = next(model.parameters()).device
    tiling = TILINGS.get(device.type, TILINGS["cpu"])
    remember = remember or (lambda name, compute: compute())
    # The longest first: what they need is then reused, and too little memory shows at once.
    batches = sorted_batches(train.lengths, batch_size, tiling.tokens)[::-1]
    shapes = [(len(rows), int(train.lengths[rows].max())) for rows in batches]
    # A unit is the same work whatever the shard, so shards merge to the very same numbers.
    units = [batches[i : i + UNIT_BATCHES] for i in range(0, len(batches), UNIT_BATCHES)]
    units = units[shard[0] :: shard[1]]
    positions = np.sort(np.concatenate([NOTHING, *(rows for unit in units for rows in unit)]))
    blocks = _blocks(evaluation.lengths, _examples_that_fit(model, precision, memory, device), tiling)
    totals = {name: np.zeros((len(positions), len(evaluation))) for name in ("cosine", "dot")}
    if groups:
        shape = (len(every), len(positions), len(evaluation))
        totals |= {f"{name}_by_group": np.zeros(shape, np.float32) for name in ("cosine", "dot")}
    seconds, paths = [], Paths(device)
    bar = tqdm(desc=progress, disable=progress is None, mininterval=1.0)
    with bar, tracing(model, precision) as trace:
        scorer = _Scorer(trace, places, trains, len(every), tiling, paths)
        for number, checkpoint in enumerate(checkpoints or [Checkpoint(lambda model: None, 1.0)]):
            checkpoint.load(model)
            bar.total = (number + 1) * len(blocks) * len(units)
            for block in blocks:
                start, targets = time.perf_counter(), None
                columns = np.concatenate([NOTHING, *block])
                for unit in units:

                    def compute(unit=unit, block=block) -> Arrays:
                        nonlocal targets
                        if targets is None:
                            targets = [scorer.target(evaluation, evaluation_mask, b, shapes) for b in block]
                        return scorer.score(train, train_mask, unit, targets)

                    rows = np.concatenate(unit)
                    # Columns too, since blocks depend on free memory, which differs when a run resumes.
                    name = f"checkpoint{number}-rows{_named(rows)}-columns{_named(columns)}"
                    found, place = remember(name, compute), np.searchsorted(positions, rows)
                    for score, total in totals.items():
                        total[..., place[:, None], columns] += checkpoint.learning_rate * found[score]
                    bar.update()
                if targets is not None:
                    seconds.append(time.perf_counter() - start)
    report = Report(len(blocks), float(np.mean(seconds)) if seconds else 0.0, _shares(paths))
    sums = {name: total.astype(np.float32, copy=False) for name, total in totals.items()}
    return Scores(rows=positions, groups=every if groups else (), report=report, **sums)


def merge(shards: Sequence[Scores]) -> Scores:
    """The scores of all shards of one call, in the order of the training examples.

    Exactly what the unsharded call returns (on a GPU: if every shard's work took the same path). Raises
    InputError where shards are missing or named twice.
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
        name: np.concatenate([getattr(shard, name) for shard in shards], axis=axis).take(order, axis)
        for name, axis in (("cosine", 0), ("dot", 0), ("cosine_by_group", 1), ("dot_by_group", 1))
        if getattr(shards[0], name) is not None
    }
    return replace(shards[0], rows=rows[order], report=None, **joined)


@dataclass(frozen=True)
class _Scorer:
    """What all passes of one call share: hooks on the model, and the layout of its parameters."""

    trace: TraceFunction
    places: Mapping[str, Placement]
    trains: Mapping[nn.Parameter, bool]
    groups: int
    tiling: Tiling
    paths: Paths

    def target(
        self,
        evaluation: Examples,
        mask: np.ndarray | None,
        columns: np.ndarray,
        shapes: Sequence[tuple[int, int]],
    ) -> Target:
        """Evaluation examples, shortest first, for training batches of ``shapes`` (examples, tokens)."""
        size = self.tiling.evaluation_pass
        cuts = [columns[i : i + size] for i in range(0, len(columns), size)]
        found = target([self._gradients(evaluation, mask, cut) for cut in cuts], shapes, self.paths)
        _check_finite(found.norms, evaluation, columns)
        return found

    def score(
        self, train: Examples, mask: np.ndarray | None, unit: list[np.ndarray], targets: list[Target]
    ) -> Arrays:
        """Cosine and dot of a unit's training examples, float64 (rows, columns of the block), and where
        there are groups, by group: float32 (groups, rows, columns)."""
        cosines, dots = [], []
        for rows in unit:
            gradients = self._gradients(train, mask, rows)
            products, squares = inner_products(gradients, targets, self.groups, self.paths)
            norms = squares.sqrt()
            _check_finite(norms, train, rows)
            dot = torch.cat([norms.new_zeros(self.groups, len(rows), 0), *products], dim=2)
            scale = torch.outer(norms, torch.cat([norms.new_zeros(0), *(t.norms for t in targets)]))
            dots.append(dot.cpu().numpy())
            cosines.append(torch.where(scale > 0, dot / scale, 0).cpu().numpy())
        found = {}
        for name, values in (("cosine", cosines), ("dot", dots)):
            by_group = np.concatenate(values, axis=1)
            found[name] = by_group.sum(axis=0)
            if self.groups > 1:
                found[f"{name}_by_group"] = by_group.astype(np.float32)
        return found

    @torch.no_grad()
    def _gradients(self, examples: Examples, mask: np.ndarray | None, indices: np.ndarray) -> Gradients:
        own = mask[indices] if np.ndim(mask) == 3 else mask
        traces = self.trace(examples, indices, own)
        return factored(traces, self.places, self.trains, own, self.tiling.weights)


def _examples_that_fit(
    model: nn.Module, precision: torch.dtype, memory: float | None, device: torch.device
) -> int:
    """How many evaluation examples fit the budget, linear layers' gradients multiplied out; at least 1."""
    linear = {m.weight for m in model.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad}
    width = 2 if precision == torch.bfloat16 else next(model.parameters()).element_size()
    held = sum(weight.numel() for weight in linear) * width
    budget = _free_memory(device) / 2 if memory is None else memory
    return max(1, int(budget // max(held, 1)))


def _blocks(lengths: np.ndarray, fit: int, tiling: Tiling) -> list[list[np.ndarray]]:
    """Evaluation batches in blocks of at most ``fit`` examples; one without batches if there are none."""
    blocks: list[list[np.ndarray]] = []
    room = 0
    for batch in sorted_batches(lengths, min(tiling.evaluation, fit), tiling.tokens):
        if len(batch) > room:
            blocks.append([])
            room = fit
        blocks[-1].append(batch)
        room -= len(batch)
    return blocks or [[]]


def _named(positions: np.ndarray) -> str:
    """A file name for a set of positions: how many, and a digest of which."""
    return f"{len(positions)}-{hashlib.sha256(positions.tobytes()).hexdigest()[:12]}"


def _shares(paths: Paths) -> dict[str, float]:
    """Each form's and each path's share of the weights that it could have had."""
    shares = {}
    for names in (("dense", "ghost"), ("triton", "pytorch")):
        total = sum(paths.counts[name] for name in names)
        shares |= {name: paths.counts[name] / total for name in names if paths.counts[name]}
    return shares


def _check(train, evaluation, train_mask, evaluation_mask, precision, batch_size, memory, shard) -> None:
    for name, mask, examples in (
        ("train_mask", train_mask, train),
        ("evaluation_mask", evaluation_mask, evaluation),
    ):
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


def _check_finite(norms: Tensor, examples: Examples, indices: np.ndarray) -> None:
    if not (finite := norms.isfinite()).all():
        worst = str(examples.ids[indices[int((~finite).nonzero()[0])]])
        raise FloatingPointError(f"the gradient of example {worst!r} is not finite")


def _free_memory(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
