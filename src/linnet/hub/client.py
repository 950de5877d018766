"""Asks a hub: redirects followed by hand and counted, the token kept to the hub itself, every answer bounded.

Answers come as they are on the wire: a compressed one is refused, because its size is unknown until it is unpacked.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urljoin

import httpx

from linnet.core.errors import HubError, NotFound
from linnet.core.failpoints import failpoint
from linnet.hub.endpoint import Endpoint, Limits, parse_origin
from linnet.hub.transport import Guard
from linnet.version import __version__

# The open answer, and what the hub itself said in its headers on the way.
Answer = tuple[httpx.Response, dict[str, str]]
REDIRECTS = (301, 302, 303, 307, 308)
T = TypeVar("T")
LATER = "Run the same command again: what is here is kept."


class Interruption(Exception):
    """Something that a retry may mend. Never leaves this room."""

    def __init__(self, why: str, wait_s: float = 0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Hub:
    """A client of one hub. A context manager; one may be used by several threads."""

    def __init__(self, endpoint: Endpoint, limits: Limits | None = None, guard: Guard | None = None) -> None:
        self.endpoint = endpoint
        self.limits = limits or Limits()
        timeout = httpx.Timeout(self.limits.stall_s, connect=self.limits.connect_s, pool=None)
        self._client = httpx.Client(
            transport=guard or Guard(endpoint, self.limits),
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": f"linnet/{__version__}", "accept": "*/*", "accept-encoding": "identity"},
        )
        # The client adds its own defaults for encodings otherwise.
        self._client.headers["accept-encoding"] = "identity"

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def file_url(self, repo: str, commit: str, name: str) -> str:
        return self.endpoint.url + self.file_path(repo, commit, name)

    @staticmethod
    def file_path(repo: str, commit: str, name: str) -> str:
        """Where a hub has one file of a repository at one commit."""
        return f"/{repo}/resolve/{quote(commit, safe='')}/{quote(name)}"

    def get_json(self, path: str, what: str) -> Any:
        """One JSON answer of at most `limits.listing_bytes`.

        Raises NotFound for what the hub does not have, HubError otherwise, after the retries.
        """

        def ask() -> bytes:
            with self.open(f"{self.endpoint.url}{path}", what) as (response, _):
                return b"".join(bounded(response, self.limits.listing_bytes, what, Pace(self.limits)))

        data = self.again(ask, what)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise HubError(f"{self.endpoint.url} answered about {what} with something that is no JSON.") from error

    def again(self, ask: Callable[[], T], what: str) -> T:
        """Call `ask`, and again after an Interruption, as often and as late as the limits say."""
        for number in range(self.limits.retries + 1):
            try:
                return ask()
            except Interruption as error:
                if number == self.limits.retries:
                    raise HubError(f"{what}: {error}, also after {number} retries.", LATER) from error
                self.pause(number, error.wait_s)
        raise AssertionError("unreachable")

    def pause(self, number: int, asked_s: float = 0) -> None:
        """Wait before a retry: twice as long each time, at most as long as a stall, a little at random."""
        wait_s = max(self.limits.backoff_s * 2**number, asked_s) * random.uniform(0.8, 1.2)  # noqa: S311
        time.sleep(min(wait_s, self.limits.stall_s))

    @contextmanager
    def open(self, url: str, what: str, bytes_range: tuple[int, int] | None = None) -> Iterator[Answer]:
        """The answer's head, and the headers that the hub itself gave on the way (`x-linked-etag`, `x-repo-commit`).

        bytes_range: first and last byte. Raises Interruption for what may be retried, HubError and NotFound else.
        """
        said: dict[str, str] = {}
        for _ in range(self.limits.redirects + 1):
            headers = {"range": f"bytes={bytes_range[0]}-{bytes_range[1]}"} if bytes_range else {}
            origin = parse_origin(url)
            if self.endpoint.token and origin == self.endpoint.origin:
                headers["authorization"] = f"Bearer {self.endpoint.token}"
            with _mended(what):
                failpoint("hub.receive")
                response = self._client.send(self._client.build_request("GET", url, headers=headers), stream=True)
            try:
                if origin == self.endpoint.origin:
                    said |= {k: v for k, v in response.headers.items() if k.startswith("x-")}
                if response.status_code not in REDIRECTS or "location" not in response.headers:
                    self._refuse(response, what)
                    with _mended(what):
                        yield response, said
                    return
                url = _joined(url, response.headers["location"])
            finally:
                response.close()
        raise HubError(f"{what}: more than {self.limits.redirects} redirects.", "Check LINNET_HUB, or try again later.")

    def _refuse(self, response: httpx.Response, what: str) -> None:
        status = response.status_code
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise HubError(f"{what}: the answer is compressed, which was not asked for.", "Check LINNET_HUB.")
        if status in (200, 206):
            return
        if status in (401, 403):
            have = "The token in HF_TOKEN does not open it" if self.endpoint.token else "It needs a token"
            page = "accept its conditions on the hub's page, make a token there and set HF_TOKEN"
            raise HubError(f"{what}: the hub refuses ({status}).", f"{have}, or it does not exist: {page}.")
        if status == 404:
            raise NotFound(
                f"{what}: {self.endpoint.url} has no such thing.", "Check the spelling of org, repo and revision."
            )
        if status in (408, 425, 429) or status >= 500:
            after = response.headers.get("retry-after", "")
            raise Interruption(f"the hub answered {status}", float(after) if after.isdigit() and len(after) < 6 else 0)
        raise HubError(f"{what}: the hub answered {status}.", "Check the name, and LINNET_HUB.")


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # no address at all: the next look at its origin says so


@contextmanager
def _mended(what: str) -> Iterator[None]:
    """Turn httpx's errors into what a retry may mend, or into an error of the tree."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise Interruption("nothing came within the time limit") from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise Interruption(str(error) or type(error).__name__) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise HubError(f"{what}: {error or type(error).__name__}.", "Check LINNET_HUB.") from error


class Pace:
    """Notices a body that trickles: fewer than `stall_bytes` in `stall_s` seconds is a stall."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._since, self._count = time.monotonic(), 0

    def tick(self, count: int) -> None:
        """Count `count` bytes. Raises Interruption when too few came for too long."""
        self._count += count
        if self._count >= self.limits.stall_bytes:
            self._since, self._count = time.monotonic(), 0
        elif time.monotonic() - self._since > self.limits.stall_s:
            raise Interruption(f"fewer than {self.limits.stall_bytes} bytes came in {self.limits.stall_s:g} s")


def bounded(response: httpx.Response, limit: int, what: str, pace: Pace) -> Iterator[bytes]:
    """The body in pieces, as on the wire. Raises HubError for more than `limit` bytes, Interruption for too few."""
    declared = response.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise HubError(f"{what}: the answer has {declared} bytes, at most {limit} are read.")
    count = 0
    for piece in response.iter_raw():  # as it comes: pieces of a fixed size would hide a trickle
        count += len(piece)
        pace.tick(len(piece))
        if count > limit:
            raise HubError(f"{what}: the answer is longer than the {limit} bytes that are read.")
        yield piece
    if declared.isdigit() and count < int(declared):
        raise Interruption(f"the answer ended after {count} of {declared} bytes")
