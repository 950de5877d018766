"""One mapping from the error tree to what a client sees, in the shape of each dialect. Knows no route."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from linnet.core.errors import (
    ContextExceeded,
    EngineError,
    InputError,
    LinnetError,
    ModelBusy,
    NameInvalid,
    NotFound,
)
from linnet.stages.serve import TextTooLong

logger = logging.getLogger("linnet.http")

RETRY_AFTER_S = 1
OVERLOADED = 529  # how Anthropic's clients know a server that is busy
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class ServerBusy(LinnetError):
    """The queue is full: the request was not begun. `retry_s` is when to come back, in seconds."""

    def __init__(self, message: str, retry_s: int = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class ClientGone(LinnetError):
    """Nobody waits for the answer any more."""

    def __init__(self, message: str = "The client is gone.") -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told: a status, a sentence, and which parameter is meant."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    def body(self, path: str = "") -> dict[str, Any]:
        """The error in the dialect that is spoken at `path`; OpenAI's where none is."""
        if path.startswith("/api/"):
            return {"error": self.message}
        if path.startswith("/v1/messages"):
            kind = "api_error" if self.status >= 500 else "invalid_request_error"
            return {
                "type": "error",
                "error": {"type": _ANTHROPIC_TYPES.get(self.status, kind), "message": self.message},
            }
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def status_at(self, path: str) -> int:
        return OVERLOADED if self.status == 503 and path.startswith("/v1/messages") else self.status

    def encode(self, path: str = "") -> bytes:
        return json.dumps(self.body(path)).encode()


class Refused(LinnetError):
    """A request that is answered with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def describe(error: Exception, param: str | None = None) -> Problem:
    """What the client is told of an error. Faults of ours say no more than that they are ours."""
    match error:
        case Refused():
            return error.problem
        case TextTooLong() | ContextExceeded():
            return Problem(400, str(error).replace("\n", " "), "context_length_exceeded", param)
        case NotFound():
            return Problem(404, error.message, "model_not_found", "model")
        case NameInvalid():
            return Problem(400, str(error).replace("\n", " "), param="model")
        case InputError():
            return Problem(400, str(error).replace("\n", " "), param=param)
        case ServerBusy():
            return Problem(503, error.message, "server_overloaded", headers={"retry-after": str(error.retry_s)})
        case ModelBusy():
            return Problem(409, "The model is in use.", "model_busy", "model")
        case EngineError():
            return Problem(502, "The model failed. The server's log says why.", "engine_crashed")
        case LinnetError():
            return Problem(500, "The specialist could not be used. The server's log says why.")
    return Problem(500, "The server failed. Its log says where.")


def report(error: Exception, where: str) -> None:
    """Log a fault of ours. What an unforeseen exception says is left out: it may repeat a request's text."""
    if isinstance(error, Refused | InputError | ServerBusy | ClientGone):
        return
    if isinstance(error, LinnetError):
        logger.error("%s: %s", where, str(error).replace("\n", " "))
        return
    frames = "".join(traceback.format_tb(error.__traceback__)[-8:])
    logger.error("%s: unexpected %s at\n%s", where, type(error).__name__, frames.rstrip())


@contextmanager
def about(param: str) -> Iterator[None]:
    """Say which parameter an error of the input is about."""
    try:
        yield
    except InputError as error:
        raise Refused(describe(error, param)) from error
