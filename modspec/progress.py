"""Progress bars on standard output: JupyterLab shows standard error on red, as if something had failed."""

import sys
from typing import Any

import tqdm as bars


def tqdm(*arguments: Any, **options: Any) -> bars.tqdm:
    """Return tqdm's bar on the standard output of this moment, which a notebook's kernel has replaced."""
    return bars.tqdm(*arguments, file=sys.stdout, **options)
