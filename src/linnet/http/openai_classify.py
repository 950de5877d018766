"""A chat completion of a specialist: its answer is the label of the user's last message.

Parameters that cannot matter to a classifier have no effect; those that would change the answer are refused by name.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from fastapi.responses import JSONResponse, Response

from linnet.core.files import canonical, sha256_bytes
from linnet.core.records import Specialist
from linnet.http.bodies import asks_for_nothing
from linnet.http.errors import Problem, Refused
from linnet.http.native import Serving
from linnet.http.openai_bodies import ChatBody
from linnet.stages.serve import Classified

_REFUSED: dict[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "logprobs": (False,),
    "n": (1,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none",),
    "tools": (),
    "top_logprobs": (),
}


async def classify_chat(shared: Serving, body: ChatBody) -> Response:
    """The label, in the shape of a chat completion. Raises Refused for what a classifier cannot obey."""
    for name, harmless in _REFUSED.items():
        if not asks_for_nothing(getattr(body, name), harmless):
            message = f'"{name}" is not supported: a classify specialist answers with one label.'
            raise Refused(Problem(400, message, param=name))
    found = await shared.classify(body.model, [_text(body)], truncate=False, param="messages")
    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": found.specialist.full_name,
        "system_fingerprint": _fingerprint(found.specialist),
    }
    if not body.stream:
        return JSONResponse(_completion(head, found))
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    # The answer is whole before the first byte: nothing can fail between two frames.
    frames = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(head, found, with_usage=with_usage))
    headers = {"cache-control": "no-cache"}
    return Response(frames + "data: [DONE]\n\n", media_type="text/event-stream", headers=headers)


def _text(body: ChatBody) -> str:
    """The text of the user's last message."""
    for message in reversed(body.messages):
        if message.role == "user":
            return "\n".join(part.text for part in message.content or [])
    raise Refused(Problem(400, "There is no message of the user to classify.", param="messages"))


def _fingerprint(specialist: Specialist) -> str:
    """The same for the same bytes of a bundle: what `seed` users compare."""
    files = {name: entry.sha256 for name, entry in specialist.files.items()}
    return "fp_" + sha256_bytes(canonical(files))[:12]


def _usage(found: Classified) -> dict[str, int]:
    """A label counts as one token: it is one choice, not a text that was written piece by piece."""
    prompt = sum(found.tokens)
    return {"prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1}


def _completion(head: dict[str, Any], found: Classified) -> dict[str, Any]:
    message = {"role": "assistant", "content": found.answers[0].label, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(found)}


def _chunks(head: dict[str, Any], found: Classified, *, with_usage: bool) -> Iterator[dict[str, Any]]:
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": found.answers[0].label}, None),
        ({}, "stop"),
    ]
    base = {**head, "object": "chat.completion.chunk"}
    for delta, finish_reason in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**base, "choices": [choice]}
        yield {**chunk, "usage": None} if with_usage else chunk
    if with_usage:
        yield {**base, "choices": [], "usage": _usage(found)}
