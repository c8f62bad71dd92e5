"""A server that speaks the part of the Hugging Face hub's HTTP API that its clients call, on this machine.

    with HubServer({"models/org/model": Repository({"config.json": b"{}"})}) as hub:
        subprocess.run(command, env=os.environ | hub.environment(tmp_path))
    print(hub.requests)

It can be slow, gated, broken or truncated on purpose, so that users' errors are those of the real clients.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree|paths-info)/([^/]+)/?(.*))?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
LFS = (".safetensors", ".parquet", ".model")  # large files, as the hub stores them


@dataclass
class Repository:
    """A model or a data set: its files, by path, at one commit after the other."""

    files: Mapping[str, bytes]
    gated: bool = False  # everyone sees that it exists; its files need a token
    tags: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  # older files

    def commits(self) -> dict[str, Mapping[str, bytes]]:
        """Return files by commit, the newest one first."""
        return {commit_of(files): files for files in (self.files, *self.tags.values())}

    def commit(self, revision: str) -> str | None:
        """Return the commit that a branch, a tag or a commit hash means."""
        names = {"main": self.files, **self.tags}
        return (
            commit_of(names[revision])
            if revision in names
            else (revision in self.commits() and revision) or None
        )


def commit_of(files: Mapping[str, bytes]) -> str:
    """Return a commit hash that files of the same content share."""
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


def etag(path: str, content: bytes) -> str:
    """Return what names a file's content: the sha256 of large files, as git names the others."""
    if path.endswith(LFS):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer(ThreadingHTTPServer):
    """The server, running while its context is entered.

    Attributes:
        requests: method and path of every request so far, with its status.
        fault: of (method, path): seconds to wait before the answer, an HTTP status to answer, "truncated" or
            "stalled" for half of a file, or None for what is right.
        first_fault: time of the first fault, by time.monotonic; None before.
    """

    daemon_threads = True

    def __init__(self, repositories: Mapping[str, Repository], token: str = "hf_right") -> None:
        self.repositories, self.token = dict(repositories), token
        self.requests: list[tuple[str, str, int]] = []
        self.first_fault: float | None = None
        self.fault: Callable[[str, str], Any] = lambda method, path: None
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()  # slow answers end
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about clients that no longer wait for an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home: Path) -> dict[str, str]:
        """Return variables under which the clients ask this hub, with empty caches in ``home``."""
        nowhere = "http://127.0.0.1:9"  # whoever asks another host is refused
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HTTPS_PROXY": nowhere,
            "HTTP_PROXY": nowhere,
            "NO_PROXY": "127.0.0.1",
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:  # noqa: N802
        self._answer()

    do_GET = do_POST = do_HEAD

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked = json.loads(self._body() or b"{}") if self.command == "POST" else {}
        fault = self.server.fault(self.command, path)
        if fault is not None and self.server.first_fault is None:
            self.server.first_fault = time.monotonic()
        if isinstance(fault, float) and self.server.closing.wait(fault):
            return
        if isinstance(fault, int):
            self._send(fault, b"{}")
        elif match := API.fullmatch(path):
            self._api(*match.groups())
        elif match := FILE.fullmatch(path):
            self._file(*match.groups(), fault)
        else:
            self._send(404, b"{}")

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return body if "json" in self.headers.get("Content-Type", "") else b"{}"

    def _find(self, kind: str, name: str, revision: str) -> tuple[Repository, str] | None:
        repository = self.server.repositories.get(f"{kind}/{name}")
        if repository is None:
            # Who may not see a repository cannot tell it from one that is not there.
            self._send(
                401, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            )
            return None
        commit = repository.commit(revision)
        if commit is None:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            return None
        return repository, commit

    def _api(self, kind: str, name: str, what: str | None, revision: str | None, folder: str | None) -> None:
        if not (found := self._find(kind, name, revision or "main")):
            return
        repository, commit = found
        files = repository.commits()[commit]
        match what:
            case "tree":
                entries = self._tree(files, (folder or "").strip("/"))
                if entries is None:
                    self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                    return
                answer: Any = entries
            case "paths-info":
                answer = [
                    self._entry(path, files[path]) for path in self.asked.get("paths", ()) if path in files
                ]
            case _:
                answer = {
                    "id": name,
                    "sha": commit,
                    "private": False,
                    "gated": "manual" if repository.gated else False,
                    "siblings": [{"rfilename": path} for path in files],
                }
        self._send(200, json.dumps(answer).encode())

    def _tree(self, files: Mapping[str, bytes], folder: str) -> list[dict[str, Any]] | None:
        start = f"{folder}/" if folder else ""
        below = {path: content for path, content in files.items() if path.startswith(start)}
        if not below:
            return None
        is_deep = "recursive=true" in self.path.lower()
        entries = [self._entry(p, c) for p, c in below.items() if is_deep or "/" not in p.removeprefix(start)]
        folders = {
            start + p.removeprefix(start).partition("/")[0] for p in below if "/" in p.removeprefix(start)
        }
        return entries + [
            {"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in sorted(folders)
        ]

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        if path.endswith(LFS):
            entry["lfs"] = {"oid": etag(path, content), "size": len(content), "pointerSize": 130}
        return entry

    def _file(self, is_data: str | None, name: str, revision: str, path: str, fault: object) -> None:
        if not (found := self._find("datasets" if is_data else "models", name, revision)):
            return
        repository, commit = found
        headers = {"X-Repo-Commit": commit}
        if repository.gated and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            status = 403 if self.headers.get("Authorization") else 401
            self._send(
                status,
                b"{}",
                {**headers, "X-Error-Code": "GatedRepo", "X-Error-Message": "Access restricted"},
            )
            return
        content = repository.commits()[commit].get(path)
        if content is None:
            self._send(
                404, b"{}", {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "not found"}
            )
            return
        headers |= {"ETag": f'"{etag(path, content)}"', "Accept-Ranges": "bytes"}
        if path.endswith(LFS):
            headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(content))}
            # As the hub, it offers its own protocol too, which this server does not speak.
            headers |= {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": f"{self.server.address}/xet"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            first, last = int(asked[1]), int(asked[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content = content[first : last + 1]
        self._send(206 if asked else 200, content, headers, fault)

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, fault: object = None
    ) -> None:
        self.server.requests.append((self.command, self.path, status))
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | dict(headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault in ("truncated", "stalled"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "stalled":
                self.server.closing.wait(60)
            self.close_connection = True
            return
        self.wfile.write(body)
