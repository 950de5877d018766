"""What every test gets: no way out of this machine, and a way to make it fail."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from linnet.core import failpoints

# Started in the background by a shell, this process ignores Ctrl-C, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Numbers of a test are compared with those of other code: no rounding that only some processors would do.
os.environ.setdefault("LINNET_PRODUCTS", "float32")


def is_here(host: str) -> bool:
    """Whether a host is this machine, without asking anybody."""
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def egress() -> Iterator[list[str]]:
    """Refuse every connection to another machine, and keep where it was to go."""
    refused: list[str] = []

    def guarded(name: str) -> Callable[..., Any]:
        real = getattr(socket.socket, name)

        def call(self: socket.socket, *arguments: Any) -> Any:
            address = arguments[-1]
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_here(str(address[0])):
                refused.append(str(address))
                raise pytest.fail.Exception(f"a test reached for {address}")
            return real(self, *arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, guarded(name))
        yield refused


@pytest.fixture(autouse=True)
def _stays_here(egress: list[str]) -> Iterator[None]:
    """Fail the test that reached out, also when another thread did it or something caught the refusal."""
    yield
    reached = egress.copy()
    egress.clear()
    assert not reached, f"a test reached for {reached}"


@pytest.fixture
def arm() -> Iterator[Callable[[str], None]]:
    """`arm("files.fsync=enospc")` makes this process fail there; nothing is armed after the test."""
    with pytest.MonkeyPatch.context() as patch:

        def armed(points: str) -> None:
            patch.setenv("LINNET_FAILPOINTS", points)
            failpoints._armed.cache_clear()
            failpoints._hits.clear()

        yield armed
    failpoints._armed.cache_clear()
    failpoints._hits.clear()
