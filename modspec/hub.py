"""Whether the Hugging Face hub answers, found out in seconds rather than after minutes of retries."""

from __future__ import annotations

import os
import socket
import threading
from functools import lru_cache
from urllib.parse import urlparse

DEFAULT_ENDPOINT = "https://huggingface.co"


@lru_cache(maxsize=1)
def reachable(timeout: float = 6.0) -> bool:
    """True if a TCP connection to the hub opens within ``timeout`` seconds (asked once a process).

    Name resolution ignores socket time-outs, hence the thread: the caller never waits longer than
    ``timeout``. ``HF_HUB_OFFLINE=1`` and ``HF_ENDPOINT`` are honoured. Behind a proxy (``HTTPS_PROXY``)
    the proxy is what has to answer.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return False
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    url = urlparse(proxy or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT)
    port = url.port or (80 if url.scheme == "http" else 443)
    opened = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((url.hostname, port), timeout=timeout).close()
            opened.set()
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    return opened.is_set()
