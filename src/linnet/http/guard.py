"""The door: what a request must be before any route sees it, and what every answer carries.

Host, Origin, header size, media type, body size and time, JSON, a trace. Pure ASGI; knows no model, and of routes only
which of them take a stream of bytes instead of JSON.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from linnet.core.keys import Key
from linnet.http.access import UPLOADS, Access
from linnet.http.errors import ClientGone, Problem, Refused, ServerBusy, describe, report
from linnet.http.metrics import Metrics
from linnet.http.strict_json import parse_object
from linnet.http.tracing import CURRENT, Draft, Recorder

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PARSED = "linnet.json"  # where a route finds the body that was checked
CSP = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    b"content-security-policy": CSP.encode(),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_BIG_JSON_BYTES = 1 << 16  # beyond this, parsing would hold up other requests


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take, and what all bodies together may take while they are answered."""

    body_bytes: int = 8 << 20
    header_bytes: int = 16 << 10
    body_seconds: float = 30.0
    held_bytes: int = 128 << 20


class HostNames:
    """The names that the Host header may hold; they can be set anew while the server runs."""

    def __init__(self, names: Iterable[str]) -> None:
        self.set(names)

    def set(self, names: Iterable[str]) -> None:
        self.names = frozenset(name.lower().strip("[]") for name in names)


class _Request:
    """The headers that decide, each read once and strictly."""

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope["method"]
        self.scheme: str = scope.get("scheme", "http")
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        target = scope.get("raw_path") or scope["path"].encode()
        lines = sum(len(name) + len(value) + 4 for name, value in self._headers)
        self.header_bytes = lines + len(target) + len(scope.get("query_string", b""))

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1").strip() for key, value in self._headers if key.lower() == name]

    def without(self, name: bytes) -> list[tuple[bytes, bytes]]:
        return [(key, value) for key, value in self._headers if key.lower() != name]

    def body_length(self) -> int | None:
        """The announced length; None when it is not known beforehand. Raises Refused for a doubtful one."""
        lengths, codings = self.all(b"content-length"), self.all(b"transfer-encoding")
        if len(lengths) > 1 or (lengths and codings):
            raise Refused(Problem(400, "The length of the body is given more than once."))
        if codings:
            return None
        if lengths and not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
            raise Refused(Problem(400, "Content-Length must be a whole number of 0 or more."))
        return int(lengths[0]) if lengths else 0


class _Reply:
    """Passes the answer on, with the headers that every answer carries."""

    def __init__(self, send: Send, path: str, metrics: Metrics, draft: Draft | None) -> None:
        self.started = False
        self.status = 0
        self._metrics, self.draft = metrics, draft
        self.path = path  # says which dialect an error is told in
        self.close = False  # set while a part of the body is unread: the connection ends with the answer
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = list(message.get("headers", []))
            there = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _HEADERS.items() if name not in there]
            if self.draft is not None:
                headers.append((b"x-request-id", self.draft.id.encode()))
            if self.close:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        self._metrics.refused(problem)
        if self.draft is not None:
            self.draft.failed(problem)
        body = problem.encode(self.path)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        await self({"type": "http.response.start", "status": problem.status_at(self.path), "headers": headers})
        await self({"type": "http.response.body", "body": body})


class Guard:
    """Middleware in front of every route. `hosts` are the names that the Host header may hold; `access` knows the keys.
    `traced` are the routes whose POST and DELETE requests leave a trace with the `recorder`. `admit` raises for the
    path of a request that the server is too busy for, before its body is looked at.

    Answers every exception that comes out of the routes, so that none reaches the server or its log unread.
    """

    def __init__(
        self,
        app: App,
        hosts: HostNames,
        limits: Limits | None = None,
        *,
        access: Access | None = None,
        metrics: Metrics | None = None,
        recorder: Recorder | None = None,
        traced: Collection[str] = (),
        admit: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.app = app
        self.access, self.metrics = access or Access(), metrics or Metrics()
        self.hosts, self._recorder, self._traced = hosts, recorder or Recorder(), frozenset(traced)
        self.limits, self._admit = limits or Limits(), admit
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        draft = self._drafted(scope["method"], scope["path"])
        reply, scope = _Reply(send, scope["path"], self.metrics, draft), dict(scope)
        started, token = time.monotonic(), CURRENT.set(draft)
        try:
            await self._guarded(scope, receive, reply)
        finally:
            CURRENT.reset(token)
            if draft is not None:
                self._recorder.note(draft, reply.status)
            route = str(getattr(scope.get("route"), "path", "(none)"))
            # A client that left before its answer began has no status.
            self.metrics.answered(scope["method"], route, reply.status, time.monotonic() - started)

    def _drafted(self, method: str, path: str) -> Draft | None:
        route = f"{UPLOADS}{{digest}}" if path.startswith(UPLOADS) else path
        if method not in ("POST", "DELETE") or route not in self._traced:
            return None
        return Draft(method, route, keep_texts=self._recorder.keeps_texts)

    async def _guarded(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        try:
            await self._answer(scope, receive, reply)
        except ClientGone:
            return
        except asyncio.CancelledError:  # the drain is over; the server's own answer would be plain text
            if not reply.started:
                await reply.problem(describe(ServerBusy("The server is stopping; the request was not finished.")))
        except Exception as error:  # the one place where nothing may pass
            report(error, f"{scope['method']} {getattr(scope.get('route'), 'path', '(no route)')}")
            if not reply.started:
                await reply.problem(describe(error))

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        request = _Request(scope)
        reply.close = bool(request.all(b"transfer-encoding") or request.all(b"content-length") not in ([], ["0"]))
        if request.header_bytes > self.limits.header_bytes:
            raise Refused(Problem(431, f"The headers are larger than {self.limits.header_bytes} bytes."))
        self._check_host(request)
        request.body_length()  # a doubtful one is refused before anything else is looked at
        # A part of a file is never worth the work of splitting it: the whole file is a correct answer too.
        scope["headers"] = request.without(b"range")
        key = await self.access.key_of(scope)
        if reply.draft is not None and key is not None:
            reply.draft.key = key.id
        if request.method not in ("POST", "DELETE") or (request.method == "DELETE" and not reply.close):
            await self.app(scope, receive, reply)
            return
        if scope["path"].startswith(UPLOADS):
            with self.access.running(key):
                await self.app(scope, self._watched(receive, reply), reply)
            return
        if scope["path"].startswith("/api/") and not request.all(b"content-type") and not _is_from_a_page(request):
            scope["headers"] = [*scope["headers"], (b"content-type", b"application/json")]
        else:
            _check_media_type(request)
        with self.access.running(key):
            await self._answer_body(scope, receive, reply, request, key)

    async def _answer_body(
        self, scope: Scope, receive: Receive, reply: _Reply, request: _Request, key: Key | None
    ) -> None:
        body, length = bytearray(), request.body_length()
        try:
            await self._read(request, length, receive, body)
            reply.close = False
            self._admit(scope["path"])
            scope[PARSED] = await _parse(bytes(body))
            self.access.check_model(key, scope[PARSED])
            await self.app(scope, _replay(bytes(body), receive), reply)
        finally:
            self._held_bytes -= len(body)

    def _watched(self, receive: Receive, reply: _Reply) -> Receive:
        """A `receive` for a body that is read piece by piece: each must come in time."""

        async def receive_part() -> Message:
            try:
                async with asyncio.timeout(self.limits.body_seconds if reply.close else None):
                    message = await receive()
            except TimeoutError as error:
                seconds = f"{self.limits.body_seconds:g}"
                raise Refused(Problem(408, f"Nothing of the body arrived for {seconds} seconds.")) from error
            if message["type"] == "http.request" and not message.get("more_body", False):
                reply.close = False
            return message

        return receive_part

    def _check_host(self, request: _Request) -> None:
        found = request.all(b"host")
        if len(found) != 1 or not (match := _AUTHORITY.fullmatch(found[0].lower())):
            raise Refused(Problem(400, "The request needs exactly one Host header, which names this server."))
        if match[1].strip("[]") not in self.hosts.names:
            known = ", ".join(sorted(self.hosts.names))
            raise Refused(Problem(403, f"This server does not answer to that Host. It answers to: {known}."))
        own = f"{request.scheme}://{found[0]}".lower()
        if any(origin.lower() != own for origin in request.all(b"origin")):
            raise Refused(Problem(403, "Requests from pages of another origin are refused."))

    async def _read(self, request: _Request, length: int | None, receive: Receive, body: bytearray) -> None:
        """Fill `body`. A body that is too large is read on for a while, so that the client hears the answer."""
        limit = self.limits.body_bytes
        too_large = length is not None and length > limit
        if too_large and request.all(b"expect"):
            raise _too_large(limit)
        size, more = 0, True
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while more and size <= 4 * limit:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    too_large = too_large or size > limit
                    if not too_large:
                        self._hold(part, body)
        except TimeoutError as error:
            seconds = f"{self.limits.body_seconds:g}"
            raise Refused(Problem(408, f"The body did not arrive within {seconds} seconds.")) from error
        if too_large:
            raise _too_large(limit)

    def _hold(self, part: bytes, body: bytearray) -> None:
        if self._held_bytes + len(part) > self.limits.held_bytes:
            raise ServerBusy("The server is busy with other large requests; try again soon.")
        self._held_bytes += len(part)
        body += part


def _too_large(limit: int) -> Refused:
    return Refused(Problem(413, f"The body is larger than {limit} bytes."))


def _is_from_a_page(request: _Request) -> bool:
    """Whether a browser sent it. Some clients of Ollama name no type at all, which a page could do too."""
    return any(request.all(name) for name in (b"origin", b"referer", b"cookie", b"sec-fetch-site", b"sec-fetch-mode"))


def _check_media_type(request: _Request) -> None:
    found = request.all(b"content-type")
    media_type, _, parameters = found[0].partition(";") if len(found) == 1 else ("", "", "")
    charset = re.fullmatch(r'\s*(charset\s*=\s*"?utf-8"?)?\s*', parameters, re.IGNORECASE)
    if media_type.strip().lower() != "application/json" or not charset:
        raise Refused(Problem(415, "The body must be JSON in UTF-8, sent with Content-Type: application/json."))
    if any(coding.lower() != "identity" for coding in request.all(b"content-encoding")):
        raise Refused(Problem(415, "Compressed bodies are not read; send the JSON as it is."))


async def _parse(body: bytes) -> dict[str, Any]:
    return await to_thread.run_sync(parse_object, body) if len(body) > _BIG_JSON_BYTES else parse_object(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands over a body that was already read, and then what the client does."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
