"""Parts of the encoder in stage 3, and how its passes resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modspec.analysis.shares import example_statistics
from modspec.influence import influence
from modspec.stages.resuming import remembering
from modspec.stages.scoring import part_statistics
from tests.helpers.models import HEADS, LAYERS, random_encoder, random_examples


def test_part_statistics_against_plain_loops():
    train, evaluation = random_examples(12, seed=1), random_examples(4, seed=2)
    scores = influence(random_encoder(), train, evaluation, by_part=True)
    table = part_statistics(scores.parts, scores.cosine_by_part, train, evaluation, top_k=5)
    languages = set(evaluation.languages)
    assert len(table) == ((1 + LAYERS * 3 + 1) * 4 + LAYERS * HEADS * len(languages)) * 2
    sums = {(g.part, g.layer, g.head): v for g, v in zip(scores.parts, scores.cosine_by_part, strict=True)}
    for layer in range(1, LAYERS + 1):
        sums["attention", layer, 0] = sum(sums["head", layer, head] for head in range(1, HEADS + 1))
    for row in table.itertuples():
        of_row = "language" if row.part == "head" else "id"  # single heads: means over a language's examples
        columns = np.flatnonzero(getattr(evaluation, f"{of_row}s") == getattr(row, of_row))
        assert (row.id == "") == (row.part == "head") and set(evaluation.languages[columns]) == {row.language}
        own = train.languages == row.train_language
        shares, opposed, influences = [], [], []
        for column in sums[row.part, row.layer, row.head][:, columns].T:
            ranked = sorted(range(12), key=lambda i: (-column[i], i))
            shares.append(own[ranked[:5]].mean())
            opposed.append(own[sorted(range(12), key=lambda i: (column[i], i))[:5]].mean())
            influences.append(column[own].sum())
        assert row.proponents == pytest.approx(np.mean(shares))
        assert row.opponents == pytest.approx(np.mean(opposed))
        assert row.influence == pytest.approx(np.mean(influences), abs=1e-6)
        assert row.chance == 0.5
    whole = example_statistics(scores.cosine, train.languages, evaluation.languages, evaluation.ids, 5)
    added = table[table["part"] != "head"].groupby(["id", "train_language"])["influence"].sum()
    expected = whole.set_index(["id", "train_language"])["influence"].sort_index()
    np.testing.assert_allclose(added.sort_index(), expected, atol=1e-6)


def test_a_killed_pass_resumes_and_one_of_another_origin_does_not(tmp_path):
    model = random_encoder(dtype=torch.float32)
    train, evaluation = random_examples(20, seed=1), random_examples(3, seed=2)
    whole = influence(model, train, evaluation, batch_size=2)
    batches = []

    def count(module, inputs):
        batches.append(1)
        if len(batches) == stop:
            raise KeyboardInterrupt

    model.register_forward_pre_hook(count)

    def score(origin: str):
        batches.clear()
        remember = remembering(tmp_path / "none.blocks", {"piece": "none", "code": origin}, "epoch01")
        return influence(model, train, evaluation, batch_size=2, remember=remember)

    stop = 8  # in the second block of four batches, after one batch of evaluation examples
    with pytest.raises(KeyboardInterrupt):
        score("a")
    stop = -1
    resumed = score("a")
    # A pass that looks how gradients are formed, a batch of evaluation examples, ten of training examples.
    assert len(batches) == 1 + 1 + 10 - 4
    assert np.array_equal(resumed.cosine, whole.cosine) and np.array_equal(resumed.dot, whole.dot)
    score("a")
    assert not batches
    score("b")
    assert len(batches) == 1 + 1 + 10
