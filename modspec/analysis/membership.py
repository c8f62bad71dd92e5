"""A study's runs under one choice: cells of all seeds together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modspec.analysis.measurements import GRADIENTS, STUDY, Cell, Cells, Measured


class Membership:
    """Cells by condition, kind of mask and language, over seeds, under one choice.

    ``runs``: of all conditions and seeds, on the same examples.
    """

    def __init__(self, runs: Sequence[Measured], choice: str = STUDY) -> None:
        self.train = runs[0].train
        self.languages = list(runs[0].languages)
        self._runs: Mapping[str, list[Cells]] = {}
        for run in runs:
            # What concerns sparse conditions alone leaves the others as they are.
            fallback = run.cells[STUDY] if choice.startswith(GRADIENTS) else {}
            self._runs.setdefault(run.condition, []).append(run.cells.get(choice, fallback))

    def has(self, condition: str, kind: str) -> bool:
        """Was this condition scored under this kind of mask (``own``: the choice's)?"""
        runs = self._runs.get(condition, ())
        return any((kind, language) in cells for cells in runs for language in self.languages)

    def cell(self, condition: str, kind: str, language: str) -> Cell:
        """One language's cell, seeds stacked."""
        cells = [of[kind, language] for of in self._runs[condition]]
        assert len({cell.ids for cell in cells}) == 1
        parts = (np.concatenate([getattr(c, name) for c in cells]) for name in ("values", "weights", "cross"))
        return Cell(*parts, cells[0].ids)
