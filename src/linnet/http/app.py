"""The application: routes behind the guard, one shape of error, and a page of documentation without a CDN."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from linnet.http import anthropic, embeddings, native, ollama, ollama_manage, openai, openai_responses, tasks
from linnet.http.access import Access
from linnet.http.admission import Admission
from linnet.http.bodies import explain
from linnet.http.decoders import Decoders
from linnet.http.errors import Problem
from linnet.http.exposure import LOOPBACK_NAMES
from linnet.http.generations import Generations
from linnet.http.guard import CSP, Guard, HostNames, Limits
from linnet.http.tracing import Recorder, note_problem
from linnet.stages.serve import Specialists
from linnet.version import __version__

ROUTERS = (
    native.router,
    openai.router,
    openai_responses.router,
    ollama.router,
    ollama_manage.router,
    anthropic.router,
    embeddings.router,
    tasks.router,
)
# Routes whose every request is written an answer by a decoder; /v1/chat/completions also serves classifiers.
WRITERS = {"/v1/completions", "/v1/responses", "/v1/messages", "/api/generate", "/api/chat"}
_ASSETS = "/static-offline-docs"
_MESSAGES = {404: "There is nothing at this address.", 405: "This address does not take this method."}


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    error: ErrorDetail


def create_app(
    specialists: Specialists,
    *,
    allowed_hosts: Iterable[str] | HostNames = LOOPBACK_NAMES,
    limits: Limits | None = None,
    admission: Admission | None = None,
    generations: Generations | None = None,
    decoders: Decoders | None = None,
    access: Access | None = None,
    recorder: Recorder | None = None,
) -> FastAPI:
    """The ASGI application that answers with these specialists and decoders; None: those of the same store.

    `allowed_hosts` are the names that a Host header may hold, the loopback names by default; `access` knows the keys,
    by default none is needed. `recorder` writes the traces, by default none are.
    """
    app: FastAPI = FastAPIOffline(
        title="Linnet",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"model": ErrorReply}, "5XX": {"model": ErrorReply}},
        # FastAPI can export traces where the environment says so. Nothing leaves the machine from here.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    decoders = decoders or Decoders(specialists.store)
    generations = generations or Generations(decoders.pool)
    generations.widen, generations.preset = decoders.widen, decoders.preset
    admission, recorder = admission or Admission(), recorder or Recorder()
    generations.metrics.watch(generations, admission, recorder)
    app.state.serving = native.Serving(specialists, admission, decoders, generations)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/docs", _docs_page(app), include_in_schema=False)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    hosts = allowed_hosts if isinstance(allowed_hosts, HostNames) else HostNames(allowed_hosts)
    routes = (route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
    traced = {route.path for route in routes if {"POST", "DELETE"} & (route.methods or set())}
    more: dict[str, Any] = {"access": access, "metrics": generations.metrics, "recorder": recorder}
    more["admit"] = lambda path: generations.refuse_if_full() if path in WRITERS else None
    app.add_middleware(Guard, hosts=hosts, limits=limits, traced=traced, **more)
    return app


def _reply(request: Request, problem: Problem) -> JSONResponse:
    path = request.url.path
    note_problem(problem)
    return JSONResponse(problem.body(path), problem.status_at(path), problem.headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself: no such route, wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 the framework calls it for nothing else
    message = _MESSAGES.get(error.status_code, HTTPStatus(error.status_code).phrase)
    return _reply(request, Problem(error.status_code, message, headers=dict(error.headers or {})))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 as above
    return _reply(request, explain(error.errors()))


def _docs_page(app: FastAPI) -> Any:
    """A route with the interactive documentation. Its one inline script is allowed by its hash."""
    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "/openapi.json",
        title="Linnet: HTTP routes",
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # else it would offer the description to a remote validator
    )
    html = bytes(page.body).decode()
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    script_src = " ".join(f"'sha256-{value}'" for value in hashes)
    # The page sets styles on its own elements and draws icons from data: addresses; neither can reach a host.
    policy = f"{CSP}; script-src 'self' {script_src}; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

    async def docs() -> HTMLResponse:
        return HTMLResponse(html, headers={"content-security-policy": policy})

    return docs
