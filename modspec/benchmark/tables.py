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
RUN = [field.name for field in fields(Run)]
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
    frame = pd.DataFrame(results, columns=[*RUN, *MEASURED])
    rates = frame[["float32", "bfloat16", "bandwidth"]].max()
    rows = []
    for _, runs in frame.groupby([*SIZE, "system"], sort=False):
        run = Run(**runs.iloc[0][RUN])
        system, seconds, errors = SYSTEMS[run.system], runs["seconds"], runs["error"].dropna()
        row = {name: getattr(run, name) for name in (*SIZE, "system")}
        row |= {"covers": system.covers, "runs": len(runs)}
        if len(errors):
            rows.append(row | {"error": errors.iloc[0]})
            continue
        row |= {"seconds": seconds.median(), "seconds_min": seconds.min(), "seconds_max": seconds.max()}
        row |= {"peak_gib": runs["peak_gib"].max(), "relative_error": runs["relative_error"].max()}
        if system.package is None:
            row["bound_share"] = least_seconds(run, directory / run.workload, rates) / row["seconds"]
        if run.system == REFERENCES["over_bfloat16"]:
            row |= agreement(run, directory / "results")
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    for column, ours in REFERENCES.items():
        same = table[table["system"] == ours].set_index(SIZE)["seconds"]
        table[column] = table["seconds"] / same.reindex(pd.MultiIndex.from_frame(table[SIZE])).to_numpy()
    return table


def least_seconds(run: Run, workload: Path, rates: Mapping[str, float]) -> float:
    """Return the seconds that the machine needs at least for one of our runs on a workload (a directory)."""
    precision = run.system.split()[-1]
    splits = workloads.load_examples(workload, run.train, run.evaluation)
    size = getattr(torch, precision).itemsize
    operations, moved = need(AutoConfig.from_pretrained(workload), *(e.lengths for e in splits), size)
    return max(operations / rates[precision], moved / rates["bandwidth"])


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
