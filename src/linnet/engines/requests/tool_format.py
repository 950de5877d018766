"""How a model writes tool calls, told by its chat template: the grammar that demands one, the parser that finds them.

Three ways are known: JSON between marks, JSON as the whole answer, and nothing at all. Knows no engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from linnet.engines.grammar.schema_grammar import schema_grammar
from linnet.engines.grammar.schema_limits import check_schema
from linnet.engines.requests.generation import FieldError, Generation, Message, Piece
from linnet.engines.requests.stop_texts import StopTexts
from linnet.engines.requests.tools import Tool, ToolCall, new_call_id

_SPACE = "[ \\n]{0,2}"


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """`begin` and `end` are around a call; empty where the call is the whole answer. The keys are the JSON's own.

    `writes_calls` says whether the template shows earlier calls by itself.
    """

    begin: str = ""
    end: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"
    writes_calls: bool = True

    def call_text(self, call: ToolCall) -> str:
        """An earlier call as the model would have written it."""
        text = json.dumps({self.name_key: call.name, self.arguments_key: call.values()}, ensure_ascii=False)
        return f"{self.begin}\n{text}\n{self.end}" if self.begin else text

    def turns(self, messages: Sequence[Message]) -> list[Message]:
        """The chat with earlier calls put into the text where the template would leave them out."""
        if self.writes_calls:
            return list(messages)
        return [self._written(message) if message.tool_calls else message for message in messages]

    def _written(self, message: Message) -> Message:
        parts = [*([message.content] if message.content else []), *map(self.call_text, message.tool_calls)]
        return replace(message, content="\n".join(parts), tool_calls=())

    def grammar(self, tools: Sequence[Tool], must_call: str, *, parallel: bool) -> str:
        """GBNF of an answer that is a call of `must_call`, or with "" of any tool; several where they have marks.

        Raises InputError when the tools' schemas are together more than one answer may be held to.
        """
        chosen = [tool for tool in tools if must_call in ("", tool.name)]
        schema = {
            "$defs": {f"t{number}": _moved(tool.enforced, f"#/$defs/t{number}") for number, tool in enumerate(chosen)},
            "anyOf": [self._call_schema(tool, f"#/$defs/t{number}") for number, tool in enumerate(chosen)],
        }
        check_schema(schema)
        rules = schema_grammar(schema).replace("root ::=", "call ::=", 1)
        if not self.begin:
            return f"root ::= call\n{rules}"
        one = f"{json.dumps(self.begin)} {_SPACE} call {_SPACE} {json.dumps(self.end)}"
        return f"root ::= one ({_SPACE} one)*\none ::= {one}\n{rules}" if parallel else f"root ::= {one}\n{rules}"

    def _call_schema(self, tool: Tool, arguments: str) -> dict[str, Any]:
        properties = {self.name_key: {"const": tool.name}, self.arguments_key: {"$ref": arguments}}
        return {"type": "object", "properties": properties, "required": [self.name_key, self.arguments_key]}

    def read(self, text: str, names: frozenset[str]) -> list[ToolCall] | None:
        """The calls that `text` is; None when it is anything else."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        calls = [self._call(one, names) for one in (found if isinstance(found, list) else [found])]
        whole = [call for call in calls if call is not None]
        return whole if whole and len(whole) == len(calls) else None

    def _call(self, found: Any, names: frozenset[str]) -> ToolCall | None:
        if not isinstance(found, dict):
            return None
        name, arguments = found.get(self.name_key), found.get(self.arguments_key, {})
        if name not in names or not isinstance(arguments, dict):
            return None
        return ToolCall(new_call_id(), name, json.dumps(arguments, ensure_ascii=False))


def tool_format(template: str) -> ToolFormat | None:
    """How a template's model writes calls; None where the template has no place for tools."""
    plain = re.sub(r"\{#.*?#\}", "", template, flags=re.DOTALL)
    if not re.search(r"\btools\b", plain):
        return None
    shows = bool(re.search(r"\btool_calls\b", plain))
    if "<tool_call>" in plain and "<function=" not in plain:
        return ToolFormat("<tool_call>", "</tool_call>", writes_calls=shows)
    if '"parameters"' in plain and "python_tag" in plain:
        return ToolFormat(arguments_key="parameters", writes_calls=shows)
    return ToolFormat(name_key="tool" if "'Tools:'" in plain else "name", writes_calls=shows)


class ToolParser:
    """Finds calls in an answer while it comes. A text that only looks like a call stays text."""

    def __init__(self, found: ToolFormat, tools: Sequence[Tool], *, parallel: bool = True) -> None:
        self._format, self._parallel = found, parallel
        self._names = frozenset(tool.name for tool in tools)
        self._begin = StopTexts((found.begin,) if found.begin else ())
        self._held: str | None = None  # the text of a call that has begun
        self._is_first = True
        self.calls: list[ToolCall] = []

    @property
    def is_done(self) -> bool:
        """Whether nothing more may follow: one call was found, and no more are wanted."""
        return bool(self.calls) and not self._parallel

    def feed(self, text: str) -> tuple[str, list[ToolCall]]:
        """What can be shown of the answer so far, and the calls that are whole now."""
        shown, before = "", len(self.calls)
        while text and not self.is_done:
            if self._held is None:
                safe, text = self._outside(text)
                shown += safe
            else:
                safe, text = self._inside(text)
                shown += safe
        return shown, self.calls[before:]

    def rest(self) -> tuple[str, list[ToolCall]]:
        """The same for what is left when the answer has ended."""
        if self._held is None:
            return self._begin.rest(), []
        held, self._held = self._held, None
        if not self.is_done and (calls := self._format.read(held, self._names)):
            self.calls += calls if self._parallel else calls[:1]
            return "", calls if self._parallel else calls[:1]
        return self._format.begin + held, []

    def _outside(self, text: str) -> tuple[str, str]:
        if self._format.begin:
            safe = self._begin.feed(text)
            if not self._begin.found:
                return self._seen(safe), ""
            rest = self._begin.after
            self._begin, self._held = StopTexts((self._format.begin,)), ""
            return self._seen(safe), rest
        if self._is_first and text.lstrip()[:1] in ("{", "["):
            self._held = ""
            return "", text
        self._is_first = self._is_first and not text.strip()
        return text, ""

    def _inside(self, text: str) -> tuple[str, str]:
        self._held = f"{self._held}{text}"
        at = self._held.find(self._format.end) if self._format.end else -1
        if at < 0:
            return "", ""
        inside, rest = self._held[:at], self._held[at + len(self._format.end) :]
        self._held = None
        if calls := self._format.read(inside, self._names):
            self.calls += calls
            return "", rest
        return f"{self._format.begin}{inside}{self._format.end}", rest

    def _seen(self, text: str) -> str:
        """White space between and behind calls is nobody's text."""
        return "" if self.calls and not text.strip() else text


def with_calls(events: Iterator[Piece | Generation], parser: ToolParser) -> Iterator[Piece | Generation]:
    """The events with calls taken out of the text."""
    with closing(events) as inner:  # type: ignore[type-var]
        yield from _without_calls(inner, parser)


def _without_calls(events: Iterator[Piece | Generation], parser: ToolParser) -> Iterator[Piece | Generation]:
    text = ""
    for event in events:
        if isinstance(event, Piece):
            shown, calls = parser.feed(event.text)
            text += shown
            yield replace(event, text=shown, tool_calls=tuple(calls))
            continue
        shown, calls = ("", []) if event.finish_reason == "cancelled" else parser.rest()
        text += shown
        if shown or calls:
            yield Piece(shown, (), tool_calls=tuple(calls))
        whole = bool(parser.calls) and event.finish_reason == "stop"
        yield replace(
            event,
            text=text,
            finish_reason="tool_calls" if whole else event.finish_reason,
            stop_text="" if whole else event.stop_text,
            tool_calls=tuple(parser.calls),
        )


def require_format(found: ToolFormat | None, messages: Sequence[Message], tools: Sequence[Tool], label: str) -> None:
    """Raise InputError when tools, or earlier calls, are given to a model whose template would leave them out."""
    if found is None and (tools or any(message.tool_calls for message in messages)):
        raise FieldError(
            "tools",
            f"{label} takes no tools: its chat template has no place for them.",
            "Leave out the tools, or take a model that was made for them.",
        )


def _moved(schema: Any, place: str) -> Any:
    """The schema with its own references leading to where it stands now."""
    if isinstance(schema, list):
        return [_moved(one, place) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else value
        if key in ("enum", "const", "default", "examples")
        else _moved(value, place)
        for key, value in schema.items()
    }
