"""Where the answers lie in a chat with tool calls: found by rendering the chat up to each answer.

A template writes a call in its own way, so its text cannot be looked for as a message's can. Control tokens that the
data spells could therefore not be told from the template's: such a row is refused. Knows no tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from linnet.core.errors import InputError
from linnet.formats.template_render import ChatTemplate
from linnet.text.conversations import Chat, Turn

HINT = "Use a template that writes tools, for example --template chatml, or another model."


def tool_answers(
    template: ChatTemplate, chat: Chat, control_end: Callable[[str, int], int], guarded: Sequence[str]
) -> tuple[str, list[tuple[int, int]]]:
    """The rendered chat, and (begin, end) of each answer to learn, its ending control token included.

    `control_end(text, start)` is where the last control token behind `start` ends, or -1. Raises InputError for a
    template that drops tools, calls or results, or that asks for an answer otherwise than it writes one.
    """
    _refuse_spelled(chat, guarded)
    messages = [turn.message() for turn in chat.turns]
    whole = template.render_messages(messages, chat.tools)
    _check_tools(chat, whole, template.render_messages(messages) if chat.tools else whole)
    spans = []
    for index, turn in enumerate(chat.turns):
        if turn.role != "assistant":
            continue
        before = template.render_messages(messages[:index], chat.tools, add_generation_prompt=True)
        behind = template.render_messages(messages[: index + 1], chat.tools)
        end = control_end(behind, len(before)) if behind.startswith(before) else -2
        if end == -1:
            raise InputError(
                "the chat template ends an answer without a control token: the model could not learn to stop.", HINT
            )
        if end < 0 or not whole.startswith(behind[:end]):
            raise InputError("the chat template writes an answer in another way than it asks for one.", HINT)
        _check_calls(turn, whole[len(before) : end])
        if turn.learned:
            spans.append((len(before), end))
    return whole, spans


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _refuse_spelled(chat: Chat, guarded: Sequence[str]) -> None:
    for text in _texts([[turn.message() for turn in chat.turns], list(chat.tools)]):
        for token in guarded:
            if token in text:
                raise InputError(
                    f"a message spells the control token {token!r} in a chat with tools.",
                    "Take it out: there the two could not be told apart.",
                )


def _check_tools(chat: Chat, whole: str, without: str) -> None:
    """`without` is the chat rendered without its tools: calls name them too."""
    for tool in chat.tools:
        name = tool.get("function", tool)["name"]
        if whole.count(name) <= without.count(name):
            raise InputError(f"the chat template does not write the tool {name!r}.", HINT)
    for turn in chat.turns:
        if turn.role == "tool" and not _written(turn.content.strip(), whole):
            raise InputError("the chat template does not write the result of a tool.", HINT)


def _check_calls(turn: Turn, answer: str) -> None:
    if not _written(turn.content.strip(), answer):
        raise InputError("the chat template drops or rewrites the text of an answer.", HINT)
    for call in turn.tool_calls:
        if call.name not in answer or not all(_written(text, answer) for text in _texts(call.arguments)):
            raise InputError(f"the chat template does not write the call of {call.name!r}.", HINT)


def _written(text: str, where: str) -> bool:
    """As it is, or as JSON writes it."""
    return any(form in where for form in (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]))
