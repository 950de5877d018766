"""A request as the JSON that llama.cpp's /completion takes. The only place that knows its field names.

Everything is sent, also what equals llama.cpp's default: a GGUF file can carry sampling settings of its own, and
they must not change an answer in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linnet.core.errors import EngineError, InputError
from linnet.engines.grammar.schema_grammar import schema_grammar
from linnet.engines.requests.generation import GenerateRequest, Message, TokenLogprob
from linnet.engines.requests.tool_format import ToolFormat

_TRIGGER_WORD = 1  # COMMON_GRAMMAR_TRIGGER_TYPE_WORD
SAMPLERS = ["penalties", "top_k", "top_p", "min_p", "temperature"]


def completion_body(
    request: GenerateRequest, ids: Sequence[int], room: int, seed: int, adapters: Mapping[str, int]
) -> dict[str, Any]:
    """The body for a prompt of `ids`, with at most `room` new tokens. `adapters` maps names to the engine's ids."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "prompt": list(ids),
        "stream": True,
        "return_tokens": True,
        "return_progress": True,  # without it a closed connection is noticed only after the whole prompt
        "cache_prompt": True,
        "n_predict": min(request.max_tokens or room, room),
        "n_keep": 0,
        "temperature": sampling.temperature,
        # Greedy: to rank the whole vocabulary for a draw without chance took a sixth of a small model's time.
        "top_k": 1 if sampling.temperature == 0 else sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
        "repeat_last_n": sampling.repeat_last_n,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": seed,
        "samplers": SAMPLERS,
        "mirostat": 0,
        "dynatemp_range": 0.0,
        "ignore_eos": False,
        "stop": [],  # see StopTexts: the engine loses text that might have become one when an answer ends
        "n_probs": 0 if request.top_logprobs is None else max(1, request.top_logprobs),
        "lora": adapter_scales(request, adapters),
        "logit_bias": [list(pair) for pair in request.logit_bias],
    }
    if request.json_schema is not None:
        body["grammar"] = schema_grammar(request.json_schema, request.question())
    if request.grammar is not None:
        body["grammar"] = request.grammar
    return body


def call_grammar(request: GenerateRequest, found: ToolFormat) -> dict[str, Any]:
    """What holds an answer to calls: all of it where one is demanded, else from the mark on that a call begins with.

    Where a call is free, tools without a mark, and schemas that are together too large for a grammar, are held to
    nothing. Raises InputError where a call is demanded.
    """
    if request.must_call is not None:
        return {"grammar": found.grammar(request.tools, request.must_call, parallel=request.parallel_calls)}
    if not found.begin:
        return {}
    try:
        grammar = found.grammar(request.tools, "", parallel=request.parallel_calls)
    except InputError:
        return {}
    trigger = {"type": _TRIGGER_WORD, "value": found.begin}
    return {
        "grammar": grammar,
        "grammar_lazy": True,
        "grammar_triggers": [trigger],
        "preserved_tokens": [found.begin],  # else llama.cpp refuses a trigger that is one token
    }


def message_json(message: Message) -> dict[str, Any]:
    """A turn of a chat as /apply-template takes it."""
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [call.to_json() for call in message.tool_calls]
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    if message.tool_name:
        found["name"] = message.tool_name
    return found


def adapter_scales(request: GenerateRequest, adapters: Mapping[str, int]) -> list[dict[str, Any]]:
    """A scale for every loaded adapter; 0 for those that the request does not name. Raises InputError."""
    asked = dict(request.adapters)
    if unknown := sorted(set(asked) - set(adapters)):
        raise InputError(f"adapter {unknown[0]!r} is not loaded; loaded: {', '.join(sorted(adapters)) or 'none'}.")
    return [{"id": number, "scale": asked.get(name, 0.0)} for name, number in adapters.items()]


def read_tokens(event: Mapping[str, Any]) -> tuple[int, ...]:
    """The token ids of a text event. Raises EngineError when they are no ids."""
    tokens = event.get("tokens", [])
    if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
        raise EngineError("The engine sent token ids that are no ids.")
    return tuple(tokens)


def read_logprobs(event: Mapping[str, Any], top: int | None) -> tuple[TokenLogprob, ...]:
    """The log-probabilities of a text event, each with `top` alternatives."""
    if top is None:
        return ()
    try:
        return tuple(
            TokenLogprob(
                entry["id"],
                entry["token"],
                float(entry["logprob"]),
                tuple(TokenLogprob(t["id"], t["token"], float(t["logprob"])) for t in entry["top_logprobs"][:top]),
            )
            for entry in event.get("completion_probabilities", [])
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EngineError("The engine sent log-probabilities that cannot be read.") from error
