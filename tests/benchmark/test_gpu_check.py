"""What ``make gpu-check`` does, on a CPU and small: every part runs, and what is not reached is listed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import XLMRobertaConfig

from modspec.benchmark import gpu_bundle, gpu_check
from modspec.downloads.wheels import CHECKSUMS, damage
from modspec.models.e5_small import WORD_BLOCKS
from modspec.workflow.artifacts import describe, write_json

STUDY = {
    "preset": "embedded",
    "encoder": "tiny",
    "languages": ["en", "de"],
    "train_per_language": 40,
    "dev_per_language": 10,
    "test_per_language": 10,
    "search": {"epochs": 1, "importance_examples": 10, "start_epochs": 1},
    "finetuning": {"epochs": 1, "start_epochs": 1},
    "influence": {"evaluation_per_language": 2, "scored_per_language": 8, "top_k": 4, "top_ks": [4]},
}
CPU = torch.device("cpu")
# What PyTorch images bring beside torch, of what the check imports.
BROUGHT = {
    *("anyio", "charset-normalizer", "fsspec", "h11", "httpcore", "httpcore2", "httpx", "httpx2"),
    *("huggingface_hub", "idna", "Jinja2", "MarkupSafe", "mpmath", "numpy", "packaging", "pandas", "pillow"),
    *("pyarrow", "python-dateutil", "PyYAML", "regex", "safetensors", "scipy", "sentencepiece", "setuptools"),
    *("six", "sympy", "tokenizers", "torch", "tqdm", "transformers", "triton", "truststore", "certifi"),
    *("typing_extensions", "requests", "urllib3"),
    # inside setuptools
    *("backports.tarfile", "jaraco.context", "jaraco.functools", "jaraco.text", "more-itertools"),
}


def test_scores_are_compared_with_float64() -> None:
    records = gpu_check.check_scores(STUDY, CPU, train=6, evaluation=3)
    assert [record["mask"] for record in records[::2]] == ["none", "one for all examples", "one per example"]
    assert {record["precision"] for record in records} == {"torch.float32", "torch.bfloat16"}
    assert not gpu_check.missed({"scores": records})
    assert all(0 < record["error"]["dot"] for record in records)


def test_what_is_not_reached_is_listed() -> None:
    record = {"mask": "none", "precision": "torch.float32", "contraction": "triton", "limit": 1e-4}
    scores = [record | {"error": {"dot": 0.02, "cosine": 1e-5}}, record | {"error": {"dot": float("nan")}}]
    results = {"scores": scores, "speed": {"seconds": 7.0}, "study": {"error": "OutOfMemoryError: none left"}}
    assert gpu_check.missed(results) == [
        "study: OutOfMemoryError: none left",
        "scores: none, torch.float32, triton: dot is off by 0.02",
        "scores: none, torch.float32, triton: dot is off by nan",
        "speed: 7.0 s; to reach: 5 s",
    ]


def test_speed_is_measured_beside_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modspec.benchmark.machine_rates.SHAPES", ((64, 64, 64),))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = XLMRobertaConfig(vocab_size=50, num_labels=3, max_position_embeddings=150, **sizes)
    result = gpu_check.measure_speed(CPU, config, train=20, evaluation=3, precision=torch.float32)
    assert 0 < result["bound_seconds"] and 0 < result["seconds"]
    shares = [kernel["share"] for kernel in result["kernels"]]
    assert shares == sorted(shares, reverse=True) and 0.5 < sum(shares) <= 1


def test_a_study_is_timed_stage_by_stage() -> None:
    result = gpu_check.time_study(STUDY, CPU)
    assert list(result["seconds"]) == ["search", "finetuning", "scoring"]
    assert min(result["seconds"].values()) > 0
    assert all(0 <= value <= 1 for value in result["accuracy"].values()) and "none test" in result["accuracy"]


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", "modspec.benchmark.gpu_check", "--out", str(tmp_path / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: device: no GPU that torch can use; make gpu-check needs one\n"


@pytest.mark.skipif(
    find_spec("kronfluence") is not None, reason="transformers imports what the benchmark's packages bring"
)
def test_the_bundle_brings_every_package_that_a_gpu_machine_lacks() -> None:
    code = "import sys, modspec.benchmark.gpu_check; print(*{name.split('.')[0] for name in sys.modules})"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = packages_distributions()
    needed = {package for name in imported.stdout.split() for package in packages.get(name, ())}
    brought = {name.replace("_", "-").lower() for name in (*BROUGHT, *gpu_bundle.PACKAGES, "modspec")}
    assert {name.replace("_", "-").lower() for name in needed} <= brought


def test_of_the_bundled_encoder_only_unused_pieces_are_zero(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(1, 256, (10, 2, 18), dtype=np.uint8)
    tensors = {WORD_BLOCKS: words, "encoder.weight": rng.normal(size=(3, 3)).astype(np.float32)}
    file = tmp_path / "encoder.safetensors"
    save_file(tensors, file, {"pieces_sha256": "of all pieces"})
    write_json(tmp_path / CHECKSUMS, {file.name: describe(file)["sha256"]})
    assert damage(tmp_path) is None
    kept = np.array([0, 3, 7])
    gpu_bundle.keep_pieces(tmp_path, kept)
    assert damage(tmp_path) is None
    found = load_file(file)
    np.testing.assert_array_equal(found[WORD_BLOCKS][kept], words[kept])
    assert not np.delete(found[WORD_BLOCKS], kept, axis=0).any()
    np.testing.assert_array_equal(found["encoder.weight"], tensors["encoder.weight"])
