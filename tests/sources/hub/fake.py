"""A Hub on this machine that answers as the real one does, or worse."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from poisonscan.sources.hub.client import Client, Patience
from poisonscan.sources.hub.environment import Environment

COMMIT = "c" * 40
CALM = Patience(tries=3, pause=0.01, longest=0.1)
QUICK = replace(CALM, seconds=1.5, rate=10_000_000.0)
"""For what would take long; everything else has time, on a slow machine too."""

Behaviour = Callable[[BaseHTTPRequestHandler, bytes], None]


@dataclass
class FakeHub:
    """One repository, ``org/name``, as a model and as a dataset.

    Attributes:
        files: content by path.
        lfs: paths that are stored as large files, which another host serves.
        listed: what the list says of a path instead of the truth.
        behaviours: what answers for a path of a file, or for ``revision`` and ``tree``.
        security: what the scanners say of a path, as ``securityFileStatus``.
        token: what is asked for; empty: everybody may read.
        page: entries of the list on one page.
        revisions: commit by revision.
        log: every request to this host: path and ``Authorization``.
        elsewhere: every request to the other host.
        ranges: the ``Range`` of each of them.
        sent: bytes of answers, with their headers.
        connections: how often somebody connected, to either host.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    security: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    page: int = 1000
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    log: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    sent: int = 0
    connections: int = 0
    url: str = ""
    other: str = ""

    def environment(self, cache: Path, token: str = "") -> Environment:
        return Environment(self.url, token, cache)

    def client(self, token: str = "") -> Client:
        slow = {trickle, trickle_headers}.intersection(self.behaviours.values())
        return Client(Environment(self.url, token, Path("nowhere")), QUICK if slow else CALM)

    def entries(self) -> list[dict[str, Any]]:
        folders = {str(folder) for path in self.files for folder in PurePosixPath(path).parents}
        found: list[dict[str, Any]] = [
            {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
            for folder in sorted(folders - {"."})
        ]
        for path, data in self.files.items():
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data)}
            entry["oid"] = "0" * 40 if path in self.lfs else git_digest(data)
            if path in self.lfs:
                entry["lfs"] = {
                    "oid": sha256(data), "size": len(data), "pointerSize": 133
                }  # fmt: skip
            entry.update(self.listed.get(path, {}))
            found.append(entry)
        return found

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.log.append((request.path, request.headers.get("Authorization", "")))
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            send(request, 401, b"{}")
            return
        segments = [
            unquote(s)
            for s in urlsplit(request.path).path.strip("/").removeprefix("api/").split("/")
        ]
        if segments[0] in ("models", "datasets"):
            segments = segments[1:]
        segments += ["revision", "main"] if len(segments) == 2 else []
        if segments[:2] != ["org", "name"]:
            send(request, 404, b"{}")
            return
        kind, revision, path = segments[2], segments[3], "/".join(segments[4:])
        commit = self.revisions.get(revision, revision)
        body = self._body(request, kind, commit, path)
        code = "EntryNotFound" if path else "RevisionNotFound"
        path = path if kind == "resolve" else kind
        if body is None:
            send(request, 404, b"{}", X_Error_Code=code)
        elif path in self.behaviours:
            self.behaviours[path](request, body)
        elif path in self.lfs:
            location = f"{self.other}/blob?of={request.path}"
            send(request, 302, b"", Location=location, **self.headers(path))
        elif kind == "resolve":
            send_part(request, body, **self.headers(path))
        elif kind != "tree":
            send(request, 200, body)

    def _body(
        self, request: BaseHTTPRequestHandler, kind: str, commit: str, path: str
    ) -> bytes | None:
        if not self.revisions or commit not in (*self.revisions.values(), COMMIT):
            return None
        if kind == "revision":
            return json.dumps(self.about(commit)).encode()
        if kind == "tree":
            return self._list(request, urlsplit(request.path).query, path)
        if kind == "paths-info":
            return self._asked(request)
        return self.files.get(path) if kind == "resolve" else None

    def about(self, commit: str) -> dict[str, Any]:
        siblings = [{"rfilename": path} for path in self.files]
        return {"id": "org/name", "sha": commit, "siblings": siblings, "tags": [], "private": False}

    def headers(self, path: str) -> dict[str, str]:
        """What the Hub's own client asks for, of a file."""
        (entry,) = [entry for entry in self.entries() if entry["path"] == path]
        tag = entry.get("lfs", entry)["oid"]
        known = {"X_Repo_Commit": COMMIT, "X_Linked_Size": str(entry["size"])}
        return known | ({"X_Linked_ETag": f'"{tag}"'} if "lfs" in entry else {"ETag": f'"{tag}"'})

    def _asked(self, request: BaseHTTPRequestHandler) -> bytes:
        text = request.rfile.read(int(request.headers["Content-Length"])).decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text)["paths"]
        return json.dumps([e for e in self.entries() if e["path"] in asked]).encode()

    def _list(self, request: BaseHTTPRequestHandler, query: str, under: str) -> bytes | None:
        start = int(query.partition("cursor=")[2] or 0)
        entries = [e for e in self.entries() if not under or e["path"].startswith(under + "/")]
        if under and not entries:
            return None
        if "expand=true" in query.lower():
            for entry in entries:
                entry["securityFileStatus"] = self.security.get(entry["path"])
        headers = {}
        if start + self.page < len(entries):
            flags = "expand=true&" if "expand=true" in query.lower() else ""
            following = f"{self.url}{urlsplit(request.path).path}?{flags}cursor={start + self.page}"
            headers["Link"] = f'<{following}>; rel="next"'
        body = json.dumps(entries[start : start + self.page]).encode()
        if "tree" not in self.behaviours:
            send(request, 200, body, **headers)
        return body

    def answer_elsewhere(self, request: BaseHTTPRequestHandler) -> None:
        self.elsewhere.append((request.path, request.headers.get("Authorization", "")))
        self.ranges.append(request.headers.get("Range", ""))
        path = unquote(request.path).partition("/resolve/")[2].partition("/")[2]
        body = self.files[path]
        if f"elsewhere/{path}" in self.behaviours:
            self.behaviours[f"elsewhere/{path}"](request, body)
        else:
            send_part(request, body)


@functools.lru_cache(32)
def git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@functools.lru_cache(32)
def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def send_part(request: BaseHTTPRequestHandler, body: bytes, **changes: str) -> None:
    """What a server answers that knows ranges; ``changes`` are headers that it gets wrong."""
    headers = {"ETag": f'"{len(body)}-{zlib.crc32(body[:4096])}"'}
    asked = request.headers.get("Range", "").removeprefix("bytes=").partition("-")
    if not asked[0]:
        send(request, 200, body, **headers | changes)
        return
    begin, end = int(asked[0]), min(int(asked[2]) + 1, len(body))
    headers["Content_Range"] = f"bytes {begin}-{end - 1}/{len(body)}"
    send(request, 206, body[begin:end], **headers | changes)


def with_status(status: int, times: int = 1_000, **headers: str) -> Behaviour:
    """Answers with a status so many times, then as it should."""
    left = [times]

    def behave(request: BaseHTTPRequestHandler, body: bytes) -> None:
        left[0] -= 1
        send(request, status, b"", **headers) if left[0] >= 0 else send(request, 200, body)

    return behave


def redirect(to: str) -> Behaviour:
    return lambda request, _: send(request, 302, b"", Location=to)


def cut(request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Announces the whole body and sends half of it."""
    request.close_connection = True
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[: len(body) // 2])


def until_the_end(request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Does not say how much will come."""
    request.close_connection = True
    request.send_response(200)
    request.end_headers()
    request.wfile.write(body)


def trickle(request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Sends a byte at a time, each soon enough for a timeout of sockets."""
    request.close_connection = True
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    with contextlib.suppress(OSError):
        for byte in body[:100]:
            request.wfile.write(bytes([byte]))
            time.sleep(0.05)


def trickle_headers(request: BaseHTTPRequestHandler, body: bytes) -> None:
    request.close_connection = True
    with contextlib.suppress(OSError):
        request.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.05)


def nonsense(request: BaseHTTPRequestHandler, _: bytes) -> None:
    request.close_connection = True
    request.wfile.write(b"\x00\xff nothing like HTTP\r\n\r\n")


@contextlib.contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The Hub and the host of its large files, each at its own port."""

    def handler(answer: Callable[[BaseHTTPRequestHandler], None]) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    answer(self)

            def setup(self) -> None:
                hub.connections += 1
                super().setup()
                write = self.wfile.write

                def counting(data: Any) -> int:
                    hub.sent += len(data)
                    return write(data)

                self.wfile.write = counting  # type: ignore[method-assign]

            do_HEAD = do_POST = do_GET  # noqa: N815 - the library's

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler

    with contextlib.ExitStack() as stack:
        for answer, name in ((hub.answer, "url"), (hub.answer_elsewhere, "other")):
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler(answer)))
            server.daemon_threads = True
            server.block_on_close = False
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            setattr(hub, name, f"http://127.0.0.1:{server.server_port}")
        yield hub
