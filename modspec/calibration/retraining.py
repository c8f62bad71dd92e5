"""The linear datamodeling score (LDS): do scores predict what retraining without examples brings?

    LDS(z') = Spearman over subsets S of  (sum over z in S of score(z, z'), margin of z' after training on S)

(Ilyas et al. 2022; Park et al. 2023, whose margin it is: log p / (1 - p) for the correct label's probability
p.) The loss is a decreasing function of the margin, so from one retraining both give the same Spearman; of
several retrainings margins are averaged, since a mean loss would be that of its worst. A score that is right
raises the margin: LDS > 0. Every subset is retrained from the same seeds, so that subsets differ by their
examples and not by the classifier they start from.
"""

import math
from functools import partial
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, permutation_test, rankdata

from modspec.calibration.models import Content, kept, trained
from modspec.calibration.scorers import SCORERS, SCORING, all_scores
from modspec.calibration.templates import HELD_OUT, TEST, judged
from modspec.data.examples import Examples
from modspec.errors import InputError
from modspec.models.prediction import logits, margins
from modspec.output.progress import tqdm
from modspec.stages.material import Material
from modspec.workflow.parameters import CalibrationParameters
from modspec.workflow.paths import pieces_dir


def datamodeling(material: Material, p: CalibrationParameters, directory: Path) -> pd.DataFrame:
    """Return the LDS of every scorer.

    Args:
        material: the task, from :func:`modspec.calibration.models.load_sentences`.
        p: the parameters of notebook 00.
        directory: gets the artefact ``datamodeling``. Each retrained model is a resumable piece of it.
            Beside the table it keeps the subsets and every margin (nats).

    Returns:
        One row per ``score`` and ``split`` (held out, test). ``value``, ``low``, ``high``, ``p``: see
        :func:`judge`, of the scores' mean over seeds. ``chance``: 0. ``ceiling``: see :func:`ceiling`.
        ``subsets``; ``retrainings`` of each; ``examples``, of evaluation.

    Raises:
        InputError: there are fewer than two retrainings or seeds.
    """
    target, seeds = directory / "datamodeling", p.seeds[: p.retrainings]
    if len(seeds) < 2:
        raise InputError(f"retrainings: {p.retrainings} of seeds {p.seeds}; allowed: two or more of either")
    train, evaluation, kinds = judged(material, p)
    scores = all_scores(material, p, train, evaluation, directory)

    def retrain(chosen: np.ndarray, seed: int, subset: int) -> Content:
        """Margins of the evaluation examples after training on the ``chosen`` training examples alone."""
        model = trained(material, p, train.take(np.flatnonzero(chosen)), seed)
        values = margins(logits(model, evaluation, precision=material.precision), evaluation.labels)
        rows = {"seed": seed, "subset": subset, "id": evaluation.ids, "margin": values}
        return {"margins": pd.DataFrame(rows)}

    def make() -> Content:
        rng = np.random.default_rng(p.data_seed)
        subsets = draw_subsets(train, p.subsets, p.subset_share, rng)
        parts = []
        for seed, (subset, chosen) in tqdm([*product(seeds, enumerate(subsets))], desc="retraining"):
            part = pieces_dir(target) / f"subset{subset}-seed{seed}"
            decisive, make_part = (*SCORING, "subset_share"), partial(retrain, chosen, seed, subset)
            content = kept(part, material, p, decisive, make_part, experiment="datamodeling")
            parts.append(content["margins"])
        outcomes = np.stack([part["margin"] for part in parts]).reshape(len(seeds), p.subsets, -1)
        rows = []
        for kind in (HELD_OUT, TEST):
            of_kind = kinds == kind
            counts = (ceiling(outcomes[..., of_kind]), p.subsets, len(seeds), int(of_kind.sum()))
            for name in SCORERS:
                predicted = subsets.astype(float) @ scores[name].mean(axis=0)[:, of_kind]
                margins_of_kind = outcomes[..., of_kind].mean(axis=0)
                lds = judge(predicted, margins_of_kind, confidence=1 - p.level, resamples=p.resamples)
                rows.append((name, kind, *lds, 0.0, *counts))
        columns = "score split value low high p chance ceiling subsets retrainings examples".split()
        members = pd.DataFrame({"id": train.ids, "language": train.languages})
        return {
            "margins": pd.concat(parts, ignore_index=True),
            "subsets": members.join(pd.DataFrame(subsets.T).add_prefix("subset")),
            "datamodeling": pd.DataFrame(rows, columns=columns),
        }

    names = (*SCORING, "seeds", "retrainings", "subsets", "subset_share", "level", "resamples")
    content = kept(target, material, p, names, make, [directory / "scores"], experiment="datamodeling")
    return content["datamodeling"]


def draw_subsets(train: Examples, count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw random subsets, stratified: each holds the share of every language and of every label in it.

    Args:
        train: the training examples.
        count: number of subsets.
        share: of the training examples in each subset, to within one example in each stratum and overall.
        rng: source of the draws.

    Returns:
        Bool (count, train).
    """
    subsets = np.zeros((count, len(train)), dtype=bool)
    for subset in subsets:
        # Every (1 / share)-th of a list in which the order within languages and labels is random.
        order = np.lexsort((rng.random(len(train)), train.labels, train.languages))
        steps = np.floor(share * np.arange(len(train) + 1) + rng.random())
        subset[order[np.diff(steps) > 0]] = True
    return subsets


# Judging.


def judge(
    predicted: np.ndarray, outcomes: np.ndarray, *, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float, float, float]:
    """Return the mean LDS over examples, its interval's ends, and p against 0 (one-sided).

    The bootstrap resamples subsets and examples, because each is a source of chance (crossed; Owen 2007),
    with the ranks of the whole sample. The test permutes predictions over subsets, for all examples alike.

    Args:
        predicted: (subsets, examples), what the scores predict. An example whose predictions or outcomes are
            constant has LDS 0.
        outcomes: (subsets, examples), the margins.
        confidence: of the interval, which is NaN for one example.
        resamples: of bootstrap and test.
    """
    x, y = (_standard_ranks(values) for values in (predicted, outcomes))
    count, examples = x.shape

    def mean_correlation(subsets: np.ndarray, columns: np.ndarray, axis: int = -1) -> np.ndarray:
        place = subsets[..., :, None], columns[..., None, :]
        return _correlation(x[place], y[place]).mean(axis=-1)

    options = {"n_resamples": resamples, "vectorized": True}
    low = high = math.nan
    if examples > 1:
        indices, rng = (np.arange(count), np.arange(examples)), np.random.default_rng(0)
        interval = {"confidence_level": confidence, "method": "percentile", "batch": 100}
        low, high = bootstrap(indices, mean_correlation, rng=rng, **interval, **options).confidence_interval
    products = x @ y.T / x.size
    test = permutation_test(
        (np.arange(count),),
        lambda order, axis=-1: products[order, np.arange(count)].sum(axis=axis),
        permutation_type="pairings",
        alternative="greater",
        rng=np.random.default_rng(0),
        **options,
    )
    return float(test.statistic), float(low), float(high), float(test.pvalue)


def ceiling(margins: np.ndarray) -> float:
    """Return the correlation that perfect predictions would have with the mean margins over retrainings.

    From the mean Spearman r between two of n retrainings, the reliability of their mean is
    n r / (1 + (n - 1) r) (Spearman 1910, Brown 1910), and its root the ceiling; 0 where retrainings do not
    agree.

    Args:
        margins: (retrainings, subsets, examples).
    """
    ranks = [_standard_ranks(values) for values in margins]
    agreement = np.mean([(a * b).mean() for a, b in combinations(ranks, 2)])
    if agreement <= 0:
        return 0.0
    return math.sqrt(len(ranks) * agreement / (1 + (len(ranks) - 1) * agreement))


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks down each column with mean 0 and variance 1, so that Spearman is the mean product; or zeros."""
    ranks = rankdata(values, axis=0) - (len(values) + 1) / 2
    spread = ranks.std(axis=0)
    return ranks / np.where(spread > 0, spread, 1)


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's, down the last axis but one; 0 where one of the two is constant."""
    x, y = (values - values.mean(axis=-2, keepdims=True) for values in (x, y))
    scale = np.sqrt((x**2).sum(axis=-2) * (y**2).sum(axis=-2))
    products = (x * y).sum(axis=-2)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 1e-12)
