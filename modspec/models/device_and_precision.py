"""On which device and in which precision (float32 or bfloat16) models compute."""

import platform
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from modspec.errors import InputError, quoted


def choose_device(name: str = "auto") -> torch.device:
    """Return a device by name; ``auto`` is a CUDA device where there is one, else the CPU.

    Raises:
        InputError: there is no such device.
    """
    name = name.lower()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = ["auto", "cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if name not in available and not (name == "cuda" and len(available) > 2):
        raise InputError(f"device: {quoted(name)} is not there; allowed here: {', '.join(available)}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of matrix products in training and evaluation; weights and sums stay float32.

    Args:
        name: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the hardware multiplies it natively, and
            faster than float32, else float32.
        device: from :func:`choose_device`.
    """
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        # With AVX-512's bfloat16, AMD's processors are two to five times as fast as in float32, Intel's half
        # as fast (90 against 181 GFLOP/s on one core of a Xeon). Intel's AMX is six times as fast.
        by_avx512 = torch.cpu._is_avx512_bf16_supported() and "AMD" in processor()
        native = by_avx512 or torch.cpu._is_amx_tile_supported()
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def choose_attention(device: torch.device) -> str:
    """Return the attention implementation to load encoders with.

    On the CPU, sdpa's bfloat16 backward pass costs more than the rest of the encoder together (short texts:
    54 examples per second against 87 with eager attention). In float32 the two are equally fast.
    """
    return "sdpa" if device.type == "cuda" else "eager"


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Return a context of mixed precision for the forward pass; it does nothing for float32 and float64."""
    return torch.autocast(device.type, dtype=dtype) if dtype == torch.bfloat16 else nullcontext()


def hardware() -> dict[str, Any]:
    """Return what this process computes on, as JSON values for the provenance of a result.

    Returns:
        ``device``, the CPU's ``processor`` (its model) and ``instructions``, ``auto_precision`` (what
        ``auto`` means here), ``threads``, and on a GPU ``peak_gpu_memory_gib`` so far.
    """
    cuda = torch.cuda.is_available()
    record = {
        "device": torch.cuda.get_device_name() if cuda else "CPU",
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "auto_precision": str(choose_precision("auto", choose_device())),
        "threads": torch.get_num_threads(),
    }
    if cuda:
        record["peak_gpu_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return record


def processor() -> str:
    """Return the processor's model name."""
    file = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return name[1] if name else platform.processor()
