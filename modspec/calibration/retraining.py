"""The linear datamodeling score (LDS): do scores foretell what retraining without examples brings?

    LDS(z') = Spearman over subsets S of  (sum over z in S of score(z, z'), margin of z' after training on S)

(Ilyas et al. 2022; Park et al. 2023, whose margin it is: log p / (1 - p) for the correct label's probability
p.) The loss is a decreasing function of the margin, so from one retraining both give the same Spearman; of
several retrainings margins are averaged, since a mean loss would be that of its worst. A score that is right
raises the margin: LDS > 0. Every subset is retrained from the same seeds, so that subsets differ by their
examples and not by the classifier they start from.
"""

from __future__ import annotations

import math
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import bootstrap, permutation_test, rankdata
from tqdm import tqdm
from transformers import PreTrainedModel

from modspec.calibration.models import origin_of, trained
from modspec.calibration.templates import (
    HELD_OUT,
    SCORERS,
    SCORING,
    TEST,
    Judged,
    all_scores,
    judged,
)
from modspec.data.examples import Examples, collate, sorted_batches
from modspec.errors import InputError
from modspec.models.device_and_precision import autocast
from modspec.stages.material import Material
from modspec.stages.resuming import resumable
from modspec.workflow.paths import parts_dir


def datamodeling(material: Material, directory: Path) -> pd.DataFrame:
    """LDS of every scorer: one row for each ``score`` and ``split`` (held out, test).

    ``value``, ``low``, ``high``, ``p``: of the scores' mean over seeds, see :func:`judge`; ``chance``: 0;
    ``ceiling``: see :func:`ceiling`; ``subsets``, ``retrainings`` of each, ``examples``. Artefact
    ``directory/datamodeling``, each retrained model a resumable part; beside the table it keeps the
    subsets and every margin (nats).
    """
    p, target = material.parameters, directory / "datamodeling"
    seeds = p.seeds[: p.retrainings]
    if len(seeds) < 2:
        raise InputError(f"retrainings: {p.retrainings} of seeds {p.seeds}; allowed: two or more of either")
    examples, scores = judged(material), all_scores(material, directory)
    names = (*SCORING, "seeds", "retrainings", "subsets", "subset_share", "level", "resamples")
    origin = origin_of(material, names, {"scores": directory / "scores"}, experiment="datamodeling")

    def make(building: Path) -> None:
        rng = np.random.default_rng(p.data_seed)
        chosen = draw_subsets(examples.train, p.subsets, p.subset_share, rng)
        parts = [
            _retrained(material, examples, chosen[subset], seed, subset, parts_dir(target))
            for seed, subset in tqdm([*product(seeds, range(p.subsets))], desc="retraining")
        ]
        pd.concat(parts, ignore_index=True).to_parquet(building / "margins.parquet", index=False)
        members = pd.DataFrame({"id": examples.train.ids, "language": examples.train.languages})
        members = members.join(pd.DataFrame(chosen.T).add_prefix("subset"))
        members.to_parquet(building / "subsets.parquet", index=False)
        outcomes = np.stack([part["margin"] for part in parts]).reshape(len(seeds), p.subsets, -1)
        level = {"confidence": 1 - p.level, "resamples": p.resamples}
        rows = []
        for kind in (HELD_OUT, TEST):
            of = examples.kinds == kind
            counts = (ceiling(outcomes[..., of]), p.subsets, len(seeds), int(of.sum()))
            for name in SCORERS:
                predicted = chosen.astype(float) @ scores[name].mean(axis=0)[:, of]
                found = judge(predicted, outcomes[..., of].mean(axis=0), **level)
                rows.append((name, kind, *found, 0.0, *counts))
        columns = "score split value low high p chance ceiling subsets retrainings examples".split()
        pd.DataFrame(rows, columns=columns).to_parquet(building / "datamodeling.parquet", index=False)

    resumable(target, origin, make)
    return pd.read_parquet(target / "datamodeling.parquet")


def _retrained(
    material: Material,
    examples: Judged,
    chosen: np.ndarray,
    seed: int,
    subset: int,
    directory: Path,
) -> pd.DataFrame:
    """Margins of the evaluation examples after training on the ``chosen`` training examples alone."""
    part = directory / f"subset{subset}-seed{seed}"
    named = {"experiment": "datamodeling", "subset": str(subset), "model_seed": str(seed)}
    origin = origin_of(material, (*SCORING, "subset_share"), {}, **named)

    def make(building: Path) -> None:
        model, _ = trained(material, examples.train.take(np.flatnonzero(chosen)), seed)
        found = margins(model, examples.evaluation, material)
        rows = {"seed": seed, "subset": subset, "id": examples.evaluation.ids, "margin": found}
        pd.DataFrame(rows).to_parquet(building / "margins.parquet", index=False)

    resumable(part, origin, make)
    return pd.read_parquet(part / "margins.parquet")


def draw_subsets(train: Examples, count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Random subsets: bool (count, train), all of the ``share``'s size, to within one example.

    Stratified: to within one example, each holds that share of every language and of every label in it.
    """
    subsets = np.zeros((count, len(train)), dtype=bool)
    for subset in subsets:
        # Every (1 / share)-th of a list in which the order within languages and labels is random.
        order = np.lexsort((rng.random(len(train)), train.labels, train.languages))
        steps = np.floor(share * np.arange(len(train) + 1) + rng.random())
        subset[order[np.diff(steps) > 0]] = True
    return subsets


@torch.no_grad()
def margins(model: PreTrainedModel, examples: Examples, material: Material) -> np.ndarray:
    """log p / (1 - p) for the probability p of each example's label: float64 (n,). Dropout is off."""
    found = np.empty(len(examples))
    model.eval()
    for indices in sorted_batches(examples.lengths, 64):
        batch = collate(examples, indices, model.config.pad_token_id, material.device)
        with autocast(material.device, material.precision):
            logits = model(**batch).logits
        logits = logits.double().cpu()
        right = F.one_hot(torch.from_numpy(examples.labels[indices]), logits.shape[1]).bool()
        others = logits.masked_fill(right, -torch.inf).logsumexp(1)
        found[indices] = (logits[right] - others).numpy()
    return found


# Judging.


def judge(
    predicted: np.ndarray, outcomes: np.ndarray, *, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float, float, float]:
    """Mean LDS over examples, its interval's ends, and p against 0 (one-sided).

    Both arrays: (subsets, examples). An example whose predictions or outcomes are constant has LDS 0;
    of one example there is no interval (NaN). The
    bootstrap resamples subsets and examples, because each is a source of chance (crossed; Owen 2007), with
    the ranks of the whole sample. The test permutes predictions over subsets, for all examples alike.
    """
    x, y = (_standard_ranks(values) for values in (predicted, outcomes))
    count, examples = x.shape

    def mean_correlation(subsets: np.ndarray, columns: np.ndarray, axis: int = -1) -> np.ndarray:
        place = subsets[..., :, None], columns[..., None, :]
        return _correlation(x[place], y[place]).mean(axis=-1)

    low = high = math.nan
    if examples > 1:
        low, high = bootstrap(
            (np.arange(count), np.arange(examples)),
            mean_correlation,
            n_resamples=resamples,
            batch=100,
            confidence_level=confidence,
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(0),
        ).confidence_interval
    products = x @ y.T / x.size
    test = permutation_test(
        (np.arange(count),),
        lambda order, axis=-1: products[order, np.arange(count)].sum(axis=axis),
        permutation_type="pairings",
        vectorized=True,
        alternative="greater",
        n_resamples=resamples,
        rng=np.random.default_rng(0),
    )
    return float(test.statistic), float(low), float(high), float(test.pvalue)


def ceiling(margins: np.ndarray) -> float:
    """The correlation that perfect predictions would have with the mean over retrainings of ``margins``.

    margins: (retrainings, subsets, examples). From the mean Spearman r between two of n retrainings, the
    reliability of their mean is n r / (1 + (n - 1) r) (Spearman 1910, Brown 1910), and its root the
    ceiling; 0 where retrainings do not agree.
    """
    ranks = [_standard_ranks(values) for values in margins]
    agreement = np.mean([(a * b).mean() for a, b in combinations(ranks, 2)])
    if agreement <= 0:
        return 0.0
    return math.sqrt(len(ranks) * agreement / (1 + (len(ranks) - 1) * agreement))


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks down each column with mean 0 and variance 1, so that Spearman is the mean product; or zeros."""
    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    spread = ranks.std(axis=0)
    return np.divide(ranks, spread, out=np.zeros_like(ranks), where=spread > 0)


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's, down the last axis but one; 0 where one of the two is constant."""
    x, y = (values - values.mean(axis=-2, keepdims=True) for values in (x, y))
    scale = np.sqrt((x**2).sum(axis=-2) * (y**2).sum(axis=-2))
    products = (x * y).sum(axis=-2)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 1e-12)
