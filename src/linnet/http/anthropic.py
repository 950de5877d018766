"""The Anthropic dialect: messages, and how many tokens they are. Translates; what runs is elsewhere."""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, Field, WithJsonSchema

from linnet.engines.generation import MAX_MESSAGES, MAX_STOP_CHARACTERS, MAX_STOPS, GenerateRequest, Generation, Piece
from linnet.engines.generation import Message as Turn
from linnet.engines.pool import PoolEngine
from linnet.http.bodies import ANTHROPIC_ERRORS, Body, CheckedRoute, problem_with
from linnet.http.decoders import DecoderInfo
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.native import Serving, serving
from linnet.http.openai_generate import sampling_of
from linnet.http.replies import Choice, Reply, sse

router = APIRouter(route_class=CheckedRoute, responses=ANTHROPIC_ERRORS)


class Block(Body):
    """A block of text. `cache_control` is about cost: what can be shared is shared here without it."""

    type: Literal["text"]
    text: str
    cache_control: dict[str, Any] | None = None
    citations: None = None


def _blocks(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    for index, block in enumerate(content if isinstance(content, list) else []):
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(kind, str) and kind != "text":
            message = f"A block of type {json.dumps(kind[:40])} is not supported: only text is read."
            raise problem_with(f"[{index}].type", message)
    return content


_TEXT = {"anyOf": [{"type": "string"}, {"type": "array", "items": Block.model_json_schema()}]}
Blocks = Annotated[
    Annotated[list[Block], Field(fail_fast=True)],
    BeforeValidator(_blocks),
    WithJsonSchema(_TEXT),
]


class MessageBody(Body):
    role: Literal["user", "assistant"]
    content: Blocks


class CountBody(Body):
    """What counts as the prompt."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "tools": ([],),
        "tool_choice": ({"type": "none"}, {"type": "auto"}),
        "thinking": ({"type": "disabled"},),
        "mcp_servers": ([],),
        "container": (),
        "context_management": (),
        "output_config": (),
        "output_format": (),
    }

    model: str
    messages: Annotated[list[MessageBody], Field(fail_fast=True), Field(min_length=1, max_length=MAX_MESSAGES)]
    system: Blocks | None = None
    tools: Any = None
    tool_choice: Any = None
    thinking: Any = None
    mcp_servers: Any = None
    container: Any = None
    context_management: Any = None
    output_config: Any = None
    output_format: Any = None

    def turns(self) -> tuple[Turn, ...]:
        """The chat, the system text first. Raises Refused for an answer that was begun by the caller."""
        if self.messages[-1].role == "assistant":
            message = "The last message is the assistant's: beginning its answer is not supported."
            raise Refused(Problem(400, message, param="messages"))
        system = (Turn("system", _text(self.system)),) if self.system else ()
        return (*system, *(Turn(one.role, _text(one.content)) for one in self.messages))


class MessagesBody(CountBody):
    """A request for one answer."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)]
    stream: bool | None = None
    stop_sequences: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]],
            Field(fail_fast=True),
            Field(max_length=MAX_STOPS),
        ]
        | None
    ) = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None


def _text(blocks: list[Block]) -> str:
    return "\n".join(block.text for block in blocks)


def _info(shared: Serving, name: str) -> DecoderInfo:
    if shared.is_specialist(name):
        raise Refused(Problem(400, f"{name} is a specialist: it labels texts. Use /v1/classify.", param="model"))
    with about("model"):
        return shared.decoders.find(name)


@router.post("/v1/messages", summary="An answer to a chat, for Anthropic's clients", response_model=None)
async def messages(body: MessagesBody, request: Request) -> Response:
    shared = serving(request)
    info = _info(shared, body.model)
    with about("messages"):
        made = GenerateRequest(
            messages=body.turns(),
            sampling=sampling_of(None, temperature=body.temperature, top_p=body.top_p, top_k=body.top_k),
            max_tokens=body.max_tokens,
            stop=tuple(body.stop_sequences or ()),
        )
    answering = shared.generations.ask(info.full_name, lambda _: [made])
    return Reply(answering, Events(info, body))


@router.post("/v1/messages/count_tokens", summary="How many tokens a chat is", response_model=None)
async def count_tokens(body: CountBody, request: Request) -> Response:
    shared, counts = serving(request), [0]
    info = _info(shared, body.model)
    with about("messages"):
        made = GenerateRequest(messages=body.turns())

    def build(engine: PoolEngine) -> list[GenerateRequest]:
        counts[0] = len(engine.prompt_ids(made))
        return []

    async for _ in shared.generations.ask(info.full_name, build).batches():
        pass
    return JSONResponse({"input_tokens": counts[0]})


class Events:
    """An answer as named events, or as one message."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, info: DecoderInfo, body: MessagesBody) -> None:
        self.stream = bool(body.stream)
        self._head = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": info.full_name}
        self._max_tokens = body.max_tokens

    def _ending(self, end: Generation) -> dict[str, Any]:
        if end.finish_reason == "stop":
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
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        return sse({"type": "message_start", "message": empty}, "message_start") + sse(block, "content_block_start")

    def event(self, _: int, event: Piece | Generation) -> str:
        if isinstance(event, Piece):
            delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": event.text}}
            return sse(delta, "content_block_delta") if event.text else ""
        ending = {"type": "message_delta", "delta": self._ending(event), "usage": _usage(event)}
        stop = {"type": "content_block_stop", "index": 0}
        return sse(stop, "content_block_stop") + sse(ending, "message_delta")

    def finish(self, _: Answering) -> str:
        return sse({"type": "message_stop"}, "message_stop")

    def whole(self, choices: list[Choice], _: Answering) -> dict[str, Any]:
        (choice,) = choices
        content = [{"type": "text", "text": choice.end.text}]
        return {**self._head, "content": content, **self._ending(choice.end), "usage": _usage(choice.end)}

    def failed(self, problem: Problem) -> str:
        return sse(problem.body("/v1/messages"), "error")


def _usage(end: Generation) -> dict[str, int]:
    return {"input_tokens": end.prompt_tokens, "output_tokens": end.completion_tokens}
