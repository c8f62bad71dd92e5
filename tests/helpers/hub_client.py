"""A process whose hub is a :class:`tests.helpers.hub_server.HubServer`, from before it imported anything.

Importing the clients takes longest, so one process does it once: it forks for every question, and the fork
answers it as a fresh process would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.helpers.hub_server import HubServer

CODE = """
import json, os, sys, time
import datasets, huggingface_hub
from modspec.data.tasks import load_task
from modspec.downloads import hub
from modspec.errors import InputError
from modspec.models.encoders import described
datasets.disable_progress_bars()
print("ready", flush=True)
for line in sys.stdin:
    question = json.loads(line)
    if os.fork():
        os.wait()
        continue
    os.environ.update(question["environment"])
    huggingface_hub.constants.HF_HUB_OFFLINE = "HF_HUB_OFFLINE" in question["environment"]
    start = time.monotonic()
    try:
        if question["what"] == "encoder":
            answer = {"fingerprint": described(question["name"], 64)["fingerprint"]}
        else:
            sizes = {"train_per_language": 20, "dev_per_language": 10, "test_per_language": 10}
            task = load_task(question["name"], ["en", "de"], **sizes)
            answer = {"source": task.source, "fingerprint": task.fingerprint}
            answer["rows"] = task.data["dev"].to_list()
    except InputError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer | {"seconds": time.monotonic() - start, "commits": hub.resolved}), flush=True)
    os._exit(0)
"""


class HubClient:
    """The process, while its context is entered."""

    def __init__(self, server: HubServer, home: Path) -> None:
        self.server, self.home = server, home

    def __enter__(self) -> Self:
        environment = os.environ | self.server.environment(self.home) | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def load(self, what: str, name: str, *, keep_cache: bool = False, **environment: str) -> dict[str, Any]:
        """Return what loading an encoder or a task gives, or its error, and the seconds that it took."""
        if not keep_cache:
            shutil.rmtree(self.home, ignore_errors=True)
        question = {"what": what, "name": name, "environment": environment}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())
