"""``make gpu-check``: are scores right on a GPU, how fast are they, and how long does a study take there?

scores   influence of a fine-tuned e5-small on XNLI, in every precision, under every kind of mask and with
         either way of contracting (Triton, PyTorch), against float64 on the CPU
speed    10,000 training and 500 evaluation examples of 128 tokens, an encoder of XLM-R-base's shape,
         bfloat16, one checkpoint: seconds, the machine's bound, and the kernels that take the time
study    one seed of preset ``xnli-v1`` under full fine-tuning: seconds of each stage, and accuracies

The parts are independent. Each writes its result into one JSON file as soon as it ends, so that a lease that
runs out loses nothing else; ``missed`` lists what was not reached. A machine without a network brings data,
encoder and packages along (``modspec.benchmark.gpu_bundle``; docs/gpu.md).
"""

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForSequenceClassification, PretrainedConfig, XLMRobertaConfig

from modspec.benchmark.machine_rates import bandwidth, matrix_rate
from modspec.benchmark.operation_counts import need
from modspec.data.examples import Examples
from modspec.influence import Scores, contraction, influence, triton_kernel
from modspec.models.device_and_precision import choose_device, hardware
from modspec.models.finetuning import finetune
from modspec.models.head_masking import head_grid
from modspec.stages.finetuning import finetune_condition
from modspec.stages.material import Material, load_material
from modspec.stages.scoring import keep_scores
from modspec.stages.search import search_all
from modspec.workflow import artifacts
from modspec.workflow.presets import resolve
from modspec.workflow.provenance import provenance

XLM_R_BASE = XLMRobertaConfig(
    vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1, num_labels=3
)
TOKENS, TRAIN, EVALUATION = 128, 10_000, 500
REACHED = 5.0  # seconds that the part ``speed`` should take at most
# Largest error over the largest value.
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 0.03}
SCORES = ("dot", "cosine", "dot_by_part", "cosine_by_part")
PROFILED = 1024  # training examples
PARTS = ("scores", "speed", "study")
MEMORY = 0.8  # share of the GPU's free memory for evaluation gradients

Study = Mapping[str, Any]  # as :func:`modspec.workflow.presets.resolve` takes it


def check_scores(study: Study, device: torch.device, train: int = 48, evaluation: int = 12) -> list[dict]:
    """Compare scores on a device with float64 on the CPU.

    Returns:
        One record per precision, mask and way of contracting: the largest ``error`` of every kind of score
        over its largest value, and its ``limit``.
    """
    material = _material(study, device)
    model = material.new_classifier(0)
    some = _spread(material.examples["train"], 320)
    finetune(model, some, epochs=1, batch_size=16, learning_rate=1e-4)
    examples = [_spread(material.examples[split], n) for split, n in (("train", train), ("test", evaluation))]
    exact = copy.deepcopy(model).cpu().double()
    records = []
    for name, masks in _masks(head_grid(model), train, evaluation).items():
        options = {"by_part": True, **masks}
        expected = influence(exact, *examples, **options)
        for precision in LIMITS:
            for way, chosen in _ways(device).items():
                with chosen:
                    found = influence(model, *examples, precision=precision, **options)
                errors = {score: _error(found, expected, score) for score in SCORES}
                record = {"mask": name, "precision": str(precision), "contraction": way}
                records.append(record | {"error": errors, "limit": LIMITS[precision]})
    return records


def _material(study: Study, device: torch.device) -> Material:
    return load_material(resolve({**study, "device": str(device)}).parameters("search"))


def _spread(examples: Examples, count: int) -> Examples:
    """Return ``count`` examples of all lengths, or all of fewer."""
    order = np.argsort(examples.lengths, kind="stable")
    return examples.take(order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))])


def _masks(grid: tuple[int, int], train: int, evaluation: int) -> dict[str, dict[str, np.ndarray]]:
    """Return arguments of :func:`influence` by the kind of mask."""
    rng = np.random.default_rng(0)
    one = rng.random(grid) < 0.7
    each = {"train_mask": train, "evaluation_mask": evaluation}
    return {
        "none": {},
        "one for all examples": dict.fromkeys(each, one),
        "one per example": {name: rng.random((n, *grid)) < 0.7 for name, n in each.items()},
    }


def _ways(device: torch.device) -> dict[str, AbstractContextManager]:
    """Return contexts in which dense tiles are contracted by either way, and by the faster one."""
    if device.type != "cuda":
        return {"pytorch": nullcontext()}

    def only(name: str) -> AbstractContextManager:
        return patch.object(contraction, "_seconds", lambda method, *_: name not in method.__name__)

    ways = {"the faster": nullcontext(), "pytorch": only("torch")}
    return ways | {"triton": only("fused")} if triton_kernel.available(device) else ways


def _error(found: Scores, expected: Scores, score: str) -> float:
    values, exact = getattr(found, score), getattr(expected, score)
    return float(np.abs(values - exact).max() / np.abs(exact).max())


def measure_speed(
    device: torch.device,
    config: PretrainedConfig = XLM_R_BASE,
    train: int = TRAIN,
    evaluation: int = EVALUATION,
    precision: torch.dtype = torch.bfloat16,
) -> dict[str, Any]:
    """Score random texts of one length with random weights.

    Returns:
        Seconds; the bound of ``modspec.benchmark.operation_counts`` at rates measured here; how the linear
        layers were contracted; the GPU's memory; and ``kernels``, those that took most of a profiled run,
        with their share of the GPU's time.
    """
    torch.manual_seed(0)
    with device:
        model = AutoModelForSequenceClassification.from_config(config).eval()
    examples = [_random_examples(n, config, seed) for seed, n in enumerate((train, evaluation))]
    memory = MEMORY * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None

    def score(train: Examples) -> Scores:
        return influence(model, train, examples[1], precision=precision, memory=memory)

    few = examples[0].take(range(min(train, PROFILED)))
    score(few)  # compiles kernels, and chooses among them
    start = time.perf_counter()
    scores = score(examples[0])
    seconds = time.perf_counter() - start
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        score(few)
    with device:
        rates = matrix_rate(precision, scale=8 if device.type == "cuda" else 1), bandwidth()
    operations, moved = need(config, *(e.lengths for e in examples), precision.itemsize)
    result = {"train": train, "evaluation": evaluation, "tokens": TOKENS, "seconds": seconds}
    result |= {"rate": rates[0], "bandwidth": rates[1]}
    result |= {"bound_seconds": max(operations / rates[0], moved / rates[1])}
    return result | {"report": str(scores.report), "kernels": _kernels(profiled), **hardware()}


def _random_examples(count: int, config: PretrainedConfig, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    ids = rng.integers(4, config.vocab_size, (count, TOKENS))
    names = np.arange(count).astype(str)
    labels = rng.integers(0, config.num_labels, count)
    return Examples(tuple(ids), None, labels, np.full(count, "-"), names, names)


def _kernels(profiled: profile, count: int = 20) -> list[dict[str, Any]]:
    """Return the kernels that took most of the device's time, or operators on a CPU."""
    times = {event.key: event.self_device_time_total for event in profiled.key_averages()}
    if not any(times.values()):
        times = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    total = sum(times.values())
    longest = sorted(times, key=times.get, reverse=True)[:count]
    return [{"name": name, "share": times[name] / total} for name in longest]


def time_study(study: Study, device: torch.device) -> dict[str, Any]:
    """Run the stages of one seed under full fine-tuning.

    Returns:
        Seconds of every stage, and mean accuracies by split under every kind of mask.
    """
    material = _material(study, device)
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        plan = resolve({**study, "device": str(device), "seeds": [0], "conditions": ["full"]})
        stages = {"search": search_all, "finetuning": finetune_condition, "influence": keep_scores}
        for stage, run in stages.items():
            parameters = plan.parameters(stage, seed=0, condition="full")
            start = time.perf_counter()
            directory = run(material, parameters.model_copy(update={"study_dir": folder}))
            seconds["scoring" if stage == "influence" else stage] = time.perf_counter() - start
            if stage == "finetuning":
                accuracy = pd.read_parquet(directory / "accuracy.parquet")
    means = accuracy.groupby(["mask_kind", "split"])["accuracy"].mean()
    return {"seconds": seconds, "accuracy": {" ".join(key): value for key, value in means.items()}}


def missed(results: Mapping[str, Any]) -> list[str]:
    """Return one line for everything that was not reached."""
    lines = [f"{part}: {result['error']}" for part, result in results.items() if "error" in result]
    if isinstance(records := results.get("scores"), list):
        for record in records:
            place = ", ".join(record[name] for name in ("mask", "precision", "contraction"))
            for score, error in record["error"].items():
                if not error <= record["limit"]:
                    lines.append(f"scores: {place}: {score} is off by {error:.1g}")
    seconds = results.get("speed", {}).get("seconds", 0)
    if seconds > REACHED:
        lines.append(f"speed: {seconds:.1f} s; to reach: {REACHED:.0f} s")
    return lines


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m modspec.benchmark.gpu_check", description=__doc__)
    parser.add_argument("--data", help="directory of XNLI's files (default: the hub)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check/gpu-check.json"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    device = choose_device("auto")
    if device.type != "cuda":
        sys.exit("error: device: no GPU that torch can use; make gpu-check needs one")
    study = {"preset": "xnli-v1", **({"data_dir": given.data} if given.data else {})}
    parts: dict[str, Callable[[], Any]] = {
        "scores": lambda: check_scores(study, device),
        "speed": lambda: measure_speed(device),
        "study": lambda: time_study(study, device),
    }
    results: dict[str, Any] = {}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for name in given.parts:
        start = time.perf_counter()
        try:
            results[name] = parts[name]()
        except Exception as error:  # the other parts are worth the lease all the same
            results[name] = {"error": f"{type(error).__name__}: {error}"}
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
        record = {"missed": missed(results), **results, "provenance": provenance(hardware())}
        artifacts.write_json(given.out, record)
    print(given.out)
    if lines := missed(results):
        sys.exit("\n".join(["missed:", *lines]))


if __name__ == "__main__":
    main()
