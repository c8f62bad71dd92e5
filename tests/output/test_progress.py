"""Progress stands where a reader looks for it, and never in a script's own output."""

import sys
from types import ModuleType

import pytest

from modspec.output.progress import tqdm


@pytest.mark.parametrize(("in_notebook", "stream"), [(True, 0), (False, 1)])
def test_bars_are_on_standard_output_in_notebooks_only(monkeypatch, capsys, in_notebook, stream) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    sys.modules.pop("ipykernel", None)
    if in_notebook:
        sys.modules["ipykernel"] = ModuleType("ipykernel")
    list(tqdm(range(2), desc="words"))
    written = capsys.readouterr()
    assert "words" in written[stream] and not written[1 - stream]
