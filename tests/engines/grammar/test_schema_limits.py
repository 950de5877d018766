"""Schemas and grammars: what the engine cannot or must not enforce is refused by name, and quickly."""

from __future__ import annotations

import time
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.engines.grammar.schema_limits import MAX_BYTES, MAX_ENUM, check_grammar, check_schema

PERSON = {
    "$defs": {"name": {"type": "string", "minLength": 1, "maxLength": 40}},
    "type": "object",
    "properties": {
        "name": {"$ref": "#/$defs/name"},
        "other": {"$ref": "#/$defs/name"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 5},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{1,4}(?:x|y)?$"},
        "either": {"anyOf": [{"type": "null"}, {"type": "number"}]},
        "shape": {
            "oneOf": [
                {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
                {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]},
            ]
        },
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("schema", [PERSON, True, {}, {"type": "object"}, {"const": 1}, {"type": ["string", "null"]}])
def test_a_usual_schema_passes(schema: Any) -> None:
    check_schema(schema)


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


BOMB = {
    "$defs": {
        "d0": {"type": "string"},
        **{f"d{n}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/d{n - 1}"}] * 10} for n in range(1, 12)},
    },
    "$ref": "#/$defs/d11",
}


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"enum": [str(n) for n in range(MAX_ENUM + 1)]}, "enum values"),
        ({"enum": [str(n) for n in range(10_000)]}, "bytes|enum values"),
        ({"description": "x" * 300_000}, "bytes"),
        (deep(200), "deep"),
        (deep(32), "deep"),
        ({"$ref": "http://evil.example/x"}, "not inside this schema"),
        ({"$ref": "#"}, "recursive"),
        ({"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "recursive"),
        ({"properties": {"a": {"properties": {"b": {"$ref": "#/properties/a"}}}}}, "recursive"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        (BOMB, "unfold|deep"),
        ({"type": "string", "pattern": "("}, "no regular expression|must begin"),
        ({"type": "string", "pattern": "^($"}, "no regular expression"),
        ({"type": "string", "pattern": "^(a+)+$"}, "repeats inside"),
        ({"type": "string", "pattern": "^((a|b*)c?){2,}$"}, "repeats inside"),
        ({"type": "string", "pattern": "^a{1,100000}$"}, "repeats more"),
        ({"type": "string", "pattern": "^(?=a)b$"}, "look-around"),
        ({"type": "string", "pattern": "^(a)\\1$"}, "back-reference"),
        ({"type": "string", "pattern": "abc"}, "must begin with"),
        ({"type": "string", "pattern": "^" + "a" * 600 + "$"}, "at most 512"),
        ({"type": "string", "minLength": 10**9}, "minLength"),
        ({"type": "array", "minItems": 5, "maxItems": 2}, "greater"),
        ({"type": "string", "minimum": 0}, "minimum can be enforced for numbers"),
        ({"type": "number", "minimum": 0.5}, "as a whole number"),
        ({"type": "number", "maximum": True}, "as a whole number"),
        ({"type": "integer", "maximum": 2**53}, "below 2"),
        ({"type": "string", "format": "email"}, "format 'email'"),
        ({"not": {"type": "string"}}, "'not'"),
        ({"type": "object", "properties": {"a": {"multipleOf": 2}}}, "'multipleOf'"),
        ({"patternProperties": {}}, "'patternProperties'"),
        ({"uniqueItems": True}, "'uniqueItems'"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"allOf": [{"type": "string"}, {"pattern": "^a$"}]}, "allOf"),
        ({"type": "bogus"}, "bogus"),
        ({"required": ["b"], "properties": {"a": {}}}, "required names 'b'"),
        (123, "a schema is an object"),
        (False, "no value at all"),
    ],
)
def test_19_a_schema_that_cannot_be_enforced_is_refused(schema: Any, named: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InputError, match=named):
        check_schema(schema)
    assert time.perf_counter() - started < 1


def test_the_limits_themselves_pass() -> None:
    check_schema({"type": ["number", "null"], "minimum": -1.0, "exclusiveMaximum": 2**53 - 1})
    check_schema({"enum": [str(n) for n in range(MAX_ENUM)]})
    check_schema(deep(31))
    frame = len('{"description": ""}')
    check_schema({"description": "x" * (MAX_BYTES - frame)})
    with pytest.raises(InputError, match="bytes"):
        check_schema({"description": "x" * (MAX_BYTES - frame + 1)})


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= "yes" | "no"',
        'root ::= item (", " item)* # a list\nitem ::= [a-z\\]"]+ {1,20}\n',
        'root ::= object\nobject ::= "{" ws (pair ("," pair)*)? "}"\n'
        'pair ::= [a-z]+ ":" value\nvalue ::= object | [0-9]+\nws ::= [ \\t]*',
    ],
)
def test_a_usual_grammar_passes(grammar: str) -> None:
    check_grammar(grammar)


@pytest.mark.parametrize(
    ("grammar", "named"),
    [
        ('root ::= root "a" | "b"', "left recursive"),
        ('root ::= a "x"\na ::= b?  c\nb ::= "y"\nc ::= root', "left recursive"),
        ('root ::= ("a"? root)', "left recursive"),
        ('root ::= "a"{1,1000000000}', "repeats"),
        ('root ::= "a"{5000}', "repeats"),
        ("root ::= " + "(" * 100_000, "bytes|deep"),
        ("root ::= " + "(" * 100 + '"a"' + ")" * 100, "deep"),
        ('x ::= "a"', "no rule named root"),
        ("root ::= other", "'other'"),
        ('root ::= "a', "cannot be read"),
        ("", "begin with a rule"),
        ('root ::= ("a"', "not closed"),
        ('root ::= "a"\n' + "".join(f'r{n} ::= "a"\n' for n in range(1001)), "rules"),
    ],
)
def test_20_a_grammar_that_is_dangerous_is_refused(grammar: str, named: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InputError, match=named):
        check_grammar(grammar)
    assert time.perf_counter() - started < 1
