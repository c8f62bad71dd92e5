"""Shared fixtures. Nothing here downloads: what is not on the machine is skipped, with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

FETCH = "python -m modspec.models.encoders fetch e5-small"

# A busy machine must not fail a property: speed is measured in the benchmark.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the study's tests first: they take longest, and other processes would wait for them at the end."""
    items.sort(key=lambda item: "notebooks" not in item.path.parts)


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many tests drove a browser: where there is none they are skipped, which CI must see."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome)]
    ran = sum(report.when == "call" and "browser" in report.keywords for report in reports)
    terminalreporter.write_line(f"browser tests that ran: {ran}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the directory of real task data (``$MODSPEC_SHARED_DATA``, else beside the checkout)."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    directory = Path(os.environ.get("MODSPEC_SHARED_DATA", beside))
    if not directory.is_dir():
        pytest.skip(f"no shared data at {directory} (set MODSPEC_SHARED_DATA)")
    return directory


@pytest.fixture(scope="session")
def e5_small_available() -> None:
    """Skip the tests of the real encoder where it was not fetched."""
    from modspec.models import e5_small

    if not (e5_small.ENCODER.directory.is_dir() and e5_small.TOKENIZER.directory.is_dir()):
        pytest.skip(f"e5-small is not in the cache; run: {FETCH}")
