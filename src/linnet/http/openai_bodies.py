"""What the bodies of the OpenAI dialect may hold. Knows no model and writes no answer."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from linnet.engines.requests.generation import MAX_BIASES, MAX_STOP_CHARACTERS, MAX_TOP_LOGPROBS
from linnet.http.bodies import Body, problem_with
from linnet.http.native import one_or_many
from linnet.http.tool_bodies import Calls, Tools

MAX_CHOICES = 8
MAX_PROMPTS = 64


class TextPart(Body):
    type: Literal["text"]
    text: str


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    for index, part in enumerate(content if isinstance(content, list) else []):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            message = f"Content of type {json.dumps(kind[:40])} is not supported: only text is read."
            raise problem_with(f"[{index}].type", message)
    return content


_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": TextPart.model_json_schema()}, {"type": "null"}]}
Content = Annotated[
    Annotated[list[TextPart], Field(fail_fast=True)] | None,
    BeforeValidator(_parts),
    WithJsonSchema(_CONTENT),
]


class ChatMessage(Body):
    """One message. A specialist classifies the last one of the user and reads no other."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Content = None
    name: str | None = None
    tool_call_id: str | None = None
    refusal: Any = None
    tool_calls: Calls | None = None
    function_call: Any = None
    audio: Any = None
    annotations: Any = None


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
ShortText = Annotated[str, Field(max_length=512)]
Stop = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]],
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


def _biases(value: Any) -> Any:
    """Token ids come as the keys of an object, and so as texts."""
    if not isinstance(value, dict):
        return value
    if len(value) > MAX_BIASES:
        raise PydanticCustomError("too_long", f"Object should have at most {MAX_BIASES} keys")
    found = {}
    for key, bias in value.items():
        if not (key.isascii() and key.isdigit() and len(key) < 11):
            raise problem_with("", f"logit_bias: {json.dumps(key[:40])} is no token id.")
        found[int(key)] = bias
    if len(found) < len(value):
        raise problem_with("", "logit_bias: a token id is given twice.")
    return found


_BIAS = {"type": "object", "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}}
Bias = Annotated[
    dict[Annotated[int, Field(lt=2**31)], Annotated[float, Field(ge=-100, le=100)]],
    BeforeValidator(_biases),
    WithJsonSchema(_BIAS),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], ShortText], Field(max_length=16), BeforeValidator(_at_most_16)
]


class ChatBody(Body):
    """A chat completion. For a specialist, fields without a meaning are checked for type and range."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "audio": (),
        "function_call": ("none",),
        "functions": (),
        "modalities": (["text"],),
        "prediction": (),
        "reasoning_effort": (),
        "store": (False,),
        "verbosity": (),
        "web_search_options": (),
    }

    model: str
    messages: Annotated[list[ChatMessage], Field(fail_fast=True), Field(min_length=1, max_length=1000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Count | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    user: ShortText | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    safety_identifier: ShortText | None = None
    prompt_cache_key: ShortText | None = None
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: Bias | None = None
    logprobs: bool | None = None
    modalities: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    response_format: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Tools | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    verbosity: Any = None
    web_search_options: Any = None


TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, fail_fast=True)]
PROMPT_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ]
}


def _prompts(value: Any) -> Any:
    """One prompt is a list of one: a text, or the ids of its tokens."""
    is_one = isinstance(value, str) or (isinstance(value, list) and value and type(value[0]) is int)
    prompts = [value] if is_one else value
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= MAX_PROMPTS:
        message = f"A prompt is a text, token ids, or a list of 1 to {MAX_PROMPTS} of them"
        raise PydanticCustomError("prompt", message)
    return prompts


class CompletionBody(Body):
    """A completion of raw text. Control tokens in the text count: who writes a raw prompt writes the template too."""

    model: str
    prompt: Annotated[
        list[Annotated[str, Field(strict=True)] | TokenIds], BeforeValidator(_prompts), WithJsonSchema(PROMPT_SCHEMA)
    ]
    max_tokens: Tokens | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Count | None = None
    best_of: Count | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    user: ShortText | None = None
    suffix: str | None = None
    logit_bias: Bias | None = None
