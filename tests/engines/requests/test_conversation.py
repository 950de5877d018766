"""A chat's turns and parameters as values: what is sent, what is kept, what a saved chat may be."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.engines.requests.conversation import Conversation, Parameters, read_conversation
from linnet.engines.requests.generation import Message, Sampling

TURNS = [Message("user", "a"), Message("assistant", "b")]


def test_a_question_joins_only_with_its_answer() -> None:
    chat = Conversation("be brief", TURNS)
    sent = chat.asking("c")
    assert [m.role for m in sent] == ["system", "user", "assistant", "user"]
    assert chat.turns == TURNS
    chat.add("c", "d")
    assert chat.turns[2:] == [Message("user", "c"), Message("assistant", "d")]
    chat.clear()
    assert chat.messages == (Message("system", "be brief"),)


@pytest.mark.parametrize("system", ["", "be brief"])
def test_a_saved_chat_is_the_same_chat(system: str) -> None:
    chat = Conversation(system, TURNS)
    found = read_conversation(chat.to_json("tiny"))
    assert (found.system, found.turns) == (system, TURNS)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ([], "no chat"),
        ({"messages": "x"}, "no chat"),
        ({"messages": [], "tools": []}, "'tools' is not known"),
        ({"messages": [{"role": "user"}]}, "message 1 must have"),
        ({"messages": [{"role": "user", "content": "a", "x": 1}]}, "message 1 must have"),
        ({"messages": [{"role": "root", "content": "a"}]}, "message 1: role is 'root'"),
        ({"messages": [{"role": "user", "content": 3}]}, "message 1: content is int"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}, "message 2 is a system"),
    ],
)
def test_what_is_no_chat_is_named(value: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_conversation(value)


def test_parameters_reach_both_kinds_of_request() -> None:
    parameters = Parameters(sampling=Sampling(seed=7), max_tokens=5, stop=("x",), thinking=False)
    raw, chat = parameters.raw_request("a"), parameters.chat_request((Message("user", "a"),))
    for request in (raw, chat):
        assert (request.sampling.seed, request.max_tokens, request.stop, request.thinking) == (7, 5, ("x",), False)
    assert (raw.control_tokens, chat.control_tokens) == (True, False)


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"stop": ("",)}, {"stop": ("a",) * 17}, {"thinking": "yes"}])
def test_a_parameter_outside_its_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Parameters(**wrong)
