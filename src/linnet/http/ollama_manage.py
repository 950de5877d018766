"""Ollama's management routes: pull, create, copy, delete and blobs. What they do to the store is done elsewhere.

They need the right to manage wherever there are keys. Long work runs in a thread and tells of itself line by line.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect

from linnet.core import settings
from linnet.core.errors import DiskFull, GateFailed, HubError, LinnetError, ModelFileError, NotFound, StoreBusy
from linnet.core.events import Event, OnEvent
from linnet.core.models import copy_model, from_hub, read_manifest, remove_model
from linnet.core.names import is_name, parse_hub_name
from linnet.core.records import Manifest
from linnet.core.uploads import Upload, is_here
from linnet.http.bodies import OLLAMA_ERRORS, CheckedRoute
from linnet.http.decoders import hub_name
from linnet.http.errors import ClientGone, Problem, Refused, ServerBusy, describe, report
from linnet.http.manage_bodies import CopyBody, CreateBody, DeleteBody, PullBody, sha256_of
from linnet.http.native import Serving, serving
from linnet.pipeline.create import create

router = APIRouter(route_class=CheckedRoute, responses=OLLAMA_ERRORS)
NDJSON = "application/x-ndjson"
UPLOADS_AT_ONCE = 4
_PIECE = 1 << 20
Line = dict[str, Any]
_END: Line = {}


def _problem(error: Exception) -> Problem:
    """What a client that may manage is told of an error: here the reason is the client's business."""
    said = str(error).replace("\n", " ")
    match error:
        case NotFound():
            return Problem(404, said, "model_not_found", "model")
        case StoreBusy():
            return Problem(409, said, "model_busy", "model")
        case ModelFileError():
            return Problem(400, said)
        case DiskFull():
            return Problem(507, said, "disk_full")
        case HubError():
            return Problem(503 if settings.offline() else 502, said, "offline" if settings.offline() else "hub_failed")
        case GateFailed():
            return Problem(422, said)
    return describe(error)


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Short work. Raises Refused."""
    try:
        return await to_thread.run_sync(work)
    except LinnetError as error:
        report(error, "managing models")
        raise Refused(_problem(error)) from error


def _stored(shared: Serving, name: str) -> Manifest:
    """A model of the store by any of its names. Raises NotFound, NameInvalid, InputError, CorruptFile."""
    store, name = shared.decoders.store, hub_name(name)
    if name.startswith("hf:"):
        if (found := from_hub(store, parse_hub_name(name))) is None:
            raise NotFound(f"model '{name}' not found")
        return found
    if is_name(name.partition(":")[0]) and store.versions(name.partition(":")[0]):
        raise Refused(Problem(400, f"{name} is a specialist: manage it with the command line.", param="model"))
    try:
        return read_manifest(store, name)
    except NotFound as error:
        raise NotFound(f"model '{name}' not found") from error


class _Job:
    """One long piece of work and its lines, each as it comes. A client that leaves ends it at its next event."""

    def __init__(self, shared: Serving, work: Callable[[OnEvent], Any], line: Callable[[Event], Line | None]) -> None:
        self._shared, self._work, self._line = shared, work, line
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()

    def _hear(self, event: Event) -> None:
        if self._stopped.is_set():
            raise ClientGone
        if (line := self._line(event)) is not None:
            with suppress(RuntimeError):  # the loop is closed: the server has ended
                self._loop.call_soon_threadsafe(self._lines.put_nowait, line)

    async def _run(self) -> None:
        try:
            await self._shared.jobs.run(lambda: self._work(self._hear))
        finally:
            self._loop.call_soon(self._lines.put_nowait, _END)  # after the last line from the thread

    async def reply(self, stream: bool) -> Response:
        """The lines as they come, or their end. Raises Refused for what fails before the first line."""
        task = asyncio.create_task(self._run())
        task.add_done_callback(lambda one: one.cancelled() or one.exception())  # a client that left hears of none
        try:
            first = await self._lines.get()
            while not stream and first is not _END:
                first = await self._lines.get()
            if first is _END:
                await task
        except BaseException as error:
            self._stopped.set()
            task.cancel()
            if isinstance(error, LinnetError) and not isinstance(error, ServerBusy | Refused | ClientGone):
                report(error, "managing models")
                raise Refused(_problem(error)) from error
            raise
        if not stream:
            return JSONResponse({"status": "success"})
        return StreamingResponse(self._rest(first, task), media_type=NDJSON)

    async def _rest(self, line: Line, task: asyncio.Task[None]) -> AsyncIterator[str]:
        try:
            while line is not _END:
                yield json.dumps(line) + "\n"
                line = await self._lines.get()
            await task
            yield json.dumps({"status": "success"}) + "\n"
        except Exception as error:
            report(error, "managing models")
            yield json.dumps(_problem(error).body("/api/")) + "\n"
        finally:
            self._stopped.set()


@router.post("/api/pull", summary="Ollama: fetch a model from the hub", response_model=None)
async def pull_model(body: PullBody, request: Request) -> Response:
    shared = serving(request)
    name = hub_name(body.asked)
    if not name.startswith("hf:"):
        await _in_thread(lambda: _known(shared, name))
        return await _Job(shared, lambda _: None, _pull_line).reply(body.stream is not False)

    def work(hear: OnEvent) -> None:
        from linnet.stages.pull import PullOptions, pull

        hear(Event("note", "pull", "pulling manifest"))
        pull(shared.decoders.store, name, hear, PullOptions(refresh=True))

    parse_hub_name(name)
    return await _Job(shared, work, _pull_line).reply(body.stream is not False)


def _known(shared: Serving, name: str) -> None:
    """A name without a hub is fine where the model is here. Raises NotFound."""
    try:
        _stored(shared, name)
    except NotFound as error:
        hint = "Pull hf:org/repo:QUANT or hf.co/org/repo:QUANT."
        raise NotFound(f"model '{name}' not found: it is not in the store, and its name has no hub.", hint) from error


def _pull_line(event: Event) -> Line | None:
    if event.kind == "progress":
        count = {"total": event.data.get("total_bytes", 0), "completed": event.data.get("done_bytes", 0)}
        return {"status": f"pulling {event.message.partition(' ')[0]}", **count}
    if event.kind == "done":
        return {"status": "writing manifest"}
    return {"status": event.message}


@router.post("/api/create", summary="Ollama: a model with a system text, parameters, a template", response_model=None)
async def create_model(body: CreateBody, request: Request) -> Response:
    shared = serving(request)
    recipe = body.recipe()
    name, recipe = body.asked, replace(recipe, base=hub_name(recipe.base))
    is_file = bool(recipe.base) and shared.decoders.is_file(recipe.base)
    if is_file and not recipe.base.startswith("builtin:"):
        raise Refused(Problem(400, f"{recipe.base} is served from a file: import it first.", param="from"))

    def work(hear: OnEvent) -> None:
        create(shared.decoders.store, name, recipe, hear)

    return await _Job(shared, work, _create_line).reply(body.stream is not False)


def _create_line(event: Event) -> Line:
    return {"status": "writing manifest" if event.kind == "done" else event.message}


@router.post("/api/copy", summary="Ollama: a second name for a model", response_model=None)
async def copy(body: CopyBody, request: Request) -> Response:
    shared = serving(request)

    def work() -> None:
        copy_model(shared.decoders.store, _stored(shared, body.source).full_name, body.destination)

    await _in_thread(work)
    return Response()


@router.delete("/api/delete", summary="Ollama: remove a model", response_model=None)
async def delete(body: DeleteBody, request: Request) -> Response:
    shared = serving(request)

    def work() -> None:
        found = _stored(shared, body.asked)
        with suppress(NotFound):
            shared.decoders.stop(found.full_name)
        remove_model(shared.decoders.store, found.full_name)

    await _in_thread(work)
    return Response()


@router.head("/api/blobs/{digest}", summary="Ollama: whether a blob is here", response_model=None)
async def has_blob(digest: str, request: Request) -> Response:
    sha256 = sha256_of(digest)
    return Response(status_code=200 if is_here(serving(request).decoders.store, sha256) else 404)


@router.post("/api/blobs/{digest}", summary="Ollama: send a blob", response_model=None, status_code=201)
async def send_blob(digest: str, request: Request) -> Response:
    shared, sha256 = serving(request), sha256_of(digest)
    if is_here(shared.decoders.store, sha256):
        return Response(status_code=200)
    limit = int(settings.get_number("LINNET_UPLOAD_GB") * 1e9)
    length = request.headers.get("content-length")
    size = int(length) if length is not None else None
    if (size or 0) > limit:
        raise _too_large(limit)
    with shared.uploading(UPLOADS_AT_ONCE):
        upload = await _in_thread(lambda: Upload(shared.decoders.store, sha256, size))
        try:
            await _receive(request, upload, limit)
            await _in_thread(upload.finish)
        except ClientDisconnect as error:
            raise ClientGone from error
        finally:
            await to_thread.run_sync(upload.abort)
    return Response(status_code=201)


async def _receive(request: Request, upload: Upload, limit: int) -> None:
    held = bytearray()
    async for piece in request.stream():
        held += piece
        if upload.written_bytes + len(held) > limit:
            raise _too_large(limit)
        if len(held) >= _PIECE:
            ready, held = bytes(held), bytearray()
            await _in_thread(lambda data=ready: upload.write(data))  # type: ignore[misc]
    if held:
        await _in_thread(lambda: upload.write(bytes(held)))


def _too_large(limit: int) -> Refused:
    return Refused(Problem(413, f"The blob is larger than {limit} bytes (LINNET_UPLOAD_GB)."))
