"""Texts as vectors, in the OpenAI and the Ollama dialect. A model is loaded once more for it, without its head."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from linnet.engines.base import Array
from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import FieldError, GenerateRequest, Generation, Piece
from linnet.http.bodies import OLLAMA_ERRORS, Body, CheckedRoute
from linnet.http.decoders import embedding_name
from linnet.http.errors import Problem
from linnet.http.generations import Answering
from linnet.http.native import Serving, one_or_many, serving
from linnet.http.ollama_bodies import KeepAlive, Options
from linnet.http.openai_bodies import PROMPT_SCHEMA
from linnet.http.replies import Choice, Reply
from linnet.http.tracing import note_read
from linnet.stages.serve import MAX_TEXTS

router = APIRouter(route_class=CheckedRoute)
Shape = Callable[[str, list[Array], int, Answering], dict[str, Any]]  # model, a vector a text, tokens of all, answering
Texts = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(fail_fast=True),
    Field(min_length=1, max_length=MAX_TEXTS),
    BeforeValidator(one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


Dimensions = Annotated[int, Field(ge=1, le=1 << 16)]


Asked = str | list[int]  # a text, or its token ids


def _inputs(value: Any) -> Any:
    """One input is a list of one: a text, or the ids of its tokens."""
    is_one = isinstance(value, str) or (isinstance(value, list) and value and type(value[0]) is int)
    return [value] if is_one else value


def _input(value: Any) -> Asked:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(type(one) is int and 0 <= one < 2**31 for one in value):
        return value
    raise PydanticCustomError("input", "An input is a text that is not empty, or token ids: whole numbers from 0 on")


class EmbeddingsBody(Body):
    """Texts to embed, or their token ids."""

    model: str
    input: Annotated[
        list[Annotated[Any, BeforeValidator(_input)]],
        Field(fail_fast=True),
        Field(min_length=1, max_length=MAX_TEXTS),
        BeforeValidator(_inputs),
        WithJsonSchema(PROMPT_SCHEMA),
    ]
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    dimensions: Dimensions | None = None


class EmbedBody(Body):
    """Ollama's newer route. Nothing is cut: `truncate` may only be false."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {"truncate": (False,)}

    model: str
    input: Texts
    options: Options | None = None
    keep_alive: KeepAlive | None = None
    truncate: Any = None
    dimensions: Dimensions | None = None


class OldEmbedBody(Body):
    """Ollama's older route: one text."""

    model: str
    prompt: Annotated[str, Field(min_length=1)]
    options: Options | None = None
    keep_alive: KeepAlive | None = None


class _Vectors:
    """Not a stream and not a text: the vectors, in a dialect's shape."""

    stream, media_type = False, ""

    def __init__(self, model: str, shape: Shape) -> None:
        self.vectors: list[Array] = []
        self.tokens = 0
        self._model, self._shape = model, shape

    def whole(self, _: list[Choice], answering: Answering) -> dict[str, Any]:
        note_read(self._model, self.tokens)
        return self._shape(self._model, self.vectors, self.tokens, answering)

    def start(self, _: Answering) -> str:
        return ""

    def event(self, _: int, event: Piece | Generation) -> str:
        del event
        return ""

    def finish(self, _: Answering) -> str:
        return ""

    def failed(self, _: Problem) -> str:
        return ""


def _embed(
    shared: Serving, body: EmbeddingsBody | EmbedBody | OldEmbedBody, texts: Sequence[Asked], shape: Shape
) -> Reply:
    info = shared.decoder(body.model)
    dimensions = None if isinstance(body, OldEmbedBody) else body.dimensions
    keep_alive_s, options = (None, None) if isinstance(body, EmbeddingsBody) else (body.keep_alive, body.options)
    found = _Vectors(info.full_name, shape)

    def build(engine: PoolEngine) -> list[GenerateRequest]:
        for text in texts:
            if answering.is_stopped:
                break
            ids = engine.prompt_ids(GenerateRequest(prompt=text)) if isinstance(text, str) else text
            found.tokens += len(ids)
            found.vectors.append(_cut(engine.embed([ids])[0], dimensions))
        return []

    name = embedding_name(info.full_name)
    context = options.num_ctx if options else None
    answering = shared.generations.ask(name, build, keep_alive_s=keep_alive_s, param="input", context=context)
    return Reply(answering, found)


def _cut(vector: Array, dimensions: int | None) -> Array:
    """The first so many numbers, of length 1 again: what models trained for it mean by it. Raises FieldError."""
    if dimensions is None:
        return vector
    if dimensions > len(vector):
        raise FieldError("dimensions", f"dimensions is {dimensions}: this model's vectors have {len(vector)}.")
    found = vector[:dimensions]
    return found / max(float(np.linalg.norm(found)), 1e-12)


@router.post("/v1/embeddings", summary="Texts as unit vectors", response_model=None)
async def embeddings(body: EmbeddingsBody, request: Request) -> Response:
    def shape(model: str, vectors: list[Array], tokens: int, _: Answering) -> dict[str, Any]:
        def written(vector: Array) -> Any:
            if body.encoding_format == "base64":
                return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
            return vector.tolist()

        data = [{"object": "embedding", "index": n, "embedding": written(one)} for n, one in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": model, "usage": usage}

    return _embed(serving(request), body, body.input, shape)


@router.post("/api/embed", summary="Ollama: texts as unit vectors", response_model=None, responses=OLLAMA_ERRORS)
async def embed(body: EmbedBody, request: Request) -> Response:
    def shape(model: str, vectors: list[Array], tokens: int, answering: Answering) -> dict[str, Any]:
        return {
            "model": model,
            "embeddings": [vector.tolist() for vector in vectors],
            "total_duration": answering.elapsed_ns,
            "load_duration": int(answering.loaded_ms * 1e6),
            "prompt_eval_count": tokens,
        }

    return _embed(serving(request), body, body.input, shape)


@router.post(
    "/api/embeddings", summary="Ollama: one text as a unit vector", response_model=None, responses=OLLAMA_ERRORS
)
async def old_embed(body: OldEmbedBody, request: Request) -> Response:
    def shape(_: str, vectors: list[Array], tokens: int, answering: Answering) -> dict[str, Any]:
        del tokens, answering
        return {"embedding": vectors[0].tolist()}

    return _embed(serving(request), body, [body.prompt], shape)
