"""The OpenAI dialect's responses: text and JSON, whole or as typed events. Stateless: nothing is stored."""

from __future__ import annotations

import json
import time
import uuid
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, Field, WithJsonSchema

from linnet.engines.generation import MAX_MESSAGES, GenerateRequest, Generation, Message, Piece
from linnet.engines.pool import PoolEngine
from linnet.http.bodies import Body, CheckedRoute, problem_with
from linnet.http.decoders import DecoderInfo
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.native import Serving, serving
from linnet.http.openai_bodies import Metadata, Share, ShortText, Temperature, Tokens
from linnet.http.openai_generate import sampling_of, schema_of
from linnet.http.replies import Choice, Reply, sse

router = APIRouter(route_class=CheckedRoute)
_KINDS = ("input_text", "output_text", "text")
_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}


class TextPart(Body):
    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Any = None
    logprobs: Any = None


def _items(value: Any) -> Any:
    """A text is one message of the user. Items that are no messages are refused by name."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    for index, item in enumerate(value if isinstance(value, list) else []):
        kind = item.get("type", "message") if isinstance(item, dict) else "message"
        if kind != "message":
            said = f"An item of type {json.dumps(str(kind)[:40])} is not supported: only messages are read."
            raise problem_with(f"[{index}].type", said)
    return value


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    for index, part in enumerate(value if isinstance(value, list) else []):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in _KINDS:
            said = f"Content of type {json.dumps(kind[:40])} is not supported: only text is read."
            raise problem_with(f"[{index}].type", said)
    return value


_TEXT_OR_LIST = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]})


class Item(Body):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Annotated[Annotated[list[TextPart], Field(fail_fast=True)], BeforeValidator(_parts), _TEXT_OR_LIST]
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class TextBody(Body):
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {"verbosity": ("medium",)}

    format: Any = None
    verbosity: Any = None


class InputBody(Body):
    """What counts as the prompt."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "background": (False,),
        "conversation": (),
        "include": ([],),
        "max_tool_calls": (),
        "previous_response_id": (),
        "prompt": (),
        "reasoning": ({},),
        "store": (False,),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "top_logprobs": (0,),
        "truncation": ("disabled",),
    }

    model: str
    input: Annotated[
        Annotated[list[Item], Field(fail_fast=True), Field(min_length=1, max_length=MAX_MESSAGES)],
        BeforeValidator(_items),
        _TEXT_OR_LIST,
    ]
    instructions: str | None = None
    text: TextBody | None = None
    parallel_tool_calls: bool | None = None
    background: Any = None
    conversation: Any = None
    include: Any = None
    max_tool_calls: Any = None
    previous_response_id: Any = None
    prompt: Any = None
    reasoning: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    top_logprobs: Any = None
    truncation: Any = None

    def turns(self) -> tuple[Message, ...]:
        head = (Message("system", self.instructions),) if self.instructions else ()
        return (*head, *(Message(_ROLES[one.role], "\n".join(part.text for part in one.content)) for one in self.input))


class ResponseBody(InputBody):
    """A request for one answer."""

    stream: bool | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    metadata: Metadata | None = None
    user: ShortText | None = None
    safety_identifier: ShortText | None = None
    prompt_cache_key: ShortText | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None

    @property
    def format(self) -> dict[str, Any]:
        given = self.text.format if self.text else None
        return {"type": "text"} if given is None else given


def _schema(given: Any) -> dict[str, Any] | bool | None:
    """The schema of a text format, which is a response_format without its inner object. Raises Refused."""
    if isinstance(given, dict) and given.get("type") == "json_schema":
        given = {"type": "json_schema", "json_schema": {key: value for key, value in given.items() if key != "type"}}
    try:
        return schema_of(given)
    except Refused as error:
        place = (error.problem.param or "").removeprefix("response_format").removeprefix(".json_schema")
        raise Refused(Problem(400, error.problem.message, param=f"text.format{place}")) from error


def _info(shared: Serving, name: str) -> DecoderInfo:
    if shared.is_specialist(name):
        raise Refused(Problem(400, f"{name} is a specialist: it labels texts. Use /v1/classify.", param="model"))
    with about("model"):
        return shared.decoders.find(name)


@router.post("/v1/responses", summary="An answer, for clients of OpenAI's newer route", response_model=None)
async def responses(body: ResponseBody, request: Request) -> Response:
    shared = serving(request)
    info, schema = _info(shared, body.model), _schema(body.format)
    with about("input"):
        made = GenerateRequest(
            messages=body.turns(),
            sampling=sampling_of(None, temperature=body.temperature, top_p=body.top_p),
            max_tokens=body.max_output_tokens,
            json_schema=schema,
        )
    answering = shared.generations.ask(info.full_name, lambda _: [made], param="input")
    return Reply(answering, Events(info, body, made))


@router.post("/v1/responses/input_tokens", summary="How many tokens an input is", response_model=None)
async def input_tokens(body: InputBody, request: Request) -> Response:
    shared, counts = serving(request), [0]
    info = _info(shared, body.model)
    with about("input"):
        made = GenerateRequest(messages=body.turns())

    def build(engine: PoolEngine) -> list[GenerateRequest]:
        counts[0] = len(engine.prompt_ids(made))
        return []

    async for _ in shared.generations.ask(info.full_name, build, param="input").batches():
        pass
    return JSONResponse({"object": "response.input_tokens", "input_tokens": counts[0]})


class Events:
    """An answer as typed and numbered events, or as one object."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, info: DecoderInfo, body: ResponseBody, made: GenerateRequest) -> None:
        self.stream = bool(body.stream)
        self._item = f"msg_{uuid.uuid4().hex}"
        self._number = -1
        self._head: dict[str, Any] = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "background": False,
            "error": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": info.full_name,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": made.sampling.temperature,
            "text": {"format": body.format},
            "tool_choice": "auto",
            "tools": [],
            "top_p": made.sampling.top_p,
            "truncation": "disabled",
            "user": body.user,
        }

    def _event(self, kind: str, **fields: Any) -> str:
        self._number += 1
        return sse({"type": kind, "sequence_number": self._number, **fields}, kind)

    def _begun(self) -> dict[str, Any]:
        return {**self._head, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}

    def _ended(self, end: Generation) -> dict[str, Any]:
        is_cut = end.finish_reason == "length"
        usage = {
            "input_tokens": end.prompt_tokens,
            "input_tokens_details": {"cached_tokens": end.cached_tokens},
            "output_tokens": end.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": end.prompt_tokens + end.completion_tokens,
        }
        return {
            **self._head,
            "status": "incomplete" if is_cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": [self._message(end)],
            "usage": usage,
        }

    def _message(self, end: Generation) -> dict[str, Any]:
        status = "incomplete" if end.finish_reason == "length" else "completed"
        return {**self._empty(), "status": status, "content": [_part(end.text)]}

    def _empty(self) -> dict[str, Any]:
        return {"type": "message", "id": self._item, "status": "in_progress", "role": "assistant", "content": []}

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def start(self, _: Answering) -> str:
        return (
            self._event("response.created", response=self._begun())
            + self._event("response.in_progress", response=self._begun())
            + self._event("response.output_item.added", output_index=0, item=self._empty())
            + self._event("response.content_part.added", **self._place, part=_part(""))
        )

    def event(self, _: int, event: Piece | Generation) -> str:
        if isinstance(event, Piece):
            if not event.text:
                return ""
            return self._event("response.output_text.delta", **self._place, delta=event.text, logprobs=[])
        ended = self._ended(event)
        return (
            self._event("response.output_text.done", **self._place, text=event.text, logprobs=[])
            + self._event("response.content_part.done", **self._place, part=_part(event.text))
            + self._event("response.output_item.done", output_index=0, item=self._message(event))
            + self._event(f"response.{ended['status']}", response=ended)
        )

    def finish(self, _: Answering) -> str:
        return ""

    def whole(self, choices: list[Choice], _: Answering) -> dict[str, Any]:
        return self._ended(choices[0].end)

    def failed(self, problem: Problem) -> str:
        """The dialect's error event, with the object that its clients look for in every stream."""
        said = problem.body()["error"]
        fields = {key: said[key] for key in ("code", "message", "param")}
        return self._event("error", **fields, error=said)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
