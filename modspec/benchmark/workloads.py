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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from modspec.data.examples import Examples
from modspec.models.finetuning import finetune
from modspec.stages.material import load_material
from modspec.workflow import artifacts
from modspec.workflow.fingerprints import code_fingerprint
from modspec.workflow.parameters import DataParameters
from modspec.workflow.paths import project_root

Made = tuple[PreTrainedModel, Examples, Examples]
COVERS = ("all", "linear")
TEXT = ("languages", "ids", "groups")  # fields of Examples that are strings
REFERENCE_SIZE = (12, 6)  # training and evaluation examples whose exact dot products are known


@dataclass(frozen=True)
class Workload:
    """A classifier to score, and its numbers of training and evaluation examples."""

    description: str
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
        model = XLMRobertaForSequenceClassification(config)
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
    model = material.new_classifier()
    finetune(
        model,
        train,
        epochs=1,
        batch_size=16,
        learning_rate=1e-4,
        precision=material.precision,
        progress=f"fine-tuning on {task}",
    )
    return model, train, evaluation


WORKLOADS = {
    "a": Workload("random XLM-R, 6 layers x 192, 32 pieces", 200, 20, random_encoder),
    "b": Workload("e5-small on intents", 1000, 50, lambda w: finetuned_encoder(w, "intents")),
    "c": Workload("e5-small on XNLI", 1000, 50, lambda w: finetuned_encoder(w, "xnli")),
}


def prepare(name: str, directory: Path) -> None:
    """Write the workload's artefact unless it is there.

    Raises:
        InputError: its data cannot be had.
    """
    workload = WORKLOADS[name]
    made_by = {
        "workload": name,
        "train": workload.train,
        "evaluation": workload.evaluation,
        "code": code_fingerprint("finetuning"),
        "torch": torch.__version__,
    }
    if artifacts.is_current(directory, made_by):
        return
    with artifacts.writing(directory, made_by) as building:
        model, train, evaluation = workload.make(workload)
        model.save_pretrained(building)
        for split, examples in (("train", train), ("evaluation", evaluation)):
            columns = {name: getattr(examples, name) for name in ("labels", *TEXT)}
            frame = pd.DataFrame({"input_ids": list(examples.input_ids), **columns})
            frame.to_parquet(building / f"{split}.parquet")
        exact = exact_products(
            model, *(e.take(range(n)) for e, n in zip((train, evaluation), REFERENCE_SIZE, strict=True))
        )
        save_file(exact, building / "reference.safetensors")


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
    """Return dot products of gradients, one example at a time: float64 (train, evaluation) by COVERS.

    They come from plain autograd in float64, without padding, attention masks or hooks. Every system must
    agree with them.
    """
    model = copy.deepcopy(model).double().eval()
    linear = {p for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    parameters = list(model.parameters())
    inside = [p in linear for p in parameters]

    def gradient(examples: Examples, i: int) -> list[Tensor]:
        logits = model(input_ids=torch.from_numpy(examples.input_ids[i])[None]).logits
        loss = F.cross_entropy(logits, torch.tensor([int(examples.labels[i])]))
        return [g.flatten() for g in torch.autograd.grad(loss, parameters)]

    targets = [gradient(evaluation, j) for j in range(len(evaluation))]
    products = {covers: np.zeros((len(train), len(evaluation))) for covers in COVERS}
    for i in range(len(train)):
        own = gradient(train, i)
        for j, target in enumerate(targets):
            parts = [float(a @ b) for a, b in zip(own, target, strict=True)]
            products["all"][i, j] = sum(parts)
            products["linear"][i, j] = sum(p for p, is_in in zip(parts, inside, strict=True) if is_in)
    return products


def _in_turns(examples: Examples) -> Examples:
    """Return the examples with languages taking turns instead of following one another."""
    turns = pd.Series(examples.languages).groupby(examples.languages).cumcount()
    return examples.take(np.argsort(turns.to_numpy(), kind="stable"))
