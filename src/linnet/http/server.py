"""One listening socket and the server behind it. Binds loopback addresses, and others only where a key is needed."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from linnet.core.errors import InputError, LinnetError
from linnet.http.errors import Problem
from linnet.http.guard import Limits

DRAIN_S = 30
LINGER_S = 2.0  # how long a client that still sends may take to notice that it was answered
_PROBLEMS = {
    400: "This is not a valid HTTP request.",
    431: f"The headers are larger than {Limits().header_bytes} bytes.",
    501: "This transfer coding is not supported.",
}


def address_of(host: str) -> str:
    """The address that a host means. Raises InputError for a name: it is not looked up, that would ask the network."""
    address = "127.0.0.1" if host.lower() == "localhost" else host.strip("[]")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError as error:
        raise InputError(
            f"{host[:80]!r} is not an address.", "Say a number such as 127.0.0.1 or 0.0.0.0; names are not looked up."
        ) from error


def is_public(host: str) -> bool:
    """Whether other machines could reach it. Raises InputError for a name."""
    return not ipaddress.ip_address(address_of(host)).is_loopback


def loopback(host: str) -> str:
    """The address of a host that is this machine. Raises InputError for one that other machines could reach."""
    if is_public(host):
        raise InputError(
            f"Serving on {host[:80]!r} needs a key.",
            "Make one with: linnet keys create NAME. Or serve on 127.0.0.1.",
        )
    return address_of(host)


def bind(host: str, port: int, *, public: bool = False) -> socket.socket:
    """A bound socket; port 0 takes a free one. `public` says that keys are asked for, so that any address will do.

    Raises InputError for an address that is not loopback otherwise, or a port out of range, before any socket exists;
    LinnetError when the port is taken or cannot be had.
    """
    address = address_of(host) if public else loopback(host)
    if not 0 <= port <= 65535:
        raise InputError(f"Port {port} is not a port: it must be 0 to 65535.")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY; without it every answer waits 40 ms for the client's ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(2048)  # here, since two sockets may be bound to one port until one listens
    except OSError as error:
        bound.close()
        reason = "it is in use" if error.errno == errno.EADDRINUSE else str(error.strerror or error)
        raise LinnetError(
            f"Port {port} of {address} cannot be had: {reason}.",
            "Choose another one with --port, or --port 0 for any free one.",
        ) from error
    return bound


def url(bound: socket.socket) -> str:
    """The address that clients use."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Lingering:
    """A transport that closes its writing side first while the client still sends.

    A socket closed with bytes unread resets the connection, and the client may lose the answer that is on its way.
    """

    def __init__(self, transport: asyncio.Transport, protocol: Protocol) -> None:
        self._transport, self._protocol = transport, protocol
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._timer is not None or self._transport.is_closing()

    def close(self) -> None:
        """A second call closes at once."""
        if self.is_closing() or self._protocol.conn.their_state is not h11.SEND_BODY:
            self._transport.close()
            return
        self._timer = self._protocol.loop.call_later(LINGER_S, self._transport.abort)
        self._transport.write_eof()
        self._transport.resume_reading()

    def forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, with our shape of error and limits on how long headers and a stalled reader may take."""

    header_seconds = 30.0
    write_seconds = 30.0
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _lingering: _Lingering

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._lingering = _Lingering(transport, self)
        super().connection_made(self._lingering)  # type: ignore[arg-type]
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._lingering.is_closing():  # it was answered: what it still sends is read and dropped
            return
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lingering.forget()
        self._stop_watch()
        self._reads_again()

    def pause_writing(self) -> None:
        """The client does not read what waits for it."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reads_again()

    def _reads_again(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _watch(self) -> None:
        """Close a connection whose next request's headers are not there in time."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_watch()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self.transport.abort)

    def _stop_watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP. uvicorn calls this while it handles h11's error, which knows the status."""
        del msg
        status = int(getattr(sys.exception(), "error_status_hint", 400))
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer has begun: it must not look whole
            self.transport.abort()
            return
        problem = Problem(status, _PROBLEMS.get(status, _PROBLEMS[400]))
        headers = [("content-type", "application/json"), ("connection", "close"), ("x-content-type-options", "nosniff")]
        events: list[Any] = [
            h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode()),
            h11.Data(data=problem.encode()),
            h11.EndOfMessage(),
        ]
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], on_hangup: Callable[[], object] | None
    ) -> None:
        super().__init__(config)
        self._on_ready, self._on_hangup = on_ready, on_hangup
        self._reloads = ThreadPoolExecutor(1, "linnet-reload")  # one after another, beside the requests

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if not self.started:
            return
        if (reload := self._on_hangup) is not None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, lambda: self._reloads.submit(reload))
        self._on_ready()


def configuration(app: FastAPI, protocol: type[Protocol] = Protocol) -> uvicorn.Config:
    """How uvicorn serves: HTTP/1.1 only, no log of requests, nobody's forwarded headers believed."""
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=Limits().header_bytes,
        timeout_graceful_shutdown=DRAIN_S,
    )


def run(
    app: FastAPI, bound: socket.socket, on_ready: Callable[[], None], on_hangup: Callable[[], object] | None = None
) -> None:
    """Serve until SIGTERM, which drains for at most 30 seconds and returns, or Ctrl-C, which raises KeyboardInterrupt.

    Calls `on_ready` once requests are answered, and `on_hangup` in a thread at each SIGHUP.
    """
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    server = _Server(configuration(app), on_ready, on_hangup)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal again after its drain, for whoever handled it before: let that be us, for exit code 0.
    before = signal.signal(signal.SIGTERM, stop)
    try:
        server.run(sockets=[bound])
    finally:
        signal.signal(signal.SIGTERM, before)
        bound.close()
