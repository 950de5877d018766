"""A chat that grows turn by turn, and how its answers are drawn. Values only: knows no terminal and no file.

A saved chat is {"messages": [{"role", "content"}, ...]}, the shape of other programs, with the model's name beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any

from linnet.core.errors import InputError
from linnet.engines.requests.generation import GenerateRequest, Message, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What every request of a chat has in common. Raises InputError for a value outside its range."""

    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | bool | None = None
    thinking: bool | None = None
    adapters: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        self.raw_request("")

    def raw_request(self, prompt: str) -> GenerateRequest:
        """A request without a template. Its control tokens count: who writes a raw prompt writes the template too."""
        return GenerateRequest(prompt=prompt, control_tokens=True, **self._common())

    def chat_request(self, messages: tuple[Message, ...]) -> GenerateRequest:
        return GenerateRequest(messages=messages, **self._common())

    def _common(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields_of(self)}


class Conversation:
    """The system text and the turns so far. A question joins them only together with its answer."""

    def __init__(self, system: str = "", turns: Iterable[Message] = ()) -> None:
        self.system = system
        self.turns = list(turns)

    @property
    def messages(self) -> tuple[Message, ...]:
        head = (Message("system", self.system),) if self.system else ()
        return (*head, *self.turns)

    def asking(self, question: str) -> tuple[Message, ...]:
        """What to send for one more question. The conversation stays as it is."""
        return (*self.messages, Message("user", question))

    def add(self, question: str, answer: str) -> None:
        self.turns += [Message("user", question), Message("assistant", answer)]

    def clear(self) -> None:
        """Forget every turn. The system text stays."""
        self.turns = []

    def to_json(self, model: str) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": m.role, "content": m.content} for m in self.messages]}


def read_conversation(value: Any) -> Conversation:
    """A saved chat. A system message may only be the first. Raises InputError, naming the key or the message."""
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        raise InputError('it is no chat: {"messages": [...]} is needed')
    if unknown := sorted(set(value) - {"model", "messages"}):
        raise InputError(f"the key {unknown[0][:80]!r} is not known; model and messages are")
    messages = [_message(entry, number) for number, entry in enumerate(value["messages"], 1)]
    head = messages[:1] if messages and messages[0].role == "system" else []
    turns = messages[len(head) :]
    for number, message in enumerate(turns, len(head) + 1):
        if message.role == "system":
            raise InputError(f"message {number} is a system message: only the first may be one")
    return Conversation(head[0].content if head else "", turns)


def _message(entry: Any, number: int) -> Message:
    if not isinstance(entry, dict) or set(entry) != {"role", "content"}:
        raise InputError(f"message {number} must have role and content, and nothing else")
    try:
        return Message(entry["role"], entry["content"])
    except InputError as error:
        raise InputError(f"message {number}: {error.message.rstrip('.')}") from error
