"""Progress bars. In notebooks they are on standard output, because JupyterLab shows standard error on red."""

import sys
from typing import Any

import tqdm as bars


def tqdm(*arguments: Any, **options: Any) -> bars.tqdm:
    """Return tqdm's bar.

    Outside notebooks it is on standard error, so that a script's own output stays clean. The stream is looked
    up at each call, because a notebook's kernel replaces it.
    """
    file = sys.stdout if "ipykernel" in sys.modules else sys.stderr
    return bars.tqdm(*arguments, file=file, **options)
