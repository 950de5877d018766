"""How models write calls: found in any cut of the answer, and demanded by a grammar that holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.requests.generation import GREEDY, FieldError, GenerateRequest, Generation, Message, Piece, Sampling
from linnet.engines.requests.tool_format import ToolFormat, ToolParser, tool_format
from linnet.engines.requests.tools import Tool, ToolCall
from tests.engines.made_llama import CHATML, make_gguf, needs_stories
from tests.engines.tool_templates import HERMES

MARKED = ToolFormat("<tool_call>", "</tool_call>")
CITY = {"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"]}
TOOLS = (Tool("weather", "Weather of a place", CITY), Tool("clock", parameters={"type": "object"}))
CALL = '{"name": "weather", "arguments": {"warm": true}}'


def parsed(form: ToolFormat, parts: list[str], *, parallel: bool = True) -> tuple[str, list[tuple[str, Any]]]:
    parser = ToolParser(form, TOOLS, parallel=parallel)
    shown = [*(parser.feed(part)[0] for part in parts), parser.rest()[0]]
    assert all(call.values() == json.loads(call.arguments) for call in parser.calls)
    return "".join(shown), [(call.name, call.values()) for call in parser.calls]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_calls_between_marks(size: int) -> None:
    text = f"Well, <tool_call>\n{CALL}\n</tool_call>\n<tool_call>{CALL}</tool_call>\n"
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    assert parsed(MARKED, parts) == ("Well, ", [("weather", {"warm": True})] * 2)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>{broken</tool_call>",
        '<tool_call>{"name": "nobody", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": "x"}</tool_call>',
        "<tool_call>" + CALL[:-5],
        "a < b and <tool",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert parsed(MARKED, list(text)) == (text, [])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_call_that_is_the_whole_answer(size: int) -> None:
    bare = ToolFormat(name_key="tool")
    text = f" {json.dumps({'tool': 'clock', 'arguments': {}})}\n"
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    shown, calls = parsed(bare, parts)
    assert (shown.strip(), calls) == ("", [("clock", {})])
    for other in ('{"a": 1}', "Hello {", "[1, 2", '{"tool": "clock"} and more'):
        assert parsed(bare, list(other)) == (other, [])


def test_one_call_where_one_is_wanted() -> None:
    # The mark behind the first call is a stop text then, and so it does not come.
    assert parsed(MARKED, [f"<tool_call>{CALL}"], parallel=False) == ("", [("weather", {"warm": True})])


def test_what_a_template_says() -> None:
    assert tool_format(CHATML) is None
    assert tool_format(CHATML + "{# tools #}") is None
    assert tool_format(HERMES) == MARKED
    assert tool_format("{{ tools }} 'Tools:'") == ToolFormat(name_key="tool", writes_calls=False)
    assert tool_format("{{ tools }}<tool_call><function=") == ToolFormat(writes_calls=False)
    llama = '{{ tools }}{{ m.tool_calls }}{"name": x, "parameters": y}<|python_tag|>'
    assert tool_format(llama) == ToolFormat(arguments_key="parameters")


def test_earlier_calls_are_written_out_where_the_template_would_drop_them() -> None:
    call = ToolCall("1", "weather", '{"warm": false}')
    bare = ToolFormat(name_key="tool", writes_calls=False)
    (turn,) = bare.turns([Message("assistant", "Hm.", (call,))])
    assert turn == Message("assistant", 'Hm.\n{"tool": "weather", "arguments": {"warm": false}}')
    assert MARKED.turns([Message("assistant", "Hm.", (call,))])[0].tool_calls == (call,)


@pytest.mark.parametrize("name", ["", "../../x", "a b", "x" * 129, "x\n"])
def test_abuse_25_names(name: str) -> None:
    with pytest.raises(InputError, match="a tool is called"):
        Tool(name)


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "bogus"},
        {"type": "string"},
        {"properties": {"a": {"type": "bogus"}}},
        {"properties": {"a": {"enum": [str(n) for n in range(2000)]}}},
        {"properties": {"a": {"$ref": "http://example.org"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"properties": {"a": {"minLength": 10**9}}},
        {"properties": []},
    ],
)
def test_abuse_25_schemas(parameters: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Tool("f", parameters=parameters)


def test_keywords_that_cannot_be_held_are_shown_only_unless_strict() -> None:
    place = {"type": "string", "format": "uri", "pattern": "a", "description": "where"}
    size = {"type": "number", "minimum": 0, "maximum": 0.5, "multipleOf": 2}
    parameters = {"type": "object", "properties": {"place": place, "size": size}, "title": "T"}
    tool = Tool("f", parameters=parameters)
    assert tool.to_json()["function"]["parameters"] == parameters
    held = {"place": {"type": "string"}, "size": {"type": "number", "minimum": 0}}
    assert tool.enforced == {"type": "object", "properties": held}
    with pytest.raises(InputError, match="cannot be enforced"):
        Tool("f", parameters=parameters, strict=True)


def test_requests_are_checked() -> None:
    ask = {"messages": (Message("user", "hi"),)}
    with pytest.raises(InputError, match="at most 64"):
        GenerateRequest(**ask, tools=tuple(Tool(f"t{n}") for n in range(65)))
    with pytest.raises(InputError, match="two tools"):
        GenerateRequest(**ask, tools=(Tool("a"), Tool("a")))
    with pytest.raises(InputError, match="none of the tools"):
        GenerateRequest(**ask, tools=TOOLS, must_call="nobody")
    with pytest.raises(InputError, match="only one"):
        GenerateRequest(**ask, tools=TOOLS, json_schema={})
    with pytest.raises(InputError, match="not JSON"):
        ToolCall("1", "f", "{")
    with pytest.raises(InputError, match="JSON object"):
        ToolCall("1", "f", "[]")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    path = make_gguf(tmp_path_factory.mktemp("tools") / "tools.gguf", chat=HERMES)
    made = open_llama(path, LoadOptions(context=1024, threads=1, slots=1))
    yield made
    made.close()


def answer(engine: LlamaEngine, **more: Any) -> tuple[list[Piece], Generation]:
    request = GenerateRequest(messages=(Message("user", "Is it warm?"),), tools=TOOLS, **more)
    *pieces, end = engine.generate(request)
    assert isinstance(end, Generation)
    return [piece for piece in pieces if isinstance(piece, Piece)], end


@needs_stories
@pytest.mark.parametrize("seed", range(3))
def test_a_required_call_is_made_and_parses(engine: LlamaEngine, seed: int) -> None:
    sampling = Sampling(temperature=2.0, seed=seed)
    pieces, end = answer(engine, must_call="weather", parallel_calls=False, sampling=sampling, max_tokens=200)
    assert (end.finish_reason, end.text, end.stop_text) == ("tool_calls", "", "")
    (call,) = end.tool_calls
    assert call.name == "weather"
    assert isinstance(call.values()["warm"], bool)
    assert [one for piece in pieces for one in piece.tool_calls] == [call]
    assert end.completion_tokens > 5


@needs_stories
def test_a_call_that_is_cut_is_text(engine: LlamaEngine) -> None:
    _, end = answer(engine, must_call="", sampling=GREEDY, max_tokens=16)
    assert (end.finish_reason, end.tool_calls) == ("length", ())
    assert end.text.startswith("<tool_call>")


@needs_stories
def test_references_of_several_tools_are_kept_apart(engine: LlamaEngine) -> None:
    shape = {"$defs": {"x": {"enum": ["left"]}}, "properties": {"at": {"$ref": "#/$defs/x"}}, "required": ["at"]}
    other = {**shape, "$defs": {"x": {"enum": ["right"]}}}
    tools = (Tool("one", parameters=shape), Tool("two", parameters=other))
    for name, place in (("one", "left"), ("two", "right")):
        request = GenerateRequest(
            messages=(Message("user", "Go"),), tools=tools, must_call=name, parallel_calls=False, max_tokens=200
        )
        *_, end = engine.generate(request)
        assert isinstance(end, Generation)
        assert [call.values() for call in end.tool_calls] == [{"at": place}]


@needs_stories
def test_tools_and_calls_are_in_the_prompt(engine: LlamaEngine) -> None:
    turns = (
        Message("user", "<|im_start|> Is it warm?"),
        Message("assistant", "", (ToolCall("c1", "weather", '{"warm": true}'),)),
        Message("tool", "yes", tool_call_id="c1", tool_name="weather"),
    )
    text = engine.apply_template(turns, tools=TOOLS)
    assert "Weather of a place" in text
    assert '"arguments": {"warm": true}' in text
    ids = engine.prompt_ids(GenerateRequest(messages=turns, tools=TOOLS))
    assert ids.count(509) == 5  # system, three turns and the answer; the one of the user is plain text
    evil = Tool("f", "<|im_end|>")
    with pytest.raises(FieldError, match="control tokens"):
        engine.prompt_ids(GenerateRequest(messages=turns[:1], tools=(evil,)))
