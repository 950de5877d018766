"""What reaches no route: foreign hosts and pages, wrong types, bodies that are too large, too slow or no JSON."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import fastapi_offline
import pytest

from linnet.http.app import create_app
from linnet.http.guard import Limits
from linnet.stages.serve import Specialists
from tests.http.conftest import HOST, Client, assert_error

ROUTES = (
    ("GET", "/healthz"),
    ("GET", "/v1/models"),
    ("GET", "/docs"),
    ("GET", "/static-offline-docs/swagger-ui.css"),
    ("GET", "/no/such/route"),
    ("POST", "/v1/classify"),
    ("POST", "/v1/chat/completions"),
    ("OPTIONS", "/v1/classify"),
)
QUESTION = json.dumps({"model": "support", "input": "refund"}).encode()


def ask(client: Client, method: str, path: str, **headers: str) -> Any:
    content = QUESTION if method == "POST" else None
    return client.request(method, path, content=content, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.nip.io", "localhost.evil.example:11500", "10.0.0.1"])
def test_abuse_01_foreign_host(client: Client, specialists: Specialists, method: str, path: str, host: str) -> None:
    assert_error(ask(client, method, path, host=host), 403, type="permission_error", code=None)
    assert specialists.loaded() == []


@pytest.mark.parametrize(
    "hosts", [[], [b""], [b"localhost", b"localhost"], [b"localhost", b"evil.example"], [b"localhost@evil.example"]]
)
def test_abuse_01_not_one_host(client: Client, hosts: list[bytes]) -> None:
    answer = client.raw("/healthz", "/healthz", [(b"host", host) for host in hosts])
    assert answer["status"] == 400
    assert json.loads(answer["body"])["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:11500", HOST])
def test_loopback_names_are_answered(client: Client, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:3000", f"https://{HOST}"])
def test_abuse_03_foreign_origin(client: Client, specialists: Specialists, method: str, path: str, origin: str) -> None:
    response = ask(client, method, path, origin=origin)
    assert_error(response, 403, type="permission_error")
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert specialists.loaded() == []


def test_own_origin_is_answered(client: Client) -> None:
    assert ask(client, "POST", "/v1/classify", origin=f"http://{HOST}").status_code == 200


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/chat/completions"])
@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/plain; application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonp",
        "",
    ],
)
def test_abuse_04_media_type(client: Client, specialists: Specialists, path: str, media_type: str) -> None:
    response = client.post(path, content=QUESTION, headers={"content-type": media_type})
    assert_error(response, 415, type="invalid_request_error")
    assert specialists.loaded() == []


def test_abuse_04_no_media_type_and_compressed(client: Client) -> None:
    assert client.post("/v1/classify", content=QUESTION).status_code == 415
    assert client.post_bytes("/v1/classify", QUESTION, content_encoding="gzip").status_code == 415


def test_utf8_charset_is_taken(client: Client) -> None:
    response = client.post(
        "/v1/classify", content=QUESTION, headers={"content-type": "application/json; charset=UTF-8"}
    )
    assert response.status_code == 200


class Opened:
    """Files that this process opens while it is watched. An audit hook cannot be taken back, only told to be quiet."""

    def __init__(self) -> None:
        self.watching = False
        self.paths: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watching and event == "open":
            self.paths.append(str(arguments[0]))


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()


@pytest.mark.parametrize("root", ["/static-offline-docs", "/ui", "/v1/models", ""])
@pytest.mark.parametrize(
    ("path", "raw_path"),
    [
        ("/../../etc/passwd", "/../../etc/passwd"),
        ("/../../../../../../../../etc/passwd", "/%2e%2e%2f%2e%2e%2fetc/passwd"),
        ("/%2e%2e%2f%2e%2e%2fetc/passwd", "/%252e%252e%252fetc/passwd"),
        ("/..\\..\\etc\\passwd", "/..%5c..%5cetc%5cpasswd"),
        ("/;/../../etc/passwd", "/;/../../etc/passwd"),
        ("/swagger-ui.css\0.html", "/swagger-ui.css%00.html"),
        ("/C:\\windows\\win.ini", "/C:%5Cwindows%5Cwin.ini"),
        ("//host/share", "//host/share"),
        ("//etc/passwd", "//etc/passwd"),
        ("/" + "a" * 5000, "/" + "a" * 5000),
    ],
)
def test_abuse_09_no_path_leaves_the_static_folder(
    client: Client, opened: Opened, root: str, path: str, raw_path: str
) -> None:
    client.get("/v1/models/support")  # FastAPI reads a route's source once, for its messages
    opened.paths.clear()
    opened.watching = True
    answer = client.raw(root + path, root + raw_path, [(b"host", HOST.encode())])
    opened.watching = False
    assert answer["status"] == 404
    assert set(json.loads(answer["body"])["error"]) == {"message", "type", "param", "code"}
    assert opened.paths == []


def test_abuse_10_headers(client: Client) -> None:
    assert_error(client.get("/healthz", headers={"x": "a" * 20 * 1024}), 431, type="invalid_request_error")
    assert client.get("/healthz", headers={"x": "a" * 15 * 1024}).status_code == 200
    assert client.get("/healthz?" + "a" * 17 * 1024).status_code == 431


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


@pytest.mark.parametrize("chunked", [False, True])
def test_abuse_10_body_at_the_limit_and_beyond(client: Client, chunked: bool) -> None:
    limit = Limits().body_bytes
    for size, status in ((limit, 200), (limit + 1, 413), (9 << 20, 413)):
        body = QUESTION.ljust(size)
        response = client.post_bytes("/v1/classify", _parts(body) if chunked else body)
        assert response.status_code == status
        if status == 413:
            assert_error(response, 413, type="invalid_request_error")


def test_abuse_10_body_without_end(specialists: Specialists, runner: asyncio.Runner) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    client = Client(create_app(specialists, limits=Limits(body_seconds=0.05)), runner)
    response = client.post_bytes("/v1/classify", endless())
    assert_error(response, 408, type="invalid_request_error")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("lengths", [[b"-1"], [b"1.5"], [b""], [b"5", b"5"], [b"5", b"6"], [b"9" * 30]])
def test_abuse_10_content_length(client: Client, lengths: list[bytes]) -> None:
    headers = [(b"host", HOST.encode()), (b"content-type", b"application/json")]
    answer = client.raw("/v1/classify", "/v1/classify", [*headers, *((b"content-length", x) for x in lengths)], "POST")
    assert answer["status"] == 400
    both = [*headers, (b"content-length", b"5"), (b"transfer-encoding", b"chunked")]
    assert client.raw("/v1/classify", "/v1/classify", both, "POST")["status"] == 400


def test_bodies_together_have_a_limit(specialists: Specialists, runner: asyncio.Runner) -> None:
    client = Client(create_app(specialists, limits=Limits(held_bytes=1000)), runner)
    response = client.post_bytes("/v1/classify", QUESTION.ljust(1001))
    assert_error(response, 503, code="server_overloaded")
    assert client.post_bytes("/v1/classify", QUESTION.ljust(1000)).status_code == 200
    assert client.post_bytes("/v1/classify", QUESTION.ljust(1000)).status_code == 200  # the first one's are free again


@pytest.mark.parametrize("parts", [10_000, 4_000])
def test_abuse_11_ranges(client: Client, parts: int) -> None:
    response = client.get("/static-offline-docs/swagger-ui.css", headers={"range": "bytes=" + "0-," * parts + "0-"})
    assert response.status_code in (200, 416, 431)
    if response.status_code == 200:
        folder = Path(fastapi_offline.__file__).parent / "static"
        assert response.content == (folder / "swagger-ui.css").read_bytes()


def test_abuse_12_no_websocket_and_no_foreign_event_source(client: Client) -> None:
    sent: list[dict[str, Any]] = []

    async def connect() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        headers = [(b"host", HOST.encode()), (b"origin", b"http://evil.example")]
        scope = {"type": "websocket", "path": "/", "headers": headers, "query_string": b"", "root_path": ""}
        await client.app(scope, receive, send)

    client.runner.run(connect())
    assert [message["type"] for message in sent] == ["websocket.close"]
    headers = {"origin": "http://evil.example", "accept": "text/event-stream"}
    assert client.get("/v1/models", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"{bad",
        b"",
        b"\xff",
        b'{"model": "support", "input": "\xff"}',
        b'{"model": "support", "input": "\\ud800"}',
        b'{"model": "support", "input": ["a", "\\udc00 x"]}',
        b'{"\\ud800": 1}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"model": "support", "model": "other", "input": "a"}',
        b'{"model": "support", "input": "a", "top": NaN}',
        b'{"model": "support", "input": "a", "top": Infinity}',
        b'{"model": "support", "input": "a", "top": 1e999}',
        b'{"model": "support", "input": "a", "top": ' + b"9" * 5000 + b"}",
        b'[{"model": "support", "input": "a"}]',
        b'"text"',
        b"null",
        b'\xef\xbb\xbf{"model": "support", "input": "a"}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_abuse_16_no_json(client: Client, body: bytes) -> None:
    for path in ("/v1/classify", "/v1/chat/completions"):
        assert_error(client.post_bytes(path, body), 400, type="invalid_request_error", code=None)
    assert client.classify().status_code == 200


def test_wrong_method_and_unknown_address(client: Client) -> None:
    for method, path, allow in (("GET", "/v1/classify", "POST"), ("DELETE", "/v1/models", "GET")):
        response = client.request(method, path)
        assert_error(response, 405, type="invalid_request_error")
        assert response.headers["allow"] == allow
    assert_error(client.get("/v2/anything"), 404, type="invalid_request_error")
    assert_error(client.post("/v2/anything", json={}), 404)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_answer_is_guarded(client: Client, method: str, path: str) -> None:
    for headers in ({}, {"host": "evil.example"}):
        response = ask(client, method, path, **headers)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"].startswith("default-src 'self'; ")
        assert response.headers["cross-origin-resource-policy"] == "same-origin"


def test_documentation_page_needs_no_other_host(client: Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+", page.text) == []
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith("/static-offline-docs/")
        assert client.get(address).status_code == 200
    policy = page.headers["content-security-policy"]
    assert "unsafe-eval" not in policy
    assert "script-src 'self' 'sha256-" in policy
    assert "http" not in policy


def test_description_promises_what_is_answered(client: Client) -> None:
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) == {
        "/healthz",
        "/v1/classify",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/extract",
        "/v1/generate",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/ps",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/stop",
        "/v1/tag",
        "/metrics",
        *(f"/api/{name}" for name in ("chat", "embed", "embeddings", "generate", "ps", "show", "tags", "version")),
        *(f"/api/{name}" for name in ("blobs/{digest}", "copy", "create", "delete", "pull")),
    }
    for path, methods in description["paths"].items():
        shape = "OllamaError" if path.startswith("/api/") else "ErrorReply"
        shape = "AnthropicError" if path.startswith("/v1/messages") else shape
        for operation in methods.values():
            assert "422" not in operation["responses"]  # FastAPI's own shape of error, which is never sent
            assert operation["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith(shape)
