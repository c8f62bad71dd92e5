"""JupyterLab in a browser, used as a person uses it: with its file browser, its menus and its eyes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from tests.helpers.browser import note_errors

OPTIONS = ("--no-browser", "--port=0", "--allow-root")
RUNNING, NOT_RUN = re.compile(r"\[\*\]"), re.compile(r"\[ \]")
SLOW = 180_000  # milliseconds that a notebook may take on a busy machine
# Note in the page whether a running cell shows a progress bar. The browser looks at each change, since a
# cell may be done between two looks from outside.
WATCH_PROGRESS = r"""() => {
    window.sawProgress = false
    const look = () => {
        for (const cell of document.querySelectorAll(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")) {
            const prompt = cell.querySelector(".jp-InputPrompt")
            const outputs = cell.querySelector(".jp-OutputArea")
            if (prompt?.textContent.includes("[*]") && /\d+%\|.*\| \d+\/\d+ \[/.test(outputs?.textContent)) {
                window.sawProgress = true
            }
        }
    }
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true})
}"""


@contextmanager
def jupyterlab(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], own: Path, chromium: Browser
) -> Iterator[Page]:
    """Start JupyterLab, and yield its page; at the end there must have been no error in the browser.

    Args:
        own: directory of this JupyterLab's settings, which are nobody's yet.
    """
    places = {"JUPYTER_CONFIG_DIR": str(own / "config"), "JUPYTER_DATA_DIR": str(own)}
    own.mkdir()
    with (own / "log").open("w") as log:
        server = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment, **places},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        page, problems = context.new_page(), []
        page.set_default_timeout(SLOW)
        note_errors(page, problems)
        page.goto(_address(server, own))
        page.get_by_role("button", name="No", exact=True).click()  # no news of Jupyter
        yield page
        context.close()
        assert problems == []
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _address(server: subprocess.Popen, own: Path) -> str:
    """Return the address that a started JupyterLab would open, as soon as there is one."""
    while not (records := [*(own / "runtime").glob("jpserver-*.json")]):
        assert server.poll() is None, (own / "log").read_text()
        time.sleep(0.1)
    record = json.loads(records[0].read_text())
    return f"{record['url']}lab?token={record['token']}"


def open_notebook(page: Page, *path: str) -> Locator:
    """Open a notebook from the file browser, through folders; return its panel once its kernel is there."""
    for name in path:
        page.locator(".jp-DirListing-item").get_by_text(name, exact=True).dblclick()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    # The one in front: a test that failed leaves its own open behind it.
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def choose(page: Page, menu: str, entry: str) -> None:
    """Choose an entry of the menu bar."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=entry).first.click()


def run_all(page: Page, notebook: Locator, *, shows_progress: bool) -> None:
    """Run all cells; check that a person sees progress, then all results, and nothing on red."""
    page.evaluate(WATCH_PROGRESS)
    choose(page, "Run", "Run All Cells")
    prompts = notebook.locator(".jp-InputPrompt")
    running = prompts.filter(has_text=RUNNING)
    running.first.wait_for(state="attached")
    expect(running).to_have_count(0, timeout=SLOW)
    assert page.evaluate("window.sawProgress") == shows_progress
    for kind in ("error", "stderr"):
        red = notebook.locator(f'[data-mime-type="application/vnd.jupyter.{kind}"]').all_text_contents()
        assert not red, red
    expect(prompts.filter(has_text=NOT_RUN)).to_have_count(0)
    broken = "images => images.filter(image => !(image.complete && image.naturalWidth)).length"
    assert notebook.locator(".jp-RenderedImage img").evaluate_all(broken) == 0


def save_and_close(page: Page, notebook: Locator) -> None:
    """Save a notebook, and end its kernel."""
    choose(page, "File", "Save Notebook")
    # Of this notebook alone: one that another test left open may be unsaved.
    expect(page.locator(".lm-TabBar-tab.lm-mod-current.jp-mod-dirty")).to_have_count(0, timeout=SLOW)
    choose(page, "File", "Close and Shut Down Notebook")
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    expect(notebook).to_have_count(0)
