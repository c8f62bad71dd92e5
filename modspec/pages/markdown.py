"""Tables in Markdown."""

import re

import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """Return a table of text in Markdown, with a minus sign before negative numbers.

    Args:
        table: of text; row levels are joined by colons.
    """
    names = [": ".join([name] if isinstance(name, str) else name) for name in table.index]
    rows = [["", *table.columns], ["---"] * (1 + len(table.columns))]
    rows += [[name, *cells] for name, cells in zip(names, table.to_numpy(), strict=True)]
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)
