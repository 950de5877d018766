"""HTTP to llama.cpp's server over a worker's unix socket: one call, one connection.

http.client instead of httpx: a stream must be cancellable from another thread while it waits for its first byte,
and that takes the socket itself. Knows no model and no request's meaning.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

from linnet.core.errors import ContextExceeded, EngineError, InputError

CALL_S = 60.0
STALL_S = 120.0  # between two signs of life of one generation; the engine reports at least once a batch
MAX_LINE = 8 << 20
MAX_ANSWER = 256 << 20


class EngineGone(EngineError):
    """The connection broke: the worker crashed, was killed, or was closed."""


class EngineStalled(EngineError):
    """The engine said nothing for too long."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("engine", timeout=timeout_s)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _raise_for(status: int, body: bytes) -> NoReturn:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        error = None
    _raise_error(status, error if isinstance(error, dict) else {})


def _raise_error(status: int, error: dict[str, Any]) -> NoReturn:
    """Turn the engine's error into one of ours."""
    message = str(error.get("message", "no reason given"))[:500]
    if error.get("type") == "exceed_context_size_error":
        tokens, context = error.get("n_prompt_tokens"), error.get("n_ctx")
        if isinstance(tokens, int) and isinstance(context, int):
            raise ContextExceeded(tokens, context)
    if status == 400:
        raise InputError(f"The engine refused the request: {message}")
    raise EngineError(f"The engine answered {status}: {message}")


class EngineClient:
    """Calls to one worker. `stall_s` bounds the silence inside a generation."""

    def __init__(self, socket_path: Path, key: str, stall_s: float = STALL_S) -> None:
        self._path = socket_path
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Connection": "close"}
        self.stall_s = stall_s

    def call(self, route: str, body: dict[str, Any], timeout_s: float = CALL_S) -> Any:
        """POST and read the whole JSON answer. Raises EngineGone, EngineStalled, InputError or EngineError."""
        connection = _UnixConnection(self._path, timeout_s)
        try:
            connection.request("POST", route, json.dumps(body), self._headers)
            with contextlib.closing(connection.getresponse()) as response:
                data = response.read(MAX_ANSWER)
        except TimeoutError as error:
            raise EngineStalled(f"The engine gave no answer to {route} within {timeout_s:.0f} s.") from error
        except (OSError, http.client.HTTPException) as error:
            raise EngineGone(f"The engine's connection broke: {type(error).__name__}.") from error
        finally:
            connection.close()
        if response.status != 200:
            _raise_for(response.status, data)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"The engine's answer to {route} is not JSON.") from error

    def stream(self, route: str, body: dict[str, Any]) -> EventStream:
        return EventStream(_UnixConnection(self._path, self.stall_s), route, json.dumps(body), self._headers)


class EventStream:
    """Server-sent events of one POST, as JSON objects. `cancel` ends it from any thread, also before its first byte."""

    def __init__(self, connection: _UnixConnection, route: str, body: str, headers: dict[str, str]) -> None:
        self._connection = connection
        self._request = (route, body, headers)
        self._socket: socket.socket | None = None
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        if (link := self._socket) is not None:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)  # wakes the reader; close() would not

    def events(self) -> Generator[dict[str, Any], None, None]:
        """Events until the stream ends, nothing more once cancelled. Raises as EngineClient.call does."""
        try:
            yield from self._events()
        except TimeoutError as error:
            raise EngineStalled(f"The engine said nothing for {self._connection.timeout:.0f} s.") from error
        except (OSError, http.client.HTTPException) as error:
            if not self.cancelled:
                raise EngineGone(f"The engine's connection broke: {type(error).__name__}.") from error
        finally:
            self._connection.close()

    def _events(self) -> Iterator[dict[str, Any]]:
        route, body, headers = self._request
        self._connection.connect()
        self._socket = self._connection.sock
        if self.cancelled:
            return
        self._connection.request("POST", route, body, headers)
        # Closed by name: with "Connection: close" the connection has let go of it, and its file holds the socket open.
        with contextlib.closing(self._connection.getresponse()) as response:
            if response.status != 200:
                _raise_for(response.status, response.read(MAX_LINE))
            yield from self._lines(response)

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        limit, last = self._connection.timeout or STALL_S, time.monotonic()
        while line := response.readline(MAX_LINE):
            if line.startswith(b"data: {"):
                last = time.monotonic()
                yield self._parse(line[6:])
            elif line.startswith(b"error: {"):
                self._parse(b'{"error":' + line[7:] + b"}")
            elif time.monotonic() - last > limit:  # pings keep the socket warm while the engine itself hangs
                raise TimeoutError

    @staticmethod
    def _parse(data: bytes) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EngineError("The engine sent an event that is not JSON.") from error
        if not isinstance(event, dict):
            raise EngineError("The engine sent an event that is not an object.")
        if isinstance(said := event.get("error"), dict):
            _raise_error(500 if said.get("code") != 400 else 400, said)
        return event
