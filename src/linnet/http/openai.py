"""The OpenAI dialect: models, and chat completions whose answer is a label.

Parameters that cannot matter to a classifier are checked and have no effect; those that would change the answer
are refused by name.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from linnet.core.errors import NameInvalid, StoreError
from linnet.core.files import canonical, sha256_bytes
from linnet.core.records import Specialist
from linnet.http.bodies import Body, CheckedRoute, problem_with
from linnet.http.errors import Problem, Refused, report
from linnet.http.native import one_or_many, serving
from linnet.stages.serve import Classified

router = APIRouter(route_class=CheckedRoute)


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "linnet"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


def _describe(specialist: Specialist) -> Model:
    try:
        created = int(datetime.fromisoformat(specialist.created).timestamp())
    except ValueError:
        created = 0
    return Model(id=specialist.full_name, created=created)


@router.get("/v1/models", summary="Every version of every specialist")
def list_models(request: Request) -> Models:
    specialists = serving(request).specialists
    found = []
    for name in specialists.names():
        try:
            found.append(_describe(specialists.find(name)))
        except StoreError as error:  # one damaged record must not hide the others
            report(error, "GET /v1/models")
    return Models(data=found)


@router.get("/v1/models/{model:path}", summary="One specialist")
def get_model(model: str, request: Request) -> Model:
    try:
        return _describe(serving(request).specialists.find(model))
    except NameInvalid as error:
        raise Refused(Problem(404, error.message, "model_not_found", "model")) from error


class TextPart(Body):
    type: Literal["text"]
    text: str


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    for index, part in enumerate(content if isinstance(content, list) else []):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            message = f"Content of type {json.dumps(kind[:40])} is not supported: a classify specialist reads text."
            raise problem_with(f"[{index}].type", message)
    return content


_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": TextPart.model_json_schema()}, {"type": "null"}]}
Content = Annotated[
    Annotated[list[TextPart], Field(fail_fast=True)] | None,
    BeforeValidator(_parts),
    WithJsonSchema(_CONTENT),
]


class ChatMessage(Body):
    """One message. Only the last one of the user is classified; the others may be there and are not read."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Content = None
    name: str | None = None
    tool_call_id: str | None = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None
    annotations: Any = None


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
ShortText = Annotated[str, Field(max_length=512)]
Stop = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(fail_fast=True),
    Field(min_length=1, max_length=4),
    BeforeValidator(one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 4}]}),
]


def _at_most_16(value: Any) -> Any:
    """Before its items are looked at: each wrong item would become an error of its own."""
    if isinstance(value, dict) and len(value) > 16:
        raise PydanticCustomError("too_long", "Object should have at most 16 keys")
    return value


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], ShortText], Field(max_length=16), BeforeValidator(_at_most_16)
]


class ChatBody(Body):
    """A chat completion. Fields without a meaning for a classifier are checked for type and range."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "audio": (),
        "function_call": ("none",),
        "functions": (),
        "logit_bias": ({},),
        "logprobs": (False,),
        "modalities": (["text"],),
        "prediction": (),
        "reasoning_effort": (),
        "response_format": ({"type": "text"},),
        "store": (False,),
        "tool_choice": ("none",),
        "tools": (),
        "top_logprobs": (),
        "verbosity": (),
        "web_search_options": (),
    }

    model: str
    messages: Annotated[list[ChatMessage], Field(fail_fast=True), Field(min_length=1, max_length=1000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: Stop | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    user: ShortText | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    safety_identifier: ShortText | None = None
    prompt_cache_key: ShortText | None = None
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    modalities: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    response_format: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    top_logprobs: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    def text(self) -> str:
        """The text of the user's last message. Raises Refused when there is none."""
        for message in reversed(self.messages):
            if message.role == "user":
                return "\n".join(part.text for part in message.content or [])
        raise Refused(Problem(400, "There is no message of the user to classify.", param="messages"))


@router.post("/v1/chat/completions", summary="The label of the user's last message", response_model=None)
async def chat_completions(body: ChatBody, request: Request) -> Response:
    if body.stream_options is not None and not body.stream:
        message = '"stream_options" is only allowed when "stream" is true.'
        raise Refused(Problem(400, message, param="stream_options"))
    found = await serving(request).classify(body.model, [body.text()], truncate=False, param="messages")
    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": found.specialist.full_name,
        "system_fingerprint": _fingerprint(found.specialist),
    }
    if not body.stream:
        return JSONResponse(_completion(head, found))
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    # The answer is whole before the first byte: nothing can fail between two frames.
    frames = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(head, found, with_usage=with_usage))
    headers = {"cache-control": "no-cache"}
    return Response(frames + "data: [DONE]\n\n", media_type="text/event-stream", headers=headers)


def _fingerprint(specialist: Specialist) -> str:
    """The same for the same bytes of a bundle: what `seed` users compare."""
    files = {name: entry.sha256 for name, entry in specialist.files.items()}
    return "fp_" + sha256_bytes(canonical(files))[:12]


def _usage(found: Classified) -> dict[str, int]:
    """A label counts as one token: it is one choice, not a text that was written piece by piece."""
    prompt = sum(found.tokens)
    return {"prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1}


def _completion(head: dict[str, Any], found: Classified) -> dict[str, Any]:
    message = {"role": "assistant", "content": found.answers[0].label, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(found)}


def _chunks(head: dict[str, Any], found: Classified, *, with_usage: bool) -> Iterator[dict[str, Any]]:
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": found.answers[0].label}, None),
        ({}, "stop"),
    ]
    base = {**head, "object": "chat.completion.chunk"}
    for delta, finish_reason in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**base, "choices": [choice]}
        yield {**chunk, "usage": None} if with_usage else chunk
    if with_usage:
        yield {**base, "choices": [], "usage": _usage(found)}
