"""Who may do what: the key of a request, the right that a route needs, limits for each key. Knows no route's work."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from linnet.core.keys import PREFIX, Key, Keys
from linnet.http.errors import Problem, Refused

CALLER: ContextVar[str] = ContextVar("caller", default="")  # the id of the key that asks; empty without one
COOKIE, QUERY = "linnet_key", "key"
MAX_FIELDS = 64  # of a query
FREE_FAILURES, DELAY_S, FORGET_S, MAX_PEERS = 5, 0.5, 60.0, 4096
OPEN = {"/", "/healthz", "/api/version"}
_MANAGE = {"/v1/stop", "/v1/ps", "/api/ps", "/metrics"}
UPLOADS = "/api/blobs/"
_STORE = {"/api/pull", "/api/create", "/api/copy", "/api/delete"}  # what changes the store
_MODEL_FIELDS = ("model", "name", "from", "source", "destination")
_EMBED = {"/v1/embeddings", "/api/embed", "/api/embeddings"}


def right_for(method: str, path: str) -> str | None:
    """The right that a route needs: "" where any key will do, None where none is needed."""
    if path in OPEN and method in ("GET", "HEAD"):
        return None
    if path in _MANAGE or changes_store(path):
        return "manage"
    if path in _EMBED:
        return "embed"
    if path in ("/v1/classify", "/v1/tag"):
        return "classify"
    return "generate" if method == "POST" and path != "/api/show" else ""


def changes_store(path: str) -> bool:
    """Whether a route changes what the store holds."""
    return path in _STORE or path.startswith(UPLOADS)


class Access:
    """The keys of a server. With `required` nothing but the open routes is answered without one, and as soon as there
    is any key, nothing that changes the store.

    Without it a request may come without a key, but not with a wrong one of ours: other programs' keys are not looked
    at, since clients send some text even where none is wanted.
    """

    def __init__(self, keys: Keys | None = None, *, required: bool = False) -> None:
        self._keys, self.required = keys, required
        self._running: Counter[str] = Counter()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def key_of(self, scope: MutableMapping[str, Any]) -> Key | None:
        """The key of a request, with the right for its route. Raises Refused, after a while for a peer that guesses."""
        method, path = scope["method"], scope["path"]
        right = right_for(method, path)
        if right is None or self._keys is None:
            return None
        required = self.required or (changes_store(path) and self._keys.exist())
        shown = {text for text in _shown(scope) if required or text.startswith(PREFIX)}
        if not shown and not required:
            return None
        found = [key for text in shown if (key := self._keys.find(text)) is not None]
        if len(shown) != 1 or not found:
            await self._slow_down(scope)
            needs = "This server needs a key." if self.required else "Where there are keys, this needs one."
            said = "This key is not known, or it was revoked." if shown else needs
            headers = {"www-authenticate": "Bearer"}
            raise Refused(Problem(401, said, "invalid_api_key", headers=headers))
        if right and not found[0].may(right):
            raise Refused(Problem(403, f"This key has no right to {right}."))
        return found[0]

    async def _slow_down(self, scope: MutableMapping[str, Any]) -> None:
        """Let a peer wait that was wrong often within the last minute."""
        peer, now = str((scope.get("client") or ("",))[0]), time.monotonic()
        count, since = self._failures.pop(peer, (0, now))
        count, since = (1, now) if now - since > FORGET_S else (count + 1, since)
        self._failures[peer] = (count, since)
        while len(self._failures) > MAX_PEERS:
            self._failures.popitem(last=False)
        if count > FREE_FAILURES:
            await asyncio.sleep(DELAY_S)

    def check_model(self, key: Key | None, body: dict[str, Any]) -> None:
        """Raise Refused when the key is not for a model that a body names."""
        if key is None or not key.models:
            return
        for field in _MODEL_FIELDS:
            if isinstance(model := body.get(field), str) and model and not key.may_use(model):
                raise Refused(Problem(403, "This key is not for this model.", param=field))

    @contextmanager
    def running(self, key: Key | None) -> Iterator[None]:
        """Count a request of a key while it is answered. Raises Refused beyond the key's limit."""
        if key is None:
            yield
            return
        if self._running[key.id] >= key.concurrency:
            said = f"This key has {key.concurrency} requests running, which is its limit."
            raise Refused(Problem(429, said, "rate_limit_exceeded", headers={"retry-after": "1"}))
        self._running[key.id] += 1
        token = CALLER.set(key.id)
        try:
            yield
        finally:
            CALLER.reset(token)
            self._running[key.id] -= 1
            if not self._running[key.id]:
                del self._running[key.id]


def _shown(scope: MutableMapping[str, Any]) -> Iterator[str]:
    """Every text that a request shows as its key: as a bearer, a header, a cookie or in the query."""
    for name, value in scope["headers"]:
        text = value.decode("latin-1").strip()
        if name == b"authorization" and text[:7].lower() == "bearer ":
            yield text[7:].strip()
        elif name == b"x-api-key":
            yield text
        elif name == b"cookie":
            try:
                cookie = SimpleCookie(text).get(COOKIE)
            except CookieError:
                continue
            if cookie is not None:
                yield cookie.value
    query = scope.get("query_string", b"").decode("latin-1")
    try:
        fields = parse_qsl(query, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Refused(Problem(400, f"The query has more than {MAX_FIELDS} fields.")) from error
    yield from (value for name, value in fields if name == QUERY)
