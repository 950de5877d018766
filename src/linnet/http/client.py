"""Asks the server that runs on this machine. Loopback only; one request, one connection."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from linnet.core import settings
from linnet.core.errors import InputError, LinnetError, ModelBusy, NotFound, ResourceMissing
from linnet.http.server import loopback

TIMEOUT_S = 60.0
_ERRORS: dict[int, type[LinnetError]] = {400: InputError, 404: NotFound, 409: ModelBusy}


def call(host: str, port: int, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the server answers.

    Raises ResourceMissing when none listens there, InputError for an address that is not loopback, and the error
    that the server names.
    """
    address = loopback(host)
    where = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    try:
        status, answer = asyncio.run(_exchange(address, port, f"{method} {path}", body))
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        raise ResourceMissing(f"No Linnet server answers at {where}.", "Start it with: linnet serve") from error
    if status in (401, 403):
        raise InputError(f"{where} needs a key with the right to manage.", "Set LINNET_KEY to one.")
    if status != 200:
        problem = answer.get("error") if isinstance(answer, dict) else None
        message = problem.get("message") if isinstance(problem, dict) else None
        raise _ERRORS.get(status, LinnetError)(str(message or f"{where} answered {status}."))
    return answer


async def _exchange(host: str, port: int, line: str, body: dict[str, Any] | None) -> tuple[int, Any]:
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            content = b"" if body is None else json.dumps(body).encode()
            head = f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            if key := settings.get("LINNET_KEY"):
                if not (key.isascii() and key.isprintable()):
                    raise InputError("LINNET_KEY is not a key.", "Make one with: linnet keys create NAME")
                head += f"X-Api-Key: {key}\r\n"
            if body is not None:
                head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            writer.write(head.encode() + b"\r\n" + content)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            return int(answer.split(b" ", 2)[1]), json.loads(await reader.read())
        finally:
            writer.close()
