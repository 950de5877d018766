"""The Ollama dialect: generate, chat, and what there is and what is loaded. NDJSON, streamed unless told otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from linnet.core.errors import NotFound
from linnet.core.records import Preset
from linnet.engines.grammar.schema_limits import check_schema
from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import GenerateRequest, Generation, Message, Piece, TokenLogprob
from linnet.engines.requests.tool_format import tool_format
from linnet.engines.requests.tools import ToolCall
from linnet.formats.modelfile import parameter_lines, write_modelfile
from linnet.http.bodies import OLLAMA_ERRORS, CheckedRoute
from linnet.http.decoders import DecoderInfo
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.native import Serving, serving
from linnet.http.ollama_bodies import GenerateBody, OllamaBody, OllamaChatBody, OllamaMessage, ShowBody
from linnet.http.openai_generate import token_json
from linnet.http.replies import Choice, Reply
from linnet.http.tool_bodies import calls_of, tool_answer, tools_of
from linnet.version import __version__

router = APIRouter(route_class=CheckedRoute, responses=OLLAMA_ERRORS)
NEVER = "9999-12-31T23:59:59Z"  # expires_at of what stays until its memory is needed, or is in use


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _info(shared: Serving, name: str) -> DecoderInfo:
    try:
        return shared.decoder(name)
    except Refused as error:
        if error.problem.status != 404:
            raise
        raise Refused(Problem(404, f"model '{name}' not found", "model_not_found", "model")) from error


def _details(info: DecoderInfo) -> dict[str, Any]:
    report = info.report
    billions, millions = report.parameters / 1e9, report.parameters / 1e6
    return {
        "parent_model": info.preset.base if info.preset else "",
        "format": "gguf",
        "family": report.architecture,
        "families": [report.architecture],
        "parameter_size": f"{billions:.1f}B" if billions >= 1 else f"{millions:.2f}M",
        "quantization_level": report.quantisation_name,
    }


def _row(info: DecoderInfo) -> dict[str, Any]:
    return {
        "name": info.full_name,
        "model": info.full_name,
        "size": info.size_bytes,
        "digest": info.digest,
        "details": _details(info),
    }


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def running() -> PlainTextResponse:
    return PlainTextResponse("Ollama is running")  # what clients of this dialect look for; this is Linnet


@router.head("/api/version", include_in_schema=False)
@router.get("/api/version", summary="Linnet's version, where Ollama's clients look for one")
async def version() -> dict[str, str]:
    return {"version": __version__}


@router.get("/api/tags", summary="The decoders")
def tags(request: Request) -> dict[str, Any]:
    found = serving(request).decoders.all()
    return {"models": [{**_row(info), "modified_at": info.created or "1970-01-01T00:00:00Z"} for info in found]}


@router.get("/api/ps", summary="What is loaded")
def loaded(request: Request) -> dict[str, Any]:
    shared = serving(request)
    known, models = {info.full_name: info for info in shared.decoders.all()}, []
    for row in shared.decoders.pool.ps():
        until = datetime.now(UTC) + timedelta(seconds=row.expires_s or 0)
        expires = NEVER if row.expires_s is None else until.isoformat().replace("+00:00", "Z")
        memory = {"size": row.measured_bytes or row.planned_bytes, "size_vram": 0, "expires_at": expires}
        models += [{**_row(known[name]), **memory} for name in row.names if name in known]
    return {"models": models}


@router.post("/api/show", summary="What is known of one decoder")
def show(body: ShowBody, request: Request) -> dict[str, Any]:
    shared = serving(request)
    info = _info(shared, body.asked)
    template, report = shared.decoders.template(info.full_name), info.report
    sizes = {name: value for name, value in report.hyper_parameters.to_json().items() if value is not None}
    preset = info.preset or Preset(base=info.full_name)
    shown: dict[str, Any] = {
        "license": info.licence,
        "modelfile": write_modelfile(info.full_name, info.preset),
        "parameters": "\n".join(f"{name:<30} {value}" for name, value in parameter_lines(preset.parameters)),
        "template": template,
        "details": _details(info),
        "model_info": {
            "general.architecture": report.architecture,
            "general.parameter_count": report.parameters,
            **{f"{report.architecture}.{name}": value for name, value in sizes.items()},
        },
        "capabilities": [
            "completion",
            *(["insert"] if shared.decoders.fills_in(info.full_name) else []),
            *(["tools"] if tool_format(template) else []),
        ],
        "modified_at": info.created or "1970-01-01T00:00:00Z",
    }
    if preset.system:
        shown["system"] = preset.system
    if preset.messages:
        shown["messages"] = [{"role": role, "content": content} for role, content in preset.messages]
    return shown


@router.post("/api/generate", summary="An answer to one prompt", response_model=None)
async def generate(body: GenerateBody, request: Request) -> Response:
    shared = serving(request)
    info = _info(shared, body.model)
    if body.raw and body.system:
        raise Refused(Problem(400, '"system" is not used with "raw": write it into the prompt.', param="system"))
    common = _common(body)
    if not body.prompt:
        return await _load(shared, info, body, {"response": ""})

    def build(engine: PoolEngine) -> list[GenerateRequest]:
        if body.raw or (not engine.has_template and not body.system):
            return [GenerateRequest(prompt=body.prompt, control_tokens=bool(body.raw), **common)]
        system = (Message("system", body.system),) if body.system else ()
        return [GenerateRequest(messages=(*system, Message("user", body.prompt)), **common)]

    more: dict[str, Any] = {"keep_alive_s": body.keep_alive, "context": body.chosen.num_ctx}
    answering = shared.generations.ask(info.full_name, build, param="prompt", **more)
    return Reply(answering, Lines(info, body, is_chat=False))


@router.post("/api/chat", summary="An answer to a chat", response_model=None)
async def chat(body: OllamaChatBody, request: Request) -> Response:
    shared = serving(request)
    info, common = _info(shared, body.model), _common(body)
    if not body.messages:
        return await _load(shared, info, body, {"message": {"role": "assistant", "content": ""}})
    tools = tools_of(body.tools)
    if tools and common["json_schema"] is not None:
        raise Refused(Problem(400, '"format" cannot be had together with "tools".', param="format"))
    with about("messages"):
        messages = tuple(_turn(one, f"messages[{number}]") for number, one in enumerate(body.messages))
        made = GenerateRequest(messages=messages, tools=tools, **common)

    more: dict[str, Any] = {"keep_alive_s": body.keep_alive, "context": body.chosen.num_ctx}
    answering = shared.generations.ask(info.full_name, lambda _: [made], **more)
    return Reply(answering, Lines(info, body, is_chat=True))


def _turn(message: OllamaMessage, where: str) -> Message:
    if message.role == "tool":
        return tool_answer(message.content, message.tool_call_id, message.tool_name)
    return Message(message.role, message.content, calls_of(message.tool_calls, where))


def _common(body: OllamaBody) -> dict[str, Any]:
    """What every request of this dialect says alike. Raises Refused, naming the parameter."""
    if body.top_logprobs is not None and not body.logprobs:
        raise Refused(Problem(400, '"top_logprobs" needs "logprobs": true.', param="top_logprobs"))
    with about("options"):
        return {
            "sampling": body.chosen.sampling(),
            "max_tokens": body.chosen.max_tokens,
            "stop": tuple(body.chosen.stop or ()),
            "json_schema": _schema(body.format),
            "top_logprobs": (body.top_logprobs or 0) if body.logprobs else None,
            "thinking": body.think,
        }


def _schema(given: Any) -> dict[str, Any] | None:
    if given in (None, ""):
        return None
    if given == "json":
        return {"type": "object"}
    if not isinstance(given, dict):
        raise Refused(Problem(400, '"format" is "json" or a JSON schema.', param="format"))
    with about("format"):
        check_schema(given)
    return given


async def _load(shared: Serving, info: DecoderInfo, body: OllamaBody, empty: dict[str, Any]) -> Response:
    """Nothing is asked: load the model, or with a keep_alive of 0 unload it."""
    reason = "load"
    if body.keep_alive == 0:
        reason = "unload"
        with suppress(NotFound):
            await to_thread.run_sync(shared.decoders.stop, info.full_name)
    else:
        more: dict[str, Any] = {"keep_alive_s": body.keep_alive, "context": body.chosen.num_ctx}
        async for _ in shared.generations.ask(info.full_name, lambda _: [], **more).batches():
            pass
    line = {"model": info.full_name, "created_at": _now(), **empty, "done": True, "done_reason": reason}
    return JSONResponse(line)


class Lines:
    """Answers as lines of JSON; the last one says how it ended and what it took, in nanoseconds."""

    media_type = "application/x-ndjson"

    def __init__(self, info: DecoderInfo, body: OllamaBody, *, is_chat: bool) -> None:
        self.stream = body.stream is not False
        self._model, self._is_chat = info.full_name, is_chat
        self._logprobs = bool(body.logprobs)
        self._end: Generation | None = None

    def _line(self, text: str, logprobs: Sequence[TokenLogprob] = (), **more: Any) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, **more.pop("said", {})}
        said = {"message": message} if self._is_chat else {"response": text}
        line = {"model": self._model, "created_at": _now(), **said, "done": False}
        if self._logprobs and logprobs:
            line["logprobs"] = [{**token_json(one), "top_logprobs": list(map(token_json, one.top))} for one in logprobs]
        return {**line, **more}

    def _last(self, end: Generation, answering: Answering) -> dict[str, Any]:
        timings = end.timings
        return {
            "done": True,
            "done_reason": "stop" if end.finish_reason == "tool_calls" else end.finish_reason,
            "total_duration": _ns(timings.total_ms + answering.loaded_ms),
            "load_duration": _ns(answering.loaded_ms),
            "prompt_eval_count": end.prompt_tokens,
            "prompt_eval_duration": _ns(timings.prompt_ms),
            "eval_count": end.completion_tokens,
            "eval_duration": _ns(timings.decode_ms),
        }

    def start(self, _: Answering) -> str:
        return ""

    def event(self, _: int, event: Piece | Generation) -> str:
        if isinstance(event, Generation):
            self._end = event
            return ""
        if not event.text and not event.tool_calls and not (self._logprobs and event.logprobs):
            return ""
        return json.dumps(self._line(event.text, event.logprobs, said=_calls(event.tool_calls))) + "\n"

    def finish(self, answering: Answering) -> str:
        assert self._end is not None  # noqa: S101 a stream that ends well has had its end
        return json.dumps(self._line("", **self._last(self._end, answering))) + "\n"

    def whole(self, choices: list[Choice], answering: Answering) -> dict[str, Any]:
        (choice,) = choices
        calls = _calls(choice.end.tool_calls)
        return self._line(choice.end.text, choice.logprobs, said=calls, **self._last(choice.end, answering))

    def failed(self, problem: Problem) -> str:
        return json.dumps(problem.body("/api/")) + "\n"


def _calls(calls: Sequence[ToolCall]) -> dict[str, Any]:
    """Calls as a message holds them: arguments as an object, no key where there are none."""
    found = [
        {"id": f"call_{one.id}", "function": {"index": index, "name": one.name, "arguments": one.values()}}
        for index, one in enumerate(calls)
    ]
    return {"tool_calls": found} if found else {}


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1e6)
