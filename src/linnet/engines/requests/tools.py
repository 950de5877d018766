"""Tools a model may call, and its calls, as frozen values. Knows no dialect, no template and no engine."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from linnet.core.errors import InputError, did_you_mean
from linnet.engines.grammar.copied import KEYWORD as COPIED
from linnet.engines.grammar.schema_limits import BOUNDS, FORMATS, KEYWORDS, check_schema, is_bounded, pattern_problem

MAX_TOOLS = 64
MAX_CALLS = 64  # in one message of the history
MAX_TOOLS_BYTES = 256 << 10  # of all tools of a request together
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_OF_NAMES = ("properties", "$defs", "definitions")
_OF_ONE = ("items", "additionalProperties")
_SHOWN = {"title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated", "readOnly"}
_OF_MANY = ("prefixItems", "anyOf", "oneOf", "allOf")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may ask for. `parameters` is the JSON schema of its arguments, an object.

    With `strict` every keyword of the schema must be one that can be enforced; without, the others are only shown to
    the model. Raises InputError for a name or a schema that cannot be used.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    strict: bool = False

    def __post_init__(self) -> None:
        check_tool_name(self.name)
        if self.parameters.get("type", "object") != "object":
            raise InputError(f"the parameters of tool {self.name} must be a schema of type object.")
        check_schema(self.parameters if self.strict else self.enforced)

    @property
    def enforced(self) -> dict[str, Any]:
        """What a grammar holds the arguments to: an object, under those keywords that can be enforced."""
        return {**_enforceable(self.parameters), "type": "object"}

    def to_json(self) -> dict[str, Any]:
        """The tool as chat templates know it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asks for: `arguments` is the text of one JSON object. Raises InputError for another."""

    id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        check_tool_name(self.name)
        self.values()

    def values(self) -> dict[str, Any]:
        """The arguments, read."""
        try:
            found = json.loads(self.arguments)
        except (ValueError, RecursionError) as error:
            raise InputError(f"the arguments of the call of {self.name} are not JSON.") from error
        if not isinstance(found, dict):
            raise InputError(f"the arguments of the call of {self.name} must be a JSON object.")
        return found

    def to_json(self) -> dict[str, Any]:
        """The call as chat templates know it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


def new_call_id() -> str:
    return secrets.token_hex(12)


def check_tool_name(name: object) -> None:
    """Raise InputError unless `name` may name a tool."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        said = repr(name)[:80]
        raise InputError(f"a tool is called {said}: 1 to 128 letters, digits, _ and - are allowed.")


def check_tools(tools: Sequence[Tool], must_call: str | None) -> None:
    """Raise InputError for too many tools, one name twice, or a forced tool that is none of them."""
    if len(tools) > MAX_TOOLS:
        raise InputError(f"tools has {len(tools)} entries: at most {MAX_TOOLS} are allowed.")
    names = [tool.name for tool in tools]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two tools are called {twice[0]}.")
    size = sum(len(json.dumps(tool.to_json())) for tool in tools)
    if size > MAX_TOOLS_BYTES:
        raise InputError(f"tools has {size} bytes: at most {MAX_TOOLS_BYTES} are allowed.")
    if must_call is not None and not tools:
        raise InputError("a call is required, and there are no tools.")
    if must_call and must_call not in names:
        near = did_you_mean(must_call, names)
        raise InputError(f"tool_choice names {must_call[:80]!r}, which is none of the tools.{near}")


def _enforceable(schema: Any) -> Any:
    """The schema without notes and without what no grammar of ours holds; where one of several must match, any may."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in KEYWORDS - _SHOWN - {COPIED} or not _is_held(key, value, schema):
            continue
        if key in _OF_NAMES and isinstance(value, dict):
            found[key] = {name: _enforceable(child) for name, child in value.items()}
        elif key in _OF_MANY and isinstance(value, list):
            found["anyOf" if key == "oneOf" else key] = [_enforceable(child) for child in value]
        else:
            found[key] = _enforceable(value) if key in _OF_ONE else value
    return found


def _is_held(key: str, value: Any, schema: dict[str, Any]) -> bool:
    if key == "format":
        return not isinstance(value, str) or value in FORMATS
    if key == "pattern":
        return not isinstance(value, str) or not pattern_problem(value)
    return key not in BOUNDS or is_bounded(schema, key)
