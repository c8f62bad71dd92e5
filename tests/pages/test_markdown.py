"""Tables in Markdown have a cell for everything."""

from __future__ import annotations

import pandas as pd

from modspec.pages.markdown import markdown


def test_markdown_has_a_cell_for_everything() -> None:
    shown = pd.DataFrame({"xnli": ["1", "-2"], "pawsx": ["3", "4-5"]}, index=["a", "b"])
    named = shown.set_axis(pd.MultiIndex.from_tuples([("Q1", "a"), ("Q2", "b")]))
    assert markdown(shown).splitlines() == [
        "|  | xnli | pawsx |",
        "| --- | --- | --- |",
        "| a | 1 | 3 |",
        "| b | −2 | 4-5 |",
    ]
    assert "| Q2: b | −2 | 4-5 |" in markdown(named)
