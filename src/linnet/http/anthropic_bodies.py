"""What the bodies of the Anthropic dialect may hold, and what its blocks mean inside. Knows no model."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, Tag, WithJsonSchema

from linnet.engines.grammar.schema_limits import check_schema
from linnet.engines.requests.generation import MAX_MESSAGES, MAX_STOP_CHARACTERS, MAX_STOPS
from linnet.engines.requests.generation import Message as Turn
from linnet.engines.requests.tools import MAX_TOOLS, Tool, ToolCall
from linnet.http.bodies import BY_TYPE, Body, problem_with
from linnet.http.errors import Problem, Refused, about
from linnet.http.tool_bodies import tool_answer

CacheControl = dict[str, Any]  # about cost: what can be shared is shared here without it


class TextBlock(Body):
    """A block of text."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: None = None


def _blocks(*known: str) -> BeforeValidator:
    """A text is one block. Blocks of other types than these are refused by name."""

    def check(content: Any) -> Any:
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        for index, block in enumerate(content if isinstance(content, list) else []):
            kind = block.get("type") if isinstance(block, dict) else None
            if isinstance(kind, str) and kind not in known:
                said = f"A block of type {json.dumps(kind[:40])} is not supported here: {', '.join(known)} are read."
                raise problem_with(f"[{index}].type", said)
        return content

    return BeforeValidator(check)


_ANY = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]})
TextBlocks = Annotated[Annotated[list[TextBlock], Field(fail_fast=True)], _blocks("text"), _ANY]


class UseBlock(Body):
    """A tool that the assistant called."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    cache_control: CacheControl | None = None


class ResultBlock(Body):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: TextBlocks | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


Block = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[UseBlock, Tag("<tool_use>")]
    | Annotated[ResultBlock, Tag("<tool_result>")],
    BY_TYPE,
]
Blocks = Annotated[Annotated[list[Block], Field(fail_fast=True)], _blocks("text", "tool_use", "tool_result"), _ANY]


class MessageBody(Body):
    role: Literal["user", "assistant"]
    content: Blocks

    def turns(self, where: str) -> list[Turn]:
        """The message inside: every result of a tool is a turn of its own. Raises Refused for a block out of place."""
        wrong = ResultBlock if self.role == "assistant" else UseBlock
        for index, block in enumerate(self.content):
            if isinstance(block, wrong):
                said = f"A message of the {self.role} holds no {block.type}."
                raise Refused(Problem(400, said, param=f"{where}.content[{index}].type"))
        with about(where):
            results = [_answer(block) for block in self.content if isinstance(block, ResultBlock)]
            calls = tuple(_call(block) for block in self.content if isinstance(block, UseBlock))
            texts = [block for block in self.content if isinstance(block, TextBlock)]
            return [*results, *([Turn(self.role, text_of(texts), calls)] if texts or calls or not results else [])]


def _answer(block: ResultBlock) -> Turn:
    text = text_of(block.content or [])
    return tool_answer(f"Error: {text}" if block.is_error else text, block.tool_use_id, None)


def _call(block: UseBlock) -> ToolCall:
    return ToolCall(block.id, block.name, json.dumps(block.input, ensure_ascii=False))


def text_of(blocks: list[TextBlock]) -> str:
    return "\n".join(block.text for block in blocks)


class ToolBody(Body):
    """A tool of the caller. Those that Anthropic itself runs are refused."""

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: CacheControl | None = None

    def tool(self) -> Tool:
        return Tool(self.name, self.description or "", self.input_schema, bool(self.strict))


class ChoiceBody(Body):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class FormatBody(Body):
    """A JSON schema that the answer is held to."""

    type: Literal["json_schema"]
    given: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {"effort": ()}

    format: FormatBody | None = None
    effort: Any = None


class CountBody(Body):
    """What counts as the prompt."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "thinking": ({"type": "disabled"},),
        "mcp_servers": ([],),
        "container": (),
        "context_management": (),
        "output_format": (),
    }

    model: str
    messages: Annotated[list[MessageBody], Field(fail_fast=True), Field(min_length=1, max_length=MAX_MESSAGES)]
    system: TextBlocks | None = None
    tools: Annotated[list[ToolBody], Field(fail_fast=True), Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ChoiceBody | None = None
    thinking: Any = None
    mcp_servers: Any = None
    container: Any = None
    context_management: Any = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    output_format: Any = None

    def turns(self) -> tuple[Turn, ...]:
        """The chat, the system text first. Raises Refused for an answer that was begun by the caller."""
        if self.messages[-1].role == "assistant":
            message = "The last message is the assistant's: beginning its answer is not supported."
            raise Refused(Problem(400, message, param="messages"))
        system = [Turn("system", text_of(self.system))] if self.system else []
        found = [turn for number, one in enumerate(self.messages) for turn in one.turns(f"messages[{number}]")]
        return (*system, *found)

    def json_schema(self) -> dict[str, Any] | None:
        """The schema of the answer. Raises Refused."""
        found = self.output_config.format if self.output_config else None
        if found is None:
            return None
        param = "output_config.format"
        if self.tools and not (self.tool_choice and self.tool_choice.type == "none"):
            raise Refused(Problem(400, f'"{param}" cannot be had together with "tools".', param=param))
        with about(f"{param}.schema"):
            check_schema(found.given)
        return found.given

    def chosen_tools(self) -> dict[str, Any]:
        """The fields of a GenerateRequest that say which tools may be called. Raises Refused."""
        found = []
        for number, one in enumerate(self.tools or ()):
            with about(f"tools[{number}]"):
                found.append(one.tool())
        tools, choice = tuple(found), self.tool_choice
        if choice is None or choice.type == "none":
            return {} if choice else {"tools": tools}
        fields = {"tools": tools, "parallel_calls": not choice.disable_parallel_tool_use}
        if choice.type == "auto":
            return fields
        if (choice.type == "tool") != bool(choice.name):
            raise Refused(Problem(400, "A name is given with the type tool, and only there.", param="tool_choice"))
        if not tools or (choice.name and choice.name not in {tool.name for tool in tools}):
            raise Refused(Problem(400, "tool_choice asks for a tool that is not among the tools.", param="tool_choice"))
        return {**fields, "must_call": choice.name or ""}


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
