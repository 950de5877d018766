"""A JSON schema as a GBNF grammar. Everything that the grammar allows is valid JSON under the schema.

Ours, because the wheel hands schemas to a second library that, on an error, stops constraining in silence (seen with
a vocabulary of byte tokens), while a GBNF grammar held. Takes schemas that schema_limits let through.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from linnet.core.errors import InputError
from linnet.engines.grammar.copied import KEYWORD as COPIED
from linnet.engines.grammar.copied import copied_rules, listed_rules
from linnet.engines.grammar.grammar_text import Bound, integer_range, literal, number_range, pattern_rule
from linnet.engines.grammar.schema_limits import BOUNDS

# Fixed rules, added when they are used. White space has an end, or a model could write it for ever.
_FIXED = {
    "ws": '| " " | "\\n" [ \\t]{0,20}',
    "char": '[^"\\\\\\x7F\\x00-\\x1F] | "\\\\" ["\\\\bfnrt]',
    "string": '"\\"" char* "\\""',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" ws (string ws ":" ws value (ws "," ws string ws ":" ws value)*)? ws "}"',
    "array": '"[" ws (value (ws "," ws value)*)? ws "]"',
    "date": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])',
    "time": '([0-1] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("Z" | [-+] [0-1] [0-9] ":" [0-5] [0-9])',
    "hex": "[0-9a-f]",
}
_NEEDS = {
    "string": ("char",),
    "number": ("integer",),
    "object": ("ws", "string", "value"),
    "array": ("ws", "value"),
    "value": ("object", "array", "string", "number", "boolean", "null"),
}
_FORMATS = {
    "date": "date",
    "time": "time",
    "date-time": 'date "T" time',
    "uuid": 'hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}',
}
_OF_OBJECT = {"properties", "required", "additionalProperties"}
_OF_ARRAY = {"items", "prefixItems", "minItems", "maxItems"}
_OF_STRING = {"pattern", "format", "minLength", "maxLength", COPIED}


def schema_grammar(schema: Any, source: str | None = None) -> str:
    """The grammar of a schema that passed `schema_limits.check_schema`; its root is the value with no space around.

    `source` is the text of which `x-copied` strings are runs. Raises InputError where there are such strings, and the
    text is not known or too long.
    """
    builder = _Builder(schema, source)
    builder.rules["root"] = builder.visit(schema)
    return "".join(f"{name} ::= {text}\n" for name, text in builder.rules.items())


class _Builder:
    def __init__(self, root: Any, source: str | None) -> None:
        self.root, self.source = root, source
        self.rules: dict[str, str] = {"root": ""}
        self._references: dict[str, str] = {}

    def fixed(self, name: str) -> str:
        if name not in self.rules:
            self.rules[name] = _FIXED[name]
            for needed in _NEEDS.get(name, ()):
                self.fixed(needed)
        return name

    def rule(self, text: str) -> str:
        """A new rule for a text, by a name that no other rule has."""
        name = f"r{len(self.rules)}"
        self.rules[name] = text
        return name

    def visit(self, schema: Any) -> str:
        """The schema as an expression that can stand in a sequence."""
        if isinstance(schema, bool) or not schema:
            return self.fixed("value")
        if "$ref" in schema:
            return self.reference(schema["$ref"])
        if "const" in schema:
            return literal(_dumps(schema["const"]))
        if "enum" in schema:
            return self.either([literal(_dumps(value)) for value in schema["enum"]])
        for join in ("anyOf", "oneOf"):
            if join in schema:
                return self.either([self.visit(branch) for branch in schema[join]])
        if "allOf" in schema:
            schema = self.merged(schema)
        return self.either([self.typed(kind, schema) for kind in _types(schema)])

    def either(self, branches: list[str]) -> str:
        unique = list(dict.fromkeys(branches))
        return unique[0] if len(unique) == 1 else self.rule(" | ".join(unique))

    def reference(self, reference: str) -> str:
        if reference not in self._references:
            self._references[reference] = self.rule(self.visit(self.target(reference)))
        return self._references[reference]

    def target(self, reference: str) -> Any:
        found = self.root
        for step in reference.split("/")[1:]:
            found = found[step.replace("~1", "/").replace("~0", "~")]
        return found

    def merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The properties of every part of allOf, together with its own."""
        properties, required = dict(schema.get("properties", {})), list(schema.get("required", []))
        for part in schema["allOf"]:
            found = self.target(part["$ref"]) if "$ref" in part else part
            properties.update(found.get("properties", {}))
            required += found.get("required", [])
        return {"type": "object", "properties": properties, "required": required}

    def typed(self, kind: str, schema: dict[str, Any]) -> str:
        if kind == "object":
            return self.object(schema)
        if kind == "array":
            return self.array(schema)
        if kind == "string":
            return self.string(schema)
        if kind in ("integer", "number") and BOUNDS & set(schema):
            low, high = _ends(schema)
            return self.rule(number_range(low, high) if kind == "number" else integer_range(_first(low), _last(high)))
        return self.fixed(kind)

    def string(self, schema: dict[str, Any]) -> str:
        if schema.get(COPIED):
            return self.copied("copied", copied_rules)
        if "pattern" in schema:
            return self.rule(f'"\\"" {pattern_rule(schema["pattern"])} "\\""')
        if "format" in schema:
            for name in ("date", "time", "hex"):
                if name in _FORMATS[schema["format"]]:
                    self.fixed(name)
            return self.rule(f'"\\"" {_FORMATS[schema["format"]]} "\\""')
        if "minLength" in schema or "maxLength" in schema:
            self.fixed("char")
            return self.rule(f'"\\"" char{_times(schema.get("minLength", 0), schema.get("maxLength"))} "\\""')
        return self.fixed("string")

    def copied(self, name: str, rules_of: Callable[[str], dict[str, str]]) -> str:
        """The rule of that name, made from the source at its first use."""
        if self.source is None:
            raise InputError(f"{COPIED} needs messages or a prompt: of token ids no text is known.")
        if name not in self.rules:
            self.rules |= rules_of(self.source)
        return name

    def object(self, schema: dict[str, Any]) -> str:
        """Properties in the schema's order, as examples usually have them, and none beyond those named."""
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        self.fixed("ws")
        if not properties:
            if more is False:
                return self.rule('"{" ws "}"')
            pair = self.rule(f'{self.fixed("string")} ws ":" ws {self.visit(more)}')
            return self.rule(f'"{{" ws ({pair} (ws "," ws {pair})*)? ws "}}"')
        required = set(schema.get("required", []))
        pairs = [
            (self.rule(f'{literal(_dumps(name))} ws ":" ws {self.visit(child)}'), name in required)
            for name, child in properties.items()
        ]
        return self.rule(f'"{{" ws {self.in_order(pairs)} ws "}}"')

    def in_order(self, pairs: list[tuple[str, bool]]) -> str:
        """The pairs in their order, with commas between; each with whether it must be there."""
        tail, starts = "", list[str]()
        for pair, is_required in reversed(pairs):
            starts = [f"{pair} {tail}".strip()] + ([] if is_required else starts)
            more = f'ws "," ws {pair}'
            tail = self.rule(f"{more if is_required else f'({more})?'} {tail}".strip())
        ways = f"({' | '.join(starts)})"
        return ways if any(is_required for _, is_required in pairs) else f"{ways}?"

    def array(self, schema: dict[str, Any]) -> str:
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        self.fixed("ws")
        if schema.get(COPIED):
            return self.rule(f'"[" ws {self.copied("listed", listed_rules)}{"" if low else "?"} ws "]"')
        fixed = [self.visit(child) for child in schema.get("prefixItems", [])]
        fixed = fixed if high is None else fixed[:high]
        item = self.visit(schema.get("items", True))
        if fixed:
            more = "" if "items" not in schema and low <= len(fixed) else self.more(item, low, high, len(fixed))
            inside = ' ws "," ws '.join(fixed)
            return self.rule(f'"[" ws {inside}{more} ws "]"')
        if high == 0:
            return self.rule('"[" ws "]"')
        some = f"{item}{self.more(item, low, high, 1)}"
        return self.rule(f'"[" ws ({some}){"" if low else "?"} ws "]"')

    def more(self, item: str, low: int, high: int | None, there: int) -> str:
        return f' (ws "," ws {item}){_times(max(0, low - there), None if high is None else max(0, high - there))}'


def _ends(schema: dict[str, Any]) -> tuple[Bound | None, Bound | None]:
    """The stricter of each pair of bounds."""
    lows = [Bound(int(schema[key]), key[0] == "e") for key in ("minimum", "exclusiveMinimum") if key in schema]
    highs = [Bound(int(schema[key]), key[0] == "e") for key in ("maximum", "exclusiveMaximum") if key in schema]
    return (
        max(lows, key=lambda one: (one.value, one.is_open), default=None),
        min(highs, key=lambda one: (one.value, not one.is_open), default=None),
    )


def _first(low: Bound | None) -> int | None:
    return None if low is None else low.value + low.is_open


def _last(high: Bound | None) -> int | None:
    return None if high is None else high.value - high.is_open


def _types(schema: dict[str, Any]) -> list[str]:
    """The types a schema allows; without `type`, those its keywords are about, else all."""
    kinds = schema.get("type")
    if kinds:
        return kinds if isinstance(kinds, list) else [kinds]
    for kind, keywords in (("object", _OF_OBJECT), ("array", _OF_ARRAY), ("string", _OF_STRING)):
        if keywords & set(schema):
            return [kind]
    return ["value"]


def _times(low: int, high: int | None) -> str:
    return f"{{{low},{'' if high is None else high}}}"


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
