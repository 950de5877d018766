"""Strings that a schema wants copied from the question: what the grammar allows, and what the engine writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.engines.grammar import copied
from linnet.engines.grammar.copied import are_copied, copied_rules, is_copied, listed_rules, without_copied
from linnet.engines.grammar.schema_grammar import schema_grammar
from linnet.engines.grammar.schema_limits import check_grammar, check_schema
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.requests.generation import GenerateRequest, Generation, Message, Sampling
from linnet.engines.requests.tools import Tool
from tests.engines.grammar.test_schema_grammar import expanded

TINY = Path(copied.__file__).parents[2] / "builtin" / "nano-tiny" / "model-Q8_0.gguf"
COPY = {"type": "string", "x-copied": True}
LIST = {"type": "array", "items": {"type": "string"}, "x-copied": True}
SOURCE = 'Play "Ghosted\\Again" by kid vapour,  a a\nünï 🦙 now'


def runs(text: str) -> set[str]:
    """Every stretch of a text that begins and ends at a word or a mark."""
    found = [(m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)]
    return {text[start:end] for start, _ in found for _, end in found if start < end}


def test_a_copied_string_is_a_run_of_words_and_nothing_else() -> None:
    allowed, wanted = (
        re.compile(expanded("".join(f"{k} ::= {v}\n" for k, v in copied_rules(SOURCE).items()), "copied")),
        runs(SOURCE),
    )
    places = range(len(SOURCE) + 1)
    for text in {SOURCE[a:b] for a in places for b in places if a <= b} | {"kid now", "Play kid", "a a a"}:
        written = json.dumps(text, ensure_ascii=False)
        assert bool(allowed.fullmatch(written)) == (text in wanted), text
        assert is_copied(text, SOURCE) == (text in wanted), text


def test_a_copied_list_has_its_runs_in_order_and_none_twice() -> None:
    source = "a b, a c"
    grammar = "".join(f"{k} ::= {v}\n" for k, v in listed_rules(source).items()) + "ws ::= \n"
    allowed = re.compile(expanded(grammar, "listed"))
    places = [(m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", source)]
    chosen = [(a, b) for a, _ in places for _, b in places if a < b]
    wanted = {(source[a:b],) for a, b in chosen}
    wanted |= {(source[a:b], source[c:d]) for a, b in chosen for c, d in chosen if b <= c}
    words = sorted(runs(source))
    for texts in [(one,) for one in words] + [(one, two) for one in words for two in words]:
        written = ",".join(json.dumps(text) for text in texts)
        assert bool(allowed.fullmatch(written)) == (texts in wanted), texts
        assert are_copied(texts, source) == (texts in wanted), texts
    assert allowed.fullmatch('"a","b",",","a","c"')


@pytest.mark.parametrize("source", ["", "   \n", "a", "x " * 400 + "Z{}[]()|?*'"])
def test_any_text_makes_a_grammar(source: str) -> None:
    schema = {"type": "object", "properties": {"one": COPY, "two": {"type": "array", "items": COPY}, "three": LIST}}
    check_schema(schema)
    grammar = schema_grammar(schema, source)
    if len(source) < 100:
        check_grammar(grammar)
    assert grammar.count("\ncopied ::=") == 1
    assert source.strip() or 'copied ::= "\\"\\""\n' in grammar


def test_a_text_of_many_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copied, "MOST_UNITS", 9)
    assert copied_rules("one two three four five")
    with pytest.raises(InputError, match="11 words, marks and spaces: at most 9"):
        copied_rules("one two three four five six")


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({**COPY, "x-copied": "yes"}, "true or false"),
        ({"type": "integer", "x-copied": True}, "type string and array only"),
        ({**LIST, "maxItems": 3}, "together with maxItems"),
        ({**LIST, "items": {"enum": ["a"]}}, "lists of plain strings"),
        ({**COPY, "pattern": "^a$"}, "together with"),
        ({**COPY, "enum": ["a"]}, "together with"),
        ({**COPY, "minLength": 2}, "together with minLength"),
    ],
)
def test_what_cannot_be_copied_is_refused(schema: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        check_schema(schema)
    check_schema({**COPY, "minLength": 1})
    check_schema({"type": "string", "pattern": "^a$", "x-copied": False})


def test_arguments_of_tools_and_other_engines_know_nothing_of_it() -> None:
    properties = {"x-copied": COPY, "all": {"anyOf": [COPY, {"type": "null"}]}}
    plain = {"x-copied": {"type": "string"}, "all": {"anyOf": [{"type": "string"}, {"type": "null"}]}}
    tool = Tool("note", "", {"type": "object", "properties": properties})
    assert tool.enforced["properties"] == plain
    assert without_copied(properties) == plain


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    found = open_llama(TINY, LoadOptions(context=512, slots=1))
    yield found
    found.close()


@pytest.mark.parametrize("is_chat", [False, True])
def test_the_engine_copies(engine: LlamaEngine, is_chat: bool) -> None:
    """Sampled hot: every string is a run of the prompt, or of the user's last message."""
    schema = {"properties": {"some": {"type": "array", "items": COPY, "maxItems": 3}, "all": LIST}, "required": ["all"]}
    said = (Message("user", "Other words."), Message("assistant", "No."), Message("user", SOURCE))
    asked: dict[str, Any] = {"messages": said} if is_chat else {"prompt": SOURCE}
    ended = 0
    for seed in range(4):
        sampling = Sampling(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
        request = GenerateRequest(**asked, json_schema=schema, sampling=sampling, max_tokens=300)
        last = list(engine.generate(request))[-1]
        assert isinstance(last, Generation)
        if last.finish_reason == "stop":
            ended += 1
            found = json.loads(last.text)
            assert set(found.get("some", [])) <= runs(SOURCE), last.text
            assert are_copied(found["all"], SOURCE), last.text
    assert ended


def test_of_token_ids_nothing_can_be_copied(engine: LlamaEngine) -> None:
    with pytest.raises(InputError, match="needs messages or a prompt"):
        next(engine.generate(GenerateRequest(token_ids=(1, 2), json_schema=COPY)))
