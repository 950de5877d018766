"""An application behind uvicorn on a free port, with Linnet's own protocol, as long as the block runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from linnet.http import server


@asynccontextmanager
async def listening(app: FastAPI, protocol: type[server.Protocol] = server.Protocol) -> AsyncIterator[int]:
    """Gives the port."""
    bound = server.bind("127.0.0.1", 0)
    running = uvicorn.Server(server.configuration(app, protocol))
    task = asyncio.create_task(running.serve(sockets=[bound]))
    try:
        yield bound.getsockname()[1]
    finally:
        running.should_exit = True
        await task
