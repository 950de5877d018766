"""What a JSON schema or a GBNF grammar may ask of the engine, checked before it sees one.

The engine enforces some keywords, ignores others in silence, and a large schema blocks every client for seconds. So a
keyword it does not enforce is refused by name, and sizes have limits. Knows no request and no engine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from linnet.core.errors import InputError
from linnet.engines.grammar.copied import KEYWORD as COPIED

MAX_BYTES = 64 << 10
MAX_DEPTH = 32
MAX_ENUM = 1000
MAX_PATTERN = 512
MAX_REPEAT = 1000
MAX_EXPANSION = 20_000  # rules that references and repetitions unfold to
MAX_GRAMMAR_DEPTH = 64
MAX_GRAMMAR_RULES = 1000

_NOTES = {"title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated", "readOnly"}
_COUNTS = {"minLength", "maxLength", "minItems", "maxItems"}
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_SHAPES = {"type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const"}
_JOINS = {"anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "pattern", "format"}
KEYWORDS = _NOTES | _COUNTS | BOUNDS | _SHAPES | _JOINS | {COPIED}
FORMATS = {"date", "time", "date-time", "uuid"}
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


def is_bounded(schema: dict[str, Any], key: str) -> bool:
    """Whether a bound can be enforced: of numbers, and a whole number itself, also as 1.0, that a float holds."""
    kinds, bound = schema.get("type"), schema[key]
    if not {"integer", "number"} & set(kinds if isinstance(kinds, list) else [str(kinds)]):
        return False
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return False
    return math.isfinite(bound) and bound == int(bound) and abs(bound) < 1 << 53


def check_schema(schema: Any) -> None:
    """Raise InputError, naming the keyword and its place, unless the engine can and may enforce `schema`."""
    try:
        size = len(json.dumps(schema).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"json_schema is not JSON: {type(error).__name__}.") from None
    if size > MAX_BYTES:
        raise InputError(f"json_schema has {size} bytes: at most {MAX_BYTES} are allowed.")
    _depth(schema)
    _Schema(schema).check()


def _depth(value: Any) -> None:
    layer, depth = [value], 0
    while layer:
        depth += 1
        if depth > 2 * MAX_DEPTH + 1:  # a keyword and its value are two levels of JSON
            raise InputError(f"json_schema is nested too deep: at most {MAX_DEPTH} schemas inside each other.")
        nested = [v for v in layer if isinstance(v, dict | list)]
        layer = [x for v in nested for x in (v.values() if isinstance(v, dict) else v)]


class _Schema:
    """One walk over a schema: `where` is a JSON pointer for the errors."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.enum_values = 0
        self.expanded = 0

    def check(self) -> None:
        self.visit(self.root, "#", (), 1)

    def refuse(self, where: str, message: str, hint: str = "") -> None:
        raise InputError(f"json_schema at {where}: {message}.", hint)

    def visit(self, schema: Any, where: str, inside: tuple[str, ...], depth: int) -> None:
        """`inside` are the references that are being followed: one met again is recursion."""
        self.expanded += 1
        if self.expanded > MAX_EXPANSION:
            self.refuse(where, f"its references unfold to more than {MAX_EXPANSION} schemas")
        if depth > MAX_DEPTH:
            self.refuse(where, f"nested more than {MAX_DEPTH} deep")
        if isinstance(schema, bool):
            if not schema:
                self.refuse(where, "false allows no value at all")
            return
        if not isinstance(schema, dict):
            self.refuse(where, f"a schema is an object, not {type(schema).__name__}")
        for name in schema:
            if name not in KEYWORDS:
                self.refuse(where, f"the keyword {name[:60]!r} cannot be enforced", "Remove it, or say it differently.")
        self._values(schema, where)
        for key in ("$defs", "definitions"):
            for name, child in self._object(schema, key, where):
                # Unused definitions are never built; used ones are visited where they are used.
                if not isinstance(child, dict | bool):
                    self.refuse(f"{where}/{key}/{name}", "a schema is an object")
        for place, child in self._children(schema, where):
            self.visit(child, place, inside, depth + 1)
        if "$ref" in schema:
            self._follow(schema["$ref"], where, inside, depth)

    def _object(self, schema: dict[str, Any], key: str, where: str) -> Iterator[tuple[str, Any]]:
        value = schema.get(key, {})
        if not isinstance(value, dict):
            self.refuse(where, f"{key} must be an object")
        yield from value.items()

    def _children(self, schema: dict[str, Any], where: str) -> Iterator[tuple[str, Any]]:
        for name, child in self._object(schema, "properties", where):
            yield f"{where}/properties/{name[:40]}", child
        if isinstance(schema.get("additionalProperties"), dict):
            yield f"{where}/additionalProperties", schema["additionalProperties"]
        if "items" in schema:
            if schema["items"] is False:
                self.refuse(where, "items: false cannot be enforced", "Use maxItems.")
            yield f"{where}/items", schema["items"]
        for key in ("prefixItems", "anyOf", "oneOf", "allOf"):
            if key not in schema:
                continue
            if not isinstance(schema[key], list) or not schema[key]:
                self.refuse(where, f"{key} must be a list that is not empty")
            for index, child in enumerate(schema[key]):
                yield f"{where}/{key}/{index}", child

    def _values(self, schema: dict[str, Any], where: str) -> None:
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        for kind in kinds:
            if not isinstance(kind, str) or kind not in TYPES:
                self.refuse(where, f"type {str(kind)[:40]!r} is none of {', '.join(sorted(TYPES))}")
        self._enums(schema, where)
        for name in _COUNTS & set(schema):
            if type(schema[name]) is not int or not 0 <= schema[name] <= MAX_REPEAT:
                self.refuse(where, f"{name} is {str(schema[name])[:40]}: 0 to {MAX_REPEAT} are allowed")
        for low, high in (("minLength", "maxLength"), ("minItems", "maxItems")):
            if low in schema and high in schema and schema[low] > schema[high]:
                self.refuse(where, f"{low} is greater than {high}")
        for name in sorted(BOUNDS & set(schema)):
            if not is_bounded(schema, name):
                self.refuse(where, f"{name} can be enforced for numbers, and as a whole number below 2^53")
        if "format" in schema and schema["format"] not in tuple(FORMATS):  # it may be what no set can hold
            self.refuse(where, f"the format {str(schema['format'])[:40]!r} cannot be enforced")
        if "pattern" in schema:
            self._pattern(schema["pattern"], where)
        self._copied(schema, where)
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            self.refuse(where, "required must be a list of names")
        properties = schema.get("properties", dict.fromkeys(required))
        if isinstance(properties, dict) and (missing := set(required) - set(properties)):
            self.refuse(where, f"required names {min(missing)[:40]!r}, which is not among the properties")
        self._joins(schema, where)

    def _copied(self, schema: dict[str, Any], where: str) -> None:
        if COPIED not in schema:
            return
        if type(schema[COPIED]) is not bool:
            self.refuse(where, f"{COPIED} is true or false")
        if not schema[COPIED]:
            return
        kind = schema.get("type", "array" if "items" in schema else "string")
        others = {"enum", "const"} & set(schema)
        if kind == "array":
            others |= {"maxItems", "prefixItems"} & set(schema)
            others |= {"minItems"} if schema.get("minItems", 0) > 1 else set()
            items = schema["items"] if isinstance(schema.get("items"), dict) else {}
            if (
                items.get("type") != "string"
                or set(items) - _NOTES - {"type", "minLength"}
                or items.get("minLength", 0) > 1
            ):
                self.refuse(where, f"{COPIED} can be enforced for lists of plain strings only")
        elif kind == "string":
            others |= {"pattern", "format", "maxLength"} & set(schema)
            others |= {"minLength"} if schema.get("minLength", 0) > 1 else set()
        else:
            self.refuse(where, f"{COPIED} can be enforced for type string and array only")
        if others:
            self.refuse(where, f"{COPIED} cannot be enforced together with {min(others)}")

    def _enums(self, schema: dict[str, Any], where: str) -> None:
        if "enum" not in schema:
            return
        values = schema["enum"]
        if not isinstance(values, list) or not values:
            self.refuse(where, "enum must be a list that is not empty")
        self.enum_values += len(values)
        if self.enum_values > MAX_ENUM:
            self.refuse(where, f"{self.enum_values} enum values in all: at most {MAX_ENUM} are allowed")

    def _joins(self, schema: dict[str, Any], where: str) -> None:
        """The engine takes oneOf for anyOf, which is the same only where no value can match two; and of allOf it
        joins properties and nothing else."""
        if isinstance(schema.get("oneOf"), list) and not self._are_disjoint(schema["oneOf"]):
            self.refuse(where, "oneOf, where two branches could match, cannot be enforced", "Use anyOf.")
        for part in schema.get("allOf", []) if isinstance(schema.get("allOf"), list) else []:
            found = self._resolved(part)
            if not isinstance(found, dict) or set(found) - _NOTES - {"type", "properties", "required", "$defs"}:
                self.refuse(where, "allOf can be enforced for objects with properties only")

    def _resolved(self, schema: Any) -> Any:
        if isinstance(schema, dict) and set(schema) - _NOTES == {"$ref"}:
            return self._target(schema["$ref"], "#")
        return schema

    def _are_disjoint(self, branches: list[Any]) -> bool:
        found = [self._resolved(branch) for branch in branches]
        if not all(isinstance(branch, dict) for branch in found):
            return False
        kinds = [branch.get("type") for branch in found]
        if all(isinstance(kind, str) for kind in kinds) and len(set(kinds)) == len(kinds):
            return {"integer", "number"} - set(kinds) != set()
        marks: list[dict[str, str]] = []
        for branch in found:
            properties = branch.get("properties", {})
            needed = branch.get("required", [])
            if not isinstance(properties, dict) or not isinstance(needed, list):
                return False
            marks.append({n: json.dumps(p["const"]) for n, p in properties.items()
                          if n in needed and isinstance(p, dict) and "const" in p})  # fmt: skip
        shared = set(marks[0]).intersection(*marks[1:])
        return any(len({mark[name] for mark in marks}) == len(marks) for name in shared)

    def _target(self, reference: Any, where: str) -> Any:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            self.refuse(where, f"$ref {str(reference)[:60]!r} is not inside this schema", "Only #/... is followed.")
        found = self.root
        for step in reference.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                self.refuse(where, f"$ref {reference[:60]!r} leads nowhere")
            found = found[name]
        return found

    def _follow(self, reference: Any, where: str, inside: tuple[str, ...], depth: int) -> None:
        target = self._target(reference, where)
        if reference == "#" or reference in inside or where.startswith(reference + "/"):
            self.refuse(where, f"$ref {reference[:60]!r} is recursive", "Write the levels out.")
        self.visit(target, reference, (*inside, reference), depth + 1)

    def _pattern(self, pattern: Any, where: str) -> None:
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
            self.refuse(where, f"a pattern is a text of at most {MAX_PATTERN} characters")
        if problem := pattern_problem(pattern):
            self.refuse(where, f"the pattern {pattern[:60]!r} {problem}")


def pattern_problem(pattern: str) -> str:
    """Why a regular expression cannot be enforced, as the end of a sentence; empty when it can."""
    if not (pattern.startswith("^") and pattern.endswith("$")) or pattern.endswith("\\$"):
        return "must begin with ^ and end with $"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression: {error}"
    body = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", pattern[1:-1])  # escapes and classes are one letter each
    if re.search(r"\\[1-9bBAZ]", re.sub(r"\\\\", "", pattern)):
        return "uses a back-reference or a boundary, which cannot be enforced"
    if re.search(r"\(\?(?!:)", body):
        return "uses a look-around, a flag or a named group, which cannot be enforced"
    if re.search(r"[*+?}][?+]", body):
        return "uses a lazy or possessive quantifier, which cannot be enforced"
    if "^" in body or "$" in body:
        return "has ^ or $ inside, which cannot be enforced"
    if any(int(number) > MAX_REPEAT for number in re.findall(r"\d+", " ".join(re.findall(r"\{[\d,]*\}", body)))):
        return f"repeats more than {MAX_REPEAT} times"
    return _nested_quantifier(body)


def _nested_quantifier(body: str) -> str:
    """A repeat inside a repeat is ambiguous, and costs the engine exponentially."""
    repeats: list[bool] = [False]
    for index, character in enumerate(body):
        following = body[index + 1 : index + 2]
        if character == "(":
            repeats.append(False)
        elif character == ")" and len(repeats) > 1:
            inner = repeats.pop()
            if inner and following in ("*", "+", "{"):
                return "repeats a group that repeats inside: write it without nesting"
            repeats[-1] = repeats[-1] or inner
        elif character in "*+{":
            repeats[-1] = True
    return ""


_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|\#[^\n]*)|(?P<line>\n)|(?P<text>"(?:\\.|[^"\\\n])*"|\[(?:\\.|[^\]\\\n])*\]|\.)
    |(?P<name>[A-Za-z][A-Za-z0-9-]*)|(?P<is>::=)|(?P<open>\()|(?P<close>\))|(?P<or>\|)
    |(?P<repeat>[*+?]|\{\s*\d+\s*(?:,\s*\d*\s*)?\})|(?P<token>!?<[^>\n]{1,200}>)""",
    re.VERBOSE,
)


def check_grammar(grammar: str) -> None:
    """Raise InputError unless `grammar` is GBNF of reasonable size, complete and without left recursion."""
    size = len(grammar.encode(errors="replace"))
    if size > MAX_BYTES:
        raise InputError(f"grammar has {size} bytes: at most {MAX_BYTES} are allowed.")
    rules = _rules(_lex(grammar))
    if "root" not in rules:
        raise InputError("grammar has no rule named root.")
    if len(rules) > MAX_GRAMMAR_RULES:
        raise InputError(f"grammar has {len(rules)} rules: at most {MAX_GRAMMAR_RULES} are allowed.")
    for name, tokens in rules.items():
        for kind, text in tokens:
            if kind == "name" and text not in rules:
                raise InputError(f"grammar: the rule {name!r} uses {text!r}, which is not there.")
    from linnet.engines.grammar.grammar_recursion import left_recursive

    if looping := left_recursive(rules):
        raise InputError(f"grammar: the rule {looping!r} is left recursive.", "Begin it with something else.")


def _lex(grammar: str) -> list[tuple[str, str]]:
    found, at, depth = [], 0, 0
    while at < len(grammar):
        match = _TOKEN.match(grammar, at)
        if not match:
            line = grammar.count("\n", 0, at) + 1
            raise InputError(f"grammar, line {line}: cannot be read from {grammar[at : at + 20]!r} on.")
        kind, text, at = str(match.lastgroup), match.group(), match.end()
        depth += (kind == "open") - (kind == "close")
        if not 0 <= depth <= MAX_GRAMMAR_DEPTH:
            raise InputError(f"grammar: parentheses nested more than {MAX_GRAMMAR_DEPTH} deep, or closed too often.")
        if kind == "repeat" and any(int(number) > MAX_REPEAT for number in re.findall(r"\d+", text)):
            raise InputError(f"grammar: repeats {text[:40]}: at most {MAX_REPEAT} times are allowed.")
        if kind != "skip":
            found.append((kind, text))
    return found


def _rules(tokens: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Rule name to its tokens. A rule begins with `name ::=`."""
    tokens = [token for token in tokens if token[0] != "line"]
    starts = [n for n in range(len(tokens) - 1) if tokens[n][0] == "name" and tokens[n + 1][0] == "is"]
    if not starts or starts[0] != 0:
        raise InputError("grammar must begin with a rule: name ::= ...")
    rules: dict[str, list[tuple[str, str]]] = {}
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        rules[tokens[start][1]] = tokens[start + 2 : end]
    return rules
