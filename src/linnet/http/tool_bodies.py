"""Tools as the OpenAI and Ollama dialects write them, and what they mean inside. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from linnet.engines.requests.generation import Message
from linnet.engines.requests.tools import MAX_CALLS, MAX_TOOLS, Tool, ToolCall
from linnet.http.bodies import Body
from linnet.http.errors import Problem, Refused, about


class FunctionBody(Body):
    """A function. With `strict` its schema may hold only keywords that can be enforced."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def tool(self) -> Tool:
        return Tool(self.name, self.description or "", self.parameters or {}, bool(self.strict))


class ToolBody(Body):
    type: Literal["function"] = "function"
    function: FunctionBody


class CalledBody(Body):
    """What an assistant called: `arguments` is the text of a JSON object, to Ollama the object itself."""

    name: str
    arguments: str | dict[str, Any] = "{}"
    index: int | None = None


class CallBody(Body):
    """A call in the history."""

    id: str = ""
    type: Literal["function"] = "function"
    index: int | None = None
    function: CalledBody

    def call(self) -> ToolCall:
        given = self.function.arguments
        # No arguments at all are written as an empty text by some clients.
        arguments = (given or "{}") if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        return ToolCall(self.id, self.function.name, arguments)


Tools = Annotated[list[ToolBody], Field(fail_fast=True), Field(max_length=MAX_TOOLS)]
Calls = Annotated[list[CallBody], Field(fail_fast=True), Field(max_length=MAX_CALLS)]


def tools_of(given: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """The tools inside. Raises Refused, naming the tool."""
    found = []
    for number, one in enumerate(given or ()):
        with about(f"tools[{number}]"):
            found.append(one.function.tool())
    return tuple(found)


def calls_of(given: Sequence[CallBody] | None, where: str) -> tuple[ToolCall, ...]:
    found = []
    for number, one in enumerate(given or ()):
        with about(f"{where}.tool_calls[{number}]"):
            found.append(one.call())
    return tuple(found)


def chosen(given: Any, tools: tuple[Tool, ...]) -> dict[str, Any]:
    """The fields of a GenerateRequest that say which tools may be called, for OpenAI's `tool_choice`.

    Raises Refused.
    """
    if given in (None, "auto"):
        return {"tools": tools}
    if given == "none":
        return {}
    name = "" if given == "required" else _named(given)
    if not tools:
        raise Refused(Problem(400, "tool_choice asks for a call, and there are no tools.", param="tool_choice"))
    if name and name not in {tool.name for tool in tools}:
        message = f"tool_choice names {name[:80]!a}, which is none of the tools."
        raise Refused(Problem(400, message, param="tool_choice"))
    return {"tools": tools, "must_call": name}


def _named(given: Any) -> str:
    """The tool that a tool_choice names; newer clients leave out the object around the name."""
    found = given if isinstance(given, dict) else {}
    function = found.get("function", found)
    name = function.get("name") if isinstance(function, dict) else None
    if found.get("type") != "function" or not isinstance(name, str) or not name or len(found) != 2:
        message = 'tool_choice is "none", "auto", "required" or {"type": "function", "function": {"name": ...}}.'
        raise Refused(Problem(400, message, param="tool_choice"))
    return name


def tool_answer(content: str, call_id: str | None, name: str | None) -> Message:
    """What a tool said."""
    return Message("tool", content, tool_call_id=call_id or "", tool_name=name or "")
