"""An OpenAI-compatible endpoint that is asked for answers: loopback, or a host that the settings name.

Every wait has a limit, an answer has a size, a busy endpoint is asked again a few times. Redirects are not followed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from linnet.core import settings
from linnet.core.errors import HubError, InputError, LinnetError
from linnet.hub.endpoint import Endpoint, Limits, parse_origin
from linnet.hub.transport import Guard
from linnet.version import __version__

RETRY = (408, 425, 429, 500, 502, 503, 504)
ANSWER_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an endpoint may take. Seconds: `request_s` one try, `pause_s` the first pause, which doubles;
    `longest_pause_s` also bounds what the endpoint asks for with Retry-After. `tries` are for one example."""

    connect_s: float = 5.0
    request_s: float = 120.0
    tries: int = 5
    pause_s: float = 0.5
    longest_pause_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its text, why it ended, and the tokens that the endpoint counted."""

    text: str
    finish: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class EndpointFailed(LinnetError):
    """No answer to this request, after all tries. `is_down`: nothing was there to refuse it."""

    def __init__(self, message: str, *, is_down: bool = False) -> None:
        super().__init__(message, "Look at the endpoint's own log.")
        self.is_down = is_down


class _Again(Exception):
    def __init__(self, why: str, wait_s: float = 0.0, *, is_down: bool = False) -> None:
        super().__init__(why)
        self.wait_s, self.is_down = wait_s, is_down


class ChatEndpoint:
    """A client of one endpoint, such as http://127.0.0.1:11500/v1. Safe to use from many threads; close it.

    `slots` is how many requests are sent at once. Raises InputError for an address that is none or a host that the
    settings do not name, HubError in offline mode for one that is not this machine.
    """

    def __init__(
        self,
        url: str,
        model: str,
        patience: Patience = Patience(),
        *,
        slots: int = 8,
        guard: Guard | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model, self.patience, self._sleep = model, patience, sleep
        target = _allowed(url)
        self.url = target.url
        key = settings.get("LINNET_ENDPOINT_KEY")
        headers = {"user-agent": f"linnet/{__version__}", "accept-encoding": "identity"}
        self._client = httpx.Client(
            transport=guard or Guard(target, Limits(parallel=slots)),
            timeout=httpx.Timeout(patience.request_s, connect=patience.connect_s, pool=None),
            follow_redirects=False,
            trust_env=False,
            headers=headers | ({"authorization": f"Bearer {key}"} if key else {}),
        )

    def close(self) -> None:
        self._client.close()

    def chat(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Reply:
        """The answer to a chat. `options` are further fields of the body. Raises EndpointFailed, HubError."""
        body = {"model": self.model, "messages": list(messages), **options}
        return self._ask("chat/completions", body, lambda choice: choice["message"]["content"])

    def complete(self, prompt: str, options: Mapping[str, Any]) -> Reply:
        """What follows a raw text. Raises as `chat`."""
        return self._ask("completions", {"model": self.model, "prompt": prompt, **options}, lambda c: c["text"])

    def _ask(self, path: str, body: dict[str, Any], text_of: Callable[[Any], Any]) -> Reply:
        patience = self.patience
        for number in range(1, patience.tries + 1):
            try:
                return _reply(self._once(path, body), text_of)
            except _Again as error:
                if number == patience.tries:
                    raise EndpointFailed(f"{error} ({number} tries)", is_down=error.is_down) from None
                pause = max(error.wait_s, patience.pause_s * 2 ** (number - 1))
                self._sleep(min(pause, patience.longest_pause_s))
        raise EndpointFailed("no try was allowed")

    def _once(self, path: str, body: dict[str, Any]) -> Any:
        deadline = time.monotonic() + self.patience.request_s
        try:
            with self._client.stream("POST", f"{self.url}/{path}", json=body) as answer:
                content = bytearray()
                for part in answer.iter_raw():
                    content += part
                    if len(content) > ANSWER_BYTES:
                        raise EndpointFailed(f"its answer is larger than {ANSWER_BYTES >> 20} MiB")
                    if time.monotonic() > deadline:
                        raise _Again(f"it took longer than {self.patience.request_s:g} s")
        except httpx.ConnectError as error:
            raise _Again(f"no connection: {error}", is_down=True) from error
        except httpx.TimeoutException as error:
            raise _Again(f"it did not answer within {self.patience.request_s:g} s") from error
        except httpx.HTTPError as error:
            raise _Again(f"the connection broke: {type(error).__name__}") from error
        if answer.status_code in RETRY:
            raise _Again(f"it answered {answer.status_code}: {_said(content)}", _retry_after(answer))
        if answer.status_code != 200:
            raise EndpointFailed(f"it answered {answer.status_code}: {_said(content)}")
        return _parsed(content)


def _allowed(url: str) -> Endpoint:
    """The endpoint of an address that may be asked."""
    try:
        origin, path = parse_origin(url), urlsplit(url).path.rstrip("/")
    except HubError as error:
        raise InputError(f"{url[:80]!r} is no address of an endpoint.", "Write: http://127.0.0.1:11500/v1") from error
    if urlsplit(url).query or urlsplit(url).fragment:
        raise InputError(f"{url[:80]!r} has a query.", "An endpoint is scheme, host and path.")
    if origin.host not in ("localhost", "127.0.0.1", "::1"):
        named = [host.strip().lower() for host in settings.get("LINNET_ENDPOINT_HOSTS").split(",")]
        if origin.host not in named:
            raise InputError(
                f"{origin.host} is not this machine: nothing is sent to it unless the settings name it.",
                f"If you mean it: LINNET_ENDPOINT_HOSTS={origin.host}",
            )
        if settings.offline():
            raise HubError("Offline mode is on: no request leaves this machine.", "Unset LINNET_OFFLINE.")
    return Endpoint(origin, path or "/v1", ())


def _retry_after(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _parsed(content: bytes | bytearray) -> Any:
    try:
        return json.loads(bytes(content))
    except (ValueError, RecursionError) as error:
        raise EndpointFailed("its answer is not JSON") from error


def _said(content: bytes | bytearray) -> str:
    """The endpoint's own words, short."""
    try:
        error = json.loads(bytes(content))["error"]
        text = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, RecursionError):
        text = bytes(content[:200]).decode(errors="replace")
    return str(text)[:200]


def _reply(answer: Any, text_of: Callable[[Any], Any]) -> Reply:
    try:
        choice = answer["choices"][0]
        text, usage = text_of(choice), answer.get("usage") or {}
        counts = [usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens")]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise EndpointFailed("its answer has no choices with a text") from error
    if not isinstance(text, str):
        raise EndpointFailed("its answer holds no text")
    told = [count if type(count) is int and count >= 0 else 0 for count in counts]
    return Reply(text, str(choice.get("finish_reason") or ""), told[0], told[1])
