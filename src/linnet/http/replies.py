"""An answer on its way to a client: whole as JSON, or piece by piece. Watches whether the client is still there.

Knows no dialect: a Rendering turns events into its text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from linnet.core.errors import EngineError
from linnet.engines.requests.generation import Generation, Piece, TokenLogprob
from linnet.http.errors import ClientGone, Problem, ServerBusy, describe, report
from linnet.http.generations import Answering, Item
from linnet.http.tracing import note_problem

LAST_WORDS_S = 5.0  # for the error that ends a stream when the server stops


@dataclass(slots=True)
class Choice:
    """One finished answer."""

    end: Generation
    logprobs: list[TokenLogprob] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)


class Rendering(Protocol):
    """A dialect's way to write an answer. `stream` says whether it is written piece by piece."""

    stream: bool
    media_type: str

    def whole(self, choices: list[Choice], answering: Answering, /) -> dict[str, Any]: ...
    def start(self, answering: Answering, /) -> str:
        """What comes before the first event."""
        ...

    def event(self, index: int, event: Piece | Generation, /) -> str: ...
    def finish(self, answering: Answering, /) -> str:
        """What comes after the last event."""
        ...

    def failed(self, problem: Problem) -> str:
        """What a stream ends with instead of a normal end."""
        ...


def sse(data: Any, event: str = "") -> str:
    """One frame of server-sent events."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data)}\n\n"


async def gather(answering: Answering) -> list[Choice]:
    """Every answer, whole. Raises what ended one before its end."""
    choices: list[Choice] = []
    pieces = Choice(end=None)  # type: ignore[arg-type]
    async for batch in answering.batches():
        for _, event in batch:
            if isinstance(event, Piece):
                pieces.logprobs += event.logprobs
                pieces.token_ids += event.token_ids
            else:
                choices.append(Choice(event, pieces.logprobs, pieces.token_ids))
                pieces = Choice(end=None)  # type: ignore[arg-type]
    if any(choice.end.finish_reason == "cancelled" for choice in choices):
        raise _broken_off()
    return choices


def _broken_off() -> EngineError:
    return EngineError("The generation ended before its end.")


class Reply(Response):
    """Sends the answer. A client that leaves, and a server that stops, end the generation."""

    def __init__(self, answering: Answering, rendering: Rendering) -> None:
        super().__init__()
        self._answering, self._rendering = answering, rendering
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._work(scope, send))
        watch = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._answering.stop(ClientGone())
            await work
        except asyncio.CancelledError:  # the drain is over
            self._answering.stop(ServerBusy("The server is stopping; the request was not finished."))
            await asyncio.wait([work], timeout=LAST_WORDS_S)
            if not work.done():
                work.cancel()
                raise
            work.result()
        finally:
            self._answering.stop(ClientGone())
            work.cancel()
            watch.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await watch

    async def _work(self, scope: Scope, send: Send) -> None:
        if not self._rendering.stream:
            body = self._rendering.whole(await gather(self._answering), self._answering)
            await Response(json.dumps(body).encode(), media_type="application/json")(scope, _nothing, send)
            return
        try:
            async for text in self._texts():
                await self._send(send, text)
        except ClientGone:
            raise
        except Exception as error:
            if not self._started:
                raise
            report(error, f"{scope['method']} {scope['path']}, in the middle of an answer")
            note_problem(problem := describe(error))
            await self._send(send, self._rendering.failed(problem))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _texts(self) -> AsyncIterator[str]:
        ends: list[Generation] = []
        async for batch in self._answering.batches():
            head = "" if ends or self._started else self._rendering.start(self._answering)
            yield head + "".join(self._rendered(item, ends) for item in batch)
        if not ends or any(end.finish_reason == "cancelled" for end in ends):
            raise _broken_off()
        yield self._rendering.finish(self._answering)

    def _rendered(self, item: Item, ends: list[Generation]) -> str:
        index, event = item
        if isinstance(event, Generation):
            ends.append(event)
            if event.finish_reason == "cancelled":
                return ""
        return self._rendering.event(index, event)

    async def _send(self, send: Send, text: str) -> None:
        if not self._started:
            self._started = True
            headers = [
                (b"content-type", self._rendering.media_type.encode()),
                (b"cache-control", b"no-cache"),
                (b"x-accel-buffering", b"no"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        if text:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nothing() -> Any:
    return {"type": "http.disconnect"}
