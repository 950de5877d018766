"""Routes in the shape of a task: a row in, a record or a text out, under a specialist's own instruction and schema."""

from __future__ import annotations

import json
import time
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from linnet.core.errors import did_you_mean
from linnet.core.records import Asked, Specialist
from linnet.core.task import fill_template, template_columns
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Message, Piece
from linnet.http.bodies import Body, CheckedRoute
from linnet.http.errors import Problem, Refused, about
from linnet.http.generations import Answering
from linnet.http.native import serving
from linnet.http.replies import Choice, Reply
from linnet.http.task_models import find_writer
from linnet.metrics.extraction import read_answer
from linnet.stages.serve import purpose

router = APIRouter(route_class=CheckedRoute)
MAX_INPUTS = 64
Row = str | dict[str, str]


def _one_or_many(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class TaskBody(Body):
    """What a specialist is given: a text, or the columns of its input; or up to 64 of them, answered in order."""

    model: str
    input: Annotated[list[Row], BeforeValidator(_one_or_many), Field(min_length=1, max_length=MAX_INPUTS)]
    max_tokens: int | None = Field(default=None, ge=1, le=1 << 20)


@router.post("/v1/extract", summary="Records from texts, under the specialist's schema", response_model=None)
async def extract(body: TaskBody, request: Request) -> Response:
    return _answer(body, request, "extract")


@router.post("/v1/generate", summary="Texts from texts, by a specialist", response_model=None)
async def generate(body: TaskBody, request: Request) -> Response:
    return _answer(body, request, "generate")


def _answer(body: TaskBody, request: Request, kind: Literal["extract", "generate"]) -> Response:
    shared = serving(request)
    found = find_writer(shared.specialists.store, body.model)
    if found is None:
        with about("model"):
            does, route = purpose(shared.specialists.find(body.model))
        raise Refused(Problem(400, f"{body.model} {does}. Use {route}.", param="model"))
    specialist, _ = found
    if (specialist.kind == "extract") != (kind == "extract"):
        other = "/v1/extract" if specialist.kind == "extract" else "/v1/generate"
        raise Refused(Problem(400, f"{specialist.full_name} is of kind {specialist.kind}. Use {other}.", param="model"))
    assert specialist.asked is not None  # noqa: S101 it writes text
    with about("input"):
        requests = [_request(row, specialist.asked, body.max_tokens) for row in body.input]
    answering = shared.generations.ask(specialist.full_name, lambda _: requests, param="input")
    return Reply(answering, _Rendering(specialist))


def _request(row: Row, asked: Asked, max_tokens: int | None) -> GenerateRequest:
    """The question as the specialist was trained on it: greedy, held to its schema."""
    head = (Message("system", asked.instruction),) if asked.instruction else ()
    return GenerateRequest(
        messages=(*head, *(Message(*turn) for turn in asked.shots), Message("user", _text(row, asked.input))),
        sampling=GREEDY,
        max_tokens=max_tokens or asked.max_tokens,
        json_schema=asked.schema_object(),
    )


def _text(row: Row, template: str) -> str:
    """What is asked: the columns in their template, or a text where there is one column. Raises Refused."""
    columns = template_columns(template) if template else ["input"]
    if isinstance(row, str):
        if len(columns) > 1:
            raise Refused(Problem(400, f"An object with {', '.join(columns)} is needed.", param="input"))
        row = {columns[0]: row}
    if unknown := [key for key in row if key not in columns]:
        near = did_you_mean(unknown[0], columns)
        raise Refused(Problem(400, f"Unknown column {unknown[0][:80]!a}.{near}", param="input"))
    if missing := [key for key in columns if key not in row]:
        raise Refused(Problem(400, f"The column {missing[0]!a} is missing.", param="input"))
    text = fill_template(template, row) if template else row["input"]
    if not text.strip():
        raise Refused(Problem(400, "The input is empty.", param="input"))
    return text


class _Rendering:
    """The answers, whole. A record that was cut is given as text with its finish_reason, and no data."""

    stream = False
    media_type = "application/json"

    def __init__(self, specialist: Specialist) -> None:
        self._specialist = specialist

    def whole(self, choices: list[Choice], answering: Answering) -> dict[str, Any]:
        prompt, completion = sum(answering.prompt_tokens), sum(one.end.completion_tokens for one in choices)
        return {
            "object": "extraction" if self._specialist.kind == "extract" else "generation",
            "id": f"task-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": self._specialist.full_name,
            "data": [self._row(index, one.end) for index, one in enumerate(choices)],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }

    def _row(self, index: int, end: Generation) -> dict[str, Any]:
        row = {"index": index, "text": end.text, "finish_reason": end.finish_reason}
        if self._specialist.kind != "extract":
            return row
        return {**row, "record": read_answer(end.text) if end.finish_reason == "stop" else None}

    def start(self, _: Answering) -> str:
        return ""

    def event(self, _: int, event: Piece | Generation) -> str:
        return event.text if isinstance(event, Piece) else ""

    def finish(self, _: Answering) -> str:
        return ""

    def failed(self, problem: Problem) -> str:
        return json.dumps(problem.body())
