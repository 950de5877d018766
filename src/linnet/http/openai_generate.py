"""The OpenAI dialect of decoders: bodies become GenerateRequests, events become chunks. Runs nothing itself."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from linnet.engines.generation import GenerateRequest, Generation, Message, Piece, Sampling, TokenLogprob
from linnet.engines.schema_limits import check_schema
from linnet.http.decoders import DecoderInfo
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.openai_bodies import MAX_PROMPTS, ChatBody, ChatMessage, CompletionBody, StreamOptions
from linnet.http.replies import Choice, sse

SEEDS = (1 << 32) - 1  # larger and negative seeds are taken modulo this
COMPLETION_TOKENS = 16  # the dialect's own default for raw completions
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
    return Sampling(seed=None if seed is None else seed % SEEDS, **known)


def _sampling(body: ChatBody | CompletionBody) -> Sampling:
    return sampling_of(
        body.seed,
        temperature=body.temperature,
        top_p=body.top_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
    )


def _times(request: GenerateRequest, count: int) -> list[GenerateRequest]:
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
    with about("messages"):
        messages = tuple(_message(one, f"messages[{number}]") for number, one in enumerate(body.messages))
        request = GenerateRequest(
            messages=messages,
            sampling=_sampling(body),
            max_tokens=body.max_completion_tokens or body.max_tokens,
            stop=tuple(body.stop or ()),
            json_schema=_schema(body.response_format),
            top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        )
    return _times(request, body.n or 1)


def _message(message: ChatMessage, where: str) -> Message:
    for name in ("tool_calls", "function_call", "audio"):
        if getattr(message, name):
            raise Refused(Problem(400, f'"{name}" is not supported by this server.', param=f"{where}.{name}"))
    if message.role not in _ROLES:
        raise Refused(Problem(400, f"The role {message.role} is not supported.", param=f"{where}.role"))
    if message.content is None and message.role != "assistant":
        raise Refused(Problem(400, f"A message of {message.role} needs content.", param=f"{where}.content"))
    return Message(_ROLES[message.role], "\n".join(part.text for part in message.content or []))


def _schema(found: Any) -> dict[str, Any] | bool | None:
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


def completion_requests(body: CompletionBody) -> list[GenerateRequest]:
    """One request for each prompt and choice, choices of one prompt side by side. Raises Refused."""
    count = body.n or 1
    if body.best_of not in (None, count):
        raise Refused(Problem(400, f'"best_of" is not supported beyond "n" ({count}).', param="best_of"))
    if len(body.prompt) * count > MAX_PROMPTS:
        raise Refused(Problem(400, f"Prompts times n is more than {MAX_PROMPTS}.", param="n"))
    if body.echo and (body.logprobs is not None or not all(isinstance(one, str) for one in body.prompt)):
        message = '"echo" is not supported with "logprobs" or with token ids.'
        raise Refused(Problem(400, message, param="echo"))
    found: list[GenerateRequest] = []
    for prompt in body.prompt:
        with about("prompt"):
            request = GenerateRequest(
                prompt=prompt if isinstance(prompt, str) else None,
                token_ids=None if isinstance(prompt, str) else tuple(prompt),
                sampling=_sampling(body),
                max_tokens=body.max_tokens or COMPLETION_TOKENS,
                stop=tuple(body.stop or ()),
                top_logprobs=body.logprobs,
                control_tokens=True,
            )
        found += _times(request, count)
    return found


def _usage(prompt_tokens: Sequence[int], ends: Sequence[Generation], choices: int) -> dict[str, Any]:
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


class _Chunks:
    """What both kinds of completion share when they are streamed."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, head: dict[str, Any], options: StreamOptions | None, choices: int) -> None:
        self._head, self._choices = head, choices
        self._with_usage = options is not None and bool(options.include_usage)
        self._ends: list[Generation] = []

    def chunk(self, choice: dict[str, Any]) -> str:
        chunk = {**self._head, "choices": [choice]}
        return sse({**chunk, "usage": None} if self._with_usage else chunk)

    def start(self, _: Answering) -> str:
        return ""

    def finish(self, answering: Answering) -> str:
        if not self._with_usage:
            return DONE
        usage = _usage(answering.prompt_tokens, self._ends, self._choices)
        return sse({**self._head, "choices": [], "usage": usage}) + DONE

    def failed(self, problem: Problem) -> str:
        return sse(problem.body())


class ChatRendering(_Chunks):
    def __init__(self, head: Head, body: ChatBody) -> None:
        super().__init__(head.to_json("chat.completion.chunk"), body.stream_options, body.n or 1)
        self.stream = bool(body.stream)
        self._whole_head, self._logprobs = head.to_json("chat.completion"), bool(body.logprobs)
        self._begun: set[int] = set()

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
        return text

    def whole(self, choices: list[Choice], answering: Answering) -> dict[str, Any]:
        found = [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice.end.text, "refusal": None},
                "logprobs": _chat_logprobs(choice.logprobs) if self._logprobs else None,
                "finish_reason": choice.end.finish_reason,
            }
            for index, choice in enumerate(choices)
        ]
        usage = _usage(answering.prompt_tokens, [choice.end for choice in choices], self._choices)
        return {**self._whole_head, "choices": found, "usage": usage}


class CompletionRendering(_Chunks):
    """Raw completions, with log-probabilities in the old shape."""

    def __init__(self, head: Head, body: CompletionBody) -> None:
        choices = body.n or 1
        super().__init__(head.to_json("text_completion"), body.stream_options, choices)
        self.stream = bool(body.stream)
        self._logprobs = body.logprobs is not None
        self._echo = [one if body.echo and isinstance(one, str) else "" for one in body.prompt for _ in range(choices)]
        self._offsets: dict[int, int] = {}

    def _choice(self, index: int, text: str, logprobs: Any, finish: str | None) -> dict[str, Any]:
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}

    def _old_logprobs(self, index: int, found: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        offsets, at = [], self._offsets.get(index, 0)
        for one in found:
            offsets.append(at)
            at += len(one.text)
        self._offsets[index] = at
        return {
            "tokens": [one.text for one in found],
            "token_logprobs": [one.logprob for one in found],
            "top_logprobs": [{other.text: other.logprob for other in one.top} for one in found],
            "text_offset": offsets,
        }

    def event(self, index: int, event: Piece | Generation) -> str:
        echo, self._echo[index] = self._echo[index], ""
        if isinstance(event, Generation):
            self._ends.append(event)
            return self.chunk(self._choice(index, echo, None, event.finish_reason))
        if not (event.text or echo or (self._logprobs and event.logprobs)):
            return ""
        logprobs = self._old_logprobs(index, event.logprobs)
        return self.chunk(self._choice(index, echo + event.text, logprobs, None))

    def whole(self, choices: list[Choice], answering: Answering) -> dict[str, Any]:
        found = [
            self._choice(
                index,
                self._echo[index] + choice.end.text,
                self._old_logprobs(index, choice.logprobs),
                choice.end.finish_reason,
            )
            for index, choice in enumerate(choices)
        ]
        usage = _usage(answering.prompt_tokens, [choice.end for choice in choices], self._choices)
        return {**self._head, "choices": found, "usage": usage}
