"""What a request's body may hold, checked field by field. Knows neither models nor texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Discriminator, model_validator
from pydantic_core import PydanticCustomError

from linnet.core.errors import did_you_mean
from linnet.http.errors import Problem
from linnet.http.guard import PARSED


class OllamaError(BaseModel):
    """How an error is told below /api/."""

    error: str


class AnthropicDetail(BaseModel):
    type: str
    message: str


class AnthropicError(BaseModel):
    """How an error is told below /v1/messages."""

    type: str
    error: AnthropicDetail


Responses = dict[int | str, dict[str, Any]]
OLLAMA_ERRORS: Responses = {"4XX": {"model": OllamaError}, "5XX": {"model": OllamaError}}
ANTHROPIC_ERRORS: Responses = {"4XX": {"model": AnthropicError}, "5XX": {"model": AnthropicError}}


class _CheckedRequest(Request):
    async def json(self) -> Any:
        return self.scope[PARSED]


class CheckedRoute(APIRoute):
    """A route whose body is the very value that the guard has parsed and checked; it is not parsed again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_CheckedRequest(request.scope, request.receive))

        return handle


class Body(BaseModel):
    """The base of every body: strict types, and no field is passed over.

    `unsupported` names fields of the dialect that would change the answer and that we cannot obey, with the
    values that ask for nothing and are therefore fine.
    """

    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key, content in value.items():
            if key not in known:
                near = did_you_mean(key, [name for name in known if name not in cls.unsupported])
                raise problem_with(key[:80], f"Unknown field {json.dumps(key[:80])}.{near}")
            if key in cls.unsupported and not asks_for_nothing(content, cls.unsupported[key]):
                raise problem_with(key, f'"{key}" is not supported by this server.')
        return value


def _tag(value: Any) -> str:
    return f"<{value.get('type') if isinstance(value, dict) else getattr(value, 'type', '')}>"


# Tells bodies apart by their `type`, each tagged with <it>. A tag becomes a step of an error's place; the marks let
# `explain` leave it out.
BY_TYPE = Discriminator(_tag)


def asks_for_nothing(content: Any, harmless: tuple[Any, ...]) -> bool:
    """Whether a field that we cannot obey holds nothing to obey."""
    return content is None or any(type(content) is type(value) and content == value for value in harmless)


def problem_with(param: str, message: str) -> PydanticCustomError:
    """An error about the part of the current value that `param` names: a key, or [index] and what follows it."""
    escaped = message.replace("{", "{{").replace("}", "}}")
    return PydanticCustomError("refused", escaped, {"param": param})


def explain(errors: Sequence[Any]) -> Problem:
    """The first of pydantic's errors as a problem. The value itself is never repeated."""
    first = errors[0]
    param = ""
    for step in (*first["loc"][1:], *([inner] if (inner := first.get("ctx", {}).get("param")) else [])):
        if isinstance(step, str) and step.startswith("<"):
            continue  # which of several bodies it was taken for
        if isinstance(step, int):
            param += f"[{step}]"
        else:
            param += step if step.startswith("[") or not param else f".{step}"
    if first["type"] == "refused":
        message = first["msg"]
    elif first["type"] == "missing":
        message = f'"{param}" is required.'
    else:
        message = f'"{param}": {first["msg"]}.' if param else "The body must be a JSON object."
    return Problem(400, message, param=param or None)
