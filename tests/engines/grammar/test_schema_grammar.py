"""Schemas as grammars: what they allow is valid, and the real engine keeps to them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from linnet.core.errors import InputError
from linnet.engines.grammar.grammar_text import Bound, integer_range, literal, number_range, pattern_rule
from linnet.engines.grammar.schema_grammar import _ends, schema_grammar
from linnet.engines.grammar.schema_limits import check_grammar, check_schema
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.requests.generation import GenerateRequest, Generation, Sampling
from tests.engines.grammar.test_schema_limits import PERSON
from tests.engines.made_llama import needs_stories
from tests.engines.workers import stories_plan


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    found = LlamaEngine(stories_plan(slots=2, context=2048))
    yield found
    found.close()


def as_regex(grammar: str) -> re.Pattern[str]:
    """Digits, classes and alternatives of GBNF are those of regular expressions once quotes and spaces are gone."""
    return re.compile(grammar.replace('"', "").replace(" ", ""))


def expanded(grammar: str, name: str = "root") -> str:
    """A grammar of names, literals, groups, `|` and `?`, without recursion and white space, as a regular expression."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())
    rules["ws"] = '""'
    parts = re.findall(r'"(?:\\.|[^"\\])*"|[()|?]|\w+', rules[name])
    made = []
    for part in parts:
        if part[0] == '"':
            made.append(re.escape(json.loads(part)))
        else:
            made.append({"(": "(?:"}.get(part, part) if part in "()|?" else f"(?:{expanded(grammar, part)})")
    return "".join(made)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 9), (0, 150), (7, 7), (-5, 12), (-120, -7), (1, 1000), (98, 1203), (0, 0), (-1, 0), (15, 234)]
)
def test_a_range_of_whole_numbers_is_exact(low: int, high: int) -> None:
    found = as_regex(integer_range(low, high))
    for number in range(low - 300, high + 300):
        assert bool(found.fullmatch(str(number))) == (low <= number <= high), number
    assert not found.fullmatch("007")


WRITTEN = [
    f"{whole}{rest}" for whole in (0, 1, 5, 6, 7, 8, 12, 100, 101) for rest in ("", ".0", ".00", ".01", ".5", ".999")
]


@pytest.mark.parametrize(
    "ends",
    [
        {"minimum": 0}, {"exclusiveMinimum": 0}, {"exclusiveMaximum": 0}, {"maximum": 0}, {"minimum": 0, "maximum": 1},
        {"exclusiveMinimum": 0, "exclusiveMaximum": 1}, {"minimum": 1, "maximum": 1}, {"minimum": -7, "maximum": 7},
        {"exclusiveMinimum": -7, "exclusiveMaximum": 7}, {"minimum": -100.0, "maximum": -1},
        {"exclusiveMinimum": 5, "maximum": 7}, {"exclusiveMinimum": 7, "exclusiveMaximum": 8},
        {"minimum": 1, "exclusiveMinimum": 1, "maximum": 100},
    ],
)  # fmt: skip
def test_a_range_of_numbers_is_exact(ends: dict[str, float]) -> None:
    """Beside the judgement of jsonschema, which the values are checked with afterwards."""
    schema = {"type": "number", **ends}
    check_schema(schema)
    low, high = _ends(schema)
    found, holds = as_regex(number_range(low, high).replace('"."', "[.]")), Draft202012Validator(schema)
    for text in [*WRITTEN, *(f"-{one}" for one in WRITTEN)]:
        allowed = holds.is_valid(json.loads(text)) and not (text[0] == "-" and float(text) == 0)
        assert bool(found.fullmatch(text)) == allowed, text
    assert not found.fullmatch("01")
    assert not found.fullmatch("1e3")


@pytest.mark.parametrize("ends", [(Bound(2), Bound(1)), (Bound(1, True), Bound(1)), (Bound(0), Bound(0, True))])
def test_a_range_without_a_number_is_refused(ends: tuple[Bound, Bound]) -> None:
    with pytest.raises(InputError, match="no number"):
        number_range(*ends)


def test_open_ranges_have_sixteen_digits() -> None:
    found = as_regex(integer_range(10, None))
    assert found.fullmatch("9" * 16)
    assert not found.fullmatch("9")
    with pytest.raises(InputError):
        integer_range(3, 2)


def test_a_literal_is_escaped() -> None:
    assert literal('a"b\\c\n') == '"a\\"b\\\\c\\n"'


@pytest.mark.parametrize("pattern", ["^[\\D]$", '^["\\\\]$'])
def test_a_pattern_that_cannot_be_written_is_refused(pattern: str) -> None:
    with pytest.raises(InputError):
        pattern_rule(pattern)


SCHEMAS: list[tuple[Any, Any]] = [
    ({"type": "object", "properties": {"a": {"enum": ["x", 'y"z', 3]}}, "required": ["a"]},
     lambda v: v["a"] in ("x", 'y"z', 3)),
    ({"type": "array", "items": {"type": "integer", "minimum": -3, "maximum": 12}, "minItems": 2, "maxItems": 4},
     lambda v: 2 <= len(v) <= 4 and all(-3 <= n <= 12 for n in v)),
    ({"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 3}, lambda v: v is None or 0 < v <= 3),
    ({"type": "string", "pattern": "^[A-F]{2}-\\d{1,3}(?:x|yy)?$"},
     lambda v: re.fullmatch("[A-F]{2}-[0-9]{1,3}(?:x|yy)?", v)),
    ({"type": "string", "minLength": 3, "maxLength": 5}, lambda v: 3 <= len(v) <= 5),
    ({"type": "string", "format": "date"}, lambda v: re.fullmatch(r"\d{4}-\d\d-\d\d", v)),
    ({"type": "string", "format": "uuid"}, lambda v: len(v) == 36),
    ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, lambda v: v in (None, True, False)),
    ({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}},
     lambda v: all({"a": 1, "b": 2, "c": 3}[k] == x for k, x in v.items())),
    ({"type": "object", "additionalProperties": False}, lambda v: v == {}),
    ({"type": "object", "additionalProperties": {"type": "null"}}, lambda v: all(x is None for x in v.values())),
    ({"prefixItems": [{"const": "a"}, {"const": "b"}]}, lambda v: v == ["a", "b"]),
    ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"b": {"const": 2}}, "required": ["b"]}]},
     lambda v: v == {"a": 1, "b": 2}),
    ({"$defs": {"n": {"const": "ñ🦙"}}, "type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 1, "maxItems": 2},
     lambda v: set(v) == {"ñ🦙"}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "holds"), [*SCHEMAS, (PERSON, lambda v: "name" in v), ({}, lambda v: True)])
def test_a_grammar_is_one_that_we_would_let_through(schema: Any, holds: Any) -> None:
    check_schema(schema)
    check_grammar(schema_grammar(schema))


def test_properties_keep_the_order_of_the_schema() -> None:
    """A model that was tuned on rows with an optional key in the middle writes it there."""
    names = ["a", "b", "c", "d"]
    for required in ([], ["a"], ["b", "d"], ["c"], names):
        schema = {"type": "object", "properties": {n: {"const": 1} for n in names}, "required": required}
        allowed = re.compile(expanded(schema_grammar(schema)))
        for chosen in itertools.chain.from_iterable(itertools.permutations(names, k) for k in range(5)):
            written = "{" + ",".join(f'"{n}":1' for n in chosen) + "}"
            fits = set(required) <= set(chosen) and list(chosen) == sorted(chosen)
            assert bool(allowed.fullmatch(written)) == fits, (required, written)


@needs_stories
@pytest.mark.parametrize(("schema", "holds"), SCHEMAS)
def test_the_engine_keeps_to_a_schema(engine: LlamaEngine, schema: Any, holds: Any) -> None:
    """Sampled hot, from a model that has never seen JSON: whatever ends by itself is valid."""
    ended = 0
    for seed in range(4):
        sampling = Sampling(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
        request = GenerateRequest(prompt="a", json_schema=schema, sampling=sampling, max_tokens=600)
        last = list(engine.generate(request))[-1]
        assert isinstance(last, Generation)
        if last.finish_reason == "stop":
            ended += 1
            assert holds(json.loads(last.text)), last.text
    assert ended
