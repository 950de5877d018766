"""The Anthropic dialect: messages, and how many tokens they are. Translates; what runs is elsewhere."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import GenerateRequest, Generation, Piece
from linnet.engines.requests.tools import ToolCall
from linnet.http.anthropic_bodies import CountBody, MessagesBody
from linnet.http.bodies import ANTHROPIC_ERRORS, CheckedRoute
from linnet.http.decoders import DecoderInfo
from linnet.http.errors import Problem, about
from linnet.http.generations import Answering
from linnet.http.native import serving
from linnet.http.openai_generate import sampling_of
from linnet.http.replies import Choice, Reply, sse

router = APIRouter(route_class=CheckedRoute, responses=ANTHROPIC_ERRORS)


@router.post("/v1/messages", summary="An answer to a chat, for Anthropic's clients", response_model=None)
async def messages(body: MessagesBody, request: Request) -> Response:
    shared = serving(request)
    info, tools = shared.decoder(body.model), body.chosen_tools()
    with about("messages"):
        made = GenerateRequest(
            messages=body.turns(),
            sampling=sampling_of(None, temperature=body.temperature, top_p=body.top_p, top_k=body.top_k),
            max_tokens=body.max_tokens,
            stop=tuple(body.stop_sequences or ()),
            json_schema=body.json_schema(),
            **tools,
        )
    answering = shared.generations.ask(info.full_name, lambda _: [made])
    return Reply(answering, Events(info, body))


@router.post("/v1/messages/count_tokens", summary="How many tokens a chat is", response_model=None)
async def count_tokens(body: CountBody, request: Request) -> Response:
    shared, counts = serving(request), [0]
    info, tools = shared.decoder(body.model), body.chosen_tools()
    with about("messages"):
        made = GenerateRequest(messages=body.turns(), **tools)

    def build(engine: PoolEngine) -> list[GenerateRequest]:
        counts[0] = len(engine.prompt_ids(made))
        return []

    async for _ in shared.generations.ask(info.full_name, build).batches():
        pass
    return JSONResponse({"input_tokens": counts[0]})


class Events:
    """An answer as named events, or as one message: blocks of text and of calls, in the order they were written."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, info: DecoderInfo, body: MessagesBody) -> None:
        self.stream = bool(body.stream)
        self._head = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": info.full_name}
        self._max_tokens = body.max_tokens
        self._blocks = 0  # begun so far
        self._is_open = False  # whether the last one is a text that goes on

    def _ending(self, end: Generation) -> dict[str, Any]:
        if end.finish_reason == "tool_calls":
            reason = "tool_use"
        elif end.finish_reason == "stop":
            reason = "stop_sequence" if end.stop_text else "end_turn"
        else:
            is_full = end.completion_tokens < self._max_tokens
            reason = "model_context_window_exceeded" if is_full else "max_tokens"
        return {"stop_reason": reason, "stop_sequence": end.stop_text or None}

    def start(self, answering: Answering) -> str:
        usage = {"input_tokens": sum(answering.prompt_tokens), "output_tokens": 0}
        empty: dict[str, Any] = {
            **self._head,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return sse({"type": "message_start", "message": empty}, "message_start")

    def event(self, _: int, event: Piece | Generation) -> str:
        if isinstance(event, Piece):
            text = self._text(event.text) if event.text else ""
            return text + "".join(self._call(call) for call in event.tool_calls)
        empty = self._text("") if not self._blocks else ""
        ending = {"type": "message_delta", "delta": self._ending(event), "usage": _usage(event)}
        return empty + self._close() + sse(ending, "message_delta")

    def _text(self, text: str) -> str:
        begun = "" if self._is_open else self._open({"type": "text", "text": ""})
        self._is_open = True
        return begun + (self._delta({"type": "text_delta", "text": text}) if text else "")

    def _call(self, call: ToolCall) -> str:
        closed = self._close()
        begun = self._open({**_use(call), "input": {}})
        self._is_open = True
        return (
            closed + begun + self._delta({"type": "input_json_delta", "partial_json": call.arguments}) + self._close()
        )

    def _open(self, block: dict[str, Any]) -> str:
        self._blocks += 1
        event = {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}
        return sse(event, "content_block_start")

    def _delta(self, delta: dict[str, Any]) -> str:
        event = {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}
        return sse(event, "content_block_delta")

    def _close(self) -> str:
        was_open, self._is_open = self._is_open, False
        return sse({"type": "content_block_stop", "index": self._blocks - 1}, "content_block_stop") if was_open else ""

    def finish(self, _: Answering) -> str:
        return sse({"type": "message_stop"}, "message_stop")

    def whole(self, choices: list[Choice], _: Answering) -> dict[str, Any]:
        end = choices[0].end
        text = [{"type": "text", "text": end.text}] if end.text or not end.tool_calls else []
        content = [*text, *map(_use, end.tool_calls)]
        return {**self._head, "content": content, **self._ending(end), "usage": _usage(end)}

    def failed(self, problem: Problem) -> str:
        return sse(problem.body("/v1/messages"), "error")


def _use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.values()}


def _usage(end: Generation) -> dict[str, int]:
    return {"input_tokens": end.prompt_tokens, "output_tokens": end.completion_tokens}
