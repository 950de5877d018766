"""What happens below the application: bytes that are not HTTP, headers that never end, addresses to bind."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

import pytest

from linnet.core.errors import InputError, LinnetError
from linnet.http import server
from linnet.http.app import create_app
from linnet.stages.serve import Specialists
from tests.http.listening import listening


class Hasty(server.Protocol):
    header_seconds = 0.1


async def exchange(port: int, *parts: bytes) -> tuple[int, dict[str, object]]:
    """Status and JSON of what comes back for these bytes, read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)  # so that the parts arrive as parts
    raw = await reader.read()
    writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])


@pytest.mark.parametrize(
    ("status", "parts"),
    [
        (400, [b"nonsense\r\n\r\n"]),
        (400, [b"GET / HTTP/1.1\r\n\r\n"]),
        (400, [b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"]),
        (400, [b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"]),
        (400, [b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"]),
        (431, [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 12_000, b"a" * 12_000]),
        (501, [b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"]),
    ],
)
def test_abuse_10_what_is_not_http(
    specialists: Specialists, runner: asyncio.Runner, status: int, parts: list[bytes]
) -> None:
    async def check() -> None:
        async with listening(create_app(specialists)) as port:
            found, body = await exchange(port, *parts)
            assert found == status
            assert set(body["error"]) == {"message", "type", "param", "code"}  # type: ignore[arg-type]
            request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert (await exchange(port, request))[0] == 200

    runner.run(check())


WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("parts", [[], [b"GET /healthz HT"], [WHOLE, b"GET /"]])
def test_connections_without_a_request_are_closed(
    specialists: Specialists, runner: asyncio.Runner, parts: list[bytes]
) -> None:
    async def check() -> None:
        async with listening(create_app(specialists), Hasty) as port, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for part in parts:
                writer.write(part)
                if part == WHOLE:
                    await reader.readuntil(b"}")
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    runner.run(check())


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.nip.io", "", "::ffff:10.0.0.1", "1.2.3.4.5"]
)
def test_only_loopback_is_bound(host: str) -> None:
    with pytest.raises(InputError, match=r"needs a key|is not an address"):
        server.bind(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_is_bound(host: str) -> None:
    with server.bind(host, 0) as bound:
        address, port = bound.getsockname()
        assert address == ("127.0.0.2" if host == "127.0.0.2" else "127.0.0.1")
        assert server.url(bound) == f"http://{address}:{port}"
        assert bound.proto == socket.IPPROTO_TCP  # else asyncio leaves Nagle's algorithm on: 40 ms an answer


def test_port_in_use_or_impossible() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LinnetError, match=f"Port {port} of 127.0.0.1 cannot be had: it is in use") as caught:
            server.bind("127.0.0.1", port)
        assert caught.value.exit_code == 1
    for port in (-1, 65536):
        with pytest.raises(InputError):
            server.bind("127.0.0.1", port)
