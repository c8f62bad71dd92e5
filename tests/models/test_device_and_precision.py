"""Precisions: ``auto`` is what the hardware multiplies fastest, and scoring computes in what it is told."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from modspec.models import device_and_precision
from modspec.models.device_and_precision import choose_precision, hardware
from modspec.stages import checkpoint_scores, scoring
from modspec.stages.material import load_material
from modspec.stages.scoring_plan import ScoringPass
from modspec.workflow.parameters import InfluenceParameters

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("model", "instructions", "avx512_multiplies", "amx", "expected"),
    [
        ("AMD EPYC", "AVX2", False, False, torch.float32),
        ("AMD EPYC", "AVX512", False, False, torch.float32),
        ("AMD EPYC", "AVX512", True, False, torch.bfloat16),
        ("AMD EPYC", "AVX512_VNNI", True, False, torch.bfloat16),
        ("Intel(R) Xeon(R) Processor", "AVX512", True, False, torch.float32),
        ("Intel(R) Xeon(R) Processor", "AVX512", True, True, torch.bfloat16),
        ("Intel(R) Xeon(R) Processor", "AVX2", True, True, torch.float32),  # by ATEN_CPU_CAPABILITY
    ],
)
def test_auto_is_bfloat16_only_where_it_is_faster(
    monkeypatch, model, instructions, avx512_multiplies, amx, expected
):
    monkeypatch.setattr(device_and_precision, "processor", lambda: model)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_multiplies)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert choose_precision("auto", CPU) == expected
    assert choose_precision("float32", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16


@pytest.mark.parametrize("name", ["float32", "bfloat16", "auto"])
def test_influence_is_scored_in_the_precision_that_was_asked_for(tmp_path, monkeypatch, name):
    asked = []

    def influence(*arguments, precision, **options):
        asked.append(precision)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_scores, "influence", influence)
    p = InfluenceParameters(
        study_dir=str(tmp_path),
        encoder="tiny",
        languages=("en", "de"),
        train_per_language=20,
        dev_per_language=20,
        test_per_language=20,
        score_precision=name,
    )
    material = load_material(p)
    scoring_pass = ScoringPass("none", ("none",), ("",), np.array([0]))
    checkpoints = pd.DataFrame({"epoch": [1], "learning_rate": [1.0], "file": [tmp_path / "never read"]})
    with pytest.raises(KeyboardInterrupt):
        scoring.score_pass(material, p, scoring_pass, material.new_classifier(0), checkpoints, {})
    assert asked == [choose_precision(name, material.device)]


def test_hardware_is_json_and_names_what_computes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    record = json.loads(json.dumps(hardware()))
    assert list(record) == ["device", "processor", "instructions", "auto_precision", "threads"]
    assert record["processor"]
    assert record["device"] == "CPU" and record["threads"] == torch.get_num_threads()
    assert record["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert record["auto_precision"] == str(choose_precision("auto", CPU))


def test_hardware_of_a_gpu_has_its_peak_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**29)
    record = hardware()
    assert record["device"] == "a GPU" and record["peak_gpu_memory_gib"] == 1.5
    assert record["auto_precision"] == "torch.bfloat16"
