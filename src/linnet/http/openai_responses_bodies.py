"""What the bodies of OpenAI's /v1/responses may hold, and what their items mean inside. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, Tag, WithJsonSchema

from linnet.engines.requests.generation import MAX_MESSAGES, Message
from linnet.engines.requests.tools import MAX_TOOLS, ToolCall
from linnet.http.bodies import BY_TYPE, Body, problem_with
from linnet.http.errors import about
from linnet.http.openai_bodies import Metadata, Share, ShortText, Temperature, Tokens
from linnet.http.tool_bodies import FunctionBody, ToolBody, chosen, tool_answer, tools_of

_KINDS = ("input_text", "output_text", "text")
_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}


class TextPart(Body):
    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Any = None
    logprobs: Any = None


def _items(value: Any) -> Any:
    """A text is one message of the user; an item without a type is a message. Other items are refused by name."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list):
        return value
    for index, item in enumerate(value):
        kind = item.get("type", "message") if isinstance(item, dict) else "message"
        if kind not in ("message", "function_call", "function_call_output"):
            said = f"An item of type {json.dumps(str(kind)[:40])} is not supported: only messages and calls are read."
            raise problem_with(f"[{index}].type", said)
    return [{"type": "message", **item} if isinstance(item, dict) else item for item in value]


def _tools(value: Any) -> Any:
    for index, tool in enumerate(value if isinstance(value, list) else []):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function" and isinstance(tool, dict):
            said = f"A tool of type {json.dumps(str(kind)[:40])} is not supported: only functions are."
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


Parts = Annotated[Annotated[list[TextPart], Field(fail_fast=True)], BeforeValidator(_parts), _TEXT_OR_LIST]


class MessageItem(Body):
    type: Literal["message"]
    role: Literal["user", "assistant", "system", "developer"]
    content: Parts
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class CallItem(Body):
    """A function that the assistant called."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class OutputItem(Body):
    """What a function answered."""

    type: Literal["function_call_output"]
    call_id: str
    output: Parts
    id: str | None = None
    status: str | None = None


Item = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[CallItem, Tag("<function_call>")]
    | Annotated[OutputItem, Tag("<function_call_output>")],
    BY_TYPE,
]


def _text(parts: Sequence[TextPart]) -> str:
    return "\n".join(part.text for part in parts)


class FunctionTool(FunctionBody):
    """A function, without the object that other routes have around it."""

    type: Literal["function"]


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
    tools: (
        Annotated[
            Annotated[list[FunctionTool], Field(fail_fast=True), Field(max_length=MAX_TOOLS)], BeforeValidator(_tools)
        ]
        | None
    ) = None
    top_logprobs: Any = None
    truncation: Any = None

    def turns(self) -> tuple[Message, ...]:
        """The chat: calls belong to what the assistant said before them. Raises Refused."""
        found = [Message("system", self.instructions)] if self.instructions else []
        for number, one in enumerate(self.input):
            with about(f"input[{number}]"):
                if isinstance(one, MessageItem):
                    found.append(Message(_ROLES[one.role], _text(one.content)))
                elif isinstance(one, OutputItem):
                    found.append(tool_answer(_text(one.output), one.call_id, None))
                else:
                    call = ToolCall(one.call_id, one.name, one.arguments or "{}")
                    last = found.pop() if found and found[-1].role == "assistant" else Message("assistant", "")
                    found.append(replace(last, tool_calls=(*last.tool_calls, call)))
        return tuple(found)

    def chosen_tools(self) -> dict[str, Any]:
        """The fields of a GenerateRequest that say which tools may be called. Raises Refused."""
        given = [ToolBody(function=tool) for tool in self.tools or ()]
        found = chosen(self.tool_choice, tools_of(given))
        return {**found, "parallel_calls": self.parallel_tool_calls is not False}


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

    def told_tools(self) -> list[dict[str, Any]]:
        """The tools as an answer repeats them."""
        return [
            tool.model_dump(include={"type", "name", "description", "parameters", "strict"})
            for tool in self.tools or ()
        ]
