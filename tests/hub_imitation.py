"""A hub on this machine, for tests: it speaks the dialect of the public one, and misbehaves on demand.

`hub.lie = "flip"` and the like; `hub.asked` is what it was asked for. tests/hub/test_imitation.py compares it with
what the library huggingface_hub makes of it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
LARGE = (".gguf", ".safetensors", ".bin")


@dataclass
class Asked:
    """One request: its path, its Range, and its token."""

    path: str
    range: str
    token: str


@dataclass
class FakeHub:
    """A repository and the way it is told of. `lie` names one misbehaviour; `lies_left` is how often."""

    files: dict[str, bytes]
    repo: str = "org/tiny"
    commit: str = COMMIT
    licence: str = "apache-2.0"
    token: str = ""
    lie: str = ""
    lies_left: int = 1 << 30
    redirect_to: str = ""
    flip_bit: int = 0
    listing_changes: dict[str, Any] = field(default_factory=dict)
    file_changes: dict[str, Any] = field(default_factory=dict)
    delay_s: float = 0
    cut_at: int = 1000
    asked: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    url: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def bodies(self) -> list[Asked]:
        """The requests for files."""
        return [asked for asked in self.asked if "/resolve/" in asked.path]

    def asked_bytes(self) -> int:
        """How many bytes the ranges asked for add up to."""
        spans = [re.fullmatch(r"bytes=(\d+)-(\d+)", asked.range) for asked in self.bodies()]
        return sum(int(span[2]) - int(span[1]) + 1 for span in spans if span)

    def lying(self, name: str) -> bool:
        if self.lie != name or self.lies_left <= 0:
            return False
        self.lies_left -= 1
        return True

    def listing(self, blobs: bool) -> dict[str, Any]:
        siblings = [self._sibling(name, data) if blobs else {"rfilename": name} for name, data in self.files.items()]
        return {
            "_id": "1", "id": self.repo, "modelId": self.repo, "sha": self.commit, "siblings": siblings,
            "private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0,
            "tags": ["gguf", f"license:{self.licence}"], "cardData": {"license": self.licence},
            **self.listing_changes,
        }  # fmt: skip

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": oid}
        if name.endswith(LARGE):
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entry["lfs"] |= self.file_changes
        return entry

    def tree(self) -> list[dict[str, Any]]:
        rows = []
        for name, data in self.files.items():
            row = self._sibling(name, data)
            found = {"type": "file", "path": name, "size": row["size"], "oid": row["blobId"]}
            if "lfs" in row:
                found["lfs"] = {"oid": row["lfs"]["sha256"], "size": row["size"], "pointerSize": 130}
            rows.append(found)
        return rows


@contextlib.contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve it on a free port of this machine; `hub.url` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                answer(self, hub)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # clients that break off are what is tested

    server = Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.stop.set()
        server.shutdown()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, hub: FakeHub) -> None:
    parts = urlsplit(request.path)
    path, token = unquote(parts.path), request.headers.get("authorization", "")
    hub.asked.append(Asked(path, request.headers.get("range", ""), token))
    if hub.token and token != f"Bearer {hub.token}":
        return send(request, 401, b'{"error": "Invalid credentials"}')
    if hub.lying("500"):
        return send(request, 500, b"oops")
    if hub.lying("429"):
        return send(request, 429, b"slow down", {"retry-after": "0"})
    if hub.lying("no json"):
        return send(request, 200, b"<html>please log in</html>")
    if hub.lying("long listing"):
        return send(request, 200, b'{"sha": "' + b"0" * (5 << 20) + b'"}')
    if hub.lying("endless listing"):
        return endless(request, hub)
    if match := re.fullmatch(rf"/api/models/{hub.repo}(?:/revision/([^/]+))?", path):
        if match[1] not in (None, "main", "v1", hub.commit):
            return send(request, 404, b'{"error": "Invalid rev id"}', {"x-error-code": "RevisionNotFound"})
        return send(request, 200, json.dumps(hub.listing("blobs" in parse_qs(parts.query))).encode())
    if re.fullmatch(rf"/api/models/{hub.repo}/tree/[^/]+", path):
        return send(request, 200, json.dumps(hub.tree()).encode())
    if match := re.fullmatch(rf"/{hub.repo}/resolve/([^/]+)/(.+)", path):
        return send_file(request, hub, match[2])
    return send(request, 404, b'{"error": "Repository not found"}', {"x-error-code": "RepoNotFound"})


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in {"content-type": "application/json", **(headers or {})}.items():
        request.send_header(name, value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def endless(request: BaseHTTPRequestHandler, hub: FakeHub) -> None:
    """A chunked body without an end."""
    request.send_response(200)
    request.send_header("transfer-encoding", "chunked")
    request.end_headers()
    while not hub.stop.is_set():
        request.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")


def gzip_bomb(request: BaseHTTPRequestHandler) -> None:
    """Ten gigabytes of zeros in ten megabytes: a thousand members of a kilobyte, and again."""
    member = gzip.compress(bytes(1 << 20), 9)
    send(request, 200, member * 10_240, {"content-encoding": "gzip"})


def send_file(request: BaseHTTPRequestHandler, hub: FakeHub, name: str) -> None:
    if name not in hub.files:
        return send(request, 404, b'{"error": "Entry not found"}', {"x-error-code": "EntryNotFound"})
    data = hub.files[name]
    sha256 = hashlib.sha256(data).hexdigest()
    large = name.endswith(LARGE)
    own = {"x-repo-commit": hub.commit, "etag": f'"{sha256}"', "accept-ranges": "bytes"}
    if large:
        own |= {"x-linked-etag": f'"{sha256}"', "x-linked-size": str(len(data))}
    if hub.lying("other commit"):
        own["x-repo-commit"] = "d" * 40
    if hub.lying("other etag"):
        own["x-linked-etag"] = '"../../etc/passwd"'
    if hub.redirect_to:
        return send(request, 302, b"", {**own, "location": hub.redirect_to})
    if hub.lie == "loop":
        return send(request, 302, b"", {**own, "location": request.path})
    if hub.lying("gzip bomb"):
        return gzip_bomb(request)
    if hub.lying("flip"):
        data = flipped(data, hub.flip_bit)
    return send_range(request, hub, data, own)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def send_range(request: BaseHTTPRequestHandler, hub: FakeHub, data: bytes, headers: dict[str, str]) -> None:
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    first, last, status = 0, len(data) - 1, 200
    if asked and not hub.lying("no ranges"):
        first, last, status = int(asked[1]), min(int(asked[2] or last), last), 206
        total = len(data) + (1 if hub.lying("other total") else 0)
        headers = {**headers, "content-range": f"bytes {first}-{last}/{total}"}
    body = data[first : last + 1]
    if hub.lying("longer"):
        body += b"more"
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    if request.command == "HEAD":
        return
    if hub.lying("truncate"):
        request.wfile.write(body[: hub.cut_at])
        hub.sent_bytes += min(hub.cut_at, len(body))
        request.close_connection = True
        request.connection.close()
        return
    if hub.lying("stall"):
        request.wfile.write(body[: hub.cut_at])
        request.wfile.flush()
        hub.stop.wait(5)
        return
    if hub.lying("trickle"):
        for number in range(len(body)):
            request.wfile.write(body[number : number + 1])
            request.wfile.flush()
            if hub.stop.wait(0.05):
                return
    for start in range(0, len(body), 16384):
        if hub.delay_s and hub.stop.wait(hub.delay_s):
            return
        request.wfile.write(body[start : start + 16384])
        hub.sent_bytes += len(body[start : start + 16384])
