"""The benchmark's results as tables: medians, ratios to ours, and ours as a share of the machine's bound."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file
from scipy.stats import spearmanr
from transformers import AutoConfig

from modspec.benchmark import workloads
from modspec.benchmark.operation_counts import need
from modspec.benchmark.systems import SYSTEMS
from modspec.benchmark.timed_run import Run

REFERENCES = {"over_float32": "modspec float32", "over_bfloat16": "modspec bfloat16"}
TOP = 100
SIZE = ["workload", "train", "evaluation"]
MEASURED = ["seconds", "peak_gib", "relative_error", "float32", "bfloat16", "bandwidth", "error"]
COLUMNS = [
    *("workload", "system", "covers", "train", "evaluation", "runs"),
    *("seconds", "seconds_min", "seconds_max", "over_float32", "over_bfloat16", "peak_gib"),
    *("relative_error", "bound_share", "spearman", "top_100", "error"),
]


def comparison(results: list[dict[str, Any]], directory: Path) -> pd.DataFrame:
    """Return the results as a table.

    Args:
        results: of ``modspec.benchmark.timed_run``.
        directory: where results and workloads are kept.

    Returns:
        One row per workload, size and system. ``seconds``, ``seconds_min``, ``seconds_max``: median and range
        of the runs. ``over_*``: median over that of ours at the same size. ``peak_gib``: largest of the runs.
        ``relative_error``: of dot products, against float64, over what the system covers. ``error``: why
        there are no results. Of ours alone, ``bound_share``: the machine's least seconds
        (``modspec.benchmark.operation_counts``) over the median. Of bfloat16, ``spearman`` and ``top_100``:
        agreement of its cosines with float32's.
    """
    order = list(SYSTEMS)
    results = sorted(
        results, key=lambda r: (r["workload"], -r["train"], r["evaluation"], order.index(r["system"]))
    )
    frame = pd.DataFrame(results)
    frame = frame.reindex(columns=frame.columns.union(MEASURED, sort=False))
    rates = frame[["float32", "bfloat16", "bandwidth"]].max()
    rows = []
    for (workload, train, evaluation, system), runs in frame.groupby([*SIZE, "system"], sort=False):
        row = {"workload": workload, "system": system, "covers": SYSTEMS[system].covers}
        row |= {"train": train, "evaluation": evaluation, "runs": len(runs)}
        errors = runs["error"].dropna()
        if len(errors):
            rows.append(row | {"error": errors.iloc[0]})
            continue
        seconds = runs["seconds"]
        row |= {"seconds": seconds.median(), "seconds_min": seconds.min(), "seconds_max": seconds.max()}
        row |= {"peak_gib": runs["peak_gib"].max(), "relative_error": runs["relative_error"].max()}
        if SYSTEMS[system].package is None:
            least = least_seconds(directory / workload, train, evaluation, system, rates)
            row["bound_share"] = least / row["seconds"]
        if system == REFERENCES["over_bfloat16"]:
            run = Run(**{field.name: runs.iloc[0][field.name] for field in fields(Run)})
            row |= agreement(run, directory / "results")
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    for column, ours in REFERENCES.items():
        same = table[table["system"] == ours].set_index(SIZE)["seconds"]
        table[column] = table["seconds"] / same.reindex(pd.MultiIndex.from_frame(table[SIZE])).to_numpy()
    return table


def least_seconds(
    workload: Path, train: int, evaluation: int, system: str, rates: Mapping[str, float]
) -> float:
    """Return the seconds that the machine needs at least for so many examples of a workload (a directory)."""
    precision = system.split()[-1]
    lengths = [examples.lengths for examples in workloads.load_examples(workload, train, evaluation)]
    size = torch.empty(0, dtype=getattr(torch, precision)).element_size()
    needed = need(AutoConfig.from_pretrained(workload), *lengths, size)
    return max(needed.operations / rates[precision], needed.bytes / rates["bandwidth"])


def agreement(run: Run, results: Path) -> dict[str, float]:
    """Compare how a run's cosines and float32's of the same size rank training examples, where both exist.

    Returns:
        Means over evaluation examples. ``spearman``: rank correlation. ``top_100``: share of the 100 largest
        in common, only for more than 100 training examples.
    """
    names = [replace(run, system=system).name for system in REFERENCES.values()]
    files = [results / f"{name}.safetensors" for name in names]
    if not all(file.exists() for file in files):
        return {}
    exact, rounded = (load_file(file)["cosine"].T for file in files)
    agree = {"spearman": np.mean([spearmanr(a, b).statistic for a, b in zip(exact, rounded, strict=True)])}
    if run.train > TOP:
        tops = [np.argsort(-scores, axis=1)[:, :TOP] for scores in (exact, rounded)]
        agree["top_100"] = np.mean([len(set(a) & set(b)) / TOP for a, b in zip(*tops, strict=True)])
    return agree


def scaling(results: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the seconds of every scaling run; ``axis``: which examples grow, "train" or "evaluation"."""
    return pd.DataFrame(results)[["axis", "system", "train", "evaluation", "seconds", "peak_gib"]]
