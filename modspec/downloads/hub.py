"""The Hugging Face hub: whether it answers, which commit a name means, and what is wrong in one line.

A name is ``organisation/repository``, and may end in ``@revision``: a commit hash, a tag or a branch. A
process resolves it to a commit once, and asks for files of that commit only.

The clients (huggingface_hub, and through it datasets and transformers) would try again for minutes where a
hub is slow or broken. :func:`commit` limits them: see :class:`HubFailure`.
"""

import math
import os
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import ParseResult, urlparse
from urllib.request import getproxies, proxy_bypass

import huggingface_hub
from huggingface_hub import constants, is_offline_mode
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from modspec.errors import InputError, quoted

# Of the protocols that a hub or a proxy may have.
PORTS = {"https": 443, "http": 80, "socks5": 1080, "socks5h": 1080, "socks4": 1080}
COMMIT = re.compile("[0-9a-f]{40}")
# Seconds without a byte after which a request fails. Who needs more sets HF_HUB_DOWNLOAD_TIMEOUT.
TIMEOUT = constants.HF_HUB_DOWNLOAD_TIMEOUT if "HF_HUB_DOWNLOAD_TIMEOUT" in os.environ else 5
PATIENCE = 2.5  # seconds after a host's first fault within which clients may ask again
FORGOTTEN = 20.0  # seconds after which that failure is forgotten
Kind = Literal["model", "dataset"]
# A file that every repository of the kind has; by its name the local cache knows a repository's commits.
ANCHORS = {"model": "config.json", "dataset": "README.md"}
resolved: dict[str, str] = {}  # commit of each repository that this process has asked for, for provenance


class HubFailure(Exception):
    """The hub did not answer in time, or answered with a fault of its own.

    A request fails after ``TIMEOUT`` seconds without a byte, when its answer breaks off, and with status 500
    or higher. In the latter two cases clients may ask the host again until ``PATIENCE`` seconds after its
    first fault. Then, and at once if it sends nothing or was asked too often (429), this error is raised,
    which they do not catch; requests that follow soon after are not sent.
    """


def commit(name: str, kind: Kind) -> str | None:
    """Return the commit that a name means: what the hub says, else what its local cache has.

    Args:
        name: of a repository, with or without ``@revision``.
        kind: of the repository.

    Returns:
        The commit hash; None where neither hub nor cache knows it.

    Raises:
        HubFailure, HfHubHTTPError: the hub does not answer, or refuses; :func:`problem` says so in one line.
    """
    repository, _, revision = name.partition("@")
    if hub_is_reachable():
        limit_clients()
    if name not in resolved:
        found = revision if COMMIT.fullmatch(revision) else _ask(repository, revision or "main", kind)
        if found is None:
            return None
        resolved[name] = found
    return resolved[name]


def _ask(repository: str, revision: str, kind: Kind) -> str | None:
    is_local = not hub_is_reachable()
    anchor = {"repo_id": repository, "filename": ANCHORS[kind], "repo_type": kind, "revision": revision}
    try:
        return Path(huggingface_hub.hf_hub_download(**anchor, local_files_only=is_local)).parent.name
    except LocalEntryNotFoundError:
        if is_local:
            return None
        raise
    except EntryNotFoundError:
        info = huggingface_hub.HfApi().repo_info(repository, repo_type=kind, revision=revision)
        return info.sha


def problem(error: BaseException | None, name: str, kind: Kind) -> str | None:
    """Return what is wrong with a repository and what to do, on one line; None where the hub is not to blame.

    Args:
        error: that a client raised; its causes are looked at too.
        name: of the repository, with or without ``@revision``.
        kind: of the repository.
    """
    repository, _, revision = name.partition("@")
    for cause in _causes(error):
        match cause:
            case HubFailure():
                return f"{cause}; try again, or set HF_HUB_OFFLINE=1 to use what was downloaded before"
            case GatedRepoError():
                page = f"{constants.ENDPOINT}/{'datasets/' * (kind == 'dataset')}{repository}"
                return f"access to it is restricted; ask for access at {page}, and set HF_TOKEN to your token"
            case RepositoryNotFoundError():
                return f"the hub has no such {kind}, or not for you; if it is private, set HF_TOKEN"
            case RevisionNotFoundError():
                return f"it has no revision {quoted(revision)}; allowed: a commit hash, tag or branch of it"
            case HfHubHTTPError() if cause.response.status_code in (401, 403):
                return "the hub refuses the token; set HF_TOKEN to one that is valid"
            case HfHubHTTPError() if cause.response.status_code >= 500:
                return f"the hub answers with an error ({cause.response.status_code}); try again"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@lru_cache(maxsize=1)
def limit_clients() -> None:
    """Let the clients of this process fail as :class:`HubFailure` says, instead of waiting for minutes."""
    plain = huggingface_hub.get_session()
    hosts: dict[str, Patience] = defaultdict(Patience)

    def limited() -> Any:
        client = type(plain)(event_hooks=plain.event_hooks, follow_redirects=True, timeout=TIMEOUT)
        client.send = _limited_send(client.send, hosts)
        return client

    huggingface_hub.set_client_factory(limited)
    # The hub's own protocol for large files (xet) has no limits that one could set.
    if "HF_HUB_DISABLE_XET" not in os.environ:
        constants.HF_HUB_DISABLE_XET = True


@dataclass
class Patience:
    """What is left of it with one host."""

    first: float = -math.inf  # time of the first failure that is not forgotten
    ended: HubFailure | None = None

    def check(self) -> None:
        """Raise the failure that ended it, or forget that."""
        if time.monotonic() - self.first > FORGOTTEN:
            self.ended = None
        if self.ended:
            raise self.ended

    def failed(self, reason: str, cause: Exception | None = None, at_once: bool = False) -> None:
        """Remember a failure; raise it where clients may not ask again."""
        now = time.monotonic()
        if now - self.first > FORGOTTEN:
            self.first = now
        if at_once or now - self.first > PATIENCE:
            self.ended = HubFailure(reason)
            raise self.ended from cause


def _limited_send(send: Callable[..., Any], hosts: Mapping[str, Patience]) -> Callable[..., Any]:
    """Return an HTTP client's ``send`` with the limits of :class:`HubFailure`."""

    def limited_send(request: Any, **options: Any) -> Any:
        host = request.url.netloc.decode()
        patience = hosts[host]
        patience.check()
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT)
        try:
            response = send(request, **options)
        except Exception as error:
            patience.failed(f"{host} {_in_words(error)}", error, at_once=_is_timeout(error))
            raise
        status, read = response.status_code, response.iter_raw
        if status == 429 or status >= 500:
            patience.failed(f"{host} answers with an error ({status})", at_once=status == 429)

        def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
            try:
                yield from read(chunk_size)
            except Exception as error:
                patience.failed(f"{host} {_in_words(error)}", error, at_once=_is_timeout(error))
                raise

        response.iter_raw = iter_raw
        return response

    return limited_send


def _is_timeout(error: Exception) -> bool:
    # By name, because huggingface_hub's HTTP library is not the same in all versions.
    return any(kind.__name__ == "TimeoutException" for kind in type(error).__mro__)


def _in_words(error: Exception) -> str:
    if _is_timeout(error):
        return f"sends nothing for {TIMEOUT} seconds (more: HF_HUB_DOWNLOAD_TIMEOUT)"
    return f"breaks off ({str(error).partition(' (')[0]})"


@lru_cache(maxsize=1)
def hub_is_reachable(timeout: float = 6.0) -> bool:
    """Return whether a TCP connection to the hub opens within ``timeout`` seconds; a process asks once.

    Name resolution ignores socket time-outs. Therefore a thread opens the connection, and the caller never
    waits longer than ``timeout``.
    """
    try:
        address = hub_address()
    except InputError:
        return False
    opened = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=timeout).close()
            opened.set()
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    return opened.is_set()


def hub_address() -> tuple[str, int]:
    """Return host and port that have to answer for the hub to be reached.

    ``HF_ENDPOINT`` names another hub. Behind a proxy (``HTTPS_PROXY``, ``ALL_PROXY``, but not for hosts of
    ``NO_PROXY``) it is the proxy that has to answer.

    Raises:
        InputError: ``HF_HUB_OFFLINE`` is set, or an address is none.
    """
    if is_offline_mode():
        raise InputError("HF_HUB_OFFLINE is set")
    hub = _url("HF_ENDPOINT", constants.ENDPOINT)
    proxies = {} if proxy_bypass(hub.hostname) else getproxies()
    proxy = proxies.get(hub.scheme) or proxies.get("all")
    if not proxy:
        return hub.hostname, hub.port or PORTS[hub.scheme]
    url = _url("HTTPS_PROXY", proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname, url.port or PORTS[url.scheme]


def why_unreachable() -> str:
    """Return what is said of a hub that could not be reached: the setting that keeps from it, or where it was
    looked for."""
    try:
        host, port = hub_address()
    except InputError as error:
        return f"the hub is not reachable ({error})"
    return f"the hub is not reachable ({host}:{port} does not answer)"


def _url(name: str, value: str) -> ParseResult:
    """Return the parts of an address; raise InputError where it lacks a protocol that is known, or a host."""
    url = urlparse(value)
    try:
        known = url.scheme in PORTS and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:  # the port is no number
        known = False
    if not known:
        raise InputError(f"{name}: {quoted(value)}; allowed: an address such as https://host:port")
    return url
