"""The systems that the benchmark compares: ours, and other packages asked for the same dot products.

Every ``System.score`` takes a classifier in evaluation mode with eager attention and the same examples, and
returns its scores by name, float32 (train, evaluation): "dot", and of ours "cosine" too. The loss is summed
over examples, there is one checkpoint, nothing is projected. Each package is called as it documents, with the
settings that were fastest on one thread for e5-small and 50 evaluation examples within 23 GiB. Batches hold
examples of similar length everywhere.

captum (Kokhlikyan et al. 2020), all parameters. One example per batch, its own default: within a batch it
    runs one backward pass through the whole batch for every example; 2 and 4 were no faster.
captum linear. ``sample_wise_grads_per_batch=True``, which supports ``nn.Linear`` and ``nn.Conv2d`` alone, so
    ``layers`` names the linear ones. Batches of 16; 8 was slower, 32 and 64 no faster on longer texts.
kronfluence (Grosse et al. 2023), which covers linear layers. The identity strategy, all evaluation examples
    in one query batch, so that it goes over the training examples once, 32 per batch (8 and 16 were
    slower, 64 the same).
dattri (Deng et al. 2024), all parameters. Its ``vmap(grad)`` fails on 2-D attention masks, so it is given
    additive masks, the same mathematics. It slices every parameter out of one flat vector, and each slice's
    gradient has the size of all of them: 3 s per example alone, more in a batch. Gradients of the inner data
    set are computed anew for each batch of the outer one, so the roles of training and evaluation, in which
    dot products are symmetric, are chosen for the fewest gradients; 16 outer examples at once take 10 GiB.
trak (Park et al. 2023), all parameters. Its own scores are not TracIn's, so its parts are put together as a
    user would: gradients of the loss from ``FunctionalGradientComputer`` (additive masks again),
    ``NoOpProjector`` and its matrix product. Batches of 8; 4, 16 and 32 were slower.
"""

import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, wraps

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel

from modspec.data.examples import Examples, collate
from modspec.influence import influence

Scores = dict[str, np.ndarray]  # by name, float32 (train, evaluation)
Batch = tuple[Tensor, Tensor, Tensor]  # input_ids, attention mask, labels
SIZES = {"captum": 1, "captum linear": 16, "kronfluence": 32, "trak": 8}  # training examples per batch
OUTER = 16  # examples whose flat gradients dattri holds at once


@dataclass(frozen=True)
class System:
    """One way to compute scores."""

    covers: str  # "all" parameters, or those of "linear" layers
    package: str | None  # None for ours
    score: Callable[[PreTrainedModel, Examples, Examples], Scores]


def modspec(model: PreTrainedModel, train: Examples, evaluation: Examples, precision: torch.dtype) -> Scores:
    """Score with this package, which computes norms and cosines too."""
    scores = influence(model, train, evaluation, precision=precision)
    return {"dot": scores.dot, "cosine": scores.cosine}


def _by_length(score: Callable[..., Tensor]) -> Callable[..., Scores]:
    """Let a package see examples by length, shortest first; put its scores in the examples' own order."""

    @wraps(score)
    def scored(model: PreTrainedModel, train: Examples, evaluation: Examples, **options) -> Scores:
        orders = [np.argsort(examples.lengths, kind="stable") for examples in (train, evaluation)]
        scores = score(model, train.take(orders[0]), evaluation.take(orders[1]), **options)
        dot = np.empty(scores.shape, dtype=np.float32)
        dot[np.ix_(*orders)] = scores.detach().numpy()
        return {"dot": dot}

    return scored


@_by_length
def captum(model: PreTrainedModel, train: Examples, evaluation: Examples, by_batch: bool) -> Tensor:
    """Score with ``TracInCP``; ``by_batch``: sample-wise gradients of whole batches, linear layers only."""
    from captum.influence import TracInCP

    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    size = SIZES["captum linear" if by_batch else "captum"]
    train_batches, queries = (
        DataLoader(list(_batches(model, examples, size)), batch_size=None) for examples in (train, evaluation)
    )
    tracin = TracInCP(
        model,
        train_batches,
        checkpoints=["as it is"],
        checkpoints_load_func=lambda model, checkpoint: 1.0,
        layers=linear if by_batch else None,
        loss_fn=nn.CrossEntropyLoss(reduction="sum" if by_batch else "none"),
        sample_wise_grads_per_batch=by_batch,
    )
    hook = model.register_forward_hook(lambda model, inputs, output: output.logits)  # captum wants a tensor
    scores = tracin.influence(queries).T
    hook.remove()
    return scores


@_by_length
def kronfluence(model: PreTrainedModel, train: Examples, evaluation: Examples) -> Tensor:
    """Compute pairwise scores under the identity strategy; linear layers only."""
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments
    from kronfluence.task import Task
    from kronfluence.utils.dataset import DataLoaderKwargs

    class Classification(Task):
        def compute_train_loss(self, batch: Batch, model: nn.Module, sample: bool = False) -> Tensor:
            input_ids, mask, labels = batch
            logits = model(input_ids=input_ids, attention_mask=mask).logits
            return F.cross_entropy(logits, labels, reduction="sum")

        def compute_measurement(self, batch: Batch, model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

    task = Classification()
    with tempfile.TemporaryDirectory() as scratch:
        analyzer = Analyzer(
            "benchmark",
            prepare_model(model, task),
            task,
            cpu=True,
            disable_tqdm=True,
            log_level=logging.ERROR,
            output_dir=scratch,
        )
        # It formats and copies its arguments for the log: no lists of examples and no model among them.
        collate_fn = partial(_collated, model.config.pad_token_id)
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=collate_fn))
        identity = FactorArguments(strategy="identity")
        analyzer.fit_all_factors("none", _Items(train), per_device_batch_size=1, factor_args=identity)
        analyzer.compute_pairwise_scores(
            "scores",
            "none",
            query_dataset=_Items(evaluation),
            train_dataset=_Items(train),
            per_device_query_batch_size=len(evaluation),
            per_device_train_batch_size=SIZES["kronfluence"],
        )
        return analyzer.load_pairwise_scores("scores")["all_modules"].T


@_by_length
def dattri(model: PreTrainedModel, train: Examples, evaluation: Examples) -> Tensor:
    """Score with ``TracInAttributor``: gradients by ``vmap(grad)`` over flattened parameters."""
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.task import AttributionTask

    def loss(parameters: Mapping[str, Tensor], example: Batch) -> Tensor:
        return _loss_of_one(model, parameters, *example)

    def gradients(outer: Examples, inner: Examples) -> int:
        return len(outer) + math.ceil(len(outer) / OUTER) * len(inner)

    attributor = TracInAttributor(
        AttributionTask(loss, model, model.state_dict()), weight_list=[1.0], normalized_grad=False
    )
    attributor.projector_kwargs = None  # None as an argument means its default: 512 random dimensions
    turned = gradients(train, evaluation) >= gradients(evaluation, train)
    outer, inner = (evaluation, train) if turned else (train, evaluation)
    batches = _batches(model, outer, OUTER, additive=True), _batches(model, inner, 1, additive=True)
    scores = attributor.attribute(*batches)
    return scores.T if turned else scores


@_by_length
def trak(model: PreTrainedModel, train: Examples, evaluation: Examples) -> Tensor:
    """Multiply unprojected gradient features."""
    from trak.gradient_computers import FunctionalGradientComputer
    from trak.modelout_functions import AbstractModelOutput
    from trak.projectors import NoOpProjector
    from trak.utils import get_matrix_mult

    class Loss(AbstractModelOutput):
        def __init__(self) -> None:
            pass

        @staticmethod
        def get_output(
            model: nn.Module, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *example: Tensor
        ) -> Tensor:
            return _loss_of_one(model, {**weights, **buffers}, *example)

        def get_out_to_loss_grad(self, *arguments: object) -> Tensor:
            raise NotImplementedError("the output is the loss")

    computer = FunctionalGradientComputer(
        model, Loss(), grad_dim=model.num_parameters(), dtype=torch.float32, device=torch.device("cpu")
    )
    projector = NoOpProjector(device="cpu")

    def features(examples: Examples) -> Iterator[Tensor]:
        for batch in _batches(model, examples, SIZES["trak"], additive=True):
            yield projector.project(computer.compute_per_sample_grad(batch), model_id=0)

    targets = torch.cat(list(features(evaluation)))
    return torch.cat([get_matrix_mult(own, targets) for own in features(train)])


SYSTEMS = {
    "modspec float32": System("all", None, partial(modspec, precision=torch.float32)),
    "modspec bfloat16": System("all", None, partial(modspec, precision=torch.bfloat16)),
    "captum": System("all", "captum", partial(captum, by_batch=False)),
    "captum linear": System("linear", "captum", partial(captum, by_batch=True)),
    "kronfluence": System("linear", "kronfluence", kronfluence),
    "dattri": System("all", "dattri", dattri),
    "trak": System("all", "traker", trak),
}


@dataclass(repr=False, eq=False)
class _Items(Dataset):
    """Examples with their positions."""

    examples: Examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, position: int) -> tuple[Examples, int]:
        return self.examples, position


def _collated(pad_id: int, items: list[tuple[Examples, int]], additive: bool = False) -> Batch:
    """A padded batch. additive: what attention adds to its scores, instead of ones and zeros."""
    examples, indices = items[0][0], np.array([i for _, i in items])
    batch = collate(examples, indices, pad_id)
    mask = batch["attention_mask"]
    if additive:
        mask = torch.where(mask.bool(), 0.0, torch.finfo(torch.float32).min)
    return batch["input_ids"], mask, torch.from_numpy(examples.labels[indices])


def _batches(model: PreTrainedModel, examples: Examples, size: int, additive: bool = False) -> DataLoader:
    collate_fn = partial(_collated, model.config.pad_token_id, additive=additive)
    return DataLoader(_Items(examples), batch_size=size, collate_fn=collate_fn)


def _loss_of_one(
    model: nn.Module, parameters: Mapping[str, Tensor], input_ids: Tensor, mask: Tensor, label: Tensor
) -> Tensor:
    """Loss of one example without a batch dimension, for ``vmap``; ``mask`` is additive."""
    inputs = {"input_ids": input_ids[None], "attention_mask": mask[None, None, None]}
    logits = functional_call(model, dict(parameters), kwargs=inputs).logits
    return F.cross_entropy(logits, label[None])
