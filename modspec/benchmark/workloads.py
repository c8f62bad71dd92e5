"""The benchmark's workloads: three classifiers with their examples, written once and loaded by every run.

    a  a 6-layer, hidden-192, 12-head, feed-forward-768 XLM-R of random weights; texts of 32 random pieces
    b  e5-small fine-tuned on the embedded task ``intents``, in five languages
    c  e5-small fine-tuned on XNLI pairs from ``$MODSPEC_SHARED_DATA``, in five languages

An artefact of a workload holds the classifier (``config.json``, ``model.safetensors``), its examples as
parquet, languages taking turns so that the first n are a sample of any size, and exact dot products of a
few of them, from which the errors of all systems are measured.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, XLMRobertaConfig

from modspec.data.examples import Examples
from modspec.models.finetuning import finetune
from modspec.stages.material import load_material
from modspec.workflow import artifacts
from modspec.workflow.fingerprints import code_fingerprint
from modspec.workflow.parameters import DataParameters
from modspec.workflow.paths import project_root

Made = tuple[PreTrainedModel, Examples, Examples]
TEXT = ("languages", "ids", "groups")  # fields of Examples that are strings
REFERENCE_SIZE = (12, 6)  # training and evaluation examples whose exact dot products are known


@dataclass(frozen=True)
class Workload:
    """A classifier to score, and its numbers of training and evaluation examples."""

    train: int
    evaluation: int
    make: Callable[[Workload], Made]


def random_encoder(workload: Workload) -> Made:
    """Make workload a: random weights, and texts of one length."""
    pieces, tokens, labels = 16_000, 32, 3
    config = XLMRobertaConfig(
        vocab_size=pieces,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=768,
        max_position_embeddings=514,
        type_vocab_size=1,
        num_labels=labels,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
    rng = np.random.default_rng(0)

    def examples(count: int, prefix: str) -> Examples:
        ids = rng.integers(4, pieces, (count, tokens))
        ids[:, 0], ids[:, -1] = config.bos_token_id, config.eos_token_id
        names = np.array([f"{prefix}{i}" for i in range(count)])
        return Examples(tuple(ids), None, rng.integers(0, labels, count), np.full(count, "-"), names, names)

    return model, examples(workload.train, "train"), examples(workload.evaluation, "evaluation")


def finetuned_encoder(workload: Workload, task: str) -> Made:
    """Make workload b or c: one epoch on the training examples, so that gradients are those of a study."""
    languages = DataParameters().languages
    data = Path(os.environ.get("MODSPEC_SHARED_DATA", project_root().parent / "shared" / "data"))
    parameters = DataParameters(
        task=task,
        data_dir=None if task == "intents" else str(data / task),
        train_per_language=workload.train // len(languages),
        dev_per_language=1,
        test_per_language=workload.evaluation // len(languages),
        device="cpu",
    )
    material = load_material(parameters)
    train, evaluation = (_in_turns(material.examples[split]) for split in ("train", "test"))
    model = material.new_classifier(seed=0)
    options = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-4, "precision": material.precision}
    finetune(model, train, **options, progress=f"fine-tuning on {task}")
    return model, train, evaluation


WORKLOADS = {
    "a": Workload(200, 20, random_encoder),
    "b": Workload(1000, 50, partial(finetuned_encoder, task="intents")),
    "c": Workload(1000, 50, partial(finetuned_encoder, task="xnli")),
}


def prepare(name: str, directory: Path) -> None:
    """Write the workload's artefact unless it is there.

    Raises:
        InputError: its data cannot be had.
    """
    workload = WORKLOADS[name]
    made_by = {"workload": name, "train": workload.train, "evaluation": workload.evaluation}
    made_by |= {"code": code_fingerprint("finetuning"), "torch": torch.__version__}
    if artifacts.is_current(directory, made_by):
        return
    with artifacts.writing(directory, made_by) as building:
        model, train, evaluation = workload.make(workload)
        model.save_pretrained(building)
        for split, examples in (("train", train), ("evaluation", evaluation)):
            columns = {name: getattr(examples, name) for name in ("labels", *TEXT)}
            frame = pd.DataFrame({"input_ids": list(examples.input_ids), **columns})
            frame.to_parquet(building / f"{split}.parquet")
        known = (e.take(range(n)) for e, n in zip((train, evaluation), REFERENCE_SIZE, strict=True))
        save_file(exact_products(model, *known), building / "reference.safetensors")


def load_classifier(directory: Path) -> PreTrainedModel:
    """Return the workload's classifier in float32, evaluation mode and with eager attention."""
    model = AutoModelForSequenceClassification.from_pretrained(
        directory, attn_implementation="eager", dtype=torch.float32
    )
    return model.eval()


def load_examples(directory: Path, train: int, evaluation: int) -> list[Examples]:
    """Return that many training and evaluation examples, starting over where there are fewer."""
    splits = []
    for split, count in (("train", train), ("evaluation", evaluation)):
        frame = pd.read_parquet(directory / f"{split}.parquet")
        text = [frame[name].to_numpy(dtype=str) for name in TEXT]
        examples = Examples(tuple(frame["input_ids"]), None, frame["labels"].to_numpy(), *text)
        splits.append(examples.take(np.arange(count) % len(examples)))
    return splits


def relative_error(dot: np.ndarray, directory: Path, covers: str) -> float:
    """Return the largest error of dot products over the largest exact one, where both are known.

    Args:
        dot: (train, evaluation).
        directory: of the workload.
        covers: the parameters in the exact products, "all" or those of "linear" layers only.
    """
    exact = load_file(directory / "reference.safetensors")[covers]
    rows, columns = np.minimum(dot.shape, exact.shape)
    exact = exact[:rows, :columns]
    return float(np.abs(dot[:rows, :columns] - exact).max() / np.abs(exact).max())


def exact_products(model: PreTrainedModel, train: Examples, evaluation: Examples) -> dict[str, np.ndarray]:
    """Return dot products of gradients, one example at a time: float64 (train, evaluation).

    They come from plain autograd in float64, without padding, attention masks or hooks. Every system must
    agree with them.

    Returns:
        {"all": over all parameters, "linear": over those of linear layers}.
    """
    model = copy.deepcopy(model).double().eval()
    linear = {p for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    parameters = list(model.parameters())

    def gradients(examples: Examples) -> Iterator[list[Tensor]]:
        for input_ids, label in zip(examples.input_ids, examples.labels, strict=True):
            logits = model(input_ids=torch.from_numpy(input_ids)[None]).logits
            loss = F.cross_entropy(logits, torch.tensor([int(label)]))
            yield [gradient.flatten() for gradient in torch.autograd.grad(loss, parameters)]

    def products(own: list[Tensor], target: list[Tensor]) -> list[float]:
        return [float(a @ b) for a, b in zip(own, target, strict=True)]

    targets = list(gradients(evaluation))
    by_example = np.array([[products(own, target) for target in targets] for own in gradients(train)])
    by_parameter = np.moveaxis(by_example, -1, 0)
    return {"all": sum(by_parameter), "linear": sum(by_parameter[[p in linear for p in parameters]])}


def _in_turns(examples: Examples) -> Examples:
    """Return the examples with languages taking turns instead of following one another."""
    turns = pd.Series(examples.languages).groupby(examples.languages).cumcount()
    return examples.take(np.argsort(turns.to_numpy(), kind="stable"))
