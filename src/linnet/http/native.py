"""Linnet's own routes: classification with every probability, what is loaded, and whether the server lives."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from linnet.core.names import is_name
from linnet.engines.llama.pool_entries import Loaded
from linnet.http.admission import Admission
from linnet.http.bodies import Body, CheckedRoute
from linnet.http.decoders import DecoderInfo, Decoders
from linnet.http.errors import Problem, Refused, ServerBusy, about
from linnet.http.generations import Generations
from linnet.http.metrics import MEDIA_TYPE
from linnet.http.task_models import find_writer
from linnet.http.tracing import note_read
from linnet.stages.serve import MAX_TEXTS, Classified, Specialists, TaggedTexts, purpose, redacted
from linnet.version import __version__

router = APIRouter(route_class=CheckedRoute)


@dataclass(frozen=True, slots=True)
class Serving:
    """What the routes share."""

    specialists: Specialists
    admission: Admission
    decoders: Decoders
    generations: Generations
    jobs: Admission = field(default_factory=lambda: Admission(running=2, waiting=6))  # that change the store
    _uploads: list[None] = field(default_factory=list)

    @contextmanager
    def uploading(self, most: int) -> Iterator[None]:
        """Count an upload while it runs. Raises ServerBusy beyond `most`."""
        if len(self._uploads) >= most:
            raise ServerBusy("The server receives other blobs; try again soon.")
        self._uploads.append(None)
        try:
            yield
        finally:
            self._uploads.pop()

    def is_specialist(self, model: str) -> bool:
        """Whether a name means a specialist that labels texts: its version does not need to be there. One that writes
        text is a decoder to every route."""
        name, store = model.partition(":")[0], self.specialists.store
        return is_name(name) and bool(store.versions(name)) and find_writer(store, model) is None

    def decoder(self, model: str) -> DecoderInfo:
        """The decoder that a request names. Raises Refused for a specialist, and for a name that is not there."""
        if self.is_specialist(model):
            with about("model"):
                does, route = purpose(self.specialists.find(model))
            raise Refused(Problem(400, f"{model} is a specialist: it {does}. Use {route}.", param="model"))
        with about("model"):
            return self.decoders.find(model)

    async def classify(self, model: str, texts: list[str], *, truncate: bool, param: str) -> Classified:
        """Answers, worked out in a thread. `param` names the field that the texts came from."""
        work = partial(self.specialists.classify, model, texts, truncate=truncate)
        with about(param):
            found = await self.admission.run(work)
        note_read(found.specialist.full_name, sum(found.tokens))
        return found

    async def tag(self, model: str, texts: list[str]) -> TaggedTexts:
        """Spans, worked out in a thread."""
        with about("input"):
            found = await self.admission.run(partial(self.specialists.tag, model, texts))
        note_read(found.specialist.full_name, sum(found.tokens))
        return found


def serving(request: Request) -> Serving:
    shared: Serving = request.app.state.serving
    return shared


def one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    list[str],
    Field(fail_fast=True),
    Field(min_length=1, max_length=MAX_TEXTS),
    BeforeValidator(one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class ClassifyBody(Body):
    """Texts to classify. `top` keeps that many of the probabilities, the highest first."""

    model: str
    input: Texts
    truncate: bool = False
    top: int | None = Field(default=None, ge=1, le=1000)


class Classification(BaseModel):
    index: int
    label: str
    probability: float
    probabilities: dict[str, float]
    out_of_scope: bool
    truncated: bool


class ClassifyUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Classifications(BaseModel):
    object: Literal["classification"] = "classification"
    id: str
    created: int
    model: str
    data: list[Classification]
    usage: ClassifyUsage


class TagBody(Body):
    """Texts to find spans in. With `redact` each answer holds its text with [LABEL] in place of the spans."""

    model: str
    input: Texts
    redact: bool = False


class TaggedSpan(BaseModel):
    """A span: half-open, in characters (Unicode code points) of its text."""

    label: str
    start: int
    end: int
    text: str
    probability: float


class TaggedText(BaseModel):
    index: int
    spans: list[TaggedSpan]
    redacted: str | None = None


class Tags(BaseModel):
    object: Literal["tagging"] = "tagging"
    id: str
    created: int
    model: str
    data: list[TaggedText]
    usage: ClassifyUsage


class LoadedModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[Loaded]


class StopBody(Body):
    """A decoder to unload. With `force` its running requests end with an error."""

    model: str
    force: bool = False


class Stopped(BaseModel):
    stopped: str


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    version: str = __version__


@router.get("/healthz", summary="Whether the server lives")
async def healthz() -> Health:
    return Health()


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    return PlainTextResponse(serving(request).generations.metrics.text(), media_type=MEDIA_TYPE)


@router.get("/v1/ps", summary="What is loaded, with its memory and its requests")
def loaded(request: Request) -> LoadedModels:
    return LoadedModels(data=serving(request).decoders.pool.ps())


@router.post("/v1/stop", summary="Unload a decoder")
def stop(body: StopBody, request: Request) -> Stopped:
    decoders = serving(request).decoders
    with about("model"):
        name = decoders.find(body.model).full_name
        decoders.stop(name, force=body.force)
    return Stopped(stopped=name)


@router.post("/v1/classify", summary="Classify texts")
async def classify(body: ClassifyBody, request: Request) -> Classifications:
    found = await serving(request).classify(body.model, body.input, truncate=body.truncate, param="input")
    outside, cut = found.specialist.decision.out_of_scope, set(found.truncated)
    data = [
        Classification(
            index=index,
            label=answer.label,
            probability=answer.probability,
            probabilities=dict(list(answer.probabilities.items())[: body.top]),
            out_of_scope=answer.label == outside,
            truncated=index in cut,
        )
        for index, answer in enumerate(found.answers)
    ]
    tokens = sum(found.tokens)
    return Classifications(
        id=f"cls-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=found.specialist.full_name,
        data=data,
        usage=ClassifyUsage(prompt_tokens=tokens, total_tokens=tokens),
    )


@router.post("/v1/tag", summary="Find spans in texts")
async def tag(body: TagBody, request: Request) -> Tags:
    found = await serving(request).tag(body.model, body.input)
    data = [
        TaggedText(
            index=index,
            spans=[TaggedSpan(**one._asdict()) for one in spans],
            redacted=redacted(text, spans) if body.redact else None,
        )
        for index, (text, spans) in enumerate(zip(body.input, found.spans, strict=True))
    ]
    tokens = sum(found.tokens)
    return Tags(
        id=f"tag-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=found.specialist.full_name,
        data=data,
        usage=ClassifyUsage(prompt_tokens=tokens, total_tokens=tokens),
    )
