"""The hub: whether it answers, and which setting keeps from it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest
from huggingface_hub import constants

from modspec.downloads import hub


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """A function of environment variables: whether the hub is reached under them, and no others."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def ask(endpoint: str = "https://hub.invalid", offline: bool = False, **variables: str) -> bool:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        hub.hub_is_reachable.cache_clear()
        try:
            return hub.hub_is_reachable(timeout=2.0)
        finally:
            hub.hub_is_reachable.cache_clear()
            for name in variables:
                monkeypatch.delenv(name)

    return ask


def test_the_hub_or_the_proxy_before_it_has_to_answer(reached) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_port = f"127.0.0.1:{server.getsockname()[1]}"
        assert reached(f"http://{open_port}") and reached(f"http://{open_port}/mirror/")
        assert not reached(f"http://{open_port}", offline=True)
        for proxy in (f"http://{open_port}", open_port, f"socks5://{open_port}"):
            assert reached(HTTPS_PROXY=proxy) and reached(ALL_PROXY=proxy) and reached(https_proxy=proxy)
        assert reached(f"http://{open_port}", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
        assert not reached(f"http://{open_port}", HTTP_PROXY="http://127.0.0.1:9")
    assert not reached(f"http://{open_port}")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"offline": True}, "HF_HUB_OFFLINE is set"),
        ({"endpoint": "hub.example"}, "HF_ENDPOINT: 'hub.example'; allowed: an address such as https://"),
        ({"endpoint": "https://hub.example:port"}, "HF_ENDPOINT: 'https://hub.example:port'; allowed"),
        ({"endpoint": "https://hub.example:99999"}, "HF_ENDPOINT: 'https://hub.example:99999'; allowed"),
        ({"endpoint": "https://"}, "HF_ENDPOINT: 'https://'; allowed"),
        ({"endpoint": ""}, "HF_ENDPOINT: ''; allowed"),
        ({"HTTPS_PROXY": "http://proxy.example:port"}, "HTTPS_PROXY: 'http://proxy.example:port'; allowed"),
        ({"HTTPS_PROXY": "127.0.0.1:9"}, "127.0.0.1:9 does not answer"),
    ],
)
def test_settings_that_keep_from_the_hub_are_named(
    reached, settings: dict, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not reached(**settings)
    for name in settings.keys() - {"offline", "endpoint"}:
        monkeypatch.setenv(name, settings[name])
    assert hub.why_unreachable().startswith(f"the hub is not reachable ({reason}")
