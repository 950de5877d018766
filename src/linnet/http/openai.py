"""The OpenAI dialect: models, chat completions, completions. Translates; what runs is elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from linnet.core.errors import NameInvalid, StoreError
from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import GenerateRequest
from linnet.http.bodies import CheckedRoute
from linnet.http.errors import Problem, Refused, about, report
from linnet.http.native import Serving, serving
from linnet.http.openai_bodies import ChatBody, CompletionBody, StreamOptions
from linnet.http.openai_classify import classify_chat
from linnet.http.openai_completions import CompletionRendering, completion_requests
from linnet.http.openai_generate import ChatRendering, Head, chat_requests
from linnet.http.replies import Reply
from linnet.stages.serve import purpose

router = APIRouter(route_class=CheckedRoute)


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "linnet"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


def _model(name: str, created: str) -> Model:
    try:
        return Model(id=name, created=int(datetime.fromisoformat(created).timestamp()))
    except ValueError:
        return Model(id=name, created=0)


@router.get("/v1/models", summary="Every version of every specialist, and every decoder")
def list_models(request: Request) -> Models:
    shared, found = serving(request), []
    for name in shared.specialists.names():
        try:
            found.append(_model(name, shared.specialists.find(name).created))
        except StoreError as error:  # one damaged record must not hide the others
            report(error, "GET /v1/models")
    return Models(data=[*found, *(_model(info.full_name, info.created) for info in shared.decoders.all())])


@router.get("/v1/models/{model:path}", summary="One specialist or decoder")
def get_model(model: str, request: Request) -> Model:
    shared = serving(request)
    try:
        if shared.is_specialist(model):
            specialist = shared.specialists.find(model)
            return _model(specialist.full_name, specialist.created)
        info = shared.decoders.find(model)
    except NameInvalid as error:
        raise Refused(Problem(404, error.message, "model_not_found", "model")) from error
    return _model(info.full_name, info.created)


@router.post("/v1/chat/completions", summary="An answer to a chat, or a specialist's label", response_model=None)
async def chat_completions(body: ChatBody, request: Request) -> Response:
    _check_stream(body.stream, body.stream_options)
    shared = serving(request)
    if shared.is_specialist(body.model):
        return await classify_chat(shared, body)
    with about("model"):
        info = shared.decoders.find(body.model)
    requests = chat_requests(body)
    answering = shared.generations.ask(info.full_name, lambda _: requests)
    return Reply(answering, ChatRendering(Head(info, "chatcmpl"), body))


@router.post("/v1/completions", summary="Raw text, continued", response_model=None)
async def completions(body: CompletionBody, request: Request) -> Response:
    _check_stream(body.stream, body.stream_options)
    shared = serving(request)
    _refuse_specialist(shared, body.model)
    with about("model"):
        info = shared.decoders.find(body.model)
    requests, rendering = completion_requests(body), CompletionRendering(Head(info, "cmpl"), body)

    def build(engine: PoolEngine) -> list[GenerateRequest]:
        if body.echo:
            rendering.echo(engine)
        return requests

    answering = shared.generations.ask(info.full_name, build, param="prompt")
    return Reply(answering, rendering)


def _check_stream(stream: bool | None, options: StreamOptions | None) -> None:
    if options is not None and not stream:
        message = '"stream_options" is only allowed when "stream" is true.'
        raise Refused(Problem(400, message, param="stream_options"))


def _refuse_specialist(shared: Serving, model: str) -> None:
    if shared.is_specialist(model):
        with about("model"):
            does, route = purpose(shared.specialists.find(model))
        message = f"{model} is a specialist: it {does} and continues none. Use {route}."
        raise Refused(Problem(400, message, param="model"))
