"""The statistic of question Q3 where the answer is known: does an own mask add influence of its own?

The statistic is S(own mask) - S(pooled-others mask). It depends on models and masks alone, however the masks
were found: planted masks and clones' masks come from here, those of a study from its search.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from modspec.analysis.intervals import estimate
from modspec.analysis.shares import share_statistics
from modspec.analysis.verdicts import verdict
from modspec.data.examples import Examples
from modspec.influence import influence
from modspec.subnetworks.masks import Masks
from modspec.terms import ALL_LANGUAGES, QUESTIONS


def same_profile(mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the heads of highest weight, as many in every layer as a mask keeps.

    Args:
        mask: bool (layers, heads).
        weights: (layers, heads), such as head importance for other languages; ties go to the lower head.

    Returns:
        Bool (layers, heads).
    """
    ranks = np.argsort(np.argsort(-weights, axis=1, kind="stable"), axis=1)
    return ranks < mask.sum(axis=1, keepdims=True)


def pooled_others(masks: Masks, weights: Mapping[str, np.ndarray]) -> Masks:
    """Return for each language a mask of its own mask's layer profile, made for all other languages.

    Args:
        masks: the own masks, bool (layers, heads) by language.
        weights: (layers, heads) by language, how much each head matters to it.
    """
    return {
        language: same_profile(
            mask, np.mean([weights[other] for other in masks if other != language], axis=0)
        )
        for language, mask in masks.items()
    }


def own_minus_others(
    model: PreTrainedModel, train: Examples, evaluation: Examples, own: Masks, others: Masks, top_k: int
) -> pd.DataFrame:
    """Return in-language shares under both masks for each evaluation example.

    Args:
        model: the classifier.
        train: the training examples, whose gradients are taken under the evaluation example's mask.
        evaluation: as many examples of each language in ``own``, translations in the same order.
        own: bool (layers, heads) by language.
        others: the pooled-others masks, bool (layers, heads) by language.
        top_k: number of proponents.

    Returns:
        Columns ``language``, ``item`` (the example's position in its language), ``own`` and ``others``.
    """
    tables = []
    for language in own:
        tested = evaluation.of(language)
        shares = {}
        for name, mask in (("own", own[language]), ("others", others[language])):
            scores = influence(model, train, tested, train_mask=mask, evaluation_mask=mask).cosine
            table = share_statistics(scores, train.languages, tested.languages, tested.ids, top_k)
            shares[name] = table.loc[table["train_language"] == language, "proponents"].to_numpy()
        tables.append(pd.DataFrame({"language": language, "item": np.arange(len(tested)), **shares}))
    return pd.concat(tables, ignore_index=True)


def own_subnetwork(shares: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the statistic of Q3 with its verdict, for each language and for several languages' mean by item.

    Args:
        shares: rows of :func:`own_minus_others` with ``languages`` (their number), ``condition`` and
            ``seed``; the same examples for all seeds.
        level: of the test; intervals have confidence 1 - level.

    Returns:
        One row per number of languages, condition and language: ``value``, ``low``, ``high``, ``p``,
        ``seeds``, ``items``, and ``verdict``, which knows nothing of the masks' accuracies.
    """
    difference = shares.assign(value=shares["own"] - shares["others"])
    several = difference.groupby(["languages", "condition"])["language"].transform("nunique") > 1
    items = ["languages", "condition", "seed", "item"]
    together = difference[several].groupby(items, sort=False, as_index=False)
    everything = pd.concat(
        [together["value"].mean().assign(language=ALL_LANGUAGES), difference], ignore_index=True
    )
    rows = []
    for keys, of in everything.groupby(["languages", "condition", "language"], sort=False):
        table = of.pivot(index="seed", columns="item", values="value").to_numpy()
        found = estimate(table, confidence=1 - level)
        word = verdict(found, QUESTIONS["Q3"], found.p, 1 - level)
        rows.append((*keys, found.value, found.low, found.high, found.p, found.seeds, found.examples, word))
    columns = "languages condition language value low high p seeds items verdict"
    return pd.DataFrame(rows, columns=columns.split())
