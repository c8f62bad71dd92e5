"""A real browser: Chromium opens pages as a person would. Whatever a page asks a network for is an error."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OWN_SCHEMES = ("file:", "blob:", "data:", "about:")  # of requests that stay on this machine
OpenPage = Callable[..., Page]


def chromium_path() -> str | None:
    """Return the program of Chromium: ``$CHROMIUM``, else one on the path; None where there is none.

    ``CHROMIUM=none`` says that none is there and none can be installed.
    """
    if os.environ.get("CHROMIUM") == "none":
        return None
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


def can_be_installed() -> bool:
    """Return whether ``apt-get install chromium`` would work here, as far as the machine knows offline."""
    if os.environ.get("CHROMIUM") or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    command = ["apt-get", "install", "--simulate", "chromium"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start Chromium; skip where it neither is nor can be installed."""
    executable = chromium_path()
    if executable is None and can_be_installed():
        pytest.fail("no Chromium; run: apt-get install chromium, or set CHROMIUM to its program")
    if executable is None:
        pytest.skip(f"no Chromium on the path ({', '.join(PROGRAMS)}), and none can be installed here")
    options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Return a function that opens a file in a window of some width, at an address within it.

    At the end of the test there must have been no error in the console, no error of a script, no request that
    failed, and none to a network.
    """
    problems: list[str] = []
    contexts = []

    def opened(file: Path, width: int, address: str = "") -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        note_errors(page, problems)
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        page.on("request", lambda request: problems.extend(_asked_of_a_network(request.url)))
        page.goto(f"{file.resolve().as_uri()}{address}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def note_errors(page: Page, problems: list[str]) -> None:
    """Add to ``problems`` what the page writes to the console as errors, and errors of its scripts."""
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))


def _asked_of_a_network(url: str) -> list[str]:
    return [] if url.startswith(OWN_SCHEMES) else [f"asks a network: {url}"]
