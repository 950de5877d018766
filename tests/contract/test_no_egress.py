"""Nothing leaves this machine: no address of another one in the code, no library to reach it, and a guard in tests."""

from __future__ import annotations

import ast
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import linnet
from tests.conftest import is_here

SOURCE = Path(linnet.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*") if path.suffix in (".py", ".j2", ".html", ".js", ".css"))
URL = re.compile(r"\b(?:https?|wss?|ftp)://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])")
DOCUMENTATION = {"www.w3.org"}  # names of XML namespaces: nobody fetches them
# The one room that goes to another machine, when a command names one; and the one address that it knows.
OUTGOING = "hub/"
KNOWN = {
    "hub/endpoint.py": {"huggingface.co"},
    "formats/sniff.py": {"git-lfs"},  # how a git-LFS pointer begins
}
# Speaks HTTP to the engine's worker, over unix sockets alone.
LOCAL = {"engines/llama/llama_client.py", "engines/worker/worker_main.py"}
REACHING = {
    "requests",
    "aiohttp",
    "urllib3",
    "httpx",
    "http.client",
    "urllib.request",
    "ftplib",
    "smtplib",
    "telnetlib",
}
REACHING |= {"huggingface_hub", "sentry_sdk", "posthog", "opentelemetry"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_address_of_another_machine(path: Path) -> None:
    hosts = {host.strip("[]") for host in URL.findall(path.read_text())}
    known = KNOWN.get(path.relative_to(SOURCE).as_posix(), set())
    assert {host for host in hosts if not is_here(host)} <= DOCUMENTATION | known


def test_no_library_that_reaches_out() -> None:
    found = {
        str(path.relative_to(SOURCE)): name
        for path in FILES
        if path.suffix == ".py"
        and not path.relative_to(SOURCE).as_posix().startswith(OUTGOING)
        and path.relative_to(SOURCE).as_posix() not in LOCAL
        for name in imports(path)
        if any(name == banned or name.startswith(f"{banned}.") for banned in REACHING)
    }
    assert found == {}


def test_the_room_that_reaches_out_uses_one_library() -> None:
    used = {name for path in FILES if path.parent.name == "hub" for name in imports(path)}
    assert {banned for banned in REACHING for name in used if f"{name}.".startswith(f"{banned}.")} == {"httpx"}


def test_sockets_are_made_only_where_it_serves() -> None:
    users = {
        path.relative_to(SOURCE).as_posix() for path in FILES if path.suffix == ".py" and "socket" in imports(path)
    }
    assert users <= {"http/server.py", "hub/transport.py"} | LOCAL


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_the_engine_is_reached_by_unix_sockets_alone(name: str) -> None:
    text = (SOURCE / name).read_text()
    assert set(re.findall(r"AF_[A-Z0-9]+", text)) == {"AF_UNIX"}
    assert not re.findall(r"create_connection|HTTPS|urlopen", text)


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1", "127.9.9.9", "::1", "::1%lo"])
def test_this_machine(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "0.0.0.0", "::", "::ffff:127.0.0.1x", "localhost.evil"])
def test_another_machine(host: str) -> None:
    assert not is_here(host)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")])
def test_the_guard_refuses(egress: list[str], family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as reaching:
        for call in (reaching.connect, reaching.connect_ex, lambda address: reaching.sendto(b"x", address)):
            with pytest.raises(pytest.fail.Exception, match="a test reached for"):
                call((host, 9))
    assert len(egress) == 3
    egress.clear()


def test_the_guard_hears_threads(egress: list[str]) -> None:
    def reach() -> None:
        with pytest.raises(pytest.fail.Exception):
            socket.create_connection(("192.0.2.1", 9), timeout=1)

    thread = threading.Thread(target=reach)
    thread.start()
    thread.join()
    assert egress == ["('192.0.2.1', 9)"]
    egress.clear()


def test_the_guard_lets_this_machine_through() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
