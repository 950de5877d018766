"""The OpenAI dialect's chats with decoders: bodies become GenerateRequests, events chunks. Runs nothing itself."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from linnet.engines.grammar.schema_limits import check_schema
from linnet.engines.requests.generation import GenerateRequest, Generation, Message, Piece, Sampling, TokenLogprob
from linnet.engines.requests.tools import ToolCall
from linnet.http.decoders import DecoderInfo
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.openai_bodies import ChatBody, ChatMessage, CompletionBody, StreamOptions
from linnet.http.presets import SEEDS, Asked
from linnet.http.replies import Choice, sse
from linnet.http.tool_bodies import calls_of, chosen, tool_answer, tools_of

DONE = "data: [DONE]\n\n"
_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of an answer says alike."""

    info: DecoderInfo
    prefix: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def to_json(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.info.full_name,
            "system_fingerprint": self.info.fingerprint,
        }


def sampling_of(seed: int | None, **given: float | None) -> Sampling:
    """What the request says, and the engine's defaults for the rest."""
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if seed is not None:
        known["seed"] = seed % SEEDS
    return Asked(**known, said=frozenset(known))


def sampling(body: ChatBody | CompletionBody) -> Sampling:
    return sampling_of(
        body.seed,
        temperature=body.temperature,
        top_p=body.top_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
    )


def times(request: GenerateRequest, count: int) -> list[GenerateRequest]:
    """The request for each choice: a given seed counts on, so that choices differ and can be had again."""
    seed = request.sampling.seed
    if seed is None or count == 1:
        return [request] * count
    seeds = ((seed + number) % SEEDS for number in range(count))
    return [replace(request, sampling=replace(request.sampling, seed=one)) for one in seeds]


def chat_requests(body: ChatBody) -> list[GenerateRequest]:
    """One request a choice. Raises Refused, naming the parameter, for what cannot be obeyed."""
    if body.top_logprobs is not None and not body.logprobs:
        raise Refused(Problem(400, '"top_logprobs" needs "logprobs": true.', param="top_logprobs"))
    tools, schema = chosen(body.tool_choice, tools_of(body.tools)), schema_of(body.response_format)
    if tools.get("tools") and schema is not None:
        raise Refused(Problem(400, '"response_format" cannot be had together with "tools".', param="response_format"))
    with about("messages"):
        messages = tuple(_message(one, f"messages[{number}]") for number, one in enumerate(body.messages))
        request = GenerateRequest(
            messages=messages,
            sampling=sampling(body),
            max_tokens=body.max_completion_tokens or body.max_tokens,
            stop=tuple(body.stop or ()),
            json_schema=schema,
            top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            logit_bias=tuple((body.logit_bias or {}).items()),
            parallel_calls=body.parallel_tool_calls is not False,
            **tools,
        )
    return times(request, body.n or 1)


def _message(message: ChatMessage, where: str) -> Message:
    for name in ("function_call", "audio"):
        if getattr(message, name):
            raise Refused(Problem(400, f'"{name}" is not supported by this server.', param=f"{where}.{name}"))
    if message.role not in _ROLES:
        raise Refused(Problem(400, f"The role {message.role} is not supported.", param=f"{where}.role"))
    if message.content is None and message.role != "assistant":
        raise Refused(Problem(400, f"A message of {message.role} needs content.", param=f"{where}.content"))
    text = "\n".join(part.text for part in message.content or [])
    if message.role == "tool":
        return tool_answer(text, message.tool_call_id, message.name)
    return Message(_ROLES[message.role], text, calls_of(message.tool_calls, where))


def schema_of(found: Any) -> dict[str, Any] | bool | None:
    """The JSON schema that a response_format asks for; None for text."""
    param = "response_format"
    if found is None:
        return None
    kind = found.get("type") if isinstance(found, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise Refused(Problem(400, "The type is text, json_object or json_schema.", param=param))
    allowed = {"type", "json_schema"} if kind == "json_schema" else {"type"}
    _refuse_unknown(found, allowed, param)
    if kind != "json_schema":
        return {"type": "object"} if kind == "json_object" else None
    given, param = found.get("json_schema"), "response_format.json_schema"
    if not isinstance(given, dict):
        raise Refused(Problem(400, "An object with name and schema is needed.", param=param))
    _refuse_unknown(given, {"name", "description", "schema", "strict"}, param)
    name = given.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise Refused(Problem(400, "A name of 1 to 64 letters, digits, _ and - is needed.", param=f"{param}.name"))
    if given.get("strict") not in (None, True, False) or not isinstance(given.get("description", ""), str | None):
        raise Refused(Problem(400, "strict is true or false, description a text.", param=param))
    schema = given.get("schema")
    if schema is None:
        return {"type": "object"}
    if not isinstance(schema, dict):
        raise Refused(Problem(400, "A schema is an object.", param=f"{param}.schema"))
    with about(f"{param}.schema"):
        check_schema(schema)
    return schema


def _refuse_unknown(found: Mapping[str, Any], allowed: set[str], param: str) -> None:
    if unknown := sorted(set(found) - allowed):
        raise Refused(Problem(400, f"Unknown field {unknown[0][:80]!a}.", param=f"{param}.{unknown[0][:80]}"))


def usage(prompt_tokens: Sequence[int], ends: Sequence[Generation], choices: int) -> dict[str, Any]:
    """Every choice's tokens, and each prompt's once."""
    prompt = sum(prompt_tokens[::choices])
    completion = sum(end.completion_tokens for end in ends)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(end.cached_tokens for end in ends[::choices])},
    }


def token_json(found: TokenLogprob) -> dict[str, Any]:
    """A token with its bytes, without its alternatives."""
    partial = "\ufffd" in found.text  # a part of a character: its bytes are not known
    return {
        "token": found.text,
        "logprob": found.logprob,
        "bytes": None if partial else list(found.text.encode()),
    }


def _chat_logprobs(found: Sequence[TokenLogprob]) -> dict[str, Any]:
    content = [{**token_json(one), "top_logprobs": [token_json(other) for other in one.top]} for one in found]
    return {"content": content, "refusal": None}


class Chunks:
    """What both kinds of completion share when they are streamed."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, head: dict[str, Any], options: StreamOptions | None, choices: int) -> None:
        self._head, self._choices = head, choices
        self._with_usage = options is not None and bool(options.include_usage)
        self._ends: list[Generation] = []
        # A chunk a token: what is the same in all of them is written once.
        self._before = f'data: {json.dumps(head)[:-1]}, "choices": ['
        self._after = '], "usage": null}\n\n' if self._with_usage else "]}\n\n"

    def chunk(self, choice: dict[str, Any]) -> str:
        return f"{self._before}{json.dumps(choice)}{self._after}"

    def start(self, _: Answering) -> str:
        return ""

    def finish(self, answering: Answering) -> str:
        if not self._with_usage:
            return DONE
        told = usage(answering.prompt_tokens, self._ends, self._choices)
        return sse({**self._head, "choices": [], "usage": told}) + DONE

    def failed(self, problem: Problem) -> str:
        return sse(problem.body())


def call_json(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{call.id}", "type": "function", "function": function}


def _message_json(end: Generation) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": end.text, "refusal": None}
    if not end.tool_calls:
        return said
    return {**said, "content": end.text or None, "tool_calls": [call_json(call) for call in end.tool_calls]}


class ChatRendering(Chunks):
    def __init__(self, head: Head, body: ChatBody) -> None:
        super().__init__(head.to_json("chat.completion.chunk"), body.stream_options, body.n or 1)
        self.stream = bool(body.stream)
        self._whole_head, self._logprobs = head.to_json("chat.completion"), bool(body.logprobs)
        self._begun: set[int] = set()
        self._calls: Counter[int] = Counter()  # of each choice, so far

    def _choice(self, index: int, delta: dict[str, Any], finish: str | None, logprobs: Any = None) -> str:
        return self.chunk({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish})

    def event(self, index: int, event: Piece | Generation) -> str:
        text = ""
        if index not in self._begun:
            self._begun.add(index)
            text = self._choice(index, {"role": "assistant", "content": "", "refusal": None}, None)
        if isinstance(event, Generation):
            self._ends.append(event)
            return text + self._choice(index, {}, event.finish_reason)
        logprobs = _chat_logprobs(event.logprobs) if self._logprobs and event.logprobs else None
        if event.text or logprobs:
            text += self._choice(index, {"content": event.text}, None, logprobs)
        return text + "".join(self._called(index, call) for call in event.tool_calls)

    def _called(self, index: int, call: ToolCall) -> str:
        """The call's name and id first, then its arguments."""
        number, found = self._calls[index], call_json(call)
        self._calls[index] += 1
        arguments = found["function"].pop("arguments")
        begun = {"index": number, **found, "function": {**found["function"], "arguments": ""}}
        parts = [begun, {"index": number, "function": {"arguments": arguments}}]
        return "".join(self._choice(index, {"tool_calls": [part]}, None) for part in parts)

    def whole(self, choices: list[Choice], answering: Answering) -> dict[str, Any]:
        found = [
            {
                "index": index,
                "message": _message_json(choice.end),
                "logprobs": _chat_logprobs(choice.logprobs) if self._logprobs else None,
                "finish_reason": choice.end.finish_reason,
            }
            for index, choice in enumerate(choices)
        ]
        told = usage(answering.prompt_tokens, [choice.end for choice in choices], self._choices)
        return {**self._whole_head, "choices": found, "usage": told}
