"""The OpenAI dialect's responses: text, JSON and calls, whole or as typed events. Stateless: nothing is stored."""

from __future__ import annotations

import time
import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import GenerateRequest, Generation, Piece
from linnet.engines.requests.tools import ToolCall
from linnet.http.bodies import CheckedRoute
from linnet.http.decoders import DecoderInfo
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.native import serving
from linnet.http.openai_generate import sampling_of, schema_of
from linnet.http.openai_responses_bodies import InputBody, ResponseBody
from linnet.http.replies import Choice, Reply, sse

router = APIRouter(route_class=CheckedRoute)


def _schema(given: Any) -> dict[str, Any] | bool | None:
    """The schema of a text format, which is a response_format without its inner object. Raises Refused."""
    if isinstance(given, dict) and given.get("type") == "json_schema":
        given = {"type": "json_schema", "json_schema": {key: value for key, value in given.items() if key != "type"}}
    try:
        return schema_of(given)
    except Refused as error:
        place = (error.problem.param or "").removeprefix("response_format").removeprefix(".json_schema")
        raise Refused(Problem(400, error.problem.message, param=f"text.format{place}")) from error


@router.post("/v1/responses", summary="An answer, for clients of OpenAI's newer route", response_model=None)
async def responses(body: ResponseBody, request: Request) -> Response:
    shared = serving(request)
    info, schema, tools = shared.decoder(body.model), _schema(body.format), body.chosen_tools()
    if tools.get("tools") and schema is not None:
        raise Refused(Problem(400, "A format cannot be had together with tools.", param="text.format"))
    with about("input"):
        made = GenerateRequest(
            messages=body.turns(),
            sampling=sampling_of(None, temperature=body.temperature, top_p=body.top_p),
            max_tokens=body.max_output_tokens,
            json_schema=schema,
            **tools,
        )
    answering = shared.generations.ask(info.full_name, lambda _: [made], param="input")
    return Reply(answering, Events(info, body, made))


@router.post("/v1/responses/input_tokens", summary="How many tokens an input is", response_model=None)
async def input_tokens(body: InputBody, request: Request) -> Response:
    shared, counts = serving(request), [0]
    info, tools = shared.decoder(body.model), body.chosen_tools()
    with about("input"):
        made = GenerateRequest(messages=body.turns(), **tools)

    def build(engine: PoolEngine) -> list[GenerateRequest]:
        counts[0] = len(engine.prompt_ids(made))
        return []

    async for _ in shared.generations.ask(info.full_name, build, param="input").batches():
        pass
    return JSONResponse({"object": "response.input_tokens", "input_tokens": counts[0]})


class Events:
    """An answer as typed and numbered events, or as one object."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, info: DecoderInfo, body: ResponseBody, made: GenerateRequest) -> None:
        self.stream = bool(body.stream)
        self._number = -1
        self._output: list[dict[str, Any]] = []  # items that are whole
        self._open: dict[str, Any] | None = None  # the message that is being written
        self._text = ""  # of that message
        self._head: dict[str, Any] = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "background": False,
            "error": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": info.full_name,
            "parallel_tool_calls": made.parallel_calls,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": made.sampling.temperature,
            "text": {"format": body.format},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.told_tools(),
            "top_p": made.sampling.top_p,
            "truncation": "disabled",
            "user": body.user,
        }

    def _event(self, kind: str, **fields: Any) -> str:
        self._number += 1
        return sse({"type": kind, "sequence_number": self._number, **fields}, kind)

    def _begun(self) -> dict[str, Any]:
        return {**self._head, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}

    def _ended(self, end: Generation, output: list[dict[str, Any]]) -> dict[str, Any]:
        is_cut = end.finish_reason == "length"
        usage = {
            "input_tokens": end.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": end.cached_tokens,
                "cache_write_tokens": end.prompt_tokens - end.cached_tokens,
            },
            "output_tokens": end.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": end.prompt_tokens + end.completion_tokens,
        }
        return {
            **self._head,
            "status": "incomplete" if is_cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": output,
            "usage": usage,
        }

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": (self._open or {})["id"], "output_index": len(self._output), "content_index": 0}

    def start(self, _: Answering) -> str:
        return self._event("response.created", response=self._begun()) + self._event(
            "response.in_progress", response=self._begun()
        )

    def event(self, _: int, event: Piece | Generation) -> str:
        if isinstance(event, Piece):
            said = self._write(event.text) if event.text else ""
            return said + "".join(self._close("completed") + self._called(call) for call in event.tool_calls)
        said = "" if self._open or self._output else self._write("")
        said += self._close("incomplete" if event.finish_reason == "length" else "completed")
        ended = self._ended(event, self._output)
        return said + self._event(f"response.{ended['status']}", response=ended)

    def _write(self, text: str) -> str:
        said = ""
        if self._open is None:
            self._open, self._text = _message("in_progress", []), ""
            said = self._event("response.output_item.added", output_index=len(self._output), item=self._open)
            said += self._event("response.content_part.added", **self._place, part=_part(""))
        self._text += text
        if not text:
            return said
        return said + self._event("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def _close(self, status: str) -> str:
        """End the message that is open, if one is."""
        if self._open is None:
            return ""
        whole = {**self._open, "status": status, "content": [_part(self._text)]}
        said = (
            self._event("response.output_text.done", **self._place, text=self._text, logprobs=[])
            + self._event("response.content_part.done", **self._place, part=_part(self._text))
            + self._event("response.output_item.done", output_index=len(self._output), item=whole)
        )
        self._output.append(whole)
        self._open = None
        return said

    def _called(self, call: ToolCall) -> str:
        item, index = _call(call), len(self._output)
        place = {"item_id": item["id"], "output_index": index}
        begun = {**item, "status": "in_progress", "arguments": ""}
        self._output.append(item)
        return (
            self._event("response.output_item.added", output_index=index, item=begun)
            + self._event("response.function_call_arguments.delta", **place, delta=call.arguments)
            + self._event("response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments)
            + self._event("response.output_item.done", output_index=index, item=item)
        )

    def finish(self, _: Answering) -> str:
        return ""

    def whole(self, choices: list[Choice], _: Answering) -> dict[str, Any]:
        end = choices[0].end
        status = "incomplete" if end.finish_reason == "length" else "completed"
        texts = [_message(status, [_part(end.text)])] if end.text or not end.tool_calls else []
        return self._ended(end, [*texts, *map(_call, end.tool_calls)])

    def failed(self, problem: Problem) -> str:
        """The dialect's error event, with the object that its clients look for in every stream."""
        said = problem.body()["error"]
        fields = {key: said[key] for key in ("code", "message", "param")}
        return self._event("error", **fields, error=said)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _call(call: ToolCall) -> dict[str, Any]:
    said = {"name": call.name, "arguments": call.arguments, "status": "completed"}
    return {"type": "function_call", "id": f"fc_{call.id}", "call_id": f"call_{call.id}", **said}
